package batch

import (
	"math"
	"math/bits"
	"time"
)

// pace decides whether a leader waits for others, and for how many: the rule of the package comment. It is guarded by the Batcher's mutex;
// one leader at a time waits.
type pace struct {
	peak  float64   // recent peak of calls present at once
	want  int       // calls that the waiting leader wants to see; 0: nobody waits
	until time.Time // when it stops waiting
	full  chan struct{}
	timer *time.Timer
	last  time.Time     // when a call came last
	gap   time.Duration // between two calls, lately; 0: unknown

	processors float64 // that all models share
}

const (
	// gapWeight is how many gaps the mean of gaps remembers, about. Calls come in bunches, one for each answer of a batch: it has to span more than one.
	gapWeight = 128
	// maxGap is what a longer gap counts as: after a pause a few dozen calls say again how often they come.
	maxGap = 10 * time.Millisecond
	// busy is the part of a processor that calls must ask for, each run alone, for a leader to wait. Below, waiting is latency for nothing.
	busy = 0.4
	// around is about what a call costs its process apart from its run: to be received, read and answered. Measured: 15 to 25 µs.
	around = 20 * time.Microsecond
)

func (p *pace) init(processors int) {
	p.processors = float64(processors)
	p.full = make(chan struct{}, 1)
	p.timer = time.NewTimer(time.Hour)
	p.timer.Stop()
}

// target is how many calls a leader should wait for.
func (p *pace) target() int { return int(math.Round(p.peak)) }

// present notes how many calls are there: up at once, down slowly.
func (p *pace) present(calls int) {
	now := float64(calls)
	if now > p.peak {
		p.peak = now
		return
	}
	p.peak += (now - p.peak) * 0.3
}

// came notes that a call came.
func (p *pace) came(now time.Time) {
	if !p.last.IsZero() {
		p.gap += (min(now.Sub(p.last), maxGap) - p.gap) / gapWeight
	}
	p.last = now
}

// willing reports whether a leader should wait: whether the calls, as often as they come, would keep a processor busy if each ran alone, for the
// time given; or, together with what is around each of them, that part of every two processors, so that a run of a cheap model has others'
// work to wait for. Then what a wait saves is worth more than what it costs, however the calls come; else it would be latency for nothing.
func (p *pace) willing(alone time.Duration) bool {
	asked := busy * float64(p.gap)
	return float64(alone) >= asked || float64(alone+around) >= asked*max(1, p.processors/2)
}

// wake ends the wait of the leader, if one waits.
func (p *pace) wake() {
	p.want = 0
	p.full <- struct{}{} // never blocks: want was set by the one leader, who drains it
}

// times is how long recent runs took, by the number of bits in their row count, brought up to the largest such count; 0: unknown. It errs
// upwards: as if time grew with the rows.
type times [24]time.Duration

func bucket(rows int) int { return min(bits.Len(uint(rows)), len(times{})-1) }

// top is the largest row count of a bucket.
func top(bucket int) int { return max(1<<bucket-1, 1) }

// expected is how long a run of so many rows may take, by the next smaller ones seen, or the next larger; 0 if nothing was seen.
func (t *times) expected(rows int) time.Duration {
	at := bucket(rows)
	for k := at; k >= 0; k-- {
		if t[k] > 0 {
			return t[k] * time.Duration(top(at)) / time.Duration(top(k))
		}
	}
	for k := at + 1; k < len(t); k++ {
		if t[k] > 0 {
			return t[k] * time.Duration(top(at)) / time.Duration(top(k))
		}
	}
	return 0
}

// note remembers a run.
func (t *times) note(rows int, took time.Duration) {
	k := bucket(rows)
	took = min(took, time.Minute) * time.Duration(top(k)) / time.Duration(max(rows, 1))
	if t[k] == 0 {
		t[k] = took
		return
	}
	t[k] += (took - t[k]) / 4
}
