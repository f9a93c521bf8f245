package sqldb

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/go-sql-driver/mysql"

	"sluice/tracking/mlflow"
)

// connectMySQL opens the pools of a MySQL or MariaDB server. Options of the URI are those of PyMySQL and mysqlclient: charset,
// unix_socket, connect_timeout, read_timeout and write_timeout (seconds), ssl_ca, ssl_cert, ssl_key, ssl_verify_cert,
// ssl_verify_identity, ssl_disabled. Returns INVALID_PARAMETER_VALUE for others.
func (db *DB) connectMySQL(context.Context) error {
	config, err := mysqlConfig(db.address, db.opts.BusyTimeout)
	if err != nil {
		return err
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return mlflow.Invalidf("the backend store URI cannot be used with MySQL's driver: its parts are not shown")
	}
	db.openPools(connector)
	return nil
}

// sqlMode fixes what a statement means whatever the server's default is: values that do not fit are refused instead of cut, and
// experiment 0 is experiment 0.
const sqlMode = "'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO'"

func mysqlConfig(a Address, busy time.Duration) (*mysql.Config, error) {
	c := mysql.NewConfig()
	c.User, c.Passwd, c.DBName = a.User, a.Password, a.Database
	c.Net, c.Addr = "tcp", net.JoinHostPort(a.Host, strconv.Itoa(mysqlPort(a)))
	c.InterpolateParams = true // one round trip for a statement instead of three
	c.Collation = "utf8mb4_general_ci"
	c.Logger = &mysql.NopLogger{}
	c.Timeout = 10 * time.Second
	c.Params = map[string]string{
		"sql_mode":                 sqlMode,
		"innodb_lock_wait_timeout": strconv.Itoa(max(1, int(busy.Seconds()))),
	}
	var secure tlsOptions
	for name := range a.Options {
		if err := setMySQLOption(c, &secure, name, a.Options.Get(name)); err != nil {
			return nil, err
		}
	}
	var err error
	c.TLS, err = secure.config(a.Host)
	return c, err
}

func mysqlPort(a Address) int {
	if a.Port == 0 {
		return 3306
	}
	return a.Port
}

func setMySQLOption(c *mysql.Config, secure *tlsOptions, name, value string) (err error) {
	switch name {
	case "charset":
		if value != "utf8mb4" && value != "utf8" { // connections speak utf8mb4, which holds utf8
			return mlflow.Invalidf("backend store option charset must be utf8mb4")
		}
	case "unix_socket":
		c.Net, c.Addr = "unix", value
	case "connect_timeout":
		c.Timeout, err = seconds(name, value)
	case "read_timeout":
		c.ReadTimeout, err = seconds(name, value)
	case "write_timeout":
		c.WriteTimeout, err = seconds(name, value)
	default:
		return secure.set(name, value)
	}
	return err
}

func seconds(name, value string) (time.Duration, error) {
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil || n == 0 {
		return 0, mlflow.Invalidf("backend store option %s must be a number of seconds from 1 to 65535", name)
	}
	return time.Duration(n) * time.Second, nil
}

// tlsOptions are the ssl_… options as PyMySQL reads them (source: pymysql/connections.py): TLS begins with one of ca, cert, key;
// the certificate is checked if there is a ca, unless ssl_verify_cert says otherwise; the name in it by ssl_verify_identity.
type tlsOptions struct {
	ca, cert, key                    string
	verify, noVerify, identity, none bool
}

func (o *tlsOptions) set(name, value string) error {
	on, notBool := strconv.ParseBool(value)
	switch name {
	case "ssl_ca":
		o.ca = value
		return nil
	case "ssl_cert":
		o.cert = value
		return nil
	case "ssl_key":
		o.key = value
		return nil
	case "ssl_verify_cert":
		o.verify, o.noVerify = on, !on
	case "ssl_verify_identity":
		o.identity = on
	case "ssl_disabled":
		o.none = on
	default:
		return mlflow.Invalidf("unknown backend store option %q for MySQL", name)
	}
	if notBool != nil {
		return mlflow.Invalidf("backend store option %s must be true or false", name)
	}
	return nil
}

// config returns nil for a connection without TLS.
func (o *tlsOptions) config(host string) (*tls.Config, error) {
	if o.none || o.ca == "" && o.cert == "" && o.key == "" && !o.verify && !o.identity {
		return nil, nil
	}
	c := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if o.ca != "" {
		pem, err := os.ReadFile(o.ca)
		if err != nil {
			return nil, fmt.Errorf("read ssl_ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, mlflow.Invalidf("the file of backend store option ssl_ca holds no certificate")
		}
	}
	if o.cert != "" || o.key != "" {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return nil, fmt.Errorf("read ssl_cert and ssl_key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if o.identity {
		return c, nil
	}
	roots := c.RootCAs
	c.InsecureSkipVerify = true // the name is not asked for; the chain is checked below
	if roots != nil && !o.noVerify || o.verify {
		c.VerifyConnection = func(s tls.ConnectionState) error { return verifyChain(s, roots) }
	}
	return c, nil
}

// verifyChain checks the server's certificate without its name.
func verifyChain(s tls.ConnectionState, roots *x509.CertPool) error {
	between := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
	return err
}

// beginMySQL begins a transaction that writes. READ COMMITTED: what a statement reads after it waited for a lock is what the
// lock's holder left, and gaps between keys are not locked.
func beginMySQL(ctx context.Context, conn *sql.Conn, level, begin string) error {
	if _, err := conn.ExecContext(ctx, "SET TRANSACTION ISOLATION LEVEL "+level); err != nil {
		return err
	}
	_, err := conn.ExecContext(ctx, begin)
	return err
}

const (
	mysqlBegin     = "START TRANSACTION READ WRITE"
	mysqlBeginRead = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
)

// lockMySQL locks the row of the name; a row's lock follows the transaction, where GET_LOCK would not.
func lockMySQL(ctx context.Context, conn *sql.Conn, name string) error {
	_, err := conn.ExecContext(ctx, "INSERT INTO sluice_locks (name) VALUES (?) ON DUPLICATE KEY UPDATE name = VALUES(name)", name)
	return err
}

// lockTable holds a row for each name that was ever locked.
const lockTable = "CREATE TABLE IF NOT EXISTS sluice_locks (name VARCHAR(64) NOT NULL, PRIMARY KEY (name))"

// lockSchemaMySQL waits for the database's lock of the connection.
func lockSchemaMySQL(ctx context.Context, conn *sql.Conn, wait time.Duration) error {
	var got sql.NullInt64
	err := conn.QueryRowContext(ctx, "SELECT GET_LOCK(CONCAT('sluice ', MD5(DATABASE())), ?)", max(1, int(wait.Seconds()))).Scan(&got)
	if err == nil && got.Int64 != 1 {
		err = errSchemaLocked
	}
	return err
}

var errSchemaLocked = errors.New("another process is changing the tables")

func unlockSchemaMySQL(ctx context.Context, conn *sql.Conn) {
	// A connection that cannot release has lost the lock with its session.
	_, _ = conn.ExecContext(ctx, "DO RELEASE_LOCK(CONCAT('sluice ', MD5(DATABASE())))")
}
