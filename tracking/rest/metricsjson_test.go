package rest

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"

	"sluice/tracking/wire"
)

// TestMetricsEncodeAsTheirTagsSay: the encoder that appends and the one that reflects write the same bytes.
func TestMetricsEncodeAsTheirTagsSay(t *testing.T) {
	t.Parallel()
	list := []metricJSON{
		{Key: "a", Value: 1, TimestampMS: 1, Step: -2}, {Key: "a", Value: wire.Float(math.NaN())}, {Key: "", Value: wire.Float(math.Inf(-1))},
		{Key: "ä\"<\n\u2028&>\xff", Value: 1e-7, TimestampMS: math.MaxInt64, Step: math.MinInt64, DatasetName: "d<", DatasetDigest: "\\", ModelID: "m", RunID: "r"},
		{Key: "b", Value: 0.1, RunID: "x"},
	}
	encode := func(v any) string {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for n := range len(list) + 1 {
		for _, token := range []string{"", "t<"} {
			answer := metricsAnswer{Metrics: list[:n], NextPageToken: token}
			got, err := answer.AppendJSON(nil)
			if want := encode(answer); err != nil || string(got)+"\n" != want {
				t.Errorf("got  %s, %v\nwant %s", got, err, want)
			}
		}
	}
}

func BenchmarkEncodeMetrics(b *testing.B) {
	list := make([]metricJSON, 25_000)
	for i := range list {
		list[i] = metricJSON{Key: "loss", Value: wire.Float(i) / 1000, TimestampMS: 1_700_000_000_000 + int64(i), Step: int64(i)}
	}
	answer := metricsAnswer{Metrics: list}
	for name, encode := range map[string]func() error{
		"appending":  func() error { _, err := answer.AppendJSON(nil); return err },
		"reflecting": func() error { return json.NewEncoder(&bytes.Buffer{}).Encode(answer) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := encode(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
