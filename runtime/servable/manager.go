package servable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"sluice/runtime/batch"
)

// Options of a Manager; nil and the zero value work.
type Options struct {
	// MaxConcurrentLoads is how many versions load and warm up at once. Default (0): 2.
	MaxConcurrentLoads int
	// MinBackoff and MaxBackoff bound the pause after a failed load; it doubles from one to the other. Defaults (0): 1 s and 1 min.
	MinBackoff, MaxBackoff time.Duration
	// MaxBytes bounds the estimated memory of the loaded versions (Backend.Bytes). Beyond it the ones not asked for lately are evicted:
	// they count as routable, and Await loads them again. A version that alone needs more fails to load. While a version loads it comes on
	// top, as do versions in use that cannot be evicted. Default (0): no bound.
	MaxBytes int64
	// MaxOnDemand is how many versions that are not aspired Demand keeps loaded or evicted. Default (0): 16.
	MaxOnDemand int
	// OnDemandIdle is how long nobody must ask for such a version until it is let go. Default (0): 5 min.
	OnDemandIdle time.Duration
	// Prepare is called before a version is loaded. Default: nothing is prepared.
	Prepare Preparer
	// Rehearse asks a loaded version, warmed by its sample, for more before it is Ready for the first time, as requests of other times; it calls the
	// backend itself. An error fails the load. Default: nothing is rehearsed.
	Rehearse func(ctx context.Context, id ID, l *Loaded) error
	// LoadTimeout ends a load with its warm-up. Default (0): 10 min.
	LoadTimeout time.Duration
	// Logger. Default: discard.
	Logger *slog.Logger
	// Now is the clock of Status.SinceMS. Default: time.Now. (Pauses use the time package: test them under testing/synctest.)
	Now func() time.Time
	// OnChange is told the newest Status of a version after it changed, from one goroutine, in order; states that follow each other
	// faster than OnChange returns are skipped. It must not call Close.
	OnChange func(ID, Status)
	// Batch bounds every version's queue. Join in it is ignored: see Joining. Tokens in it are those of the backends that run on this
	// process's processors (Threaded); default: one a processor.
	Batch batch.Options
	// Joining says when predictions of versions are joined whose ID does not say it. Default: JoinMeasured.
	Joining Joining
}

// Joining says when predictions are joined into batches.
type Joining uint8

const (
	// JoinMeasured joins where a measurement at load time says that it pays.
	JoinMeasured Joining = iota
	// JoinNever passes every prediction through.
	JoinNever
	// JoinAlways joins for every RowWise backend, for tests and for those who know better. By a version's ID it is a promise that a backend which
	// is none cannot keep: that version fails to load.
	JoinAlways
)

// String is "measured", "never" or "always".
func (j Joining) String() string {
	switch j {
	case JoinMeasured:
		return "measured"
	case JoinNever:
		return "never"
	}
	return "always"
}

// Manager makes what is loaded equal to what is aspired. Use NewManager; Close it.
type Manager struct {
	load  Loader
	opts  Options
	ready atomic.Pointer[map[ID]*Handle] // immutable snapshot for Acquire

	ctx    context.Context // ends all loads
	cancel context.CancelFunc
	wg     sync.WaitGroup // loads, unloads and the notifier
	slots  chan struct{}  // one token per running load
	extra  chan struct{}  // the one token of loads on demand, taken before one of slots
	tokens *batch.Tokens  // of the Threaded backends

	mu                 sync.Mutex // guards everything below
	entries            map[ID]*entry
	draining           map[*Handle]Status
	pasts              map[files]past
	ring               []*entry // those with a handle, the next to be looked at for eviction first
	evictions, reloads int64
	changed            chan struct{} // closed and replaced at every change
	news               map[ID]struct{}
	order              []ID // of news
	wake               chan struct{}
	sweeping           bool // somebody looks after the versions on demand
	closed             bool
}

// entry is one version, aspired or on demand.
type entry struct {
	id       ID
	demand   *demand // nil: it is aspired
	status   Status
	handle   *Handle // of Ready
	cancel   context.CancelFunc
	reviving bool     // Evicted, and being loaded again
	prepares bool     // Prepare is under way
	past     past     // belongs to the load under way
	verdict  Batching // of the handle last Ready
	by, note string   // the same: Loaded's
}

