package invoke

import (
	"context"
	"sync"
	"time"
)

// deadline is a context that ends at a time. It is cheap where context.WithDeadline costs four allocations and a timer: the
// channel and the timer are made when somebody first asks for Done, which an execution that does not wait never does. One that was asked
// is not reused after its request: whoever waits for it, or made a context of it, sees it ended.
type deadline struct {
	parent context.Context
	at     time.Time

	mu     sync.Mutex
	err    error         // guarded by mu; nil while the context runs
	done   chan struct{} // guarded by mu; nil until asked for
	timer  *time.Timer   // guarded by mu
	detach func() bool   // guarded by mu; stops watching the parent
}

var _ context.Context = (*deadline)(nil)

// begin makes d, which is new or was ended as unused, the context of a request.
func (d *deadline) begin(parent context.Context, at time.Time) *deadline {
	if t, ok := parent.Deadline(); ok && t.Before(at) {
		at = t
	}
	d.parent, d.at = parent, at
	return d
}

// finish ends the context after its request, and says whether nobody can tell: then it may begin again.
func (d *deadline) finish() (unused bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done == nil {
		d.parent, d.err = nil, nil
		return true
	}
	if d.err == nil {
		d.end(context.Canceled)
	}
	return false
}

// Deadline implements context.Context.
func (d *deadline) Deadline() (time.Time, bool) { return d.at, true }

// Value implements context.Context.
func (d *deadline) Value(key any) any { return d.parent.Value(key) }

// Err implements context.Context; it looks at the clock.
func (d *deadline) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil {
		if err := d.parent.Err(); err != nil {
			d.end(err)
		} else if time.Until(d.at) <= 0 { // reads the monotonic clock alone
			d.end(context.DeadlineExceeded)
		}
	}
	return d.err
}

// Done implements context.Context.
func (d *deadline) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done != nil {
		return d.done
	}
	d.done = make(chan struct{})
	if d.err != nil {
		close(d.done)
		return d.done
	}
	d.timer = time.AfterFunc(time.Until(d.at), func() { d.stop(context.DeadlineExceeded) })
	if d.parent.Done() != nil {
		d.detach = context.AfterFunc(d.parent, func() { d.stop(d.parent.Err()) })
	}
	return d.done
}

// stop ends the context with err, unless it has ended.
func (d *deadline) stop(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil {
		d.end(err)
	}
}

// end is stop for callers that hold d.mu and know that the context runs.
func (d *deadline) end(err error) {
	d.err = err
	if d.done != nil {
		close(d.done)
	}
	if d.timer != nil {
		d.timer.Stop()
	}
	if d.detach != nil {
		d.detach()
	}
}
