package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mattn/go-sqlite3"
)

// writer is the one connection that writes to SQLite, and the queue of those who want it.
//
// Whoever has the turn runs his function; what he leaves behind may be an open transaction, in which the next one goes on (a
// group). The first of a group queues up again behind those who wait: when his turn comes and nobody has joined since, he commits for
// all. So a writer alone commits at once, and many share one commit, which writes a page that all of them changed once, without anybody
// waiting for company that is not there.
//
// One whose function fails after it has written is undone together with the others, who run their functions again: a savepoint for each
// would copy the pages that he changes, a thousand for a batch of metrics, to undo what hardly ever fails. Then there are savepoints for a
// while, so that who fails again and again holds up nobody else, and for those who run again, so that they do it once.
type writer struct {
	pool    *sql.DB
	conn    *sql.Conn
	stmts   *stmtCache
	turn    chan struct{} // holds one token while the connection is free
	waiting atomic.Int64  // who want to begin
	open    *group        // the transaction that is open; guarded by turn
	careful int           // how many members still get savepoints, whatever group they are of; guarded by turn
	once    sync.Once
	quit    chan struct{} // closed by close
}

// group is a transaction that several share.
type group struct {
	members    int  // guarded by the turn
	savepoints bool // each further member is undone alone; guarded by the turn
	began      time.Time
	done       chan struct{} // closed when the transaction has ended
	err        error         // of its commit, or errAgain; written before done is closed
}

// Bounds of a group: at them the member who has the turn commits.
const (
	groupMembers = 64
	groupTime    = 50 * time.Millisecond
)

// carefulMembers is how many members get savepoints after one has made a group run again: enough that what runs again, groupMembers at
// most, is little beside it.
const carefulMembers = 16 * groupMembers

func newWriter(pool *sql.DB, conn *sql.Conn) *writer {
	w := &writer{pool: pool, conn: conn, turn: make(chan struct{}, 1), quit: make(chan struct{})}
	w.stmts = newStmtCache(stmtCacheSize, conn.PrepareContext)
	w.turn <- struct{}{}
	return w
}

// lock waits for the turn.
func (w *writer) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-w.quit:
		return errClosed
	default:
	}
	w.waiting.Add(1)
	defer w.waiting.Add(-1)
	select {
	case <-w.turn:
		return nil
	case <-w.quit:
		return errClosed
	case <-ctx.Done():
		return fmt.Errorf("wait for the writer: %w", ctx.Err())
	}
}

func (w *writer) unlock() { w.turn <- struct{}{} }

// member is who wants to write.
type member struct {
	begin func(context.Context, *sql.Conn) error
	fn    func(tx *Tx) error
	alone bool // shares its transaction with nobody
	again bool // it has run before, and was undone because another one failed
}

// run is WithTx on SQLite, or WithLargeTx, which is alone in its transaction.
func (w *writer) run(ctx context.Context, m member) error {
	err := w.try(ctx, m)
	if errors.Is(err, errAgain) {
		m.again = true
		err = w.try(ctx, m) // among savepoints, where nobody is told errAgain
	}
	return err
}

func (w *writer) try(ctx context.Context, m member) error {
	if err := w.lock(ctx); err != nil {
		return err
	}
	if m.alone && w.open != nil {
		w.commit()
	}
	g, err := w.join(ctx, m)
	if err != nil {
		w.leave(g)
		return err
	}
	if m.alone || g.members >= groupMembers || time.Since(g.began) >= groupTime {
		w.commit()
		w.unlock()
		return g.err
	}
	first := g.members == 1
	w.unlock()
	if first {
		w.finish(g)
	}
	<-g.done
	return g.err
}

// finish ends a group for the first of its members, when nobody has joined since he had the turn the last time.
func (w *writer) finish(g *group) {
	for members := 0; ; {
		select { // behind those who wait; receivers of a channel are served in their order
		case <-g.done:
			return
		case <-w.turn:
		}
		if w.open == g && w.waiting.Load() > 0 && g.members > members && time.Since(g.began) < groupTime {
			members = g.members
			w.unlock()
			continue
		}
		if w.open == g {
			w.commit()
		}
		w.unlock()
		return
	}
}

