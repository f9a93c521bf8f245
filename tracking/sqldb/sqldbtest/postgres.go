package sqldbtest

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"sluice/tracking/sqldb"
)

func startPostgres() (*server, error) {
	binary, err := newest([]string{"postgres"}, "/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return nil, err
	}
	who, err := ownerNamed("postgres")
	if err != nil {
		return nil, err
	}
	dir, err := who.folder()
	if err != nil {
		return nil, err
	}
	s := &server{dialect: sqldb.Postgres, dir: dir, free: map[string][]string{}}
	data := filepath.Join(dir, "data")
	initdb := who.command(dir, filepath.Join(filepath.Dir(binary), "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--encoding=UTF8",
		"--locale=C.UTF-8", "--no-sync", "--no-instructions")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	s.connect = s.connectPostgres
	if s.admin, err = s.connect("postgres"); err != nil {
		return nil, err
	}
	err = s.launch(who.command(dir, binary, "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off",
		"-c", "synchronous_commit=off", "-c", "max_connections=400", "-c", "shared_buffers=32MB", "-c", "autovacuum=off"))
	if err != nil {
		return nil, errors.Join(err, s.admin.Close())
	}
	return s, nil
}

func (s *server) connectPostgres(database string) (*sql.DB, error) {
	config, err := pgx.ParseConfig(s.postgresURI(database, "postgresql"))
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(stdlib.GetConnector(*config)), nil
}

func (s *server) postgresURI(database, scheme string) string {
	return scheme + "://postgres@/" + database + "?host=" + s.dir
}
