package invoke

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"sluice/gateway/admit"
	"sluice/gateway/breaker"
	"sluice/gateway/payload"
	"sluice/gateway/route"
	"sluice/runtime/batch"
	"sluice/runtime/servable"
	"sluice/tracking/mlflow"
)

// maxHops bounds how often one request falls back.
const maxHops = 3

// A budget lets one in ten requests of an endpoint be executed a second time, so that fallbacks never multiply the load of a failing model
// by more than 1.1. It saves up at most budgetMost executions, and begins with one. It is counted in tenths.
type budget struct{ tenths atomic.Int64 }

const (
	budgetOne  = 10
	budgetMost = 10 * budgetOne
)

func newBudget() *budget {
	b := new(budget)
	b.tenths.Store(budgetOne)
	return b
}

// deposit is called for each request.
func (b *budget) deposit() {
	if b.tenths.Add(1) > budgetMost {
		b.tenths.Add(-1)
	}
}

// spend takes one execution; false if there is none.
func (b *budget) spend() bool {
	for {
		n := b.tenths.Load()
		if n < budgetOne {
			return false
		}
		if b.tenths.CompareAndSwap(n, n-budgetOne) {
			return true
		}
	}
}

// fell is what became of a request's fallbacks.
type fell struct {
	from     string // the arm that did not answer, the last one; "" where none was there
	cause    route.Causes
	constant bool // the answer is a constant
	refused  bool // the budget was empty
	hops     int
}

// appendText writes it for the header and the log: "arm; cause=error", then what is out of the ordinary.
func (f *fell) appendText(dst []byte) []byte {
	dst = append(dst, headerValue(f.from)...)
	if f.from == "" {
		dst = append(dst, "(none)"...)
	}
	dst = append(append(dst, "; cause="...), f.cause.String()...)
	if f.constant {
		dst = append(dst, "; answer=constant"...)
	}
	if f.refused {
		dst = append(dst, "; refused=budget"...)
	}
	return dst
}

// causeOf says why the arm of the call does not answer, and whether the whole gateway is at its limit; 0 where the error is nobody's to answer in
// its place: the caller's own, or one that no other arm would spare.
func (c *call) causeOf(err error) (cause route.Causes, everywhere bool) {
	var known *mlflow.Error
	var turned *turnedAway
	var often *tooOften
	switch {
	case errors.As(err, &known), errors.As(err, &often), errors.Is(err, servable.ErrBadInput), errors.Is(err, servable.ErrUnknown), errors.Is(err, route.ErrForbidden),
		errors.Is(err, route.ErrUnknownEndpoint), errors.Is(err, route.ErrUnknownModel), errors.Is(err, route.ErrNotRouted), errors.Is(err, route.ErrNoEndpointNamed):
		return 0, false
	case errors.As(err, &turned):
		return route.Overload, turned.reason == admit.Full || turned.reason == admit.Scheduler
	case errors.Is(err, batch.ErrQueueFull):
		return route.Overload, false
	case errors.Is(err, breaker.ErrOpen):
		return route.Breaker, false
	case errors.Is(err, context.DeadlineExceeded):
		return route.Timeout, false
	case errors.Is(err, context.Canceled):
		return 0, false
	}
	return route.Failure, false
}

// next is what follows when the call's arm, or no arm, does not answer; nil where nothing does. A request that names a version is answered by
// that version or not at all.
func (c *call) next() *route.Next {
	e := c.decision.Endpoint
	if e == nil || c.demand != nil || c.aim.model != "" || c.aim.version != "" {
		return nil
	}
	if a := c.decision.Arm; a != nil {
		return a.Fallback()
	}
	return e.Fallback()
}

// fallback puts whatever answers in the place of the call's arm there, if anything does. again says that another arm is to be tried; else the
// answer stands in c.answer and the error is nil, or the error is the request's.
func (h *Handler) fallback(v *view, c *call, err error) (again bool, _ error) {
	next := c.next()
	if next == nil {
		return false, err
	}
	cause, everywhere := c.causeOf(err)
	if next.On&cause == 0 || c.fell.hops == maxHops {
		return false, err
	}
	step := fell{cause: cause, constant: next.Arm == nil, hops: c.fell.hops + 1}
	if c.decision.Arm != nil {
		step.from = c.decision.Arm.Name
	}
	switch {
	case step.constant && !answerable(next, c), !step.constant && (everywhere || !h.opts.Now().Before(c.start.Add(c.timeout))):
		return false, err // there is no constant for that protocol; or no other arm could do better
	case !step.constant && c.timing.Execute > 0 && !c.arm.budget.spend():
		step.refused = true
		c.fell = step
		return false, err
	}
	if step.constant {
		if wrong := c.answerConstant(next); wrong != nil {
			return false, err // for example, outputs are asked for that the constant lacks
		}
		answered := -1
		if c.infer != nil {
			answered = c.infer.answered
		}
		h.leaveArm(c, err)
		c.fell = step
		if c.infer != nil {
			c.infer.answered = answered
		}
		return false, nil
	}
	h.leaveArm(c, err)
	c.fell = step
	c.decision.Arm = next.Arm
	c.arm = v.arms[next.Arm.Ordinal()]
	return true, nil
}

// answerable says whether the constant has an answer in the protocol of the call.
func answerable(next *route.Next, c *call) bool {
	if c.infer != nil {
		return next.Infer != nil
	}
	return len(next.Answer) > 0
}

// answerConstant writes the constant as the call's answer.
func (c *call) answerConstant(next *route.Next) (err error) {
	endpoint, req := c.decision.Endpoint.Name, c.infer
	switch {
	case req == nil:
		c.answer = append(c.answer[:0], next.Answer...)
	case req.message:
		c.answer, err = payload.EncodeInferMessage(c.answer[:0], next.Infer, req.request.OrAll(), endpoint, "")
	default:
		c.answer, req.answered, err = payload.EncodeInfer(c.answer[:0], next.Infer, req.request.OrAll(), endpoint, "")
	}
	return err
}

// leaveArm gives back what belongs to an arm that did not answer, and counts its failure under it.
func (h *Handler) leaveArm(c *call, err error) {
	now := h.opts.Now()
	if c.arm != nil && h.deps.Outcomes != nil {
		c.arm.outcomes.record(h.classify(c, err).HTTPStatus(), now.Sub(c.start), true)
	}
	if c.ticket != (admit.Ticket{}) {
		c.end = now
		c.leave()
	}
	c.giveBack()
	c.arm, c.handle, c.work, c.compiled = nil, nil, nil, nil
	c.ticket, c.entered, c.timing, c.rows, c.recalled = admit.Ticket{}, time.Time{}, batch.Timing{}, 0, recalled{}
	if c.infer != nil {
		c.infer.restart()
	}
}
