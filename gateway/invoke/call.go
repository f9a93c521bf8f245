package invoke

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"

	"sluice/gateway/admit"
	"sluice/gateway/payload"
	"sluice/gateway/predlog"
	"sluice/gateway/respcache"
	"sluice/gateway/route"
	"sluice/runtime/batch"
	"sluice/runtime/servable"
	"sluice/runtime/tensor"
	"sluice/tracking/mlflow"
)

// maxKept is the largest buffer that a pooled call keeps, in bytes: one huge request must not pin its memory for ever.
const maxKept = 1 << 20

// work is the memory that one version's requests are decoded into and answered from.
type work struct {
	in  payload.Input
	out tensor.Batch
}

// reset empties the work for the next request.
func (w *work) reset() {
	w.in.Reset()
	if w.out.Bytes() > maxKept {
		w.out = tensor.Batch{}
	}
}

// call is one request on its way. It is pooled and belongs to one goroutine; fields that alias the HTTP engine's memory are
// cleared when it goes back.
type call struct {
	h *Handler
	// exec is run as a function value, kept so that the breaker costs no allocation.
	exec func() (struct{}, error)

	// What the request says. The byte slices alias the engine's memory.
	asked           asked
	requestID       []byte
	contentType     []byte
	contentEncoding []byte
	body            []byte // as it was sent
	content         []byte // decompressed
	arrived         bool   // body is set
	unpacked        bool   // content is set
	look            look   // what a route may look at

	// What was decided.
	random     [3]uint64 // bucket, identifier, sampling
	prediction [16]byte
	trace      traceContext
	traced     bool // trace is set
	span       trace.Span
	aim        target
	infer      *inference // of the Open Inference Protocol; nil for MLflow's
	class      admit.Class
	demand     *servable.ID // no endpoint routes it: it is loaded on demand
	view       *view        // the table that decided
	unsampled  bool         // the prediction log leaves it out, and its copies for shadows
	replayed   bool         // it is a recorded request that is asked once more
	decision   route.Decision
	arm        *armState
	ticket     admit.Ticket // of the arm's gate; zero until the request was let in
	entered    time.Time    // when it was let in; zero where the batcher's timing tells enough
	timeout    time.Duration
	key        respcache.Key // of the answer, where the endpoint has a cache
	recalled   recalled      // what the cache was to the arm's answer
	fell       fell          // the fallbacks so far
	fair       time.Duration // an execution that was cut off after less than this says nothing about the model
	compiled   *compiled
	work       *work
	handle     Handle
	ctx        context.Context // of the execution; set for the time of breaker.Do

	// What happened.
	start  time.Time
	timing batch.Timing
	rows   int
	status int
	err    *mlflow.Error // nil on success
	// refused is the answer that a turned away request has got already; it is shared and must not be changed.
	refused []byte
	end     time.Time // when the answer was ready
	// When the steps ended: zero unless the request is traced.
	received, decoded, executed, encoded time.Time

	// Memory that is kept.
	deadline *deadline
	read     []byte // for streamed bodies
	inflate  []byte // for compressed bodies
	field    []byte // for a sticky key in the body
	answer   []byte
	canon    []byte // for keys and values of the cache
	text     []byte // for header values
	record   predlog.Record
}

func newCall(h *Handler) *call {
	c := &call{h: h, deadline: new(deadline)}
	c.exec = c.execute
	return c
}

// begin starts a call: the first clock reading and the random numbers.
func (h *Handler) begin() *call {
	c := h.calls.Get().(*call)
	c.start = h.opts.Now()
	for i := range c.random {
		c.random[i] = h.opts.Random()
	}
	c.prediction = uuid7(c.start, c.random[0]>>32, c.random[1])
	return c
}

// release gives back what the call holds and the call itself. It is called exactly once, also when a step panicked.
func (h *Handler) release(c *call) {
	if c.ticket != (admit.Ticket{}) {
		c.leave()
	}
	c.giveBack()
	c.empty()
	h.calls.Put(c)
}

// empty clears the call in place but for what is kept: a literal would be made on the stack first, and is 1.5 kB.
func (c *call) empty() {
	h, exec, deadline := c.h, c.exec, c.deadline
	read, inflate, field, answer, canon, text := kept(c.read), kept(c.inflate), kept(c.field), kept(c.answer), kept(c.canon), c.text[:0]
	*c = call{}
	c.h, c.exec, c.deadline = h, exec, deadline
	c.read, c.inflate, c.field, c.answer, c.canon, c.text = read, inflate, field, answer, canon, text
}

// giveBack ends the call's hold on a version and on the memory that it was decoded into.
func (c *call) giveBack() {
	if c.handle != nil {
		c.handle.Release()
	}
	if c.work != nil {
		c.work.reset()
		c.compiled.work.Put(c.work)
	}
}

// endDeadline ends the call's context.
func (c *call) endDeadline() {
	if !c.deadline.finish() {
		c.deadline = new(deadline)
	}
}

// stamp is the time where the request is traced, and zero where nobody will ask: a reading of the clock costs up to 100 ns.
func (c *call) stamp() time.Time {
	if c.span == nil {
		return time.Time{}
	}
	return c.h.opts.Now()
}

// kept returns the buffer emptied, or nil when it grew too large to keep.
func kept(b []byte) []byte {
	if cap(b) > maxKept {
		return nil
	}
	return b[:0]
}
