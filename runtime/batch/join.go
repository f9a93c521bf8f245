package batch

import (
	"context"
	"math"
	"reflect"
	"slices"
	"time"

	"sluice/runtime/tensor"
)

// call is one waiting prediction. A call in the queue belongs to the Batcher's mutex; once taken, to the leader until done is sent.
type call struct {
	ctx      context.Context
	in, out  *tensor.Batch
	params   map[string]any
	bytes    int
	since    time.Time
	deadline time.Time // zero: none
	timing   Timing
	err      error
	promoted bool      // the lead was given to it
	done     chan bool // true: you lead now; false: your outcome is in err
}

// newCall returns a call with nothing but its channel.
func (b *Batcher) newCall() *call {
	if c, ok := b.spare.Get().(*call); ok {
		return c
	}
	return &call{done: make(chan bool, 1)}
}

// alone reports whether the call must not be joined with any other.
func (c *call) alone() bool { return c.in.Rows < 1 }

// sameParams reports whether two calls have equal parameters. Calls that leave all parameters at their defaults share one map.
func (c *call) sameParams(o *call) bool {
	if len(c.params) != len(o.params) {
		return false
	}
	if len(c.params) == 0 || reflect.ValueOf(c.params).Pointer() == reflect.ValueOf(o.params).Pointer() {
		return true
	}
	return reflect.DeepEqual(c.params, o.params)
}

// lane is what one leader works with, reused from batch to batch.
type lane struct {
	taken  []*call
	live   []*call
	joined tensor.Batch
	out    tensor.Batch
	ctx    runContext // of a joined run
}

// maxScratchBytes is what a lane keeps between batches.
const maxScratchBytes = 4 << 20

func (b *Batcher) join(ctx context.Context, in *tensor.Batch, params map[string]any, out *tensor.Batch, t *Timing) error {
	now := time.Now()
	if b.beginAlone(now) {
		return b.runAlone(ctx, in, params, out, t, now)
	}
	c := b.newCall()
	*c = call{ctx: ctx, in: in, out: out, params: params, bytes: in.Bytes(), since: now, done: c.done}
	c.deadline, _ = ctx.Deadline()
	err := b.submit(c)
	if t != nil {
		*t = c.timing
	}
	*c = call{done: c.done}
	b.spare.Put(c)
	return err
}

// submit queues c and sees it through: as leader, as a member of somebody's batch, or to its expiry.
func (b *Batcher) submit(c *call) error {
	b.mu.Lock()
	switch {
	case b.closed.Load():
		b.mu.Unlock()
		return ErrClosed
	case len(b.queue) >= b.opts.MaxQueue || (len(b.queue) > 0 && b.bytes+c.bytes > b.opts.MaxQueueBytes):
		b.mu.Unlock()
		return ErrQueueFull
	}
	b.queue = append(b.queue, c)
	b.bytes += c.bytes
	b.rows += max(c.in.Rows, 0)
	b.calls++
	b.pace.came(c.since)
	if b.pace.want > 0 && (len(b.queue) >= b.pace.want || b.gathered(1) || b.pressing(c, b.pace.until)) {
		b.pace.wake()
	}
	next := b.appoint()
	if next != c {
		b.watch.keep(c.since, c.deadline)
	}
	b.mu.Unlock()
	if lead := next == c || b.wait(c, next); lead {
		b.leadBatch(c)
	}
	b.leave()
	return c.err
}

// gathered reports whether n whole batches are queued. b.mu is held.
func (b *Batcher) gathered(n int) bool {
	return b.rows >= n*b.opts.MaxRows || b.bytes >= n*b.opts.MaxBytes
}

// pressing reports whether c could miss its deadline if the next run began as late as at. b.mu is held.
func (b *Batcher) pressing(c *call, at time.Time) bool {
	return !c.deadline.IsZero() && c.deadline.Before(at.Add(b.times.expected(b.rows)))
}

// appoint gives the lead to the first call in the queue that does not have it, if there should be one leader more: one, or another for each
// whole batch that waits. It returns the call, which the caller tells, or nil. b.mu is held.
func (b *Batcher) appoint() *call {
	if b.leaders > 0 && (b.leaders >= b.opts.Slots || !b.gathered(b.pending+1)) {
		return nil
	}
	i := slices.IndexFunc(b.queue, func(c *call) bool { return !c.promoted })
	if i < 0 {
		return nil
	}
	b.leaders++
	b.pending++
	b.queue[i].promoted = true
	return b.queue[i]
}

// tell says to a call that it leads; nil is ignored.
func (c *call) tell() {
	if c != nil {
		c.done <- true
	}
}

// wait tells next that it leads, and blocks until c is executed (false), leads (true) or expired in the queue (false, with err set).
func (b *Batcher) wait(c, next *call) (lead bool) {
	next.tell()
	return <-c.done
}

// look drops the calls in the queue whose contexts have ended. Those that lead drop themselves.
func (b *Batcher) look() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watch.at = time.Time{}
	now := time.Now()
	for i := 0; i < len(b.queue); {
		c := b.queue[i]
		if c.promoted {
			i++
			continue
		}
		if err := ended(c.ctx, c.deadline, now); err != nil {
			b.remove(i)
			c.expire(err)
			c.done <- false
			continue
		}
		b.watch.keep(now, c.deadline)
		i++
	}
}

func (c *call) expire(err error) {
	c.err = err
	c.timing.Queue = time.Since(c.since)
}

