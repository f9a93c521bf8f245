package plan

import (
	"reflect"

	"sluice/gateway"
	"sluice/gateway/payload"
	"sluice/gateway/route"
)

// addSettings gives an entry of the table what the configuration says beside arms and weights.
func addSettings(entry *route.Endpoint, c *gateway.Config) {
	entry.Salt = c.Sticky.Salt
	entry.Sticky = part(c.Sticky.Source, c.Sticky.Name)
	for _, r := range c.Rules {
		rule := route.Rule{Name: r.Name, Arm: c.RuleArm(r), Permission: r.Permission}
		for _, w := range r.When {
			rule.When = append(rule.When, route.Condition{Part: part(w.Source, w.Name), Values: w.Values})
		}
		entry.Rules = append(entry.Rules, rule)
	}
	for _, s := range c.Shadows {
		entry.Shadows = append(entry.Shadows, route.Shadow{Arm: s.Arm, Share: int(s.Share)})
	}
	addFallbacks(entry, c)
	for _, r := range c.Redaction {
		entry.Redaction = append(entry.Redaction, route.Redaction(r))
	}
	entry.SamplingFraction = c.SamplingFraction
	for _, l := range c.RateLimits {
		entry.Limits = append(entry.Limits, route.Limit{PerMinute: l.Calls, ByUser: l.ByUser})
	}
	if k := c.Cache; k.On() {
		entry.Cache = &route.Cache{Store: string(k.Store), TTL: k.TTL, MaxEntryBytes: int(k.MaxEntry)}
	}
}

// addFallbacks says of each arm who answers in its place. What keeps an earlier version falls back on a constant alone, so that no circle can
// come about.
func addFallbacks(entry *route.Endpoint, c *gateway.Config) {
	add := func(from, previous string, f gateway.Fallback) {
		out := route.Fallback{From: from, Instead: f.Arm, Answer: f.Answer, Timeout: f.Timeout}
		for _, cause := range f.On {
			out.On |= causes[cause]
		}
		if f.InferAnswer != "" {
			out.Infer, _ = payload.InferConstant([]byte(f.InferAnswer)) // checked when it was configured
		}
		if f.Previous {
			out.Instead = previous
		}
		entry.Fallbacks = append(entry.Fallbacks, out)
	}
	for _, e := range c.ServedEntities {
		f, ok := c.FallbackOf(e.Name)
		if ok && (!f.Previous || e.Target.Version == 0) {
			add(e.Name, gateway.PreviousArm(e.Name), f)
		}
	}
	for _, f := range c.Fallbacks {
		if f.From != "" || f.Previous {
			continue
		}
		add("", "", f)
		for _, e := range c.ServedEntities {
			if f.Constant() && c.KeepsPrevious(e) {
				add(gateway.PreviousArm(e.Name), "", f)
			}
		}
	}
}

var causes = map[gateway.Cause]route.Causes{
	gateway.CauseBreaker: route.Breaker, gateway.CauseError: route.Failure, gateway.CauseTimeout: route.Timeout, gateway.CauseOverload: route.Overload,
}

// sameSettings says whether two entries would route in the same way, their arms aside.
func sameSettings(a, b *route.Endpoint) bool {
	return a.Salt == b.Salt && reflect.DeepEqual(a.Sticky, b.Sticky) && reflect.DeepEqual(a.Rules, b.Rules) &&
		reflect.DeepEqual(a.Fallbacks, b.Fallbacks) &&
		reflect.DeepEqual(a.Shadows, b.Shadows) && reflect.DeepEqual(a.Limits, b.Limits) &&
		reflect.DeepEqual(a.Redaction, b.Redaction) && reflect.DeepEqual(a.Cache, b.Cache) &&
		a.SamplingFraction == b.SamplingFraction
}

var sources = map[gateway.Source]route.Source{
	gateway.FromHeader: route.Header, gateway.FromCookie: route.Cookie, gateway.FromQuery: route.Query, gateway.FromField: route.Field,
}

// part is a place in a request as the table names it.
func part(source gateway.Source, name string) route.Part {
	if source == gateway.FromField {
		tokens, _ := gateway.PointerTokens(name) // checked when it was configured
		return route.Part{Source: route.Field, Tokens: tokens}
	}
	p := route.Part{Source: sources[source]}
	if p.Source != route.None {
		p.Name = name
	}
	return p
}
