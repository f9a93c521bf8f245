package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"sluice/tracking/mlflow"
)

// object reads a JSON object field by field and then refuses what nobody asked for. The first error stays; check it with done.
type object struct {
	path   string // "" or for example "served_entities[0]."
	fields map[string]json.RawMessage
	err    error
}

// parseObject reads raw; path, ending in ".", names it in messages.
func parseObject(path string, raw []byte) *object {
	o := &object{path: path}
	if err := json.Unmarshal(raw, &o.fields); err != nil || o.fields == nil {
		o.err = mlflow.Invalidf("%s is not a JSON object", o.name(""))
	} else if field, twice := repeated(raw); twice {
		o.err = mlflow.Invalidf("%s stands there twice", clip(o.name(field)))
	}
	return o
}

// repeated finds the first field that the object, which is valid, has more than once: readers of JSON do not agree on which one counts.
func repeated(raw []byte) (string, bool) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if _, err := d.Token(); err != nil {
		return "", false
	}
	seen := map[string]bool{}
	for d.More() {
		key, err := d.Token()
		field, _ := key.(string)
		if err != nil || seen[field] {
			return field, err == nil
		}
		seen[field] = true
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return "", false
		}
	}
	return "", false
}

// name is the full name of a field; "" is the object itself.
func (o *object) name(field string) string {
	if field == "" && o.path == "" {
		return "the request body"
	}
	if field == "" {
		return strings.TrimSuffix(o.path, ".")
	}
	return o.path + field
}

func (o *object) fail(field, format string, args ...any) {
	if o.err == nil {
		o.err = mlflow.Invalidf("%s %s", o.name(field), fmt.Sprintf(format, args...))
	}
}

// take returns the raw field and strikes it off; nil if it is absent or null.
func (o *object) take(field string) json.RawMessage {
	raw := o.fields[field]
	delete(o.fields, field)
	if bytes.Equal(bytes.TrimSpace(raw), []byte("null")) {
		return nil
	}
	return raw
}

// text returns a string field; "" if it is absent.
func (o *object) text(field string) string {
	var s string
	if raw := o.take(field); raw != nil && json.Unmarshal(raw, &s) != nil {
		o.fail(field, "is not a string")
	}
	return s
}

// textOrNumber returns a string field, or the digits of a number.
func (o *object) textOrNumber(field string) string {
	raw := o.take(field)
	if len(raw) == 0 {
		return ""
	}
	var s string
	var n json.Number
	switch {
	case json.Unmarshal(raw, &s) == nil:
		return s
	case raw[0] != '"' && json.Unmarshal(raw, &n) == nil:
		return n.String()
	}
	o.fail(field, "is neither a string nor a number")
	return ""
}

// flag returns a boolean field; false if it is absent.
func (o *object) flag(field string) bool {
	var b bool
	if raw := o.take(field); raw != nil && json.Unmarshal(raw, &b) != nil {
		o.fail(field, "is not true or false")
	}
	return b
}

// whole returns an integer field; 0 if it is absent.
func (o *object) whole(field string) int64 {
	var n int64
	if raw := o.take(field); raw != nil && json.Unmarshal(raw, &n) != nil {
		o.fail(field, "is not a whole number")
	}
	return n
}

// list returns the elements of an array field and whether it is there; at most max.
func (o *object) list(field string, max int) ([]json.RawMessage, bool) {
	raw := o.take(field)
	if raw == nil {
		return nil, false
	}
	return o.elements(field, raw, max), true
}

// elements returns the elements of the array that a field holds; at most max.
func (o *object) elements(field string, raw json.RawMessage, max int) []json.RawMessage {
	var out []json.RawMessage
	if json.Unmarshal(raw, &out) != nil {
		o.fail(field, "is not a list")
	}
	if len(out) > max {
		o.fail(field, "has %d elements, more than %d", len(out), max)
		return nil
	}
	return out
}

// ignore strikes off fields of our own answers that say what is.
func (o *object) ignore(fields ...string) {
	for _, f := range fields {
		delete(o.fields, f)
	}
}

// refuse fails if a field is there, unless it asks for nothing: null, false, {} or [].
func (o *object) refuse(field, why string) {
	raw := o.take(field)
	if raw == nil {
		return
	}
	var compact bytes.Buffer
	if json.Compact(&compact, raw) == nil && slices.Contains([]string{"false", "{}", "[]"}, compact.String()) {
		return
	}
	o.fail(field, "is not supported here: %s", why)
}

// done returns the first error, or refuses the first field (by name) that was not asked for.
func (o *object) done() error {
	if o.err != nil {
		return o.err
	}
	names := make([]string, 0, len(o.fields))
	for f := range o.fields {
		names = append(names, f)
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return mlflow.Invalidf("unknown field %s", clip(o.name(names[0])))
}

// clip bounds what a message repeats.
func clip(s string) string {
	const most = 200
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