// join runs a member's function in the open transaction, or in a new one. After an error nothing of it is left. The caller has the turn.
func (w *writer) join(ctx context.Context, m member) (g *group, err error) {
	end := context.WithoutCancel(ctx)
	tx := &Tx{dialect: SQLite, conn: w.conn, stmts: w.stmts, shared: true}
	first, err := w.enter(ctx, m)
	g = w.open
	if err != nil {
		return g, err
	}
	savepoint := g.savepoints && !first
	if savepoint {
		if _, err := tx.ExecContext(end, "SAVEPOINT member"); err != nil {
			return g, fmt.Errorf("begin: %w", err)
		}
		tx.wrote = false
	}
	finished := false
	defer func() {
		if !finished { // the function panics
			w.undo(end, tx, savepoint)
			w.leave(g)
		}
	}()
	err = m.fn(tx)
	if err == nil {
		err = ctx.Err()
	}
	finished = true
	if err != nil {
		w.undo(end, tx, savepoint)
		return g, err
	}
	if w.ended() { // a statement failed so badly that SQLite rolled everything back, and the function made nothing of it
		w.lost(errLost)
		return g, errLost
	}
	if savepoint {
		if _, err := tx.ExecContext(end, "RELEASE member"); err != nil {
			w.undo(end, tx, savepoint)
			return g, fmt.Errorf("commit: %w", err)
		}
	}
	g.members++
	return g, nil
}

// enter begins a transaction if none is open, and says so.
func (w *writer) enter(ctx context.Context, m member) (first bool, err error) {
	if w.open == nil {
		if err := m.begin(ctx, w.conn); err != nil {
			return true, fmt.Errorf("begin: %w", err)
		}
		w.open = &group{began: time.Now(), done: make(chan struct{})}
		first = true
	}
	if m.again || w.careful > 0 {
		w.open.savepoints = true
		w.careful = max(0, w.careful-1)
	}
	return first, nil
}

var (
	errLost  = errors.New("the transaction was rolled back by the database")
	errAgain = errors.New("the transaction was rolled back because another member failed")
)

// undo takes back what a member did. If SQLite has rolled everything back by itself, the group has lost its work.
func (w *writer) undo(ctx context.Context, tx *Tx, savepoint bool) {
	switch {
	case w.ended():
		w.lost(errLost)
	case savepoint:
		_, err := tx.ExecContext(ctx, "ROLLBACK TO member")
		if err == nil {
			_, err = tx.ExecContext(ctx, "RELEASE member")
		}
		if err != nil {
			w.rollback(errLost)
		}
	case w.open.members == 0:
		w.rollback(errLost) // told to nobody
	case tx.wrote:
		w.careful = carefulMembers
		w.rollback(errAgain)
	}
}

// rollback undoes the open transaction and tells its members why.
func (w *writer) rollback(why error) {
	_, _ = w.conn.ExecContext(context.Background(), "ROLLBACK")
	w.lost(why)
}

// leave ends the turn of one whose function failed: it commits for those before him, if there are any.
func (w *writer) leave(g *group) {
	if g != nil && w.open == g {
		w.commit()
	}
	w.unlock()
}

// commit ends the open transaction and tells its members. The end is not cancelled by anybody's context.
func (w *writer) commit() {
	g := w.open
	if _, err := w.conn.ExecContext(context.Background(), "COMMIT"); err != nil {
		g.err = fmt.Errorf("commit: %w", err)
		_, _ = w.conn.ExecContext(context.Background(), "ROLLBACK")
	}
	w.open = nil
	close(g.done)
}

// lost tells the members of a transaction that is gone why.
func (w *writer) lost(why error) {
	g := w.open
	w.open = nil
	g.err = why
	close(g.done)
}

// ended says whether SQLite has ended the transaction by itself.
func (w *writer) ended() bool {
	ended := true
	err := w.conn.Raw(func(c any) error {
		if c, ok := c.(*sqlite3.SQLiteConn); ok {
			ended = c.AutoCommit()
		}
		return nil
	})
	return ended || err != nil
}

// close waits for the running transaction and closes the connection; further transactions fail.
func (w *writer) close() error {
	var err error
	w.once.Do(func() {
		close(w.quit)
		<-w.turn
		if w.open != nil {
			w.commit()
		}
		w.stmts.close()
		err = errors.Join(w.conn.Close(), w.pool.Close())
	})
	return err
}
