package batch

import (
	"context"
	"sync"
	"time"
)

// patience is how long a call waits before it asks its context for the channel of Done, which may have to be made, with its timer, for that
// question alone. Within it a deadline is kept by the call's own timer; a cancellation is noticed when it is over.
const patience = 10 * time.Millisecond

// await receives from c, unless ctx ends first: then ok is false.
func await[T any](ctx context.Context, c <-chan T, timer *time.Timer) (v T, ok bool) {
	short := patience
	if at, has := ctx.Deadline(); has {
		short = min(short, time.Until(at))
	}
	if short > 0 {
		timer.Reset(short)
		select {
		case v = <-c:
			timer.Stop()
			return v, true
		case <-timer.C:
		}
	}
	if ctx.Err() != nil {
		return v, false
	}
	select {
	case v = <-c:
		return v, true
	case <-ctx.Done():
		return v, false
	}
}

// stoppedTimer returns a timer to Reset.
func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// runContext is the context of joined runs: it ends when the last of the callers' deadlines does, since a joined run is useful until then. It is
// begun for each run anew; its channel and timer are made when asked for, which short runs never do.
type runContext struct {
	mu    sync.Mutex
	at    time.Time     // guarded by mu; zero: never
	done  chan struct{} // guarded by mu; nil until asked for
	timer *time.Timer   // guarded by mu
}

// begin makes c the context of a run of the calls.
func (c *runContext) begin(live []*call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = live[0].deadline
	for _, l := range live {
		if l.deadline.IsZero() {
			c.at = time.Time{}
			return
		}
		if l.deadline.After(c.at) {
			c.at = l.deadline
		}
	}
}

// finish lets go of the channel and the timer. Who still watches the context learns nothing of the next run but its end.
func (c *runContext) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
	}
	c.done, c.timer = nil, nil
}

// Deadline implements context.Context.
func (c *runContext) Deadline() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at, !c.at.IsZero()
}

// Value implements context.Context.
func (c *runContext) Value(any) any { return nil }

// Err implements context.Context.
func (c *runContext) Err() error {
	if at, ok := c.Deadline(); ok && time.Until(at) <= 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// Done implements context.Context.
func (c *runContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at.IsZero() {
		return nil
	}
	if c.done == nil {
		done := make(chan struct{})
		c.done = done
		c.timer = time.AfterFunc(time.Until(c.at), func() { close(done) })
	}
	return c.done
}
