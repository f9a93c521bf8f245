package sqldb

import (
	"container/list"
	"context"
	"database/sql"
	"sync"
)

// Bounds of the prepared statement caches: statements a cache keeps, and bytes of the longest one worth keeping.
// At the bound the statement unused for longest is closed.
const (
	stmtCacheSize = 256
	stmtMaxBytes  = 4096
)

// stmtCache keeps prepared statements by their text. A statement leaves when it is unused for longest and is closed when its
// last user has released it. Safe for concurrent use.
type stmtCache struct {
	size    int
	prepare func(ctx context.Context, query string) (*sql.Stmt, error)

	mu     sync.Mutex
	byText map[string]*list.Element // guarded by mu; values are *cachedStmt
	recent *list.List               // guarded by mu; front = used last
}

type cachedStmt struct {
	text  string
	stmt  *sql.Stmt
	users int  // guarded by stmtCache.mu
	gone  bool // guarded by stmtCache.mu; evicted, to be closed by the last user
}

func newStmtCache(size int, prepare func(context.Context, string) (*sql.Stmt, error)) *stmtCache {
	return &stmtCache{size: size, prepare: prepare, byText: map[string]*list.Element{}, recent: list.New()}
}

// acquire returns the prepared statement and its release function, or nil if the statement should run unprepared: it is too
// long, the cache is off, or preparing failed (running it then tells the reason).
func (c *stmtCache) acquire(ctx context.Context, query string) (*sql.Stmt, func()) {
	if c.size == 0 || len(query) > stmtMaxBytes {
		return nil, nil
	}
	if e := c.hit(query); e != nil {
		return e.stmt, func() { c.release(e) }
	}
	stmt, err := c.prepare(ctx, query)
	if err != nil {
		return nil, nil
	}
	e := c.add(query, stmt)
	return e.stmt, func() { c.release(e) }
}

func (c *stmtCache) hit(query string) *cachedStmt {
	c.mu.Lock()
	defer c.mu.Unlock()
	el, ok := c.byText[query]
	if !ok {
		return nil
	}
	c.recent.MoveToFront(el)
	e := el.Value.(*cachedStmt)
	e.users++
	return e
}

// add stores the statement; if another goroutine was faster, ours serves this one call only.
func (c *stmtCache) add(query string, stmt *sql.Stmt) *cachedStmt {
	c.mu.Lock()
	e := &cachedStmt{text: query, stmt: stmt, users: 1}
	if _, taken := c.byText[query]; taken {
		e.gone = true
		c.mu.Unlock()
		return e
	}
	c.byText[query] = c.recent.PushFront(e)
	old := c.evict()
	c.mu.Unlock()
	if old != nil {
		old.Close()
	}
	return e
}

// evict drops the statement unused for longest if there is one too many, and returns it if nobody uses it. c.mu is held.
func (c *stmtCache) evict() *sql.Stmt {
	if c.recent.Len() <= c.size {
		return nil
	}
	el := c.recent.Back()
	e := c.recent.Remove(el).(*cachedStmt)
	delete(c.byText, e.text)
	e.gone = true
	if e.users > 0 {
		return nil
	}
	return e.stmt
}

func (c *stmtCache) release(e *cachedStmt) {
	c.mu.Lock()
	e.users--
	closing := e.gone && e.users == 0
	c.mu.Unlock()
	if closing {
		e.stmt.Close()
	}
}

// close closes the statements that nobody uses; the others are closed by their users.
func (c *stmtCache) close() {
	c.mu.Lock()
	var idle []*sql.Stmt
	for el := c.recent.Front(); el != nil; el = el.Next() {
		e := el.Value.(*cachedStmt)
		e.gone = true
		if e.users == 0 {
			idle = append(idle, e.stmt)
		}
	}
	c.byText = map[string]*list.Element{}
	c.recent.Init()
	c.mu.Unlock()
	for _, s := range idle {
		s.Close()
	}
}

// cachedPool is a Querier over a pool with prepared statements.
type cachedPool struct {
	dialect Dialect
	pool    *sql.DB
	stmts   *stmtCache
}

func newCachedPool(d Dialect, pool *sql.DB) *cachedPool {
	return &cachedPool{dialect: d, pool: pool, stmts: newStmtCache(stmtCacheSize, pool.PrepareContext)}
}

func (p *cachedPool) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	query = p.dialect.Rebind(query)
	if s, release := p.stmts.acquire(ctx, query); s != nil {
		defer release() // open rows keep a closed statement alive (database/sql)
		return s.QueryContext(ctx, args...)
	}
	return p.pool.QueryContext(ctx, query, args...)
}

func (p *cachedPool) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	query = p.dialect.Rebind(query)
	if s, release := p.stmts.acquire(ctx, query); s != nil {
		defer release()
		return s.QueryRowContext(ctx, args...)
	}
	return p.pool.QueryRowContext(ctx, query, args...)
}

func (p *cachedPool) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return p.pool.ExecContext(ctx, p.dialect.Rebind(query), args...)
}

func (p *cachedPool) close() { p.stmts.close() }
