package batch

import (
	"context"
	"errors"
	"math"
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
	timing   Timing
	err      error
	promoted bool      // the lead was handed to it
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
func (c *call) alone() bool { return len(c.params) > 0 || c.in.Rows < 1 }

// leaderScratch is reused from batch to batch: one leader at a time owns it.
type leaderScratch struct {
	taken  []*call
	live   []*call
	joined tensor.Batch
	out    tensor.Batch
}

// maxScratchBytes is what a leader keeps between batches.
const maxScratchBytes = 4 << 20

func (b *Batcher) join(ctx context.Context, in *tensor.Batch, params map[string]any, out *tensor.Batch, t *Timing) error {
	c := b.newCall()
	*c = call{ctx: ctx, in: in, out: out, params: params, bytes: in.Bytes(), since: time.Now(), done: c.done}
	err := b.submit(c)
	if t != nil {
		*t = c.timing
	}
	done := c.done
	*c = call{done: done}
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
	b.rows += c.in.Rows
	b.calls++
	if b.want > 0 && (len(b.queue) >= b.want || b.rows >= b.opts.MaxRows) {
		b.want = 0
		b.full <- struct{}{} // never blocks: want was set by the one leader, who drains it
	}
	lead := !b.busy
	b.busy = true
	b.mu.Unlock()
	if !lead {
		lead = b.wait(c)
	}
	if lead {
		b.leadBatch()
	}
	b.leave()
	return c.err
}

// wait blocks until c is executed (false), leads (true) or expired in the queue (false, with err set).
func (b *Batcher) wait(c *call) (lead bool) {
	select {
	case lead = <-c.done:
		return lead
	case <-c.ctx.Done():
	}
	b.mu.Lock()
	if i := slices.Index(b.queue, c); i >= 0 && !c.promoted {
		b.remove(i)
		c.err = c.ctx.Err()
		c.timing.Queue = time.Since(c.since)
		b.mu.Unlock()
		return false
	}
	b.mu.Unlock()
	return <-c.done // taken, or promoted: the leader drops expired calls, itself included
}

// remove takes the call at i out of the queue. b.mu is held.
func (b *Batcher) remove(i int) {
	b.forget(b.queue[i])
	b.queue = slices.Delete(b.queue, i, i+1)
}

// forget takes a call's size off the queue's. b.mu is held.
func (b *Batcher) forget(c *call) {
	b.bytes -= c.bytes
	b.rows -= c.in.Rows
}

func (b *Batcher) leave() {
	b.mu.Lock()
	b.calls--
	if b.calls == 0 && b.idle != nil {
		close(b.idle)
		b.idle = nil
	}
	b.mu.Unlock()
}

// leadBatch runs one batch, which holds the leader's own call because that is the head of the queue, and passes the lead on.
func (b *Batcher) leadBatch() {
	b.mu.Lock()
	b.gather()
	own := b.queue[0]
	b.take()
	b.mu.Unlock()

	b.execute(b.lead.taken)
	b.shrink()

	b.mu.Lock()
	taken := b.lead.taken
	if len(b.queue) > 0 {
		// The next leader may start, and overwrite lead.taken, as soon as it is told: so the others are told first.
		next := b.queue[0]
		next.promoted = true
		for _, c := range taken {
			if c != own {
				c.done <- false
			}
		}
		clear(taken)
		next.done <- true
	} else {
		b.busy = false
		for _, c := range taken {
			if c != own {
				c.done <- false
			}
		}
		clear(taken)
	}
	b.mu.Unlock()
}

// gather waits, if the recent past says so, until the expected calls are queued. b.mu is held, and given up meanwhile.
func (b *Batcher) gather() {
	target := min(int(math.Round(b.peak)), b.opts.MaxRows)
	if target <= len(b.queue) || b.rows >= b.opts.MaxRows || !b.joining || b.closed.Load() {
		return
	}
	b.want = target
	b.mu.Unlock()
	b.timer.Reset(b.opts.MaxDelay)
	late := false
	select {
	case <-b.full:
	case <-b.timer.C:
		late = true
	}
	b.timer.Stop()
	b.mu.Lock()
	b.want = 0
	select {
	case <-b.full: // completed while the timer fired
		late = false
	default:
	}
	if late {
		b.peak = float64(len(b.queue))
	}
}

// take moves the head of the queue, and what can be joined with it, to lead.taken. b.mu is held.
func (b *Batcher) take() {
	present := float64(max(len(b.queue), b.calls))
	if present > b.peak {
		b.peak = present
	} else {
		b.peak += (present - b.peak) * 0.3
	}
	head := b.queue[0]
	taken := append(b.lead.taken[:0], head)
	rows, bytes := head.in.Rows, head.bytes
	kept := b.queue[:0]
	for _, c := range b.queue[1:] {
		fits := b.joining && !head.alone() && !c.alone() && rows+c.in.Rows <= b.opts.MaxRows && bytes+c.bytes <= b.opts.MaxBytes &&
			head.in.Joinable(c.in) == nil
		if !fits {
			kept = append(kept, c)
			continue
		}
		taken = append(taken, c)
		rows += c.in.Rows
		bytes += c.bytes
	}
	clear(b.queue[len(kept):])
	b.queue = kept
	for _, c := range taken {
		b.forget(c)
	}
	b.lead.taken = taken
}

// execute runs the calls that have not expired and sets everybody's err and timing.
func (b *Batcher) execute(taken []*call) {
	start := time.Now()
	live := b.lead.live[:0]
	for _, c := range taken {
		c.timing.Queue = start.Sub(c.since)
		if c.err = c.ctx.Err(); c.err == nil {
			live = append(live, c)
		}
	}
	b.lead.live = live
	if len(live) > 0 {
		b.run(live, start)
	}
	clear(live)
}

// run executes calls as one batch, or in halves if that fails.
func (b *Batcher) run(live []*call, start time.Time) {
	if len(live) == 1 {
		c := live[0]
		c.err = protect(b.next, c.ctx, c.in, c.params, c.out)
		c.timing.Execute += time.Since(start)
		c.timing.BatchRows = max(c.in.Rows, 0)
		return
	}
	err := b.runJoined(live)
	took := time.Since(start)
	for _, c := range live {
		c.err = err
		c.timing.Execute += took
		c.timing.BatchRows = b.lead.joined.Rows
	}
	if err == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return
	}
	if errors.Is(err, errNotRowWise) {
		for i := range live {
			b.run(live[i:i+1], time.Now())
		}
		return
	}
	half := len(live) / 2
	b.run(live[:half], time.Now())
	b.run(live[half:], time.Now())
}

