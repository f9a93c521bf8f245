package invoke

import (
	"maps"
	"strings"

	"sluice/gateway/breaker"
	"sluice/gateway/route"
	"sluice/runtime/servable"
)

// ArmOnDemand is the arm, in headers, metrics and records, of a version that no endpoint routes and that a caller named; its endpoint bears
// the registered model's name.
const ArmOnDemand = "on-demand"

// maxDemanded bounds the versions on demand whose breaker, gate and compiled signature are kept; one more starts anew with all.
const maxDemanded = 256

// demanded is what is kept of a version that is answered on demand.
type demanded struct {
	endpoint route.Endpoint
	arm      route.Arm
	state    *armState
}

func (d *demanded) key() breaker.Key {
	return breaker.Key{Endpoint: d.endpoint.Name, Servable: d.arm.Servable}
}

// demand notes, if it can be, that the version that the URL names is to be loaded although no endpoint routes it.
func (h *Handler) demand(c *call) bool {
	t := &c.aim
	if h.deps.Demand == nil || t.by != route.ByVersion || len(t.model) > route.MaxNameLength {
		return false
	}
	n, ok := route.ParseVersion(t.version)
	if ok {
		c.demand = &servable.ID{Model: strings.Clone(t.model), Version: n} // the name is the engine's memory, and outlives the request
	}
	return ok
}

// answerOnDemand puts the version, which was loaded, into the place of the arm that nobody picked.
func (h *Handler) answerOnDemand(c *call) {
	d := (*h.demands.Load())[*c.demand]
	if d == nil {
		d = h.addDemanded(*c.demand)
	}
	c.decision = route.Decision{Endpoint: &d.endpoint, Arm: &d.arm, Revision: h.view.Load().table.Revision(), Bucket: -1}
	c.arm = d.state
}

func (h *Handler) addDemanded(id servable.ID) *demanded {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := *h.demands.Load()
	if d := before[id]; d != nil {
		return d
	}
	if len(before) >= maxDemanded {
		before = nil
	}
	d := &demanded{endpoint: route.Endpoint{Name: id.Model}, arm: route.Arm{Name: ArmOnDemand, Servable: id}}
	d.state = h.newArm(&d.endpoint, &d.arm, &planHolder{gate: h.admission.Gate()})
	next := maps.Clone(before)
	if next == nil {
		next = map[servable.ID]*demanded{}
	}
	next[id] = d
	keys := append(keysOf(h.view.Load().table), d.key())
	for other, o := range next {
		if other != id {
			keys = append(keys, o.key())
		}
	}
	d.state.breaker = h.deps.Breakers.Keep(keys)[len(h.view.Load().arms)]
	h.demands.Store(&next)
	return d
}

// stillDemanded drops the versions that a new table routes. The caller holds h.mu.
func (h *Handler) stillDemanded(t *route.Table) map[servable.ID]*demanded {
	next := maps.Clone(*h.demands.Load())
	for _, a := range t.Arms() {
		delete(next, a.Servable)
	}
	h.demands.Store(&next)
	return next
}

// keysOf are the breakers' keys of a table's arms, by ordinal.
func keysOf(t *route.Table) []breaker.Key {
	keys := make([]breaker.Key, len(t.Arms()))
	for i := range t.Endpoints() {
		e := &t.Endpoints()[i]
		for j := range e.Arms {
			keys[e.Arms[j].Ordinal()] = breaker.Key{Endpoint: e.Name, Servable: e.Arms[j].Servable}
		}
	}
	return keys
}
