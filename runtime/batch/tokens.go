package batch

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Tokens divides the processors among models: a run holds one token for each of its threads. Batchers that share a Tokens cannot starve
// each other:
//
//   - at most Total tokens are out, so that runs do not fight for processors;
//   - a model that runs nothing at present need not wait for others' runs to end: it takes one run from a reserve of another Total;
//   - when tokens are short, a freed one goes to the model that holds fewest, and of those to the one served longest ago.
//
// So a model alone has all processors, and each of k models under full load has one k-th. Safe for concurrent use; the lock is held for a
// few instructions.
type Tokens struct {
	total int
	spare sync.Pool // of *waiter

	mu      sync.Mutex // guards everything below, and all shares
	out     int
	served  uint64   // grants so far
	waiting []*share // those with waiters
	watch   watch
}

// NewTokens returns that many tokens. 0 means GOMAXPROCS.
func NewTokens(total int) *Tokens {
	if total <= 0 {
		total = runtime.GOMAXPROCS(0)
	}
	t := &Tokens{total: total}
	t.watch = newWatch(t.look)
	return t
}

// Out is how many tokens are held at present; at most twice the total.
func (t *Tokens) Out() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.out
}

// share is one model's part of Tokens. Its fields are guarded by the Tokens' mutex.
type share struct {
	of      *Tokens
	cost    int // tokens of one run
	most    int // runs at once
	runs    int
	served  uint64 // of.served when it was granted a run last
	waiters []*waiter
	closed  bool
	idle    chan struct{} // closed when nothing runs any more; nil unless somebody waits for that
}

// waiter is a call that waits for a run.
type waiter struct {
	ctx      context.Context
	deadline time.Time
	granted  chan error // gets nil: the run is yours; or why it never will be
}

// share returns a model's part: at most `most` runs at once, of `threads` threads each.
func (t *Tokens) share(threads, most int) *share {
	return &share{of: t, cost: min(max(threads, 1), t.total), most: most}
}

// free reports whether s may start a run now. of.mu is held.
func (s *share) free() bool {
	if s.runs >= s.most {
		return false
	}
	limit := s.of.total
	if s.runs == 0 {
		limit *= 2
	}
	return s.of.out+s.cost <= limit
}

// grant starts a run. of.mu is held.
func (s *share) grant() {
	s.of.out += s.cost
	s.runs++
	s.of.served++
	s.served = s.of.served
}

// try starts a run if none has to wait for that. Returns ErrClosed after close.
func (s *share) try() (bool, error) {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.closed {
		return false, ErrClosed
	}
	// Who waits comes first, but for those who only wait for a second run while this share has none.
	if len(s.waiters) > 0 || (len(s.of.waiting) > 0 && s.runs > 0) || !s.free() {
		return false, nil
	}
	s.grant()
	return true, nil
}

// take starts a run as soon as there are tokens for it. Errors: ErrClosed, ErrQueueFull if maxWaiters wait already, ctx's error.
func (s *share) take(ctx context.Context, maxWaiters int) error {
	if ok, err := s.try(); ok || err != nil {
		return err
	}
	w, ok := s.of.spare.Get().(*waiter)
	if !ok {
		w = &waiter{granted: make(chan error, 1)}
	}
	w.ctx = ctx
	w.deadline, _ = ctx.Deadline()
	err := s.queue(w, maxWaiters)
	if err == nil {
		err = <-w.granted
	}
	w.ctx = nil
	s.of.spare.Put(w)
	return err
}

// queue makes w wait, unless tokens came free since try, which it then gets.
func (s *share) queue(w *waiter, most int) error {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case len(s.waiters) >= most:
		return ErrQueueFull
	case len(s.waiters) == 0:
		s.of.waiting = append(s.of.waiting, s)
	}
	s.waiters = append(s.waiters, w)
	s.of.watch.keep(time.Now(), w.deadline)
	s.of.serve()
	return nil
}

// look drops the waiters whose contexts have ended.
func (t *Tokens) look() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watch.at = time.Time{}
	now := time.Now()
	for _, s := range slices.Clone(t.waiting) {
		s.waiters = slices.DeleteFunc(s.waiters, func(w *waiter) bool {
			err := ended(w.ctx, w.deadline, now)
			if err != nil {
				w.granted <- err
				return true
			}
			t.watch.keep(now, w.deadline)
			return false
		})
		s.settle()
	}
	t.serve() // those who left may have been what the others waited behind
}

// settle takes s off the list of those with waiters if it has none. of.mu is held.
func (s *share) settle() {
	if len(s.waiters) > 0 {
		return
	}
	if i := slices.Index(s.of.waiting, s); i >= 0 {
		s.of.waiting = slices.Delete(s.of.waiting, i, i+1)
	}
}

// give ends a run.
func (s *share) give() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	s.of.out -= s.cost
	s.runs--
	if len(s.of.waiting) > 0 {
		s.of.serve()
	}
	if s.runs == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}

// serve grants runs to waiters, the neediest first, as long as there are tokens for it; those whose time is over are dropped. t.mu is held.
func (t *Tokens) serve() {
	for {
		s := t.neediest()
		if s == nil || !s.free() {
			return
		}
		w := s.waiters[0]
		s.waiters = slices.Delete(s.waiters, 0, 1)
		s.settle()
		if err := w.ctx.Err(); err != nil {
			w.granted <- err
			continue
		}
		s.grant()
		w.granted <- nil
	}
}

// neediest is the share with waiters that holds fewest tokens; of those the one served longest ago. One that has reached its own bound
// on runs does not stand in the others' way. t.mu is held.
func (t *Tokens) neediest() (best *share) {
	for _, s := range t.waiting {
		if s.runs >= s.most {
			continue
		}
		held, least := s.runs*s.cost, 0
		if best != nil {
			least = best.runs * best.cost
		}
		if best == nil || held < least || (held == least && s.served < best.served) {
			best = s
		}
	}
	return best
}

// waits is how many calls wait for a run.
func (s *share) waits() int {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	return len(s.waiters)
}

// close refuses who waits and all who come, and waits until nothing runs. It returns ctx's error if that takes longer.
func (s *share) close(ctx context.Context) error {
	s.of.mu.Lock()
	s.closed = true
	for _, w := range s.waiters {
		w.granted <- ErrClosed
	}
	s.waiters = nil
	s.settle()
	s.of.serve()
	if s.runs == 0 {
		s.of.mu.Unlock()
		return nil
	}
	if s.idle == nil {
		s.idle = make(chan struct{})
	}
	idle := s.idle
	s.of.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
