package batch

import (
	"context"
	"errors"
	"time"
)

// execute runs the taken calls that have not expired and sets everybody's err and timing.
func (b *Batcher) execute(l *lane, start time.Time) {
	live := l.live[:0]
	for _, c := range l.taken {
		c.timing.Queue = start.Sub(c.since)
		if c.err = c.ctx.Err(); c.err == nil {
			live = append(live, c)
		}
	}
	l.live = live
	if len(live) > 0 {
		b.run(l, live, start)
	}
	clear(live)
}

// run executes calls as one batch, or in halves if that fails: with one bad call among n that is at most 2·log₂(n)+1 runs, and a row is
// run at most log₂(n)+1 times whatever the others hold. Calls that expire meanwhile are not run again.
func (b *Batcher) run(l *lane, live []*call, start time.Time) {
	if len(live) == 1 {
		c := live[0]
		c.err = protect(b.next, c.ctx, c.in, c.params, c.out)
		took := time.Since(start)
		c.timing.Execute += took
		c.timing.BatchRows = max(c.in.Rows, 0)
		b.noted(c.in.Rows, took, c.err)
		return
	}
	err := b.runJoined(l, live)
	took := time.Since(start)
	b.noted(l.joined.Rows, took, err)
	for _, c := range live {
		c.err = err
		c.timing.Execute += took
		c.timing.BatchRows = l.joined.Rows
	}
	if errors.Is(err, errAllExpired) {
		for _, c := range live {
			if c.err = c.ctx.Err(); c.err == nil { // its own timer is a little late
				c.err = context.DeadlineExceeded
			}
		}
		return
	}
	if err == nil {
		return
	}
	if errors.Is(err, errNotRowWise) {
		for i := range live {
			b.again(l, live[i:i+1])
		}
		return
	}
	half := len(live) / 2
	b.again(l, live[:half])
	b.again(l, live[half:])
}

// again runs those of the calls that have not expired.
func (b *Batcher) again(l *lane, calls []*call) {
	n := 0
	for i, c := range calls {
		if c.err = c.ctx.Err(); c.err == nil {
			calls[n], calls[i] = c, calls[n] // the expired ones go to the end
			n++
		}
	}
	if n > 0 {
		b.run(l, calls[:n], time.Now())
	}
}

func (b *Batcher) noted(rows int, took time.Duration, err error) {
	b.mu.Lock()
	b.note(rows, took, err)
	b.mu.Unlock()
}

// note remembers what a run cost, and counts it. b.mu is held.
func (b *Batcher) note(rows int, took time.Duration, err error) {
	if err != nil || rows < 1 {
		return
	}
	b.times.note(rows, took)
	b.done.Runs++
	b.done.Rows += int64(rows)
}

var (
	// errNotRowWise: the answer has not one row per row of the input.
	errNotRowWise = errors.New("model does not answer row by row")
	// errAllExpired: a joined run was cut off because nobody waits for it any more.
	errAllExpired = errors.New("every caller's deadline has passed")
)

func (b *Batcher) runJoined(l *lane, live []*call) error {
	l.joined.CopyFrom(live[0].in)
	for _, c := range live[1:] {
		if err := l.joined.AppendRows(c.in); err != nil {
			return err
		}
	}
	l.ctx.begin(live)
	err := protect(b.next, &l.ctx, &l.joined, live[0].params, &l.out)
	expired := err != nil && l.ctx.Err() != nil
	l.ctx.finish()
	if expired {
		return errAllExpired
	}
	if err != nil {
		return err
	}
	if l.out.Rows != l.joined.Rows {
		return b.stopJoining()
	}
	from := 0
	for _, c := range live {
		if err := c.out.CopyRows(&l.out, from, from+c.in.Rows); err != nil {
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
