package invoke

import (
	"context"
	"net"
	"sync"
	"time"
)

// lookEvery is how often it is looked whether the caller of a request that waits is still there, and after how long for the first time: a
// request that is answered sooner costs no look.
const lookEvery = 100 * time.Millisecond

// deadline is a context that ends at a time, or when the caller is found to have left. It is cheap where context.WithDeadline costs four
// allocations and a timer: the channel and the timer are made when somebody first asks for Done, which an execution that does not wait
// never does. One that was asked is not reused after its request: whoever waits for it, or made a context of it, sees it ended.
type deadline struct {
	parent context.Context
	at     time.Time
	caller net.Conn            // over which the request came; nil: nobody looks
	left   func(net.Conn) bool // says whether the caller left; nil: nobody looks

	mu     sync.Mutex
	err    error         // guarded by mu; nil while the context runs
	done   chan struct{} // guarded by mu; nil until asked for
	timer  *time.Timer   // guarded by mu
	detach func() bool   // guarded by mu; stops watching the parent
	look   time.Duration // guarded by mu; Err looks when no more time than this is left; 0: it has not been asked yet
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

// watch makes the context end also when left says that the caller has gone. It is called before anybody else has the context.
func (d *deadline) watch(caller net.Conn, left func(net.Conn) bool) {
	if caller != nil && left != nil {
		d.caller, d.left = caller, left
	}
}

// finish ends the context after its request, and says whether nobody can tell: then it may begin again.
func (d *deadline) finish() (unused bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done == nil {
		d.parent, d.err, d.caller, d.left, d.look = nil, nil, nil, nil, 0
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

// Err implements context.Context; it looks at the clock, and now and then after the caller.
func (d *deadline) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return d.err
	}
	if err := d.parent.Err(); err != nil {
		d.end(err)
		return d.err
	}
	rest := time.Until(d.at) // reads the monotonic clock alone
	switch {
	case rest <= 0:
		d.end(context.DeadlineExceeded)
	case d.left == nil:
	case d.look == 0:
		d.look = rest - lookEvery
	case rest <= d.look:
		d.look = rest - lookEvery
		if d.left(d.caller) {
			d.end(context.Canceled)
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
	d.timer = time.AfterFunc(d.pause(), d.wake)
	if d.parent.Done() != nil {
		d.detach = context.AfterFunc(d.parent, func() { d.stop(d.parent.Err()) })
	}
	return d.done
}

// pause is how long the timer waits: to the end, or until the next look after the caller.
func (d *deadline) pause() time.Duration {
	rest := time.Until(d.at)
	if d.left != nil {
		return min(rest, lookEvery)
	}
	return rest
}

// wake is what the timer calls.
func (d *deadline) wake() {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.err != nil:
	case d.left == nil || time.Until(d.at) <= 0:
		d.end(context.DeadlineExceeded)
	case d.left(d.caller):
		d.end(context.Canceled)
	default:
		d.timer.Reset(d.pause())
	}
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
