package admit

import (
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// Latencies is a cumulative histogram of waits: Counts[i] of them lay between Bounds[i] and Bounds[i+1] seconds.
type Latencies struct {
	Counts []uint64
	Bounds []float64
}

// runtimeLatencies reads how long goroutines waited runnable until they ran; the runtime follows every eighth.
func runtimeLatencies() func(*Latencies) {
	sample := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	return func(l *Latencies) {
		metrics.Read(sample)
		if sample[0].Value.Kind() != metrics.KindFloat64Histogram {
			return // a later runtime without it: the pulse stays calm, the gates remain
		}
		h := sample[0].Value.Float64Histogram()
		l.Counts, l.Bounds = h.Counts, h.Buckets
	}
}

const (
	// beat is how often the pulse is felt.
	beat = 25 * time.Millisecond
	// enough is how many waits a beat must have seen to say anything.
	enough = 64
	// whole is all requests of a class, in the units of refusing.
	whole = 1 << 10
	// most is the largest part of all classes together that is refused: some of the highest always get in, and the wait stays known.
	most = int64(classes)*whole - whole/32
)

// pulse follows the wait for a processor and what share of the requests is refused for it.
type pulse struct {
	read     func(*Latencies)
	next     atomic.Int64 // when it is felt again, on the Controller's clock
	delay    atomic.Int64 // the median wait in the last beat, ns
	refusing atomic.Int64 // of classes·whole, the lowest class first

	mu     sync.Mutex // guards everything below
	now    Latencies
	before []uint64
	last   int64 // when it was felt last, on the Controller's clock
	since  int64 // since when the wait is above MaxDelay, on the same; 0: it is not
}

// refuses says whether the pulse refuses a request, and feels it if it is time to.
func (c *Controller) refuses(at int64, class Class, random uint64) bool {
	p := &c.pulse
	if at >= p.next.Load() && p.mu.TryLock() {
		p.next.Store(at + int64(beat))
		p.feel(at, &c.opts)
		p.mu.Unlock()
	}
	refusing := p.refusing.Load()
	return refusing > 0 && int64(classes-1-class)*whole+int64(random%whole) < refusing
}

// feel reads the histogram and adapts what is refused. p.mu is held.
func (p *pulse) feel(at int64, o *Options) {
	p.read(&p.now)
	delay := p.median()
	p.before = append(p.before[:0], p.now.Counts...)
	p.delay.Store(int64(delay))
	beats := (at - p.last) / int64(beat) // many, where nobody came by
	p.last = at
	refusing := p.refusing.Load()
	if delay <= o.MaxDelay {
		p.since = 0
		p.refusing.Store(max(0, refusing-beats*whole/64)) // all of a class again within less than 2 s
		return
	}
	if p.since == 0 {
		p.since = at
	}
	if at-p.since < int64(o.Patience) {
		return
	}
	// What was let in took delay; MaxDelay/delay of it would have taken MaxDelay. A quarter of the way at a time: the next reading
	// still shows requests that came before this one.
	let := int64(classes)*whole - refusing
	less := int64(float64(let) * (1 - float64(o.MaxDelay)/float64(delay)) / 4)
	p.refusing.Store(min(most, refusing+less))
}

// median is the lower bound of the bucket that holds the median of the waits since the last reading; 0 if there were too few.
func (p *pulse) median() time.Duration {
	if len(p.before) != len(p.now.Counts) {
		return 0 // the first reading
	}
	var total uint64
	for i, n := range p.now.Counts {
		total += n - p.before[i]
	}
	if total < enough {
		return 0
	}
	var below uint64
	for i, n := range p.now.Counts {
		if below += n - p.before[i]; 2*below >= total {
			return time.Duration(max(p.now.Bounds[i], 0) * 1e9)
		}
	}
	return 0 // not reached
}
