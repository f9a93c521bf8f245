package shadow

import (
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"sluice/runtime/servable"
)

// Key names a series: one version as a shadow at one endpoint.
type Key struct {
	Endpoint, Arm string
	Servable      servable.ID
}

// Result is what became of a copy that was executed.
type Result uint8

const (
	Answered     Result = iota // and compared
	Incomparable               // it answered with other outputs, or other shapes
	Failed                     // it did not answer
	results
)

// String is the result as metrics show it.
func (r Result) String() string {
	return [...]string{"answered", "incomparable", "failed"}[min(r, results-1)]
}

// Drop is why a copy was not executed.
type Drop uint8

const (
	QueueFull Drop = iota // the arm has too many waiting
	TooLarge              // all that wait would take too much memory with it, or its answer does
	Expired               // it waited for too long
	Overload              // the gateway has more important things to do
	NotReady              // the version is not in memory
	Leaving               // the server shuts down
	drops
)

// String is the reason as metrics show it.
func (d Drop) String() string {
	return [...]string{"queue_full", "too_large", "expired", "overload", "not_ready", "leaving"}[min(d, drops-1)]
}

// Upper bounds of the histograms' buckets, each followed by one for what is above the last. Delays are in seconds.
var (
	distanceBounds     = []float64{0, 1e-9, 1e-6, 1e-4, 1e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1}
	disagreementBounds = []float64{0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.9}
	delayBounds        = []float64{-1, -0.25, -0.1, -0.05, -0.025, -0.01, -0.005, -0.0025, -0.001, -0.0005, 0, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1}
)

// Histogram counts values by buckets.
type Histogram struct {
	Bounds []float64 // upper bounds, rising; not to be changed
	Counts []uint64  // one more than bounds
	Count  uint64
	Sum    float64
}

// Mean of the values; 0 if there are none.
func (h *Histogram) Mean() float64 {
	if h.Count == 0 {
		return 0
	}
	return h.Sum / float64(h.Count)
}

func (h *Histogram) add(v float64) {
	h.Counts[sort.SearchFloat64s(h.Bounds, v)]++
	h.Count++
	h.Sum += v
}

func newHistogram(bounds []float64) Histogram {
	return Histogram{Bounds: bounds, Counts: make([]uint64, len(bounds)+1)}
}

func (h *Histogram) clone() Histogram {
	out := *h
	out.Counts = slices.Clone(h.Counts)
	return out
}

// Series is everything that was counted of one shadow since StartMS.
type Series struct {
	Key
	StartMS int64           // ms since the epoch
	Results [results]uint64 // by Result
	Drops   [drops]uint64   // by Drop
	// Of answers that could be compared. Delay is the shadow's time in queue and execution less that of the arm that answered, in seconds.
	Distance, Disagreement, Delay Histogram
}

// Executed is the number of copies that were executed.
func (s *Series) Executed() uint64 {
	var n uint64
	for _, r := range s.Results {
		n += r
	}
	return n
}

// Book keeps the series of the shadows that are routed. Use NewBook.
type Book struct {
	now func() time.Time

	mu     sync.Mutex
	series map[Key]*Series // guarded by mu
}

// NewBook returns an empty book; now is the clock, nil means time.Now.
func NewBook(now func() time.Time) *Book {
	if now == nil {
		now = time.Now
	}
	return &Book{now: now, series: map[Key]*Series{}}
}

// of returns the series of the key. The caller holds mu.
func (b *Book) of(k Key) *Series {
	s := b.series[k]
	if s == nil {
		s = &Series{
			Key: k, StartMS: b.now().UnixMilli(),
			Distance: newHistogram(distanceBounds), Disagreement: newHistogram(disagreementBounds), Delay: newHistogram(delayBounds),
		}
		b.series[k] = s
	}
	return s
}

// Record notes an answer of a shadow: how it differs, and how much later than the caller's it was.
func (b *Book) Record(k Key, d Difference, delay time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.of(k)
	if !d.Comparable {
		s.Results[Incomparable]++
		return
	}
	s.Results[Answered]++
	s.Delay.add(delay.Seconds())
	if d.HasDistance {
		s.Distance.add(d.Distance)
	}
	if d.HasLabels {
		s.Disagreement.add(d.Disagreement)
	}
}

// Fail notes that a shadow did not answer.
func (b *Book) Fail(k Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.of(k).Results[Failed]++
}

// Drop notes a copy that was not executed.
func (b *Book) Drop(k Key, why Drop) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.of(k).Drops[min(why, drops-1)]++
}

// Keep forgets every series but those that routed says yes to.
func (b *Book) Keep(routed func(Key) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k := range b.series {
		if !routed(k) {
			delete(b.series, k)
		}
	}
}

// Snapshot returns a copy of every series, sorted by endpoint, arm and version.
func (b *Book) Snapshot() []Series {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Series, 0, len(b.series))
	for _, s := range b.series {
		c := *s
		c.Distance, c.Disagreement, c.Delay = s.Distance.clone(), s.Disagreement.clone(), s.Delay.clone()
		out = append(out, c)
	}
	slices.SortFunc(out, func(x, y Series) int {
		if c := strings.Compare(x.Endpoint+"\x00"+x.Arm+"\x00"+x.Servable.Model, y.Endpoint+"\x00"+y.Arm+"\x00"+y.Servable.Model); c != 0 {
			return c
		}
		return x.Servable.Version - y.Servable.Version
	})
	return out
}
