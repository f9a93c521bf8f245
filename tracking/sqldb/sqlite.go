package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/mattn/go-sqlite3"

	"sluice/tracking/sqldb/sqlitepack"
)

// connectSQLite opens the writer (which makes the file) and then the readers.
func (db *DB) connectSQLite(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(db.address.Path), 0o700); err != nil {
		return fmt.Errorf("make the folder of the database: %w", err)
	}
	if err := createPrivate(db.address.Path); err != nil {
		return err
	}
	if err := sqlitepack.Install(); err != nil {
		return err
	}
	writing := sql.OpenDB(sqliteConnector{dsn: db.sqliteDSN(false)})
	writing.SetMaxOpenConns(1)
	conn, err := writing.Conn(ctx)
	if err != nil {
		writing.Close()
		return fmt.Errorf("open %s: %w", db.address.Path, Classify(err))
	}
	// What undoes a part of a transaction is kept in memory: in a temporary file it would be most of what is written (see WithLargeTx).
	if _, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d; PRAGMA wal_autocheckpoint = %d; PRAGMA temp_store = MEMORY", busyStep.Milliseconds(), checkpointPages)); err != nil {
		return errors.Join(fmt.Errorf("open %s: %w", db.address.Path, Classify(err)), conn.Close(), writing.Close())
	}
	db.writer = newWriter(writing, conn)
	db.readers = sql.OpenDB(sqliteConnector{dsn: db.sqliteDSN(true)})
	db.readers.SetMaxOpenConns(db.opts.Readers)
	db.readers.SetMaxIdleConns(db.opts.Readers)
	db.reads = newCachedPool(SQLite, db.readers)
	db.long = make(chan struct{}, max(1, min(runtime.NumCPU(), db.opts.Readers-1)))
	return nil
}

// busyStep is how long SQLite itself waits for the write lock: nothing can call it back meanwhile.
const busyStep = 20 * time.Millisecond

// beginSQLite begins a transaction that may write. Another process that holds the write lock is waited for until Options.BusyTimeout is
// over or ctx ends.
func (db *DB) beginSQLite(ctx context.Context, conn *sql.Conn) error {
	start := time.Now()
	for {
		_, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE")
		if !isBusy(err) || time.Since(start) >= db.opts.BusyTimeout {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("wait for another process: %w", ctx.Err())
		}
	}
}

// isBusy says whether err is a lock that another connection holds.
func isBusy(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && e.Code == sqlite3.ErrBusy
}

// createPrivate makes an empty file that only its owner reads, if there is none; SQLite gives its companion files the same mode.
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make the database file: %w", err)
	}
	return f.Close()
}

// Bounds of each connection's cache of pages, which fills as pages are used, KiB. SQLite's own 2 MB thrash on indexes of millions of rows.
const (
	writerCacheKB = 64 << 10
	readerCacheKB = 16 << 10
)

// checkpointPages is how far the log grows before its pages move to the database, 4 KiB each: pages that many commits change are moved once.
const checkpointPages = 4000

// connStatements is how many prepared statements each connection keeps beside those of stmtCache: the ones that Each and transactions run.
const connStatements = 32

// sqliteDSN returns go-sqlite3's data source name. foreign_keys, busy_timeout and case_sensitive_like are what MLflow sets
// (source: mlflow/store/db/utils.py, MLflow 3.17); without the last, LIKE would find other rows than MLflow does.
func (db *DB) sqliteDSN(readOnly bool) string {
	q := url.Values{}
	q.Set("_busy_timeout", strconv.FormatInt(db.opts.BusyTimeout.Milliseconds(), 10))
	q.Set("_foreign_keys", "on")
	q.Set("_mutex", "no") // database/sql lets one goroutine at a time use a connection
	q.Set("_cslike", "on")
	q.Set("_txlock", "immediate")
	q.Set("_journal_mode", "WAL")
	q.Set("_synchronous", "FULL")
	q.Set("_cache_size", strconv.Itoa(-writerCacheKB))
	q.Set("_stmt_cache_size", strconv.Itoa(connStatements))
	if db.opts.RelaxedSync {
		q.Set("_synchronous", "NORMAL")
	}
	if readOnly {
		q.Set("_query_only", "on")
		q.Set("_txlock", "deferred")
		q.Set("_cache_size", strconv.Itoa(-readerCacheKB))
	}
	escape := strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23")
	return "file:" + escape.Replace(filepath.ToSlash(db.address.Path)) + "?" + q.Encode()
}

// sqliteConnector makes connections without registering a driver by name, which would be package state.
type sqliteConnector struct{ dsn string }

func (c sqliteConnector) Connect(context.Context) (driver.Conn, error) {
	return c.Driver().Open(c.dsn)
}

func (c sqliteConnector) Driver() driver.Driver {
	return &sqlite3.SQLiteDriver{ConnectHook: func(conn *sqlite3.SQLiteConn) error {
		return conn.RegisterFunc("regexp", matchRegexp, true)
	}}
}

// matchRegexp is the function behind "column REGEXP pattern"; an unreadable pattern matches nothing, as in MLflow.
func matchRegexp(pattern string, text any) bool {
	s, ok := text.(string)
	if !ok || len(pattern) > 1000 {
		return false
	}
	re, err := regexp.Compile(pattern)
	return err == nil && re.MatchString(s)
}
