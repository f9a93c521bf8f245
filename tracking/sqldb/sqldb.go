// Package sqldb opens the database that tracking, registry and gateway keep their rows in.
//
// It owns the address (SQLAlchemy's URIs), the connections, MLflow's own schema and its revision check, our own migrations
// (tables named sluice_…), transactions, the dialect differences, and the classification of database errors. It is called by
// every sqlstore package and by cmd; it must not know any noun of theirs.
//
// A DB is safe for concurrent use. On SQLite there is one writer connection, which transactions take in turn, and a pool of
// reader connections that see the last commit; a transaction that returned without an error survives kill -9 and, unless
// Options.RelaxedSync is set, a power cut.
//
// # Rules for stores
//
//   - Statements use ? placeholders on every dialect.
//   - Rows are closed before the next statement of the same transaction, and inside ReadTx.
//   - No sluice_ table refers to one of MLflow's by a foreign key: MLflow's upgrades rebuild their tables.
//   - Columns and tables younger than the oldest accepted revision are asked for by HasTable and HasColumn.
package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"sluice/tracking/mlflow"
)

// Querier runs statements with ? placeholders. *Tx and the value of DB.Read are Queriers.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Options of Open; nil and the zero value work.
type Options struct {
	// Readers is the number of reader connections; 0 means max(4, 2 × CPUs).
	Readers int
	// BusyTimeout is how long a statement waits for a lock that another process holds; 0 means 20 s, as MLflow.
	BusyTimeout time.Duration
	// RelaxedSync lets the operating system write commits in its own time (synchronous=NORMAL): several times faster, safe
	// against kill -9, but the last commits may be lost with the power. Default false: every commit is on disk.
	RelaxedSync bool
	// Logger hears about schema creation and migrations; nil means silence.
	Logger *slog.Logger
	// Now is the clock of the migration record; nil means time.Now.
	Now func() time.Time
}

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	if out.Readers <= 0 {
		out.Readers = max(4, 2*runtime.NumCPU())
	}
	if out.BusyTimeout <= 0 {
		out.BusyTimeout = 20 * time.Second
	}
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	if out.Now == nil {
		out.Now = time.Now
	}
	return out
}

// DB is an open database with MLflow's schema. Make it with Open, end it with Close.
type DB struct {
	dialect Dialect
	opts    Options
	address Address
	readers *sql.DB
	reads   *cachedPool
	writer  *writer

	mu       sync.RWMutex
	columns  map[string]map[string]bool // guarded by mu; table → its columns
	revision string                     // MLflow's revision, fixed after Open
}

// Open opens the database at uri, creates MLflow's tables in an empty one, and checks the revision of any other.
//
// URIs are SQLAlchemy's: sqlite:///relative.db, sqlite:////absolute.db; missing parent folders are made (mode 0700).
// Returns NOT_IMPLEMENTED for dialects whose driver is not built in, INVALID_PARAMETER_VALUE for an unusable URI, and
// INVALID_STATE with the command to run for a schema revision that is not known here.
func Open(ctx context.Context, uri string, opts *Options) (*DB, error) {
	addr, err := ParseURI(uri)
	if err != nil {
		return nil, err
	}
	if addr.Dialect != SQLite {
		return nil, mlflow.Errorf(mlflow.NotImplemented, "not built in yet: %s as backend store; use sqlite:///path/to/file.db", addr.Dialect)
	}
	db := &DB{dialect: addr.Dialect, opts: opts.withDefaults(), address: addr}
	if err := db.connectSQLite(ctx); err != nil {
		return nil, err
	}
	if err := db.prepareSchema(ctx); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// Close closes all connections; transactions still running fail. It waits for the running writer.
func (db *DB) Close() error {
	err := db.writer.close()
	db.reads.close()
	if rerr := db.readers.Close(); err == nil {
		err = rerr
	}
	if err != nil {
		return fmt.Errorf("close database: %w", err)
	}
	return nil
}

// Dialect returns the SQL dialect of the database.
func (db *DB) Dialect() Dialect { return db.dialect }

// URI returns the address the database was opened at, without its password.
func (db *DB) URI() string { return db.address.Redacted() }

// Revision returns the Alembic revision of MLflow's tables, for example "dc11669786a5".
func (db *DB) Revision() string { return db.revision }

// Read returns a Querier over the reader connections. Each statement sees the last commit at its start; it cannot write.
func (db *DB) Read() Querier { return db.reads }

// Ping answers whether the database can be read now.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	return Classify(db.reads.QueryRowContext(ctx, "SELECT 1").Scan(&one))
}
