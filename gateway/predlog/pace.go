package predlog

import "time"

const (
	burst      = 500 * time.Microsecond // work between two rests, about
	restFactor = 3                      // a rest is this many times the work before it: a quarter of one core at most
	maxRest    = 20 * time.Millisecond
	paceStride = 64 // frames between two looks at the clock
)

// pace spreads the sealer's work over time, so that a request that arrives meanwhile waits for a burst at most and not for a whole spool.
// The sum of the work stays the same.
type pace struct {
	hurry  func() bool // true: no rest
	sleep  func(time.Duration)
	began  time.Time // of the work since the last rest
	frames int
}

// frame is called after the work on each frame.
func (p *pace) frame() {
	if p.frames++; p.frames%paceStride != 0 {
		return
	}
	now := time.Now()
	if p.began.IsZero() {
		p.began = now
		return
	}
	worked := now.Sub(p.began)
	if worked < burst {
		return
	}
	if !p.hurry() {
		p.sleep(min(restFactor*worked, maxRest))
		now = time.Now()
	}
	p.began = now
}
