// Package semconv translates what other instruments say of a span into MLflow's attributes.
//
// It owns the table of conventions (OpenInference, OpenTelemetry's GenAI, Traceloop and others), and what MLflow makes of them when it
// stores a span: its type, inputs, outputs, tokens, tools, model and provider. It is called by otlp, which reads the spans; it must
// not know HTTP, encodings or stores. Everything here is pure and safe for concurrent use.
//
// Left out, other than in MLflow: what frameworks put into events instead of attributes, the chat formats of the web UI, and the
// cost, which takes a price list.
package semconv

import (
	"encoding/json"
	"strconv"
	"strings"

	"sluice/tracking"
	"sluice/tracking/pyjson"
)

// Attributes that MLflow's web UI and sums read, next to those that tracking knows (source: SpanAttributeKey in
// mlflow/tracing/constant.py, MLflow 3.17).
const toolsKey = "mlflow.chat.tools"

// unknown is the type of a span of which nobody said one.
const unknown = "UNKNOWN"

// Translate returns the attributes with MLflow's own added where a convention tells them and the span itself does not (source:
// translate_span_when_storing in mlflow/tracing/otel/translation). Values are JSON; list may be changed.
func Translate(list []tracking.SpanAttribute) []tracking.SpanAttribute {
	s := span{list: list, at: make(map[string]string, len(list))}
	for _, a := range list {
		s.at[a.Key] = a.Value
	}
	if kind := s.kind(); kind != "" && (s.at[tracking.SpanTypeKey] == "" || textOf(s.at[tracking.SpanTypeKey]) == unknown) {
		s.set(tracking.SpanTypeKey, pyjson.Text(kind))
	}
	s.add(tracking.SpanInputsKey, s.first(func(c *convention) []string { return c.inputs }))
	s.add(tracking.SpanOutputsKey, s.first(func(c *convention) []string { return c.outputs }))
	s.add(tracking.SpanTokensKey, s.tokens())
	s.add(toolsKey, s.first(func(c *convention) []string { return c.tools }))
	s.add(tracking.SpanModelKey, s.model())
	s.add(tracking.SpanProviderKey, s.first(func(c *convention) []string { return []string{c.provider} }))
	return s.list
}

// span is a list of attributes on its way.
type span struct {
	list []tracking.SpanAttribute
	at   map[string]string
}

// add sets an attribute that is not there yet; "" adds nothing.
func (s *span) add(key, value string) {
	if _, ok := s.at[key]; !ok && value != "" {
		s.set(key, value)
	}
}

func (s *span) set(key, value string) {
	_, known := s.at[key]
	s.at[key] = value
	if !known {
		s.list = append(s.list, tracking.SpanAttribute{Key: key, Value: value})
		return
	}
	for i := range s.list {
		if s.list[i].Key == key {
			s.list[i].Value = value
		}
	}
}

// kind returns the type of span that the first convention with one for it tells, "" if none does.
func (s *span) kind() string {
	for i := range conventions {
		c := &conventions[i]
		if t := c.types[textOf(s.at[c.kind])]; c.kind != "" && t != "" {
			return t
		}
	}
	return ""
}

// first returns the first value that says something, convention by convention.
func (s *span) first(keys func(*convention) []string) string {
	for i := range conventions {
		for _, key := range keys(&conventions[i]) {
			if v := s.value(key); v != "" {
				return v
			}
		}
	}
	return ""
}

// value returns the value of an attribute, "" if it says nothing; a "#" in key stands for any number.
func (s *span) value(key string) string {
	if key == "" {
		return ""
	}
	if !strings.Contains(key, "#") {
		return meaning(s.at[key])
	}
	for _, a := range s.list {
		if numbered(a.Key, key) {
			if v := meaning(a.Value); v != "" {
				return v
			}
		}
	}
	return ""
}

// numbered says whether the key is the pattern with numbers in it.
func numbered(key, pattern string) bool {
	have, want := strings.Split(key, "."), strings.Split(pattern, ".")
	if len(have) != len(want) {
		return false
	}
	for i, w := range want {
		if w == "#" && strings.Trim(have[i], "0123456789") == "" && have[i] != "" {
			continue
		}
		if w != have[i] {
			return false
		}
	}
	return true
}

// meaning returns a JSON value, "" for one that Python takes for false.
func meaning(raw string) string {
	switch strings.TrimSpace(raw) {
	case "", `""`, "null", "false", "[]", "{}":
		return ""
	}
	if n, err := strconv.ParseFloat(raw, 64); err == nil && n == 0 {
		return ""
	}
	return raw
}

// textOf returns a JSON text unquoted, anything else as it is.
func textOf(raw string) string {
	var text string
	if json.Unmarshal([]byte(raw), &text) == nil {
		return text
	}
	return raw
}

// tokens returns the JSON of what the first convention that counts tokens tells; a missing total is the sum of the others.
func (s *span) tokens() string {
	for i := range conventions {
		c := &conventions[i]
		counts := map[string]int64{}
		for j, keys := range [...][]string{{c.inputTokens}, {c.outputTokens}, {c.totalTokens}, {c.cacheRead}, c.cacheWrite} {
			if n, ok := s.count(keys); ok {
				counts[tracking.TokenKeys[j]] = n
			}
		}
		input, hasInput := counts[tracking.TokenKeys[0]]
		output, hasOutput := counts[tracking.TokenKeys[1]]
		_, hasTotal := counts[tracking.TokenKeys[2]]
		if !hasTotal && hasInput && hasOutput {
			counts[tracking.TokenKeys[2]] = input + output
		}
		if hasInput || hasOutput || hasTotal {
			return countsJSON(counts)
		}
	}
	return ""
}

// count reads a whole number, which some instruments write as a text.
func (s *span) count(keys []string) (int64, bool) {
	for _, key := range keys {
		if raw, ok := s.at[key]; ok && key != "" {
			n, err := strconv.ParseInt(textOf(raw), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

func countsJSON(counts map[string]int64) string {
	var b []byte
	for _, key := range tracking.TokenKeys {
		if n, ok := counts[key]; ok {
			if len(b) > 0 {
				b = append(b, ", "...)
			}
			b = strconv.AppendInt(append(pyjson.AppendText(b, key), ": "...), n, 10)
		}
	}
	return "{" + string(b) + "}"
}

// model returns the name of the model, else the "model" of inputs or outputs that are objects.
func (s *span) model() string {
	if v := s.first(func(c *convention) []string { return c.models }); v != "" {
		return v
	}
	for _, key := range []string{tracking.SpanInputsKey, tracking.SpanOutputsKey} {
		var object struct {
			Model json.RawMessage `json:"model"`
		}
		var name string
		if json.Unmarshal([]byte(s.at[key]), &object) == nil && json.Unmarshal(object.Model, &name) == nil && name != "" {
			return pyjson.Text(name)
		}
	}
	return ""
}