// errNotRowWise: the answer has not one row per row of the input.
var errNotRowWise = errors.New("model does not answer row by row")

func (b *Batcher) runJoined(live []*call) error {
	s := &b.lead
	s.joined.CopyFrom(live[0].in)
	for _, c := range live[1:] {
		if err := s.joined.AppendRows(c.in); err != nil {
			return err
		}
	}
	ctx, cancel := latestDeadline(live)
	defer cancel()
	if err := protect(b.next, ctx, &s.joined, nil, &s.out); err != nil {
		return err
	}
	if s.out.Rows != s.joined.Rows {
		return b.stopJoining()
	}
	from := 0
	for _, c := range live {
		if err := c.out.CopyRows(&s.out, from, from+c.in.Rows); err != nil {
			return b.stopJoining()
		}
		from += c.in.Rows
	}
	return nil
}

// stopJoining is the answer to a model whose rows turn out to depend on each other after all.
func (b *Batcher) stopJoining() error {
	b.mu.Lock()
	b.joining = false
	b.mu.Unlock()
	return errNotRowWise
}

// latestDeadline is a context that ends when the last of the calls does: a joined batch is useful until then.
func latestDeadline(live []*call) (context.Context, context.CancelFunc) {
	var latest time.Time
	for _, c := range live {
		d, ok := c.ctx.Deadline()
		if !ok {
			return context.Background(), func() {}
		}
		if d.After(latest) {
			latest = d
		}
	}
	return context.WithDeadline(context.Background(), latest)
}

// shrink lets go of the memory of an unusually large batch.
func (b *Batcher) shrink() {
	if b.lead.joined.Bytes() > maxScratchBytes {
		b.lead.joined = tensor.Batch{}
	}
	if b.lead.out.Bytes() > maxScratchBytes {
		b.lead.out = tensor.Batch{}
	}
}
