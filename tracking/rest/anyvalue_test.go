package rest

import (
	"encoding/json"
	"strings"
	"testing"

	"sluice/tracking"
)

func TestAnyValues(t *testing.T) {
	deep := strings.Repeat("[", 20000) + strings.Repeat("]", 20000)
	for raw, want := range map[string]string{
		`"text"`:                    `{"string_value":"text"}`,
		`true`:                      `{"bool_value":true}`,
		`null`:                      `{}`,
		`9223372036854775807`:       `{"int_value":9223372036854775807}`,
		`9223372036854775808`:       `{"double_value":9223372036854776000}`,
		`1.5`:                       `{"double_value":1.5}`,
		`1e999`:                     `{"string_value":"1e999"}`,
		`[]`:                        `{"array_value":{"values":[]}}`,
		`{}`:                        `{"kvlist_value":{"values":[]}}`,
		`{"z":[1,"a"],"a":{"b":2}}`: `{"kvlist_value":{"values":[{"key":"z","value":{"array_value":{"values":[{"int_value":1},{"string_value":"a"}]}}},{"key":"a","value":{"kvlist_value":{"values":[{"key":"b","value":{"int_value":2}}]}}}]}}`,
		`{"b":1,"a":2,"b":3}`:       `{"kvlist_value":{"values":[{"key":"b","value":{"int_value":3}},{"key":"a","value":{"int_value":2}}]}}`,
		`{"a":null}`:                `{"kvlist_value":{"values":[{"key":"a"}]}}`,
		`no JSON`:                   `{"string_value":"no JSON"}`,
		`1 2`:                       `{"string_value":"1 2"}`,
		``:                          `{"string_value":""}`,
		deep:                        `{"string_value":"` + deep + `"}`,
	} {
		got, err := json.Marshal(anyValue(raw))
		if err != nil || string(got) != want {
			t.Errorf("%.80s: got %.300s, %v; want %.300s", raw, got, err, want)
		}
	}
}

// A status that nobody set is left out, as protobuf leaves out what is zero.
func TestSpanStatusOnTheWire(t *testing.T) {
	for status, want := range map[tracking.SpanStatus]string{
		tracking.SpanUnset: `{}`, "": `{}`, tracking.SpanOK: `{"code":"STATUS_CODE_OK"}`, tracking.SpanError: `{"code":"STATUS_CODE_ERROR"}`,
	} {
		got, err := json.Marshal(fromSpan(tracking.Span{Status: status}).Status)
		if err != nil || string(got) != want {
			t.Errorf("%q: got %s, %v; want %s", status, got, err, want)
		}
	}
}
