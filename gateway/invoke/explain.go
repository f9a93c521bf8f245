package invoke

import (
	"fmt"
	"strings"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway/route"
	"sluice/tracking/wire"
)

// explanation is the answer of explain.
type explanation struct {
	Endpoint  string            `json:"endpoint"`
	Revision  int64             `json:"revision"` // of the routing table
	DecidedBy string            `json:"decided_by"`
	Why       string            `json:"why"`
	Arm       *explainedArm     `json:"served_entity,omitempty"` // absent where chance decides, and where nobody answers
	Bucket    *int              `json:"bucket,omitempty"`
	Sticky    *explainedSticky  `json:"sticky,omitempty"`
	Rules     []explainedRule   `json:"rules,omitempty"`
	Arms      []explainedArm    `json:"arms"`
	Shadows   []explainedShadow `json:"shadows,omitempty"`
	Cache     *explainedCache   `json:"cache,omitempty"`
	Refused   *explainedError   `json:"refused,omitempty"`
}

type explainedArm struct {
	Name       string      `json:"name"`
	Model      string      `json:"entity_name"`
	Version    int         `json:"entity_version"`
	Stage      string      `json:"entity_stage,omitempty"`
	Percentage weightValue `json:"traffic_percentage"`
	Stale      bool        `json:"stale,omitempty"`
	Reason     string      `json:"reason,omitempty"`
	// Fallback is what happens when it does not answer; absent where nothing does.
	Fallback *explainedFallback `json:"fallback,omitempty"`
}

type explainedFallback struct {
	On        []string `json:"on"`
	Arm       string   `json:"served_entity_name,omitempty"`
	Constant  bool     `json:"answer,omitempty"` // a constant answer
	TimeoutMS int64    `json:"timeout_ms,omitempty"`
}

// explainedShadow is an arm that gets copies of a share of the requests.
type explainedShadow struct {
	Name       string      `json:"name"`
	Percentage weightValue `json:"percentage"`
	Copied     *bool       `json:"copied,omitempty"` // whether this request is; absent where chance decides
}

// explainedCache is how answers are remembered.
type explainedCache struct {
	Store    string `json:"store"`
	TTL      string `json:"ttl"`
	Bypassed bool   `json:"bypassed"` // this request asks for an execution
}

func explainCache(k *call, cache *route.Cache) *explainedCache {
	if cache == nil {
		return nil
	}
	return &explainedCache{Store: cache.Store, TTL: cache.TTL.String(), Bypassed: k.asked.cache.noCache || k.asked.cache.noStore}
}

// weightValue is basis points, written as a percentage.
type weightValue int

// MarshalJSON implements json.Marshaler.
func (w weightValue) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "%v", float64(w)/100), nil
}

type explainedSticky struct {
	Key   string `json:"key"` // where it is looked for
	Found bool   `json:"found"`
}

type explainedRule struct {
	Name    string `json:"name"`
	Matches bool   `json:"matches"`
	Why     string `json:"why"`
}

type explainedError struct {
	Status  int    `json:"status"`
	Code    string `json:"error_code"`
	Message string `json:"message"`
}

// explain is GET and POST …/explain: where would this request go, and why. The request is one for a prediction, sent here instead; it is
// neither counted nor logged, and its body is read only where the sticky key stands in it.
func (h *Handler) explain(c *fiber.Ctx) (err error) {
	k := h.begin()
	defer h.release(k)
	h.admission.Begin()
	defer h.admission.End()
	k.asked.read(&c.Request().Header)
	if err = k.asked.once(); err != nil {
		return err
	}
	if k.class, err = k.asked.class(); err != nil {
		return err
	}
	if k.aim.endpoint, err = param(c, "name"); err != nil {
		return err
	}
	k.look = look{k, overHTTP{c}}
	v := h.view.Load()
	x := v.table.Explain(k.aim.endpoint, &k.look, view8(k.asked.stickyKey))
	k.decision = x.Decision
	if x.Decision.Endpoint == nil {
		return h.classify(k, x.Err).Error
	}
	return wire.Send(c, h.tell(k, &x))
}

