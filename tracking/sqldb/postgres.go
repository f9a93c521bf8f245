package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"sluice/tracking/mlflow"
)

// connectPostgres opens the pools of a PostgreSQL server. Options of the URI are libpq's (host for a socket's folder, sslmode,
// sslrootcert, connect_timeout, application_name, options, target_session_attrs, …); what the URI leaves out libpq's own
// sources (PG… variables, ~/.pgpass) fill in, as they do for MLflow. The server refuses settings that it does not know.
func (db *DB) connectPostgres(context.Context) error {
	config, err := pgx.ParseConfig(postgresDSN(db.address))
	if err != nil {
		return mlflow.Invalidf("the backend store URI has an option that PostgreSQL's driver cannot use (its value is not shown)")
	}
	config.OnNotice = nil
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "sluice"
	}
	setUp := fmt.Sprintf("SET lock_timeout = %d", db.opts.BusyTimeout.Milliseconds())
	db.openPools(stdlib.GetConnector(*config, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, setUp)
		return err
	})))
	return nil
}

// postgresDSN writes the address as a URI for pgx, which reads the options as libpq does.
func postgresDSN(a Address) string {
	u := url.URL{Scheme: "postgres", Path: "/" + a.Database, Host: a.Host, RawQuery: a.Options.Encode()}
	if a.Port != 0 {
		u.Host = net.JoinHostPort(a.Host, strconv.Itoa(a.Port))
	}
	switch {
	case a.HasPassword:
		u.User = url.UserPassword(a.User, a.Password)
	case a.User != "":
		u.User = url.User(a.User)
	}
	return u.String()
}

const (
	postgresBegin     = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
	postgresBeginRead = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
)

// lockPostgres takes the advisory lock of a name until the transaction ends.
func lockPostgres(ctx context.Context, conn *sql.Conn, name string) error {
	_, err := conn.ExecContext(ctx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", "sluice "+name)
	return err
}