// NewManager returns a Manager without servables.
func NewManager(load Loader, opts *Options) *Manager {
	m := &Manager{load: load, entries: map[ID]*entry{}, pasts: map[files]past{}, draining: map[*Handle]Status{}, changed: make(chan struct{}),
		news: map[ID]struct{}{}, wake: make(chan struct{}, 1)}
	if opts != nil {
		m.opts = *opts
	}
	m.opts.setDefaults()
	m.slots = make(chan struct{}, m.opts.MaxConcurrentLoads)
	m.extra = make(chan struct{}, 1)
	if m.tokens = m.opts.Batch.Tokens; m.tokens == nil {
		m.tokens = batch.NewTokens(0)
	}
	m.ready.Store(&map[ID]*Handle{})
	m.ctx, m.cancel = context.WithCancel(context.Background())
	if m.opts.OnChange != nil {
		m.wg.Go(m.notify)
	}
	return m
}

func (o *Options) setDefaults() {
	if o.MaxConcurrentLoads <= 0 {
		o.MaxConcurrentLoads = 2
	}
	if o.MinBackoff <= 0 {
		o.MinBackoff = time.Second
	}
	if o.MaxBackoff <= 0 {
		o.MaxBackoff = time.Minute
	}
	o.MaxBackoff = max(o.MaxBackoff, o.MinBackoff)
	if o.MaxOnDemand <= 0 {
		o.MaxOnDemand = 16
	}
	if o.OnDemandIdle <= 0 {
		o.OnDemandIdle = 5 * time.Minute
	}
	if o.LoadTimeout <= 0 {
		o.LoadTimeout = 10 * time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Aspire replaces the list of versions that should be loaded: new ones start to load, missing ones can no longer be acquired and are
// closed when their last handle is released. It does not wait. Calling it again with the same list changes nothing. After Close it
// does nothing.
func (m *Manager) Aspire(ids []ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.aspire(ids)
}

// aspire is Aspire with m.mu held.
func (m *Manager) aspire(ids []ID) {
	wanted := make(map[ID]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
		switch e := m.entries[id]; {
		case e == nil:
			m.start(id)
		case e.demand != nil:
			m.adopt(e)
		}
	}
	unpublish := false
	for id, e := range m.entries {
		if !wanted[id] && (e.demand == nil || m.closed) {
			unpublish = m.remove(e) || unpublish
		}
	}
	if unpublish {
		m.publish()
	}
}

// remove ends an entry, and says whether it was Ready, so that the snapshot is to be published again. m.mu is held.
func (m *Manager) remove(e *entry) (unpublish bool) {
	delete(m.entries, e.id)
	e.cancel()
	if e.handle != nil {
		unpublish = true
		m.forget(e)
		m.drain(e.handle)
	}
	m.announce(e.id)
	return unpublish
}

// start begins to load a version. m.mu is held.
func (m *Manager) start(id ID) {
	e := &entry{id: id}
	m.entries[id] = e
	m.set(e, Loading, "")
	m.bringUp(e)
}

// bringUp loads an entry in the background. m.mu is held.
func (m *Manager) bringUp(e *entry) {
	ctx, cancel := context.WithCancel(m.ctx)
	e.cancel = cancel
	m.wg.Go(func() {
		defer cancel()
		m.bring(ctx, e)
	})
}

// publish replaces the snapshot that Acquire reads. m.mu is held.
func (m *Manager) publish() {
	snapshot := make(map[ID]*Handle, len(m.entries))
	for id, e := range m.entries {
		if e.handle != nil {
			snapshot[id] = e.handle
		}
	}
	m.ready.Store(&snapshot)
}

// drain closes a handle when its users are gone. m.mu is held.
func (m *Manager) drain(h *Handle) {
	m.draining[h] = Status{State: Unloading, SinceMS: m.opts.Now().UnixMilli()}
	h.retire()
	m.wg.Go(func() {
		<-h.drained
		if err := h.close(context.Background()); err != nil {
			m.opts.Logger.Error("servable did not close cleanly", slog.String("servable", h.id.String()), slog.Any("error", err))
		}
		m.mu.Lock()
		delete(m.draining, h)
		m.announce(h.id)
		m.mu.Unlock()
	})
}

// set moves an entry to a state. m.mu is held.
func (m *Manager) set(e *entry, s State, reason string) {
	e.status = Status{State: s, Reason: reason, SinceMS: m.opts.Now().UnixMilli()}
	if s.Routable() {
		e.status.By, e.status.Note = e.by, e.note
	}
	m.announce(e.id)
}

// announce wakes those who wait for changes. m.mu is held.
func (m *Manager) announce(id ID) {
	close(m.changed)
	m.changed = make(chan struct{})
	if m.opts.OnChange == nil {
		return
	}
	if _, pending := m.news[id]; !pending {
		m.news[id] = struct{}{}
		m.order = append(m.order, id)
	}
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// notify calls OnChange until the manager is closed and all news is told.
func (m *Manager) notify() {
	for range m.wake {
		for {
			m.mu.Lock()
			if len(m.order) == 0 {
				done := m.closed && len(m.draining) == 0
				m.mu.Unlock()
				if done {
					return
				}
				break
			}
			id := m.order[0]
			m.order = m.order[1:]
			delete(m.news, id)
			status := m.statusOf(id)
			m.mu.Unlock()
			m.opts.OnChange(id, status)
		}
	}
}

// Acquire returns a handle on a Ready version; the caller releases it. Returns ErrNotAvailable, unwrapped, otherwise: Status says why, and
// Await brings an evicted one back.
func (m *Manager) Acquire(id ID) (*Handle, error) {
	h := m.hold(id)
	if h == nil {
		return nil, ErrNotAvailable
	}
	h.used()
	return h, nil
}

// hold acquires a Ready version's handle, or returns nil.
func (m *Manager) hold(id ID) *Handle {
	if h := (*m.ready.Load())[id]; h != nil && h.acquire() {
		return h
	}
	return nil
}

// Status is the state of a version; Unknown if it is neither aspired nor unloading. One that is only loaded on demand may go at any time, so
// it is Unknown here.
func (m *Manager) Status(id ID) Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.statusOf(id)
}

func (m *Manager) statusOf(id ID) Status {
	if e := m.entries[id]; e != nil && e.demand == nil {
		return e.now()
	}
	for h, s := range m.draining {
		if h.id == id {
			return s
		}
	}
	return Status{}
}

// now is the entry's status with what its backend says at this moment. Manager.mu is held.
func (e *entry) now() Status {
	s := e.status
	if e.handle != nil {
		s.Down = e.handle.down()
	}
	return s
}

// Batching says whether predictions of a version are joined, and why; false if it was never Ready.
func (m *Manager) Batching(id ID) (Batching, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[id]
	if e == nil || e.verdict.MaxRows == 0 {
		return Batching{}, false
	}
	if e.handle != nil {
		return e.handle.Batching(), true
	}
	return e.verdict, true
}

// Executions is what the versions loaded at present have run in batches since they were loaded; those whose predictions are not joined are
// left out.
func (m *Manager) Executions() map[ID]batch.Executions {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[ID]batch.Executions{}
	for id, e := range m.entries {
		if e.handle != nil && e.handle.Joins() {
			out[id] = e.handle.batcher.Executions()
		}
	}
	return out
}

// Statuses is the state of every version that is aspired, on demand or unloading.
func (m *Manager) Statuses() map[ID]Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[ID]Status, len(m.entries)+len(m.draining))
	for h, s := range m.draining {
		out[h.id] = s
	}
	for id, e := range m.entries {
		out[id] = e.now()
	}
	return out
}

