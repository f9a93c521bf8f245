package batch

import (
	"context"
	"sync"
	"time"
)

// patience is how often the contexts of those who wait are looked at, for cancellations. Deadlines are kept to the moment.
const patience = 10 * time.Millisecond

// watch is one timer for all who wait in a queue, so that none needs a timer, or its context's channel, of its own. It is guarded by the
// queue's mutex.
type watch struct {
	timer *time.Timer
	at    time.Time // when it goes off; zero: not set
}

// newWatch returns a watch that calls look, on a goroutine of its own, when it goes off.
func newWatch(look func()) watch {
	t := time.AfterFunc(time.Hour, look)
	t.Stop()
	return watch{timer: t}
}

// keep sees to it that somebody who waits from now on, with that deadline (zero: none), is looked at in time.
func (w *watch) keep(now, deadline time.Time) {
	next := now.Add(patience)
	if !deadline.IsZero() {
		next = earlier(next, deadline)
	}
	if w.at.IsZero() || next.Before(w.at) {
		w.at = next
		w.timer.Reset(next.Sub(now))
	}
}

// ended says whether the context has ended at now, and why. A deadline that has come counts even if the context's own timer is late.
func ended(ctx context.Context, deadline, now time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !deadline.IsZero() && !now.Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
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
