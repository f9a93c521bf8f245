package invoke

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"sluice/gateway/admit"
	"sluice/gateway/route"
	"sluice/gateway/shadow"
	"sluice/runtime/batch"
	"sluice/runtime/servable"
	"sluice/runtime/tensor"
)

// The bounds on copies for shadows. Their work is done in goroutines of their own: nobody who waits for an answer waits for a shadow.
const (
	laneQueue   = 256      // copies that wait for one version
	laneWorkers = 4        // executions of copies for one version at once
	shadowBytes = 64 << 20 // of all copies that wait or are executed
	shadowMost  = 16 << 20 // bytes of a shadow's answer that is compared and logged; larger ones are dropped
)

// errShadowTooLarge: a shadow's answer is larger than shadowMost.
var errShadowTooLarge = errors.New("the answer of a shadow is too large")

// shadows is what a handler keeps for its shadows.
type shadows struct {
	book    *shadow.Book
	timeout time.Duration
	bytes   atomic.Int64 // held by copies

	ctx     context.Context // of executions
	cancel  context.CancelFunc
	mu      sync.Mutex
	leaving bool           // guarded by mu: no worker begins any more
	workers sync.WaitGroup // Add is guarded by mu
	copies  sync.Pool      // of *copied
}

func newShadows(book *shadow.Book, timeout time.Duration) *shadows {
	s := &shadows{book: book, timeout: timeout}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.copies.New = func() any { return new(copied) }
	return s
}

// Close takes no more copies, forgets those that wait, and waits for the executions under way until ctx ends; then they are cut off.
func (h *Handler) Close(ctx context.Context) error {
	s := h.shadows
	s.mu.Lock()
	s.leaving = true
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { s.workers.Wait(); close(done) }()
	defer s.cancel()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.cancel()
		<-done // an execution ends soon after its context
		return ctx.Err()
	}
}

// lane is the queue of copies for one version, with its workers. They come when there is work and go when there is none.
type lane struct {
	mu      sync.Mutex
	waiting []job // guarded by mu
	workers int   // guarded by mu
}

// full says whether one more would be dropped now.
func (l *lane) full() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting) >= laneQueue
}

// job is one copy for one shadow.
type job struct {
	request  *copied
	decision route.Decision
	arm      *armState
}

func (j *job) key() shadow.Key {
	return shadow.Key{Endpoint: j.decision.Endpoint.Name, Arm: j.decision.Arm.Name, Servable: j.decision.Arm.Servable}
}

// copied is a request and its answer, shared by all its shadows.
type copied struct {
	users atomic.Int32
	size  int64

	start                        time.Time
	body, contentType, requestID []byte
	trace                        traceContext
	traced, unsampled            bool
	infer                        bool
	head                         int
	message                      bool
	answer                       tensor.Batch
	timing                       batch.Timing // of the arm that answered
}

// mirror hands copies of an answered request to the shadows of its endpoint that are to get one. What was not executed is not copied: an equal
// request was, and there is no time to compare with.
func (h *Handler) mirror(k *call) {
	e := k.decision.Endpoint
	if e == nil || len(e.Shadows) == 0 || k.replayed || k.err != nil || k.work == nil || k.fell.constant || !k.recalled.result.Executed() {
		return
	}
	var request *copied
	for i := range e.Shadows {
		arm := k.decision.Shadow(i)
		if arm == nil {
			continue
		}
		j := job{decision: k.decision, arm: k.view.arms[arm.Ordinal()]}
		j.decision.Arm = arm
		if j.arm.plans.lane.full() { // before anything is copied
			h.shadows.book.Drop(j.key(), shadow.QueueFull)
			continue
		}
		if request == nil {
			if request = h.copyOf(k); request == nil {
				h.shadows.book.Drop(j.key(), shadow.TooLarge)
				continue
			}
		}
		j.request = request
		request.users.Add(1)
		h.offer(j)
	}
	if request != nil {
		h.letGo(request)
	}
}

// copyOf copies the request and its answer; nil if too much is held already. The caller is one of its users.
func (h *Handler) copyOf(k *call) *copied {
	s := h.shadows
	size := int64(len(k.content) + len(k.contentType) + len(k.requestID) + k.work.out.Bytes())
	if s.bytes.Add(size) > shadowBytes {
		s.bytes.Add(-size)
		return nil
	}
	c := s.copies.Get().(*copied)
	c.size, c.start, c.timing = size, k.start, k.timing
	c.body = append(c.body[:0], k.content...)
	c.contentType = append(c.contentType[:0], k.contentType...)
	c.requestID = append(c.requestID[:0], k.requestID...)
	c.trace, c.traced, c.unsampled = k.trace, k.traced, k.unsampled
	if c.infer = k.infer != nil; c.infer {
		c.head, c.message = k.infer.head, k.infer.message
	}
	c.answer.CopyFrom(&k.work.out)
	c.users.Store(1)
	return c
}

// letGo ends one use of a copy.
func (h *Handler) letGo(c *copied) {
	if c.users.Add(-1) > 0 {
		return
	}
	h.shadows.bytes.Add(-c.size)
	if c.size > maxKept {
		return // its memory is not worth keeping
	}
	h.shadows.copies.Put(c)
}

