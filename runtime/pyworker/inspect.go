package pyworker

import (
	"context"
	"errors"
	"time"
)

// inspect looks at the processes, and asks the idle ones whether they live, until the pool closes.
func (p *pool) inspect() {
	looks, beats := time.NewTicker(p.opts.Inspect), time.NewTicker(p.opts.Heartbeat)
	defer looks.Stop()
	defer beats.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-looks.C:
			p.mu.Lock()
			all := make([]*worker, 0, len(p.live))
			for w := range p.live {
				all = append(all, w)
			}
			p.mu.Unlock()
			for _, w := range all {
				p.examine(w)
			}
		case <-beats.C:
			p.beat()
		}
	}
}

// examine looks at one worker from outside.
func (p *pool) examine(w *worker) {
	if w.limits.age > 0 && time.Since(w.born) > w.limits.age {
		w.wish(Age)
	}
	s, ok := look(w.pid())
	if !ok {
		return
	}
	w.resident.Store(s.resident)
	switch {
	case s.stopped:
		w.condemn(Stopped)
	case p.opts.MemoryBytes > 0 && s.resident > p.opts.MemoryBytes && w.busy.Load():
		w.condemn(Memory)
	case p.opts.MemoryBytes > 0 && s.resident > p.opts.MemoryBytes:
		w.wish(Memory)
	}
}

// beat pings every worker that is idle now.
func (p *pool) beat() {
	for range len(p.idle) {
		select {
		case w := <-p.idle:
			ctx, cancel := context.WithTimeout(p.ctx, p.opts.Heartbeat)
			err := w.exchange(ctx, &frame{kind: kindPing}, kindPong, p.opts.InterruptGrace)
			cancel()
			var lost *death
			if err != nil && !errors.As(err, &lost) && p.ctx.Err() == nil {
				w.condemn(Hung)
			}
			p.giveBack(w)
		default:
			return
		}
	}
}
