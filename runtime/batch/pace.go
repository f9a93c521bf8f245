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
	skip  int // leaders that do not wait, because the last wait did not pay
	late  int // waits in a row that did not pay
}

// maxSkip bounds how long a wait that did not pay is remembered.
const maxSkip = 63

func (p *pace) init() {
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

// willing reports whether a leader may wait. After three waits in vain the next leaders do not: one, then three, seven and so on. So a model whose
// callers come at random, not in answer to answers, is hardly ever waited for.
func (p *pace) willing() bool {
	if p.skip > 0 {
		p.skip--
		return false
	}
	return true
}

// waited notes how a wait ended with so many calls queued.
func (p *pace) waited(inVain bool, queued int) {
	if !inVain {
		p.late = 0
		return
	}
	p.peak = float64(queued)
	if p.late++; p.late > 2 { // once may be the scheduler's doing
		p.skip = min(1<<min(p.late-2, 6)-1, maxSkip)
	}
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
