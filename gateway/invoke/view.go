package invoke

import (
	"log/slog"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"sluice/gateway/admit"
	"sluice/gateway/breaker"
	"sluice/gateway/outcome"
	"sluice/gateway/payload"
	"sluice/gateway/route"
	"sluice/runtime/mlmodel"
	"sluice/runtime/servable"
)

// view is a published table with what this package keeps per arm beside it. It never changes.
type view struct {
	table *route.Table
	arms  []*armState // by route.Arm.Ordinal
}

// armState is what every request to an arm needs, made once.
type armState struct {
	breaker  *breaker.Breaker
	plans    *planHolder
	limiter  *limiter  // of the endpoint's rate limits; nil where it has none
	budget   *budget   // of the endpoint's fallbacks; nil where it has none
	cache    *armCache // of the endpoint's answers; nil where it has none
	endpoint []byte    // the answer's header values
	version  []byte
	arm      []byte
	outcomes recorder
	turned   [len(reasonTexts)]atomic.Pointer[turnedAnswer] // made when first needed
}

// recorder finds the series of one arm (or of none) by code; the common codes without a look-up.
type recorder struct {
	book  *outcome.Book
	key   outcome.Key // without the code
	known [len(commonCodes)]atomic.Pointer[outcome.Series]
}

// commonCodes are the statuses that this package gives in normal operation.
var commonCodes = [...]int{200, 400, 429, 500, 503, 504}

// record counts a request; executed says whether a version was.
func (r *recorder) record(code int, latency time.Duration, executed bool) *outcome.Series {
	s := r.series(code)
	if executed {
		s.Record(latency)
	} else {
		s.RecordCached(latency)
	}
	return s
}

func (r *recorder) series(code int) *outcome.Series {
	for i, c := range commonCodes {
		if c != code {
			continue
		}
		s := r.known[i].Load()
		if s == nil {
			s = r.lookup(code)
			r.known[i].Store(s)
		}
		return s
	}
	return r.lookup(code)
}

func (r *recorder) lookup(code int) *outcome.Series {
	k := r.key
	k.Code = code
	return r.book.Series(k)
}

// planHolder keeps the compiled signature of one version and its gate, shared by its arms and by later tables.
type planHolder struct {
	compiled atomic.Pointer[compiled]
	gate     *admit.Gate
	lane     lane // of copies for the version as a shadow
}

// compiled is a signature made ready for decoding, and the memory that its requests are decoded into.
type compiled struct {
	model *mlmodel.Model // what it was made from: a version that is loaded again brings a new one
	plan  *payload.Plan
	work  sync.Pool // of *work
}

// get returns the compiled signature of the model.
func (p *planHolder) get(m *mlmodel.Model, opts *payload.Options) *compiled {
	if c := p.compiled.Load(); c != nil && c.model == m {
		return c
	}
	c := &compiled{model: m, plan: payload.Compile(signatureOf(m), opts)}
	c.work.New = func() any { return new(work) }
	p.compiled.Store(c)
	return c
}

func signatureOf(m *mlmodel.Model) *mlmodel.Signature {
	if m == nil {
		return nil
	}
	return m.Signature
}

// Publish makes the table the one that requests are answered from, at once and for all of them; those under way end with the one they began with.
// Breakers and compiled signatures of versions that stay are kept. The caller has loaded and warmed every version that the table names.
func (h *Handler) Publish(t *route.Table) {
	h.mu.Lock()
	defer h.mu.Unlock()
	arms := make([]*armState, len(t.Arms()))
	plans := make(map[servable.ID]*planHolder, len(arms))
	budgets, limiters := map[string]*budget{}, map[string]*limiter{}
	for i := range t.Endpoints() {
		e := &t.Endpoints()[i]
		h.keepBudget(budgets, e)
		h.keepLimiter(limiters, e)
		for j := range e.Arms {
			a := &e.Arms[j]
			arms[a.Ordinal()] = h.newArm(e, a, h.planFor(plans, a.Servable))
			arms[a.Ordinal()].budget, arms[a.Ordinal()].limiter = budgets[e.Name], limiters[e.Name]
		}
	}
	keys, demands := keysOf(t), h.stillDemanded(t)
	for _, d := range demands {
		keys = append(keys, d.key())
	}
	for i, b := range h.deps.Breakers.Keep(keys)[:len(arms)] {
		arms[i].breaker = b
	}
	h.plans, h.budgets, h.limiters = plans, budgets, limiters
	h.view.Store(&view{table: t, arms: arms})
	if h.deps.Outcomes != nil {
		h.deps.Outcomes.Keep(routedIn(t, demands))
	}
	h.shadows.book.Keep(shadowed(t))
	h.keepAnswers(t)
	h.opts.Logger.Info("routing table published",
		slog.Int64("revision", t.Revision()), slog.Int("endpoints", len(t.Endpoints())), slog.Int("arms", len(arms)))
}

// keepBudget puts the budget of the endpoint's fallbacks, if it has any, into next. The caller holds h.mu.
func (h *Handler) keepBudget(next map[string]*budget, e *route.Endpoint) {
	if len(e.Fallbacks) == 0 {
		return
	}
	next[e.Name] = h.budgets[e.Name]
	if next[e.Name] == nil {
		next[e.Name] = newBudget()
	}
}

// planFor finds the holder of a version in next, in the published table, or makes one. The caller holds h.mu.
func (h *Handler) planFor(next map[servable.ID]*planHolder, id servable.ID) *planHolder {
	if p := next[id]; p != nil {
		return p
	}
	p := h.plans[id]
	if p == nil {
		p = &planHolder{gate: h.admission.Gate()}
	}
	next[id] = p
	return p
}

func (h *Handler) newArm(e *route.Endpoint, a *route.Arm, plans *planHolder) *armState {
	s := &armState{
		plans:    plans,
		endpoint: headerValue(e.Name),
		version:  strconv.AppendInt(nil, int64(a.Servable.Version), 10),
		arm:      headerValue(a.Name),
		cache:    h.newArmCache(e, a),
	}
	s.outcomes.book = h.deps.Outcomes
	s.outcomes.key = outcome.Key{
		Endpoint: e.Name, Model: a.Servable.Model, Version: a.Servable.Version, Stage: a.Stage, Arm: a.Name,
	}
	return s
}

// routedIn says of a series' key whether requests under the table, or on demand, may still be counted there.
func routedIn(t *route.Table, demands map[servable.ID]*demanded) func(outcome.Key) bool {
	type target struct {
		endpoint string
		id       servable.ID
	}
	routed := make(map[target]bool)
	for i := range t.Endpoints() {
		e := &t.Endpoints()[i]
		for j := range e.Arms {
			id := e.Arms[j].Servable
			routed[target{e.Name, servable.ID{Model: id.Model, Version: id.Version}}] = true // windows know versions, not forms
		}
	}
	for id, d := range demands {
		routed[target{d.endpoint.Name, id}] = true
	}
	return func(k outcome.Key) bool {
		if k.Model == "" {
			return k.Endpoint == UnknownEndpoint || t.Endpoint(k.Endpoint) != nil
		}
		return routed[target{k.Endpoint, servable.ID{Model: k.Model, Version: k.Version}}]
	}
}

// headerValue percent-encodes a name unless it is printable ASCII, so that no name can end a header line.
func headerValue(name string) []byte {
	for i := range len(name) {
		if name[i] < ' ' || name[i] > '~' || name[i] == '%' {
			return []byte(url.PathEscape(name))
		}
	}
	return []byte(name)
}
