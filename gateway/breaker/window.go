package breaker

import (
	"sync/atomic"
	"time"
)

// windowSteps is how many steps a sliding window moves in.
const windowSteps = 10

// successes counts events over the last windowSteps periods without a lock. Where two goroutines enter a new period at once, an event
// may be lost; nothing else is approximate.
type successes struct {
	period time.Duration
	steps  [windowSteps]struct {
		number atomic.Int64 // of the period that n counts
		n      atomic.Uint32
	}
}

func (s *successes) number(now time.Time) int64 { return now.UnixNano() / int64(s.period) }

// add counts one event.
func (s *successes) add(now time.Time) {
	number := s.number(now)
	step := &s.steps[uint64(number)%windowSteps]
	if was := step.number.Load(); was != number {
		if was > number { // an event that took longer than the window
			return
		}
		if step.number.CompareAndSwap(was, number) {
			step.n.Store(0)
		}
	}
	step.n.Add(1)
}

// sum is the number of events in the window that ends now.
func (s *successes) sum(now time.Time) (n uint32) {
	number := s.number(now)
	for i := range s.steps {
		if of := s.steps[i].number.Load(); of <= number && of > number-windowSteps {
			n += s.steps[i].n.Load()
		}
	}
	return n
}

// clear forgets everything.
func (s *successes) clear() {
	for i := range s.steps {
		s.steps[i].n.Store(0)
	}
}
