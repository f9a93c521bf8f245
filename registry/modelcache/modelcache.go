// Package modelcache keeps the files of model versions on the local disk, where backends load them from.
//
// It owns downloading (once per key, whoever asks), the check that a tree arrived whole, its digest, and which trees are thrown
// away when the byte budget is used up. It is called by the gateway's loaders; it must not know which version a key stands for,
// nor where artifacts come from: it is handed a Source.
//
// # On disk
//
//	<dir>/trees/<hash of the key>/manifest.json   key, digest, sizes
//	<dir>/trees/<hash of the key>/files/…         the tree
//	<dir>/work/<random>/                          downloads under way and trees being deleted
//
// A tree is downloaded into work, synced and renamed into trees, so that a tree under trees is complete whenever the process dies.
// What lies in work at the start is removed. Trees that survived a restart are verified against their digest before their first
// use. Files are copies of their own: a later change of the artifact never reaches them.
//
// One process owns a folder at a time (New takes a lock). A Cache is safe for concurrent use.
package modelcache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"sluice/tracking/artifact"
	"sluice/tracking/mlflow"
)

// Source is the tree of files to fetch; *artifact.Repo is one.
type Source interface {
	// Walk calls visit for every file. Links in the tree are an error.
	Walk(ctx context.Context, dir string, visit func(artifact.Info) error) error
	// Open reads a file; the caller closes.
	Open(ctx context.Context, path string) (io.ReadCloser, artifact.Info, error)
}

// Options are the settings of a Cache; nil and the zero value work.
type Options struct {
	// MaxBytes is the budget for all trees together; default 20 GiB. Trees in use count and are never thrown away.
	MaxBytes int64
	// MaxFiles bounds the files of one tree; default 10,000.
	MaxFiles int
	// Parallel is how many files of one tree are read at a time; default 4.
	Parallel int
}

// Local is a tree on this machine.
type Local struct {
	Dir    string // absolute; do not write into it
	Digest string // SHA-256 over paths, sizes and contents, hexadecimal: equal for equal trees, wherever they come from
	Bytes  int64  // of all files
}

// Cache is a folder of trees.
type Cache struct {
	dir    string
	lock   *os.File
	opts   Options
	ctx    context.Context // ends at Close: downloads outlive the request that began them, not the Cache
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu      sync.Mutex
	entries map[string]*entry // by key; guarded by mu
	bytes   int64             // of all entries and reservations; guarded by mu
	clock   uint64            // counts uses; guarded by mu
	closed  bool              // guarded by mu
}

// entry is a tree that is there or being fetched. Its fields are guarded by Cache.mu, but for done, which is closed once.
type entry struct {
	key     string
	local   Local
	bytes   int64 // counted in Cache.bytes
	pins    int   // users
	lastUse uint64
	ready   bool
	err     error
	waiters int
	cancel  context.CancelFunc
	done    chan struct{}
}

// New opens the cache folder dir, removes what a dead process left half done and takes up the trees that are complete.
// Returns an error if another process owns the folder.
func New(dir string, opts *Options) (*Cache, error) {
	c := &Cache{entries: map[string]*entry{}}
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.MaxBytes == 0 {
		c.opts.MaxBytes = 20 << 30
	}
	if c.opts.MaxFiles == 0 {
		c.opts.MaxFiles = 10_000
	}
	if c.opts.Parallel == 0 {
		c.opts.Parallel = 4
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("model cache: %w", err)
	}
	c.dir = abs
	if err := c.open(); err != nil {
		return nil, fmt.Errorf("model cache %s: %w", abs, err)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// Close stops downloads, waits for them and gives the folder free. Trees stay for the next process.
func (c *Cache) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.work.Wait()
	return c.lock.Close()
}

// Fetch returns the tree of key, from the disk or, the first time, from src, and pins it until release is called (calling it again
// does nothing). Callers of one key at the same time share one download, which stops only when all of them have given up.
//
// A key stands for one content for ever: if the content changes, so must the key. Returns RESOURCE_DOES_NOT_EXIST for an empty
// tree, INVALID_PARAMETER_VALUE for one with links or too many files, RESOURCE_EXHAUSTED if it does not fit beside the trees in
// use, TEMPORARILY_UNAVAILABLE after Close, and the source's own errors. A failure is not remembered.
func (c *Cache) Fetch(ctx context.Context, key string, src Source) (local Local, release func(), err error) {
	e, err := c.join(ctx, key, src)
	if err != nil {
		return Local{}, nil, err
	}
	select {
	case <-e.done:
	case <-ctx.Done():
		if !c.leave(e) {
			return Local{}, nil, ctx.Err()
		}
	}
	if e.err != nil { // written before done was closed
		return Local{}, nil, e.err
	}
	var once sync.Once
	return e.local, func() { once.Do(func() { c.unpin(e) }) }, nil
}

// join returns the entry of key with one more waiter or user, and starts its download or verification if nobody has. A download
// that everybody left is waited for until it has stopped.
func (c *Cache) join(ctx context.Context, key string, src Source) (*entry, error) {
	for {
		e, stopping, err := c.tryJoin(key, src)
		if stopping == nil {
			return e, err
		}
		select {
		case <-stopping:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (c *Cache) tryJoin(key string, src Source) (e *entry, stopping <-chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, mlflow.Errorf(mlflow.TemporarilyUnavailable, "The model cache is closed.")
	}
	e, ok := c.entries[key]
	switch {
	case ok && e.ready:
		e.pins++
		c.use(e)
		return e, nil, nil
	case ok && e.done != nil && e.waiters == 0:
		return nil, e.done, nil
	case !ok:
		e = &entry{key: key}
		c.entries[key] = e
	}
	e.waiters++
	if e.done == nil {
		e.done = make(chan struct{})
		var ctx context.Context
		ctx, e.cancel = context.WithCancel(c.ctx)
		c.work.Go(func() { c.run(ctx, e, src) })
	}
	return e, nil, nil
}

func (c *Cache) use(e *entry) {
	c.clock++
	e.lastUse = c.clock
}

// leave takes a waiter away whose context has ended. It reports true if the entry is finished, so that the waiter is a user by now
// and keeps the result. The last waiter stops the download.
func (c *Cache) leave(e *entry) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-e.done:
		return true
	default:
	}
	e.waiters--
	if e.waiters == 0 {
		e.cancel()
	}
	return false
}

// run fetches or verifies the entry's tree and turns its waiters into users.
func (c *Cache) run(ctx context.Context, e *entry, src Source) {
	defer e.cancel()
	err := c.provide(ctx, e, src)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		e.ready = true
		e.pins += e.waiters
		c.use(e)
	} else {
		e.err = err
		c.forget(e)
	}
	close(e.done)
}

