package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

var errClosed = errors.New("database is closed")

// Tx is one transaction. It is used by one goroutine at a time and ends with the function it was handed to.
type Tx struct {
	dialect Dialect
	conn    *sql.Conn
	stmts   *stmtCache
	reading bool // made by ReadTx on a server
	shared  bool // on SQLite: others' work may be in the same transaction
	wrote   bool // on SQLite: something may have changed
}

var _ Querier = (*Tx)(nil)

// Dialect returns the SQL dialect.
func (tx *Tx) Dialect() Dialect { return tx.dialect }

// context returns what a statement runs under. SQLite rolls a transaction back whose statement is interrupted, with the work of others
// in it: there ctx is looked at between statements.
func (tx *Tx) context(ctx context.Context) context.Context {
	if !tx.shared || ctx.Err() != nil {
		return ctx
	}
	return context.WithoutCancel(ctx)
}

// QueryContext runs a query; close the rows before the transaction's next statement.
func (tx *Tx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	// Not cached: a prepared statement of one connection cannot serve two open results.
	ctx = tx.context(ctx)
	tx.noteQuery(query)
	return tx.conn.QueryContext(ctx, tx.dialect.Rebind(query), args...)
}

// QueryRowContext runs a query of at most one row.
func (tx *Tx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	ctx = tx.context(ctx)
	tx.noteQuery(query)
	query = tx.dialect.Rebind(query)
	if s, release := tx.stmts.acquire(ctx, query); s != nil {
		defer release()
		return s.QueryRowContext(ctx, args...)
	}
	return tx.conn.QueryRowContext(ctx, query, args...)
}

// ExecContext runs a statement without rows.
func (tx *Tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	ctx = tx.context(ctx)
	query = tx.dialect.Rebind(query)
	var result sql.Result
	var err error
	if s, release := tx.stmts.acquire(ctx, query); s != nil {
		defer release()
		result, err = s.ExecContext(ctx, args...)
	} else {
		result, err = tx.conn.ExecContext(ctx, query, args...)
	}
	if err == nil { // SQLite undoes a statement that fails
		tx.noteResult(query, result)
	}
	return result, err
}

// noteQuery remembers that a query may have written.
func (tx *Tx) noteQuery(query string) {
	if !strings.HasPrefix(query, "SELECT ") {
		tx.wrote = true
	}
}

// noteResult remembers that a statement has written, unless it surely has not.
func (tx *Tx) noteResult(query string, result sql.Result) {
	if tx.wrote || !tx.shared {
		return
	}
	for _, counted := range []string{"INSERT ", "UPDATE ", "DELETE "} {
		if strings.HasPrefix(query, counted) {
			n, err := result.RowsAffected()
			tx.wrote = n != 0 || err != nil
			return
		}
	}
	tx.wrote = true
}

// WithTx runs fn in one transaction: committed if fn returns nil, rolled back if it returns an error or panics.
//
// On SQLite transactions are serialised (BEGIN IMMEDIATE on the one writer connection), so fn may read and then write
// without surprises; waiting for the turn ends with ctx. Those that wait at the same time are committed together, by one sync of
// the disk: only fn's work is missing if fn fails, and everybody's is lost, and told so, if the commit fails. fn runs again, on a rolled
// back transaction, when another one in it has failed (at most once). On the servers transactions run side by side (READ COMMITTED):
// what fn reads and relies on it locks first, by Tx.Lock or by Tx.ForUpdate; and fn runs again when the server had to break a deadlock
// (at most maxAttempts times). So fn must not add to what it finds outside.
//
// fn must be quick, must not call WithTx again, and takes its "now" once. fn's own errors come back as they are, or
// classified if they carry no code (see Classify).
func (db *DB) WithTx(ctx context.Context, fn func(tx *Tx) error) error {
	if db.writers != nil {
		return db.serverTx(ctx, fn)
	}
	return Classify(db.writer.run(ctx, member{begin: db.beginSQLite, fn: fn}))
}

// WithLargeTx is WithTx for a change of very many rows. On SQLite it shares its transaction with nobody: what shares one may keep the
// pages that it changes, as they were, in memory until it is done, in case that it alone is undone, or may run again.
func (db *DB) WithLargeTx(ctx context.Context, fn func(tx *Tx) error) error {
	if db.writers != nil {
		return db.serverTx(ctx, fn)
	}
	return Classify(db.writer.run(ctx, member{begin: db.beginSQLite, fn: fn, alone: true}))
}

// ReadTx runs fn with a Querier whose statements all see the same commit. fn cannot write.
func (db *DB) ReadTx(ctx context.Context, fn func(q Querier) error) error {
	if db.writers != nil {
		return db.serverReadTx(ctx, fn)
	}
	conn, err := db.readers.Conn(ctx)
	if err != nil {
		return Classify(err)
	}
	defer conn.Close()
	tx := &Tx{dialect: db.dialect, conn: conn, stmts: newStmtCache(0, nil)}
	return Classify(inTransaction(ctx, conn, beginReading, func() error { return fn(tx) }))
}

// ReadLong is ReadTx for what keeps a processor busy for many milliseconds, as long pages of long rows do. On SQLite no more of them run
// at once than there are processors, in the order in which they came: if all shared the processors, none would be done before the last.
// The other connections stay free for short reads.
func (db *DB) ReadLong(ctx context.Context, fn func(q Querier) error) error {
	if db.writers != nil {
		return db.serverReadTx(ctx, fn)
	}
	select {
	case db.long <- struct{}{}: // those who wait for a channel are served in their order
	case <-ctx.Done():
		return Classify(fmt.Errorf("wait for other long reads: %w", ctx.Err()))
	}
	defer func() { <-db.long }()
	return db.ReadTx(ctx, fn)
}

func beginReading(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "BEGIN")
	return err
}

// begin returns the function that begins a transaction by one statement.
func begin(statement string) func(context.Context, *sql.Conn) error {
	return func(ctx context.Context, conn *sql.Conn) error {
		_, err := conn.ExecContext(ctx, statement)
		return err
	}
}

// inTransaction frames fn by begin and COMMIT or ROLLBACK. The end is not cancelled by ctx: a connection goes back clean.
func inTransaction(ctx context.Context, conn *sql.Conn, begin func(context.Context, *sql.Conn) error, fn func() error) (err error) {
	if err := begin(ctx, conn); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	end := context.WithoutCancel(ctx)
	done := false
	defer func() {
		if done {
			return
		}
		// SQLite rolls some failed transactions back by itself; "no transaction is active" is then the answer to this one.
		_, _ = conn.ExecContext(end, "ROLLBACK")
	}()
	if err := fn(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := conn.ExecContext(end, "COMMIT"); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	done = true
	return nil
}
