package sqldbtest

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/go-sql-driver/mysql"

	"sluice/tracking/sqldb"
)

func startMySQL() (*server, error) {
	binary, err := newest([]string{"mariadbd"}, "/usr/sbin/mariadbd")
	if err != nil {
		return nil, err
	}
	install, err := newest([]string{"mariadb-install-db"}, "/usr/bin/mariadb-install-db")
	if err != nil {
		return nil, err
	}
	who, err := ownerNamed("mysql")
	if err != nil {
		return nil, err
	}
	dir, err := who.folder()
	if err != nil {
		return nil, err
	}
	s := &server{dialect: sqldb.MySQL, dir: dir, free: map[string][]string{}}
	data := filepath.Join(dir, "data")
	fast := []string{"--no-defaults", "--datadir=" + data, "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0", "--innodb-log-file-size=16M"}
	init := who.command(dir, install, append(slices.Clone(fast), "--skip-test-db", "--auth-root-authentication-method=normal")...)
	if out, err := init.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mariadb-install-db: %w\n%s", err, out)
	}
	s.connect = s.connectMySQL
	if s.admin, err = s.connect(""); err != nil {
		return nil, err
	}
	fast = append(fast, "--tmpdir="+dir) // a server that starts removes the temporary tables of others from a folder that they share
	err = s.launch(who.command(dir, binary, append(slices.Clone(fast), "--socket="+s.mysqlSocket(), "--pid-file="+filepath.Join(dir, "pid"), "--skip-networking",
		"--skip-log-bin", "--innodb-buffer-pool-size=64M", "--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci", "--max-connections=400")...))
	if err != nil {
		return nil, errors.Join(err, s.admin.Close())
	}
	return s, nil
}

func (s *server) connectMySQL(database string) (*sql.DB, error) {
	config := mysql.NewConfig()
	config.User, config.Net, config.Addr, config.DBName = "root", "unix", s.mysqlSocket(), database
	config.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

func (s *server) mysqlSocket() string { return filepath.Join(s.dir, "s") }

func (s *server) mysqlURI(database, scheme string) string {
	return scheme + "://root@localhost/" + database + "?unix_socket=" + s.mysqlSocket()
}
