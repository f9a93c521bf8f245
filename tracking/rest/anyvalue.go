package rest

import (
	"encoding/json"
	"strings"
)

// anyValue is OpenTelemetry's message AnyValue of an attribute's JSON, with the fields of objects in their own order, as their
// writer's clients show them; what is no JSON is a text.
func anyValue(raw string) map[string]any {
	if !json.Valid([]byte(raw)) { // also bounds the depth
		return map[string]any{"string_value": raw}
	}
	d := json.NewDecoder(strings.NewReader(raw))
	d.UseNumber()
	return nextValue(d)
}

// nextValue reads one value of valid JSON.
func nextValue(d *json.Decoder) map[string]any {
	token, _ := d.Token()
	switch v := token.(type) {
	case string:
		return map[string]any{"string_value": v}
	case bool:
		return map[string]any{"bool_value": v}
	case json.Number:
		return numberValue(v)
	case json.Delim:
		if v == '[' {
			return map[string]any{"array_value": map[string]any{"values": nextItems(d)}}
		}
		return map[string]any{"kvlist_value": map[string]any{"values": nextFields(d)}}
	}
	return map[string]any{}
}

func nextItems(d *json.Decoder) []any {
	values := []any{}
	for d.More() {
		values = append(values, nextValue(d))
	}
	_, _ = d.Token()
	return values
}

// nextFields reads an object's fields; of two of one name the place is the first one's and the value the last one's, as in Python.
func nextFields(d *json.Decoder) []attributeJSON {
	values, places := []attributeJSON{}, map[string]int{}
	for d.More() {
		token, _ := d.Token()
		key, _ := token.(string)
		value := nextValue(d)
		if at, ok := places[key]; ok {
			values[at].Value = value
			continue
		}
		places[key] = len(values)
		values = append(values, attributeJSON{key, value})
	}
	_, _ = d.Token()
	return values
}

func numberValue(n json.Number) map[string]any {
	if i, err := n.Int64(); err == nil {
		return map[string]any{"int_value": i}
	}
	f, _ := n.Float64() // beyond the range it is an infinity, which is told below
	if text := n.String(); f > maxFinite || f < -maxFinite {
		return map[string]any{"string_value": text}
	}
	return map[string]any{"double_value": f}
}

const maxFinite = 1.7976931348623157e308