// forget takes a failed entry out. A tree whose verification was only interrupted stays, to be verified next time.
func (c *Cache) forget(e *entry) {
	delete(c.entries, e.key)
	if e.local.Dir != "" {
		c.entries[e.key] = &entry{key: e.key, local: e.local, bytes: e.bytes, lastUse: e.lastUse}
		return
	}
	c.bytes -= e.bytes
	e.bytes = 0
}

// provide makes the tree of e present and verified.
func (c *Cache) provide(ctx context.Context, e *entry, src Source) error {
	if e.local.Dir != "" {
		if err := verify(ctx, e.local); err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if err := c.discard(e); err != nil {
			return err
		}
	}
	return c.download(ctx, e, src)
}

func (c *Cache) unpin(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.pins--
	c.use(e)
}

// discard throws away a tree that failed its verification; e goes on without it.
func (c *Cache) discard(e *entry) error {
	c.mu.Lock()
	trash, err := c.detach(e)
	e.local = Local{}
	c.bytes -= e.bytes
	e.bytes = 0
	c.mu.Unlock()
	return errors.Join(err, os.RemoveAll(trash))
}

// reserve counts n bytes for e and throws away trees that nobody uses, the longest unused first, until the budget holds.
func (c *Cache) reserve(e *entry, n int64) error {
	trash, err := c.makeRoom(e, n)
	for _, dir := range trash {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

func (c *Cache) makeRoom(e *entry, n int64) (trash []string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.fits(n) {
		return nil, mlflow.Errorf(mlflow.ResourceExhausted,
			"The model needs %d bytes, which do not fit into the model cache of %d bytes beside the models in use.", n, c.opts.MaxBytes)
	}
	e.bytes = n
	c.bytes += n
	for c.bytes > c.opts.MaxBytes {
		victim := c.oldest()
		dir, err := c.detach(victim)
		if err != nil {
			return trash, err
		}
		delete(c.entries, victim.key)
		c.bytes -= victim.bytes
		trash = append(trash, dir)
	}
	return trash, nil
}

// fits reports whether n more bytes have room when everything idle is gone; nothing is thrown away for a tree that can't fit.
func (c *Cache) fits(n int64) bool {
	busy := c.bytes
	for _, e := range c.entries {
		if e.idle() {
			busy -= e.bytes
		}
	}
	return busy+n <= c.opts.MaxBytes
}

// idle reports whether nobody uses, verifies or fetches the tree.
func (e *entry) idle() bool { return e.pins == 0 && (e.ready || e.done == nil) }

// oldest returns the idle tree that was used least recently, nil if there is none.
func (c *Cache) oldest() *entry {
	var found *entry
	for _, e := range c.entries {
		if e.idle() && (found == nil || e.lastUse < found.lastUse) {
			found = e
		}
	}
	return found
}

// Stats is what the cache holds.
type Stats struct {
	Trees int
	Bytes int64
	// Pinned is how many trees are in use.
	Pinned int
}

// Stats returns what the cache holds now.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Stats{Trees: len(c.entries), Bytes: c.bytes}
	for _, e := range c.entries {
		if e.pins > 0 {
			s.Pinned++
		}
	}
	return s
}
