package invoke

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"sluice/gateway/breaker"
	"sluice/gateway/payload"
	"sluice/gateway/route"
)

// target is what the URL asks for: an endpoint by name, or one version of a registered model.
type target struct {
	endpoint string // "" means the header's, the default or the only one; with version, one of its versions
	model    string // not "": by and version say which one
	by       route.By
	version  string
}

// pick chooses the arm; where no endpoint routes the version that the URL names, acquire finds it.
func (h *Handler) pick(c *call, v *view) (err error) {
	t := &c.aim
	switch {
	case t.model != "":
		if c.decision, err = v.table.Resolve(t.model, t.by, t.version); err != nil && !errors.Is(err, route.ErrComing) && h.demand(c) {
			return nil
		}
	case t.version != "":
		c.decision, err = v.table.ResolveArm(t.endpoint, t.version)
	default:
		c.decision, err = v.table.PickFor(t.endpoint, &c.look, view8(c.asked.stickyKey), c.random[0])
	}
	if err != nil {
		return err
	}
	c.arm = v.arms[c.decision.Arm.Ordinal()]
	return nil
}

// limit sets the call's timeout: the endpoint's, lowered by what the request asks for (0: nothing) and by what its context leaves.
func (h *Handler) limit(ctx context.Context, c *call, asked time.Duration) {
	c.timeout = h.opts.Timeout
	if e := c.decision.Endpoint; e != nil && e.Timeout > 0 {
		c.timeout = e.Timeout
	}
	c.fair = c.timeout / 2
	if asked > 0 {
		c.timeout = min(c.timeout, asked)
	}
	if by, ok := ctx.Deadline(); ok {
		c.timeout = min(c.timeout, by.Sub(c.start))
	}
}

// acquire takes the handle that keeps the version loaded until release.
func (h *Handler) acquire(ctx context.Context, c *call) error {
	get, id := h.deps.Acquire, c.demand
	if id != nil {
		get = h.deps.Demand
	} else {
		id = &c.decision.Arm.Servable
	}
	handle, err := get(ctx, *id)
	if err != nil {
		return err // handle may be a nil pointer in an interface: not one to release
	}
	c.handle = handle
	if c.demand != nil {
		h.answerOnDemand(c)
	}
	return nil
}

// predict decodes the body, executes it, unless the answer is remembered, and encodes the answer into c.answer. ctx carries the deadline.
func (h *Handler) predict(ctx context.Context, c *call) error {
	c.received = c.stamp()
	if err := h.decode(c); err != nil {
		return err
	}
	c.decoded = c.stamp()
	if c.arm.cache != nil {
		return h.recall(ctx, c)
	}
	return c.compute(ctx)
}

// compute executes the version, and writes its answer.
func (c *call) compute(ctx context.Context) error {
	c.ctx = ctx
	err := c.arm.breaker.Do(c.start, c.exec)
	c.ctx = nil
	if err != nil {
		return err
	}
	c.executed = c.stamp()
	return c.write()
}

// write encodes the outputs.
func (c *call) write() error {
	if err := c.encode(); err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	c.encoded = c.stamp()
	return nil
}

func (h *Handler) decode(c *call) (err error) {
	if err := h.decompress(c); err != nil {
		return err
	}
	c.compiled = c.arm.plans.get(c.handle.Model(), &h.opts.Payload)
	c.work = c.compiled.work.Get().(*work)
	switch {
	case c.infer != nil && c.infer.message:
		err = c.compiled.plan.DecodeInferMessage(c.content, &c.work.in, &c.infer.request)
	case c.infer != nil:
		err = c.compiled.plan.DecodeInfer(c.infer.headLength(c.content), c.content, &c.work.in, &c.infer.request)
	default:
		err = c.compiled.plan.Decode(view8(c.contentType), c.content, &c.work.in)
	}
	if err != nil {
		return err
	}
	c.rows = max(c.work.in.Batch.Rows, 0)
	return nil
}

// decompress makes c.content of c.body, once.
func (h *Handler) decompress(c *call) (err error) {
	if c.unpacked {
		return nil
	}
	c.content = c.body
	if len(c.contentEncoding) > 0 {
		c.content, err = payload.Decompress(view8(c.contentEncoding), c.body, h.opts.MaxBodyBytes, c.inflate[:0])
		if err != nil {
			return err
		}
		if unsafe.SliceData(c.content) != unsafe.SliceData(c.body) {
			c.inflate = c.content
		}
	}
	c.unpacked = true
	return nil
}

// encode writes the outputs as the protocol of the request has them.
func (c *call) encode() (err error) {
	switch {
	case c.infer != nil && c.infer.message:
		c.answer, err = payload.EncodeInferMessage(c.answer[:0], &c.work.out, &c.infer.request, c.decision.Endpoint.Name, view8(c.arm.version))
		return err
	case c.infer != nil:
		c.answer, c.infer.answered, err = payload.EncodeInfer(c.answer[:0], &c.work.out, &c.infer.request,
			c.decision.Endpoint.Name, view8(c.arm.version))
		return err
	}
	c.answer, err = payload.Encode(c.answer[:0], &c.work.out)
	return err
}

// execute is what the breaker runs. The batcher behind the handle turns panics into errors and looks at the deadline first.
func (c *call) execute() (struct{}, error) {
	err := c.handle.Predict(c.ctx, &c.work.in.Batch, c.work.in.Params, &c.work.out, &c.timing)
	if err == nil || c.ctx.Err() == nil {
		return struct{}{}, err
	}
	switch {
	case c.timing.Execute == 0:
		err = notExecuted(err) // its time ran out in the queue
	case c.timing.Execute < c.fair && errors.Is(err, context.DeadlineExceeded):
		// A header, a slow body or the queue left it too little time: else one impatient client would shut the model for everybody.
		err = fmt.Errorf("%w: %w", breaker.ErrCutShort, err)
	}
	return struct{}{}, err
}

// notExecuted tells the breaker that the model is not to blame.
func notExecuted(err error) error { return fmt.Errorf("%w: %w", breaker.ErrNotExecuted, err) }

// bytes8 is view8's opposite. The bytes must not be changed.
func bytes8(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// view8 is the text of b without a copy: valid, and unchanged, until the request ends.
func view8(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