// Bytes is the estimated resident memory of all versions loaded, those unloading included.
func (m *Manager) Bytes() int64 {
	m.mu.Lock()
	handles := make(map[*Handle]bool, len(m.entries)+len(m.draining))
	for h := range maps.Keys(m.draining) {
		handles[h] = true
	}
	for _, e := range m.entries {
		if e.handle != nil {
			handles[e.handle] = true
		}
	}
	m.mu.Unlock()
	var n int64
	for h := range handles {
		n += h.Bytes()
	}
	return n
}

// WaitReady waits until all ids are routable. It returns the reasons, joined and wrapped as ErrNotAvailable, as soon as none of them is
// loading for the first time any more and some failed or are not aspired; ctx's error if that takes too long.
func (m *Manager) WaitReady(ctx context.Context, ids ...ID) error {
	for {
		m.mu.Lock()
		changed := m.changed
		err, pending := m.missing(ids)
		m.mu.Unlock()
		if !pending {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// missing lists what is not Ready; pending says that some of it is loading for the first time. m.mu is held.
func (m *Manager) missing(ids []ID) (err error, pending bool) {
	for _, id := range ids {
		switch s := m.statusOf(id); {
		case s.State.Routable():
		case s.State == Loading && s.Reason == "":
			pending = true
		default:
			err = errors.Join(err, fmt.Errorf("%w: %s is %s %s", ErrNotAvailable, id, s.State, s.Reason))
		}
	}
	return err, pending
}

// Close stops all loads, lets go of every version and waits until their handles are released and they are closed. If ctx ends first it
// returns ctx's error, and the rest goes on in the background. Close may be called again.
func (m *Manager) Close(ctx context.Context) error {
	m.mu.Lock()
	if !m.closed {
		m.closed = true
		m.aspire(nil)
	}
	m.mu.Unlock()
	m.cancel()
	done := make(chan struct{})
	go func() {
		m.wg.Wait()
		close(done)
	}()
	select {
	case m.wake <- struct{}{}: // the notifier may have nothing else to end it
	default:
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("servables still in use: %w", ctx.Err())
	}
}
