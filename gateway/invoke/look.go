package invoke

import (
	"sluice/gateway/admit"
	"sluice/gateway/payload"
	"sluice/gateway/route"
)

// look is what a route may look at in a request.
type look struct {
	call *call
	from carrier
}

var _ route.Request = (*look)(nil)

// Value implements route.Request.
func (l *look) Value(p *route.Part) (string, error) {
	if p.Source == route.Field {
		return l.field(p.Tokens)
	}
	return view8(l.from.value(p.Source, p.Name)), nil
}

// field reads the body, earlier than that of a request that is routed by its head alone.
func (l *look) field(tokens []string) (string, error) {
	k := l.call
	if err := k.h.unpack(l.from, k); err != nil {
		return "", err
	}
	found, grown, _ := payload.Field(k.content, tokens, k.field[:0])
	k.field = grown
	return view8(found), nil
}

// May implements route.Request.
func (l *look) May(permission string) bool { return l.from.may(l.call.h, permission) }

// unpack reads the body and decompresses it, once.
func (h *Handler) unpack(from carrier, k *call) error {
	if err := h.receive(from, k); err != nil || k.unpacked {
		return err
	}
	_, k.contentEncoding = from.content()
	return h.decompress(k)
}

// receive reads the body, once. A request that came for too many others to be under way is turned away before.
func (h *Handler) receive(from carrier, k *call) (err error) {
	if k.arrived {
		return nil
	}
	if h.admission.Full(k.class) {
		return refusedFor(admit.Full)
	}
	k.body, err = from.body(h, k)
	k.arrived = err == nil
	return err
}
