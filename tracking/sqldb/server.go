package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"math/rand/v2"
	"time"

	"sluice/tracking/mlflow"
)

// Bounds of running a transaction again on a server that broke a deadlock with it: runs, and the longest pause before the second
// one; each pause is up to twice as long as the one before. At the bound the answer is TEMPORARILY_UNAVAILABLE.
const (
	maxAttempts = 8
	firstPause  = 4 * time.Millisecond
)

// Connections are replaced after a while, so that a server that moved behind its name is found again, and closed when idle.
const (
	connLifetime = 30 * time.Minute
	connIdle     = 5 * time.Minute
)

// openPools opens a server's two pools.
func (db *DB) openPools(c driver.Connector) {
	db.writers = openPool(c, db.opts.Writers)
	db.readers = openPool(c, db.opts.Readers)
	db.reads = &cachedPool{dialect: db.dialect, pool: db.readers, stmts: newStmtCache(0, nil)} // the drivers keep statements themselves
}

func openPool(c driver.Connector, size int) *sql.DB {
	pool := sql.OpenDB(c)
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	pool.SetConnMaxLifetime(connLifetime)
	pool.SetConnMaxIdleTime(connIdle)
	return pool
}

// serverTx is WithTx on a server.
func (db *DB) serverTx(ctx context.Context, fn func(tx *Tx) error) error {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		err := db.tryTx(ctx, fn)
		if classOf(err) != classDeadlock {
			return Classify(err)
		}
		if attempt == maxAttempts {
			return &mlflow.Error{Code: mlflow.TemporarilyUnavailable, Message: "the database is contended: the change met a deadlock again and again", Cause: err}
		}
		select {
		case <-ctx.Done():
			return Classify(ctx.Err())
		case <-time.After(rand.N(pause) + time.Millisecond):
		}
		pause *= 2
	}
}

func (db *DB) tryTx(ctx context.Context, fn func(tx *Tx) error) error {
	conn, err := db.writers.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	tx := &Tx{dialect: db.dialect, conn: conn, stmts: newStmtCache(0, nil)}
	return inTransaction(ctx, conn, db.beginServer(false), func() error { return fn(tx) })
}

// serverReadTx is ReadTx on a server.
func (db *DB) serverReadTx(ctx context.Context, fn func(q Querier) error) error {
	conn, err := db.readers.Conn(ctx)
	if err != nil {
		return Classify(err)
	}
	defer conn.Close()
	tx := &Tx{dialect: db.dialect, conn: conn, stmts: newStmtCache(0, nil), reading: true}
	return Classify(inTransaction(ctx, conn, db.beginServer(true), func() error { return fn(tx) }))
}

func (db *DB) beginServer(reading bool) func(context.Context, *sql.Conn) error {
	if db.dialect == Postgres {
		if reading {
			return begin(postgresBeginRead)
		}
		return begin(postgresBegin)
	}
	return func(ctx context.Context, conn *sql.Conn) error {
		if reading {
			return beginMySQL(ctx, conn, "REPEATABLE READ", mysqlBeginRead)
		}
		return beginMySQL(ctx, conn, "READ COMMITTED", mysqlBegin)
	}
}

// Lock makes transactions that lock the same name, in this and other processes, take turns until they end; on SQLite all do
// anyway. The reads that follow see what the holder before left. Take it first, one for a transaction; names are constants of
// up to 64 characters. It is for writes that are rare: rows that are written often are locked one by one, with ForUpdate.
func (tx *Tx) Lock(ctx context.Context, name string) error {
	var err error
	switch tx.dialect {
	case Postgres:
		err = lockPostgres(ctx, tx.conn, name)
	case MySQL:
		err = lockMySQL(ctx, tx.conn, name)
	}
	if err != nil {
		return fmt.Errorf("wait for the lock %q: %w", name, err)
	}
	return nil
}

// ForUpdate returns the end of a SELECT that locks the rows it reads until the transaction ends; "" on SQLite, whose writer is
// alone, and inside ReadTx. Rows that refer to a locked one may still be written.
func (tx *Tx) ForUpdate() string {
	if tx.reading {
		return ""
	}
	switch tx.dialect {
	case Postgres:
		return " FOR NO KEY UPDATE"
	case MySQL:
		return " FOR UPDATE"
	}
	return ""
}

// ForShare returns the end of a SELECT that keeps others from changing the rows it reads until the transaction ends.
func (tx *Tx) ForShare() string {
	if tx.reading {
		return ""
	}
	switch tx.dialect {
	case Postgres:
		return " FOR SHARE"
	case MySQL:
		return " LOCK IN SHARE MODE" // MariaDB knows no FOR SHARE
	}
	return ""
}