// offer queues a job, or drops it at once.
func (h *Handler) offer(j job) {
	l := &j.arm.plans.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) >= laneQueue {
		h.drop(j, shadow.QueueFull)
		return
	}
	if l.workers < laneWorkers {
		if !h.shadows.begin() {
			h.drop(j, shadow.Leaving)
			return
		}
		l.workers++
		go h.work(l)
	}
	l.waiting = append(l.waiting, j)
}

// begin counts a worker that is to begin; false if none may.
func (s *shadows) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.leaving {
		s.workers.Add(1)
	}
	return !s.leaving
}

func (s *shadows) left() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leaving
}

// drop counts a job that is not executed and ends it.
func (h *Handler) drop(j job, why shadow.Drop) {
	h.shadows.book.Drop(j.key(), why)
	h.letGo(j.request)
}

// work executes what waits, until nothing does.
func (h *Handler) work(l *lane) {
	defer h.shadows.workers.Done()
	var compare shadow.Comparer
	for {
		l.mu.Lock()
		if len(l.waiting) == 0 {
			l.workers--
			l.waiting = nil
			l.mu.Unlock()
			return
		}
		j := l.waiting[0]
		l.waiting[0] = job{}
		l.waiting = l.waiting[1:]
		l.mu.Unlock()
		switch {
		case h.shadows.left():
			h.drop(j, shadow.Leaving)
		case h.opts.Now().Sub(j.request.start) >= h.shadows.timeout:
			h.drop(j, shadow.Expired)
		default:
			h.follow(&j, &compare)
		}
	}
}

// follow executes one job as a request of the class Shadow, outside of the breaker and the counts of its arm, and compares the answers.
func (h *Handler) follow(j *job, compare *shadow.Comparer) {
	defer h.letGo(j.request)
	defer func() {
		if p := recover(); p != nil {
			h.shadows.book.Fail(j.key())
			h.opts.Logger.Error("panic in a shadow", slog.String("endpoint", j.decision.Endpoint.Name), slog.String("servable", j.decision.Arm.Servable.String()),
				slog.String("panic", fmt.Sprint(p)), slog.String("stack", string(debug.Stack())))
		}
	}()
	k := h.begin()
	defer h.release(k)
	h.admission.Begin()
	defer h.admission.End()
	r := j.request
	k.decision, k.arm, k.class = j.decision, j.arm, admit.Shadow
	k.requestID, k.contentType, k.body = r.requestID, r.contentType, r.body
	k.trace, k.traced, k.unsampled = r.trace, r.traced, r.unsampled
	if r.infer {
		k.infer = &inference{head: r.head, answered: -1, message: r.message}
	}
	k.timeout = h.shadows.timeout
	k.fair = k.timeout
	err := h.attemptShadow(k)
	if why, ok := droppedFor(err); ok {
		h.shadows.book.Drop(j.key(), why)
		return
	}
	k.status = 200
	if err != nil {
		refused := h.classify(k, err)
		k.err, k.status = refused.Error, refused.HTTPStatus()
		h.shadows.book.Fail(j.key())
	} else {
		delay := k.timing.Queue + k.timing.Execute - r.timing.Queue - r.timing.Execute
		h.shadows.book.Record(j.key(), compare.Compare(&r.answer, &k.work.out), delay)
	}
	k.end = h.opts.Now()
	k.record.Shadow = true
	h.log(k, k.end.Sub(k.start))
}

// attemptShadow takes the steps of attempt, and of predict, that a shadow has.
func (h *Handler) attemptShadow(k *call) (err error) {
	if h.admission.Full(k.class) {
		return refusedFor(admit.Full)
	}
	d := k.deadline.begin(h.shadows.ctx, k.start.Add(k.timeout))
	defer k.endDeadline()
	if err := h.acquire(d, k); err != nil {
		return err
	}
	var refused admit.Reason
	if k.ticket, refused = k.arm.plans.gate.Enter(k.start, k.timeout, k.class, k.random[2]); refused != admit.Admitted {
		return refusedFor(refused)
	}
	if err := h.decode(k); err != nil {
		return err
	}
	k.ctx = d
	_, err = k.execute()
	k.ctx = nil
	switch {
	case err != nil:
		return err
	case k.work.out.Bytes() > shadowMost:
		return errShadowTooLarge
	}
	return k.encode()
}

// droppedFor says of an error of attemptShadow whether it makes the copy one that was dropped: it says nothing about how the version answers.
func droppedFor(err error) (shadow.Drop, bool) {
	var turned *turnedAway
	switch {
	case errors.As(err, &turned), errors.Is(err, batch.ErrQueueFull):
		return shadow.Overload, true
	case errors.Is(err, errShadowTooLarge):
		return shadow.TooLarge, true
	case errors.Is(err, servable.ErrNotAvailable), errors.Is(err, batch.ErrClosed):
		return shadow.NotReady, true
	case errors.Is(err, context.Canceled):
		return shadow.Leaving, true
	}
	return 0, false
}

// shadowed says of a series' key whether copies under the table may still be counted there.
func shadowed(t *route.Table) func(shadow.Key) bool {
	return func(k shadow.Key) bool {
		e := t.Endpoint(k.Endpoint)
		if e == nil {
			return false
		}
		for i := range e.Shadows {
			if e.Shadows[i].Arm != k.Arm {
				continue
			}
			for j := range e.Arms {
				if e.Arms[j].Name == k.Arm && e.Arms[j].Servable == k.Servable {
					return true
				}
			}
		}
		return false
	}
}
