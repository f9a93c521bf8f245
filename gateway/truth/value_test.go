package truth

import (
	"encoding/json"
	"testing"

	"sluice/gateway"
)

func value(t *testing.T, text string) Value {
	t.Helper()
	v, ok := ParseValue(json.RawMessage(text))
	if !ok {
		t.Fatalf("%s is no value", text)
	}
	return v
}

func TestParseValue(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Value{
		`1`: {Kind: Whole, Number: 1}, `-0.50`: {Kind: Number, Number: -0.5}, `1e3`: {Kind: Number, Number: 1000}, `true`: {Kind: Bool, Number: 1},
		`false`: {Kind: Bool}, `"Ünï"`: {Kind: Text, Text: "Ünï"}, ` "a" `: {Kind: Text, Text: "a"},
	} {
		if got, ok := ParseValue(json.RawMessage(text)); !ok || got != want {
			t.Errorf("%s: got %+v %v, want %+v", text, got, ok, want)
		}
	}
	for _, text := range []string{``, `null`, `[1]`, `{}`, `1e999`, `tru`, `"`, `NaN`} {
		if got, ok := ParseValue(json.RawMessage(text)); ok {
			t.Errorf("%s: got %+v", text, got)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name              string
		settings          gateway.GroundTruth
		predicted, actual string
		want              Judgement
		fails             bool
	}{
		{name: "classes", predicted: `"a"`, actual: `"b"`, want: Judgement{Judged: true, Wrong: true, Predicted: "a", Actual: "b"}},
		{name: "whole numbers are classes", predicted: `1`, actual: `1`, want: Judgement{Judged: true, Predicted: "1", Actual: "1"}},
		{name: "truth values", predicted: `true`, actual: `true`, want: Judgement{Judged: true, Predicted: "true", Actual: "true"}},
		{name: "a truth value for 0 and 1", predicted: `1`, actual: `true`, want: Judgement{Judged: true, Predicted: "1", Actual: "1"}},
		{name: "numbers", predicted: `2.5`, actual: `2`, want: Judgement{Measured: true, Error: 0.5}},
		{name: "a float that is whole", predicted: `3.0`, actual: `3`, want: Judgement{Measured: true}},
		{name: "whole numbers that are measured", settings: gateway.GroundTruth{Task: gateway.TaskRegression}, predicted: `3`, actual: `5`, want: Judgement{Measured: true, Error: -2}},
		{name: "floats that are classes", settings: gateway.GroundTruth{Task: gateway.TaskClassification}, predicted: `3.0`, actual: `3`, want: Judgement{Judged: true, Predicted: "3", Actual: "3"}},
		{name: "within the tolerance", settings: gateway.GroundTruth{Tolerance: 0.5}, predicted: `2.5`, actual: `2`, want: Judgement{Judged: true, Measured: true, Error: 0.5}},
		{name: "beyond the tolerance", settings: gateway.GroundTruth{Tolerance: 0.4}, predicted: `1.5`, actual: `2`, want: Judgement{Judged: true, Wrong: true, Measured: true, Error: -0.5}},
		{name: "a text for a number", predicted: `1`, actual: `"1"`, fails: true},
		{name: "a text that should be measured", settings: gateway.GroundTruth{Task: gateway.TaskRegression}, predicted: `"a"`, actual: `1`, fails: true},
		{name: "no prediction", settings: gateway.GroundTruth{Task: gateway.TaskRegression}, predicted: `true`, actual: `"x"`, fails: true},
	} {
		got, err := Judge(c.settings, value(t, c.predicted), value(t, c.actual))
		if (err != nil) != c.fails || got != c.want {
			t.Errorf("%s: got %+v %v, want %+v", c.name, got, err, c.want)
		}
	}
}