func (h *Handler) tell(k *call, x *route.Explanation) explanation {
	d := &x.Decision
	out := explanation{Endpoint: d.Endpoint.Name, Revision: d.Revision, Arms: []explainedArm{}, Cache: explainCache(k, d.Endpoint.Cache)}
	for i := range d.Endpoint.Arms {
		out.Arms = append(out.Arms, explainArm(&d.Endpoint.Arms[i]))
	}
	for _, v := range x.Rules {
		out.Rules = append(out.Rules, explainRule(v))
	}
	for i := range d.Endpoint.Shadows {
		s := &d.Endpoint.Shadows[i]
		about := explainedShadow{Name: s.Arm, Percentage: weightValue(s.Share)}
		if copied := d.Shadow(i) != nil; d.Arm != nil && (x.KeyFound || s.Share == 0 || s.Share == route.FullWeight) {
			about.Copied = &copied
		}
		out.Shadows = append(out.Shadows, about)
	}
	if d.Rule == "" {
		out.Sticky = &explainedSticky{Key: stickyPlace(d.Endpoint, x.KeyGiven), Found: x.KeyFound}
	}
	if d.Arm != nil {
		arm := explainArm(d.Arm)
		out.Arm = &arm
	}
	if d.Bucket >= 0 {
		out.Bucket = &d.Bucket
	}
	out.DecidedBy, out.Why = decidedBy(x, out.Sticky)
	if x.Err != nil {
		r := h.classify(k, x.Err)
		out.Refused = &explainedError{r.HTTPStatus(), string(r.Code), r.Message}
		out.Why += "; the request is refused: " + r.Message
	}
	return out
}

// decidedBy names what chose, and says it in a sentence.
func decidedBy(x *route.Explanation, sticky *explainedSticky) (by, why string) {
	d := &x.Decision
	switch {
	case d.Rule != "":
		return "rule", fmt.Sprintf("rule %q is the first that matches", d.Rule)
	case x.Err != nil:
		return "nothing", "nothing was chosen"
	case x.KeyFound:
		return "sticky_key", fmt.Sprintf("no rule matches; the key in %s falls into bucket %d of %d, which belongs to %q", sticky.Key, d.Bucket, route.FullWeight, d.Arm.Name)
	}
	return "weights", fmt.Sprintf("no rule matches and there is no key in %s: each request is drawn anew, by weight", sticky.Key)
}

func explainArm(a *route.Arm) explainedArm {
	return explainedArm{
		Fallback: explainFallback(a.Fallback()),
		Name:     a.Name, Model: a.Servable.Model, Version: a.Servable.Version, Stage: a.Stage,
		Percentage: weightValue(a.Weight), Stale: a.Stale, Reason: a.Reason,
	}
}

func explainFallback(n *route.Next) *explainedFallback {
	if n == nil {
		return nil
	}
	out := &explainedFallback{Constant: n.Arm == nil, TimeoutMS: n.Timeout.Milliseconds()}
	if n.Arm != nil {
		out.Arm = n.Arm.Name
	}
	for _, cause := range []route.Causes{route.Breaker, route.Failure, route.Timeout, route.Overload} {
		if n.On&cause != 0 {
			out.On = append(out.On, cause.String())
		}
	}
	return out
}

func explainRule(v route.Verdict) explainedRule {
	out := explainedRule{Name: v.Rule.Name, Matches: v.Matches}
	if v.Matches {
		out.Why = fmt.Sprintf("every condition holds: it sends the request to %q", v.Rule.Arm)
		return out
	}
	c := &v.Rule.When[v.Failed]
	out.Why = fmt.Sprintf("%s is not %s", place(&c.Part), strings.Join(quoted(c.Values), " or "))
	return out
}

func quoted(values []string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = fmt.Sprintf("%q", v)
	}
	return out
}

// stickyPlace names where the key of a request to the endpoint stands.
func stickyPlace(e *route.Endpoint, given bool) string {
	own := "header " + HeaderStickyKey
	if given || e.Sticky.Source == route.None {
		return own
	}
	return place(&e.Sticky)
}

func place(p *route.Part) string {
	switch p.Source {
	case route.Header:
		return "header " + p.Name
	case route.Cookie:
		return "cookie " + p.Name
	case route.Query:
		return "query parameter " + p.Name
	}
	return "body field /" + strings.Join(p.Tokens, "/")
}
