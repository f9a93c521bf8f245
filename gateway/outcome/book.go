package outcome

import (
	"cmp"
	"math/bits"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// OtherEndpoint is the endpoint name of the series that catches what the Book has no room for; its model, stage and arm are empty.
const OtherEndpoint = "(other)"

// Options of a Book. Nil and the zero value work.
type Options struct {
	// MaxSeries bounds the number of series; default 4096. Past it, outcomes are counted in one series per code, under OtherEndpoint.
	MaxSeries int
	// Retention is how long a series stays after Keep found it dead, so that readers see its last counts; default 15 minutes.
	Retention time.Duration
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Book holds the series of one process. Readers of series take no lock.
type Book struct {
	max       int
	retention time.Duration
	now       func() time.Time
	shards    int

	series atomic.Pointer[map[Key]*Series] // replaced, never changed
	mu     sync.Mutex                      // guards replacing series
	// watched are the endpoints whose series count finely; guarded by mu.
	watched map[string]bool
}

// NewBook returns an empty Book; opts may be nil.
func NewBook(opts *Options) *Book {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.MaxSeries <= 0 {
		o.MaxSeries = 4096
	}
	if o.Retention <= 0 {
		o.Retention = 15 * time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	b := &Book{max: o.MaxSeries, retention: o.Retention, now: o.Now, shards: shardCount(runtime.GOMAXPROCS(0))}
	b.series.Store(&map[Key]*Series{})
	return b
}

// shardCount is the power of two at or above the number of cores, at most 16.
func shardCount(procs int) int {
	return min(1<<bits.Len(uint(max(procs, 1)-1)), 16)
}

// Series is the count of one Key. Keep it to record without a look-up.
type Series struct {
	key     Key
	startMS int64
	deadMS  atomic.Int64         // when Keep first found the key dead; 0 while alive
	fine    atomic.Pointer[fine] // nil unless the endpoint is watched
	shards  []shard
	ran     atomic.Pointer[[]ranShard] // nil until a request of it was executed
	traced  atomic.Pointer[exemplars]  // nil until a request of it was traced
}

// shard is padded to whole cache lines, so that cores do not fight over one.
type shard struct {
	buckets [BucketCount]atomic.Uint64
	sum     atomic.Int64 // nanoseconds
	cached  atomic.Uint64
	_       [64 - (BucketCount+2)*8%64]byte
}

// Record counts one request that took latency. A negative latency (a clock that stepped) counts as zero.
func (s *Series) Record(latency time.Duration) {
	s.record(latency)
	if f := s.fine.Load(); f != nil {
		f.latency[fineOf(max(latency, 0))].Add(1)
	}
}

// RecordCached counts one request that the version did not execute. Snapshot counts it as Record's, Observe leaves it out: it says nothing
// about the version, and an arm whose answers are cached already would look better than one whose are not.
func (s *Series) RecordCached(latency time.Duration) { s.record(latency).cached.Add(1) }

func (s *Series) record(latency time.Duration) *shard {
	latency = max(latency, 0)
	sh := &s.shards[anyOf(len(s.shards))]
	sh.buckets[bucketOf(latency)].Add(1)
	sh.sum.Add(int64(latency))
	return sh
}

// cached is how many of the requests were counted by RecordCached.
func (s *Series) cached() (n uint64) {
	for i := range s.shards {
		n += s.shards[i].cached.Load()
	}
	return n
}

// anyOf is a random index below n, a power of two.
func anyOf(n int) uint32 {
	if n == 1 {
		return 0
	}
	return rand.Uint32() & uint32(n-1)
}

// Key returns the series' key.
func (s *Series) Key() Key { return s.key }

// Snapshot reads the series. It is not one instant: a request that is recorded meanwhile may show in the count and not in the sum.
func (s *Series) Snapshot() SeriesSnapshot {
	out := SeriesSnapshot{Key: s.key, StartMS: s.startMS, Exemplars: s.exemplarsOf()}
	for i := range s.shards {
		sh := &s.shards[i]
		for j := range sh.buckets {
			out.Buckets[j] += sh.buckets[j].Load()
		}
		out.Sum += time.Duration(sh.sum.Load())
	}
	return out
}

// Series returns the series of the key, made on first use. When the Book is full it returns the series of the code under OtherEndpoint.
func (b *Book) Series(k Key) *Series {
	if s, ok := (*b.series.Load())[k]; ok {
		s.deadMS.Store(0)
		return s
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	old := *b.series.Load()
	if s, ok := old[k]; ok {
		s.deadMS.Store(0)
		return s
	}
	if len(old) >= b.max {
		k = Key{Endpoint: OtherEndpoint, Code: k.Code}
		if s, ok := old[k]; ok {
			return s
		}
	}
	s := &Series{key: k, startMS: b.now().UnixMilli(), shards: make([]shard, b.shards)}
	b.refine(s)
	next := make(map[Key]*Series, len(old)+1)
	for key, v := range old {
		next[key] = v
	}
	next[s.key] = s
	b.series.Store(&next)
	return s
}

// Keep tells the Book which keys may still be recorded. A series that live refuses is dropped once Retention has passed since Keep first
// found it dead; one that is asked for again, or that live accepts again, lives on.
func (b *Book) Keep(live func(Key) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now().UnixMilli()
	old := *b.series.Load()
	next := make(map[Key]*Series, len(old))
	for k, s := range old {
		if k.Endpoint == OtherEndpoint || live(k) {
			s.deadMS.Store(0)
			next[k] = s
			continue
		}
		s.deadMS.CompareAndSwap(0, now)
		if now-s.deadMS.Load() < b.retention.Milliseconds() {
			next[k] = s
		}
	}
	b.series.Store(&next)
}

// Snapshot reads every series, sorted by key.
func (b *Book) Snapshot() []SeriesSnapshot {
	series := b.sorted()
	out := make([]SeriesSnapshot, len(series))
	for i, s := range series {
		out[i] = s.Snapshot()
	}
	return out
}

func compareKeys(a, b Key) int {
	return cmp.Or(
		strings.Compare(a.Endpoint, b.Endpoint),
		strings.Compare(a.Model, b.Model),
		cmp.Compare(a.Version, b.Version),
		strings.Compare(a.Stage, b.Stage),
		strings.Compare(a.Arm, b.Arm),
		cmp.Compare(a.Code, b.Code),
	)
}
