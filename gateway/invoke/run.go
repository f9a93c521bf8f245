package invoke

import (
	"context"
	"net"
	"time"

	"sluice/gateway/admit"
	"sluice/gateway/route"
)

// carrier is what a request came by, HTTP or gRPC, as far as its way up to the answer depends on it.
type carrier interface {
	// length is the body's, in bytes, as it was announced; −1: it was not.
	length() int
	// body returns the body as it was sent, when it has arrived. It is valid until the request ends.
	body(h *Handler, k *call) ([]byte, error)
	// content is the body's media type and how it is compressed; both may be empty.
	content() (contentType, encoding []byte)
	// value is the first header, cookie or query parameter of the name; nil where there is none. It is valid until the request ends.
	value(source route.Source, name string) []byte
	// caller is the connection on which somebody waits for the answer; nil where the request's context ends when they leave.
	caller() net.Conn
	// may says whether the caller has the permission.
	may(h *Handler, permission string) bool
}

// run takes the steps up to the encoded answer. k.asked was read; aim sets k.aim.
func (h *Handler) run(ctx context.Context, from carrier, k *call, aim func(*call) error) error {
	if err := aim(k); err != nil {
		return err
	}
	if err := k.asked.once(); err != nil {
		return err
	}
	if err := h.replay(from, k); err != nil {
		return err
	}
	asked, wrong := k.asked.limits(k)
	k.look = look{k, from}
	v := h.view.Load()
	k.view = v
	err := h.pick(k, v)
	h.limit(ctx, k, asked)
	if err == nil {
		err = wrong // told after the endpoint is known, which the request is counted under
	}
	if err == nil {
		err = h.withinLimits(from, k)
	}
	if err == nil {
		err = h.attempt(ctx, from, k)
	}
	for again := err != nil; again; {
		if again, err = h.fallback(v, k, err); again {
			err = h.attempt(ctx, from, k)
			again = err != nil
		}
	}
	return err
}

// attempt takes the steps from the arm that was chosen to its answer.
func (h *Handler) attempt(ctx context.Context, from carrier, k *call) error {
	if h.admission.Full(k.class) {
		return refusedFor(admit.Full)
	}
	d := k.deadline.begin(ctx, h.until(k))
	defer k.endDeadline()
	d.watch(from.caller(), h.deps.Left)
	if err := h.acquire(d, k); err != nil {
		return err
	}
	if err := h.arrive(from, k); err != nil {
		return err
	}
	k.contentType, k.contentEncoding = from.content()
	return h.predict(d, k)
}

// until is when the arm's time is up: the request's, or before it where somebody else is to answer then.
func (h *Handler) until(k *call) time.Time {
	until := k.start.Add(k.timeout)
	next := k.next()
	if next == nil {
		return until
	}
	if k.fell.hops == 0 {
		k.arm.budget.deposit()
	}
	if next.Timeout == 0 {
		return until
	}
	k.fair = min(k.fair, next.Timeout/2)
	if own := h.opts.Now().Add(next.Timeout); own.Before(until) {
		return own
	}
	return until
}
