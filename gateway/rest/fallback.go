package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"sluice/gateway"
	"sluice/gateway/payload"
)

// fallbackAnswer is {"from", "on": [...], "served_entity_name" | "previous_version" | "answer" and/or "inference_answer", "timeout_ms"}.
type fallbackAnswer struct {
	From      string          `json:"from,omitempty"`
	On        []gateway.Cause `json:"on"`
	Arm       string          `json:"served_entity_name,omitempty"`
	Previous  bool            `json:"previous_version,omitempty"`
	Answer    json.RawMessage `json:"answer,omitempty"`
	Infer     json.RawMessage `json:"inference_answer,omitempty"`
	TimeoutMS int64           `json:"timeout_ms,omitempty"`
}

func parseFallbacks(parent *object, raw json.RawMessage) func(*gateway.Config) {
	var all []gateway.Fallback
	for i, raw := range parent.elements("fallback", raw, gateway.MaxServedEntities+1) {
		o := parseObject(fmt.Sprintf("%s[%d].", parent.name("fallback"), i), raw)
		all = append(all, parseFallback(o))
		parent.adopt(o.done())
	}
	return func(c *gateway.Config) { c.Fallbacks = all }
}

func parseFallback(o *object) gateway.Fallback {
	f := gateway.Fallback{From: o.text("from"), Arm: o.text("served_entity_name"), Previous: o.flag("previous_version")}
	if raw := o.take("answer"); raw != nil {
		f.Answer = parseAnswer(o, "answer", raw)
	}
	if raw := o.take("inference_answer"); raw != nil {
		f.InferAnswer = parseAnswer(o, "inference_answer", raw)
		if _, err := payload.InferConstant([]byte(f.InferAnswer)); err != nil {
			o.fail("inference_answer", "%s", plain(err))
		}
	}
	if raw := o.fields["timeout_ms"]; raw != nil {
		ms := o.whole("timeout_ms")
		f.Timeout = time.Duration(ms) * time.Millisecond
		if ms < 1 || ms > gateway.MaxFallbackTimeout.Milliseconds() {
			o.fail("timeout_ms", "is not between 1 and %d", gateway.MaxFallbackTimeout.Milliseconds())
		}
	}
	targets := 0
	for _, set := range []bool{f.Arm != "", f.Previous, f.Constant()} {
		if set {
			targets++
		}
	}
	if targets != 1 {
		o.fail("", "needs one of served_entity_name, previous_version and answer (or inference_answer), and not two")
	}
	on, given := o.list("on", len(gateway.Causes))
	for i, raw := range on {
		var cause gateway.Cause
		if json.Unmarshal(raw, &cause) != nil {
			o.fail("on", "[%d] is not a string", i)
		}
		f.On = append(f.On, cause)
	}
	if !given {
		f.On = slices.Clone(gateway.Causes)
		if !f.Constant() && f.Timeout == 0 { // it could not help
			f.On = []gateway.Cause{gateway.CauseBreaker, gateway.CauseError, gateway.CauseOverload}
		}
	}
	return f
}

func parseAnswer(o *object, field string, raw json.RawMessage) string {
	var compact bytes.Buffer
	if json.Compact(&compact, raw) != nil || compact.Len() == 0 || compact.Bytes()[0] != '{' {
		o.fail(field, "is not a JSON object")
	}
	return compact.String()
}

func describeFallbacks(c *gateway.Config, a *settingsAnswer) {
	for _, f := range c.Fallbacks {
		out := fallbackAnswer{From: f.From, On: f.On, Arm: f.Arm, Previous: f.Previous, TimeoutMS: f.Timeout.Milliseconds()}
		if f.Answer != "" {
			out.Answer = json.RawMessage(f.Answer)
		}
		if f.InferAnswer != "" {
			out.Infer = json.RawMessage(f.InferAnswer)
		}
		a.Fallback = append(a.Fallback, out)
	}
}
