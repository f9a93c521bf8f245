package rest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"sluice/tracking/wire"
)

// sameByTags holds what ReadJSON makes of a list against what the tags make of it, and reports whether it read the list.
func sameByTags(t *testing.T, list string) bool {
	t.Helper()
	var quick metricList
	n, values, ok := quick.ReadJSON([]byte(list + "}"))
	if !ok {
		return false
	}
	var tagged struct {
		Metrics []metricRequest `json:"metrics"`
	}
	if err := wire.Decode([]byte(`{"metrics":`+list[:n]+"}"), &tagged); err != nil {
		t.Errorf("%s is read, but the tags say: %v", list[:n], err)
	}
	if !reflect.DeepEqual([]metricRequest(quick), tagged.Metrics) {
		t.Errorf("%s\ngot  %+v\nwant %+v", list[:n], quick, tagged.Metrics)
	}
	if want := countValues(t, list[:n]); values != want {
		t.Errorf("%s: %d values, want %d", list[:n], values, want)
	}
	return true
}

// countValues counts names, scalars and containers of a document.
func countValues(t *testing.T, document string) int {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(document), &v); err != nil {
		t.Fatalf("%s: %v", document, err)
	}
	var count func(v any) int
	count = func(v any) int {
		n := 1
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				n += count(item)
			}
		case map[string]any:
			for _, item := range v {
				n += 1 + count(item)
			}
		}
		return n
	}
	return count(v)
}

func TestMetricsAreReadAsByTheirTags(t *testing.T) {
	t.Parallel()
	usual := []string{
		`[]`, ` [ ] `,
		`[{"key":"loss","value":0.25,"timestamp":1700000000000,"step":3}]`,
		"[\n  {\n    \"key\": \"loss\",\n    \"value\": 1e-3,\n    \"timestamp\": 1\n  },\r\t{\"step\":-9223372036854775808,\"timestamp\":9223372036854775807,\"value\":-0,\"key\":\"a b/c.d\"}\n]",
		`[{"key":"k","value":5,"timestamp":0,"step":0,"model_id":"m-1","dataset_name":"d","dataset_digest":"x"},{"key":"k","value":1.7976931348623157e308,"timestamp":1}]`,
	}
	for _, list := range usual {
		if !sameByTags(t, list) {
			t.Errorf("%s is not read", list)
		}
	}
	unusual := []string{
		``, `{}`, `null`, `[`, `[{}]`, `[null]`, `[1]`, `[{"key":"k"`, `[{"key":"k","value":1,"timestamp":1}`, `[{"key":"k","value":1,"timestamp":1},]`, `[,]`,
		`[{"key":"k","value":1}]`, `[{"value":1,"timestamp":1}]`, `[{"key":"","value":1,"timestamp":1}]`, `[{"key":null,"value":1,"timestamp":1}]`,
		`[{"key":"k","value":"NaN","timestamp":1}]`, `[{"key":"k","value":NaN,"timestamp":1}]`, `[{"key":"k","value":1e999,"timestamp":1}]`, `[{"key":"k","value":1,"timestamp":"1"}]`,
		`[{"key":"k","value":1,"timestamp":1.0}]`, `[{"key":"k","value":1,"timestamp":9223372036854775808}]`, `[{"key":"k","value":01,"timestamp":1}]`, `[{"key":"k","value":.5,"timestamp":1}]`,
		`[{"key":"k","value":5.,"timestamp":1}]`, `[{"key":"k","value":+5,"timestamp":1}]`, `[{"key":"k","value":0x1p3,"timestamp":1}]`, `[{"key":"k","value":1_0,"timestamp":1}]`, `[{"key":"k","value":1e,"timestamp":1}]`,
		`[{"key":"\u006b","value":1,"timestamp":1}]`, `[{"key":"ä","value":1,"timestamp":1}]`, "[{\"key\":\"k\nl\",\"value\":1,\"timestamp\":1}]",
		`[{"key":"k","value":1,"timestamp":1,"key":"l"}]`, `[{"key":"k","value":1,"timestamp":1,"other":1}]`, `[{"key":"k","value":1,"timestamp":1,"modelId":"m"}]`, `[{"key":"k","value":1,"timestamp":1,"model_id":null}]`,
		`[{"key":"k" "value":1,"timestamp":1}]`, `[{"key":"k","value":1,"timestamp":1} {"key":"k","value":1,"timestamp":1}]`,
	}
	for _, list := range unusual {
		if sameByTags(t, list) {
			t.Errorf("%s is read", list)
		}
	}
}

// FuzzReadMetrics: whatever is read at all is read as by the tags.
func FuzzReadMetrics(f *testing.F) {
	f.Add(`[{"key":"loss","value":0.25,"timestamp":1700000000000,"step":3},{"key":"k","value":-1e5,"timestamp":1,"model_id":"m"}]`)
	f.Add(`[ {"timestamp" : 1 , "value" : 1.5, "key" : "a"} ] trailing`)
	f.Fuzz(func(t *testing.T, list string) {
		if len(list) < 1<<14 {
			sameByTags(t, list)
		}
	})
}

func BenchmarkReadMetrics(b *testing.B) {
	var s strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&s, `,{"key":"loss","value":%v,"timestamp":%d,"step":%d}`, float64(i)/1000, 1700000000000+i, i)
	}
	body := []byte(`{"run_id":"r","metrics":[` + s.String()[1:] + `]}`)
	b.Run("shortcut", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			var q logBatchRequest
			if err := wire.Decode(body, &q); err != nil || len(q.Metrics) != 1000 {
				b.Fatal(err)
			}
		}
	})
	b.Run("by tags", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			var q struct {
				Metrics []metricRequest `json:"metrics"`
			}
			if err := wire.Decode(body, &q); err != nil || len(q.Metrics) != 1000 {
				b.Fatal(err)
			}
		}
	})
}
