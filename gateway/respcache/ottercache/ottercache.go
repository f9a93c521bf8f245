// Package ottercache keeps answers in this process, in github.com/maypok86/otter (Apache 2.0, released in 2026, no dependencies of its own): what
// is asked for often stays, within a bound in bytes.
//
// It owns the memory of kept answers. It is called by respcache, as its Store; it must not know what a value means. A value is found as soon as it
// was put; when the bound is reached others, or it, make room.
package ottercache

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"sluice/gateway/respcache"
)

// overhead is what an entry costs beside its value, in bytes: key, node, place in the table and in the order of eviction. TestOverhead measures it.
const overhead = 320

// kept is an entry.
type kept struct {
	value string
	ttl   time.Duration
}

// Store is the memory.
type Store struct {
	entries *otter.Cache[respcache.Key, kept]
	evicted atomic.Uint64

	mu      sync.Mutex
	live    func(respcache.Owner) bool // what the next sweep asks; nil: none is due; guarded by mu
	closed  bool                       // guarded by mu
	sweep   bool                       // one is under way; guarded by mu
	sweeper sync.WaitGroup             // Add is guarded by mu
}

var (
	_ respcache.Store  = (*Store)(nil)
	_ respcache.Keeper = (*Store)(nil)
)

// New returns a store that holds at most maxBytes of values and what they cost besides; it may be past that for a moment. now nil: time.Now.
func New(maxBytes int64, now func() time.Time) (*Store, error) {
	s := new(Store)
	o := &otter.Options[respcache.Key, kept]{
		MaximumWeight:    uint64(maxBytes),
		Weigher:          func(_ respcache.Key, v kept) uint32 { return uint32(overhead + len(v.value)) },
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[respcache.Key, kept]) time.Duration { return e.Value.ttl }),
		Executor:         func(work func()) { work() }, // what it does is short, and so nobody has to wait for it in Close
		Logger:           &otter.NoopLogger{},
		OnAtomicDeletion: func(e otter.DeletionEvent[respcache.Key, kept]) {
			if e.Cause == otter.CauseOverflow {
				s.evicted.Add(1)
			}
		},
	}
	if now != nil {
		o.Clock = clock{now}
	}
	entries, err := otter.New(o)
	if err != nil {
		return nil, err
	}
	s.entries = entries
	return s, nil
}

// Get implements respcache.Store.
func (s *Store) Get(_ context.Context, k *respcache.Key) (string, error) {
	v, _ := s.entries.GetIfPresent(*k)
	return v.value, nil
}

// Put implements respcache.Store.
func (s *Store) Put(_ context.Context, k *respcache.Key, value string, ttl time.Duration) error {
	s.entries.Set(*k, kept{value, ttl})
	return nil
}

// Near implements respcache.Store.
func (s *Store) Near() bool { return true }

// Entries is how many values are held.
func (s *Store) Entries() int { return s.entries.EstimatedSize() }

// Bytes is what they take.
func (s *Store) Bytes() uint64 { return s.entries.WeightedSize() }

// Evicted is how many values made room for others so far, those among them that never got any.
func (s *Store) Evicted() uint64 { return s.evicted.Load() }

// Keep implements respcache.Keeper.
func (s *Store) Keep(live func(respcache.Owner) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = live
	if s.sweep || s.closed {
		return // one that is under way takes it up
	}
	s.sweep = true
	s.sweeper.Add(1)
	go s.sweepAll()
}

// sweepAll sweeps until nothing is due.
func (s *Store) sweepAll() {
	defer s.sweeper.Done()
	for {
		s.mu.Lock()
		live := s.live
		s.live = nil
		if live == nil || s.closed {
			s.sweep = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		for k := range s.entries.Keys() {
			if !live(k.Owner) {
				s.entries.Invalidate(k)
			}
		}
	}
}

// Close implements respcache.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.sweeper.Wait()
	s.entries.StopAllGoroutines()
	return nil
}

// clock makes otter's clock of a function. It has no ticks: entries whose time is up go when others come.
type clock struct{ now func() time.Time }

func (c clock) NowNano() int64 { return c.now().UnixNano() }

func (c clock) Tick(time.Duration) <-chan time.Time { return nil }
