package invoke

import (
	"context"

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
	var err error
	if k.class, err = k.asked.class(); err != nil {
		return err
	}
	k.look = look{k, from}
	if err := h.pick(k, h.view.Load()); err != nil {
		return err
	}
	asked, err := k.asked.timeout()
	if err != nil {
		return err
	}
	h.limit(ctx, k, asked)
	if h.admission.Full(k.class) {
		return refusedFor(admit.Full)
	}
	d := k.deadline.begin(ctx, k.start.Add(k.timeout))
	defer k.endDeadline()
	if err := h.acquire(d, k); err != nil {
		return err
	}
	if err := h.arrive(from, k); err != nil {
		return err
	}
	k.contentType, k.contentEncoding = from.content()
	return h.predict(d, k)
}