// remove takes the call at i out of the queue. b.mu is held.
func (b *Batcher) remove(i int) {
	c := b.queue[i]
	b.bytes -= c.bytes
	b.rows -= max(c.in.Rows, 0)
	b.queue = slices.Delete(b.queue, i, i+1)
}

func (b *Batcher) leave() {
	b.mu.Lock()
	b.gone()
	b.mu.Unlock()
}

// gone notes that a call has returned. b.mu is held.
func (b *Batcher) gone() {
	b.calls--
	if b.calls == 0 && b.idle != nil {
		close(b.idle)
		b.idle = nil
	}
}

// leadBatch runs one batch, which holds the leader's own call, and sees to it that somebody leads after it.
func (b *Batcher) leadBatch(own *call) {
	b.mu.Lock()
	b.gather()
	b.mu.Unlock()
	if err := b.runs.take(own.ctx, math.MaxInt); err != nil {
		b.abdicate(own, err)
		return
	}
	b.mu.Lock()
	l := b.newLane()
	start := time.Now()
	b.take(own, l, start)
	b.mu.Unlock()

	b.execute(l, start)
	b.runs.give()

	b.mu.Lock()
	b.leaders--
	next := b.appoint()
	for _, c := range l.taken {
		if c != own {
			c.done <- false
		}
	}
	l.rest()
	b.rest = append(b.rest, l)
	b.mu.Unlock()
	next.tell()
}

// abdicate takes a leader that got no tokens out of the queue.
func (b *Batcher) abdicate(own *call, err error) {
	b.mu.Lock()
	b.remove(slices.Index(b.queue, own))
	own.expire(err)
	b.leaders--
	b.pending--
	next := b.appoint()
	b.mu.Unlock()
	next.tell()
}

// newLane returns memory for a leader. b.mu is held.
func (b *Batcher) newLane() *lane {
	if n := len(b.rest); n > 0 {
		l := b.rest[n-1]
		b.rest = b.rest[:n-1]
		return l
	}
	return new(lane)
}

// rest lets go of the calls, and of the memory of an unusually large batch.
func (l *lane) rest() {
	clear(l.taken)
	if l.joined.Bytes() > maxScratchBytes {
		l.joined = tensor.Batch{}
	}
	if l.out.Bytes() > maxScratchBytes {
		l.out = tensor.Batch{}
	}
}

// gather waits, if the recent past says so, until the expected calls are queued, but not so long that one of them would miss its deadline.
// b.mu is held, and given up meanwhile.
func (b *Batcher) gather() {
	target := b.expected(len(b.queue))
	if target == 0 || b.gathered(1) || b.leaders > 1 || b.closed.Load() {
		return
	}
	now := time.Now()
	until := now.Add(b.opts.MaxDelay)
	for _, c := range b.queue {
		if !c.deadline.IsZero() {
			until = earlier(until, c.deadline.Add(-b.times.expected(target)))
		}
	}
	if !until.After(now) {
		return
	}
	b.pace.want, b.pace.until = target, until
	b.mu.Unlock()
	b.pace.timer.Reset(until.Sub(now))
	select {
	case <-b.pace.full:
	case <-b.pace.timer.C:
	}
	b.pace.timer.Stop()
	b.mu.Lock()
	b.pace.want = 0
	select {
	case <-b.pace.full: // completed while the timer fired
	default:
	}
}

// expected is how many calls a leader should wait for where so many are there; 0: for none. b.mu is held.
func (b *Batcher) expected(there int) int {
	target := min(b.pace.target(), b.opts.MaxRows)
	if target <= there || !b.joining || !b.pace.willing(b.times.expected(1)) {
		return 0
	}
	return target
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// take moves the leader's own call, and what can be joined with it, from the queue to l.taken: within the bounds on rows and bytes, and as
// long as no call that is taken already would miss its deadline for the sake of more rows. b.mu is held.
func (b *Batcher) take(own *call, l *lane, now time.Time) {
	b.pace.present(max(len(b.queue), b.calls))
	b.pending--
	l.taken = append(l.taken[:0], own)
	rows, bytes := max(own.in.Rows, 0), own.bytes
	due := b.due(own, now, rows)
	kept := b.queue[:0]
	for _, c := range b.queue {
		if c == own {
			continue
		}
		more := rows + c.in.Rows
		fits := b.joining && !c.promoted && !own.alone() && !c.alone() && more <= b.opts.MaxRows && bytes+c.bytes <= b.opts.MaxBytes &&
			(due.IsZero() || !now.Add(b.times.expected(more)).After(due)) && own.sameParams(c) && own.in.Joinable(c.in) == nil
		if !fits {
			kept = append(kept, c)
			continue
		}
		l.taken = append(l.taken, c)
		rows, bytes = more, bytes+c.bytes
		if d := b.due(c, now, rows); !d.IsZero() && (due.IsZero() || d.Before(due)) {
			due = d
		}
	}
	clear(b.queue[len(kept):])
	b.queue = kept
	for _, c := range l.taken {
		b.bytes -= c.bytes
		b.rows -= max(c.in.Rows, 0)
	}
}

// due is the deadline of a call that a run of so many rows can keep; zero if there is none to keep. b.mu is held.
func (b *Batcher) due(c *call, now time.Time, rows int) time.Time {
	if c.deadline.IsZero() || now.Add(b.times.expected(rows)).After(c.deadline) {
		return time.Time{}
	}
	return c.deadline
}
