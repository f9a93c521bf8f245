// Package sqldb opens the database that tracking, registry and gateway keep their rows in: SQLite, PostgreSQL, MySQL or MariaDB.
//
// It owns the address (SQLAlchemy's URIs), the connections, MLflow's own schema and its revision check, our own migrations
// (tables named sluice_…), transactions, the dialect differences, and the classification of database errors. It is called by
// every sqlstore package and by cmd; it must not know any noun of theirs.
//
// A DB is safe for concurrent use. On SQLite there is one writer connection, which transactions take in turn, and a pool of
// reader connections that see the last commit; a transaction that returned without an error survives kill -9 and, unless
// Options.RelaxedSync is set, a power cut. On the servers there are two bounded pools, one for transactions that write, so that
// a reader inside of one never waits for itself.
//
// # Rules for stores
//
//   - Statements use ? placeholders on every dialect.
//   - Rows are closed before the next statement of the same transaction, and inside ReadTx.
//   - A transaction that reads and then writes locks first: Tx.Lock for the component's rare writes, Tx.ForUpdate for a row.
//   - After a statement that failed, a transaction runs no other one (PostgreSQL refuses it): use Dialect.InsertIgnore and ask
//     RowsAffected where a key may exist.
//   - RowsAffected of an UPDATE counts changed rows on MySQL, matched ones elsewhere.
//   - Functions given to WithTx may run more than once.
//   - No sluice_ table refers to one of MLflow's by a foreign key: MLflow's upgrades rebuild their tables.
//   - Columns and tables younger than the oldest accepted revision are asked for by HasTable and HasColumn.
package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"
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
	// Writers is the number of connections that write at once on a server; 0 means max(8, 2 × CPUs). SQLite has one.
	Writers int
	// BusyTimeout is how long a statement waits for a lock that another process holds; 0 means 20 s, as MLflow on SQLite.
	BusyTimeout time.Duration
	// RelaxedSync lets the operating system write commits in its own time (synchronous=NORMAL): several times faster, safe
	// against kill -9, but the last commits may be lost with the power. Default false: every commit is on disk. Servers have
	// settings of their own for this, which are left alone.
	RelaxedSync bool
	// Existing makes Open fail with ErrEmpty instead of making tables in an empty database.
	Existing bool
	// DropRollups makes Open delete MLflow's rollups of traces, instead of refusing a database that holds some.
	DropRollups bool
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
	if out.Writers <= 0 {
		out.Writers = max(8, 2*runtime.NumCPU())
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
	long    chan struct{} // SQLite's: holds one token for each ReadLong that runs
	writer  *writer       // SQLite's
	writers *sql.DB       // a server's; nil on SQLite

	mu       sync.RWMutex
	columns  map[string]map[string]bool // guarded by mu; table → its columns
	revision string                     // MLflow's revision, fixed after Open
}

// ErrEmpty is the cause of Open's error for an empty database under Options.Existing.
var ErrEmpty = errors.New("the database is empty")

// Open opens the database at uri, creates MLflow's tables in an empty one, and checks the revision of any other.
//
// URIs are SQLAlchemy's (see ParseURI): sqlite:///relative.db, sqlite:////absolute.db (missing parent folders are made, mode
// 0700), postgresql://…, mysql://…, whose database must exist.
// Returns NOT_IMPLEMENTED for dialects whose driver is not built in, INVALID_PARAMETER_VALUE for an unusable URI,
// TEMPORARILY_UNAVAILABLE for a server that does not answer or refuses the login, and INVALID_STATE with the command to run for
// a schema revision that is not known here and for a database that holds more workspaces than
// the default or MLflow's rollups of traces.
func Open(ctx context.Context, uri string, opts *Options) (*DB, error) {
	addr, err := ParseURI(uri)
	if err != nil {
		return nil, err
	}
	db := &DB{dialect: addr.Dialect, opts: opts.withDefaults(), address: addr}
	connect := map[Dialect]func(context.Context) error{SQLite: db.connectSQLite, Postgres: db.connectPostgres, MySQL: db.connectMySQL}
	if err := connect[addr.Dialect](ctx); err != nil {
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
	err := db.closeWriting()
	db.reads.close()
	if rerr := db.readers.Close(); err == nil {
		err = rerr
	}
	if err != nil {
		return fmt.Errorf("close database: %w", err)
	}
	return nil
}

func (db *DB) closeWriting() error {
	if db.writers != nil {
		return db.writers.Close()
	}
	return db.writer.close()
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
