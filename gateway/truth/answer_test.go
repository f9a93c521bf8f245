package truth

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, output, body string
		want               []string // JSON; "" is None
	}{
		{name: "values", body: `{"predictions": [1, 2.5, "a", true, null]}`, want: []string{"1", "2.5", `"a"`, "true", ""}},
		{name: "records, the first field", body: `{"predictions": [{"label": 2, "p": [0.1]}, {"label": 0}]}`, want: []string{"2", "0"}},
		{name: "records, a field", output: "p", body: `{"predictions": [{"label": 2, "p": [0.25, 1]}, {"label": 0}]}`, want: []string{"0.25", ""}},
		{name: "lists", body: `{"predictions": [[3.5], [[4.5, 1]], []]}`, want: []string{"3.5", "4.5", ""}},
		{name: "fields of lists", output: "label", body: `{"predictions": {"p": [[1, 0]], "label": [7, 8]}}`, want: []string{"7", "8"}},
		{name: "the first field of lists", body: `{"predictions": {"label": [7, 8]}}`, want: []string{"7", "8"}},
		{name: "a single value", body: `{"predictions": 3}`, want: []string{"3"}},
		{name: "inference protocol", body: `{"outputs": [{"name": "a", "shape": [2, 1], "data": [1, 2]}]}`, want: []string{"1", "2"}},
		{name: "inference protocol, wide", output: "b", body: `{"outputs": [{"name": "a", "shape": [1], "data": [1]}, {"name": "b", "shape": [2, 2], "data": [1, 2, 3, 4]}]}`, want: []string{"1", "3"}},
		{name: "an error", body: `{"error_code": "BAD_REQUEST"}`},
		{name: "not JSON", body: `{`},
		{name: "a field that is not there", output: "x", body: `{"predictions": {"label": [7, 8]}}`},
	} {
		var got []string
		for _, v := range Answers("application/json", []byte(c.body), c.output) {
			text := ""
			if v.Kind != None {
				text = v.JSON()
			}
			got = append(got, text)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	if got := Answers("application/vnd.apache.arrow.stream", []byte(`{"predictions": [1]}`), ""); got != nil {
		t.Errorf("another media type: got %v", got)
	}
}

func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{`{"predictions": [1, {"a": [2]}]}`, `{"predictions": {"a": [1]}}`, `{"outputs": [{"shape": [9223372036854775807], "data": [1]}]}`, `{"outputs": [{"shape": [-1, 2], "data": []}]}`} {
		f.Add([]byte(seed), "a")
	}
	f.Fuzz(func(t *testing.T, body []byte, output string) {
		for _, v := range Answers("application/json", body, output) {
			if v.Kind == None {
				continue
			}
			if back, ok := ParseValue(json.RawMessage(v.JSON())); !ok || back.Number != v.Number || back.Text != v.Text {
				t.Errorf("%+v came back as %+v", v, back)
			}
		}
	})
}
