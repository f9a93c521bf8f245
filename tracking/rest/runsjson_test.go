package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"testing"

	"sluice/tracking"
)

// taggedRun is the message Run as tags, which reflection encodes: what appendRun is held against.
type taggedRun struct {
	Info runInfoJSON `json:"info"`
	Data struct {
		Metrics []metricJSON `json:"metrics,omitempty"`
		Params  []tagJSON    `json:"params,omitempty"`
		Tags    []tagJSON    `json:"tags,omitempty"`
	} `json:"data"`
	Inputs  runInputsJSON   `json:"inputs"`
	Outputs *runOutputsJSON `json:"outputs,omitempty"`
}

func tagged(r tracking.Run) taggedRun {
	t := taggedRun{Info: fromRunInfo(r.Info), Inputs: fromRunInputs(r.Inputs)}
	outputs := fromRunOutputs(r.Outputs)
	t.Outputs = &outputs
	for _, m := range r.Data.Metrics {
		t.Data.Metrics = append(t.Data.Metrics, fromMetric(m))
	}
	t.Data.Params, t.Data.Tags = fromParams(r.Data.Params), fromTags(r.Data.Tags)
	return t
}

// strange is text that JSON writes in another way than it stands.
const strange = "ä\"<\n\u2028&>\\\xff\x00\x7f日"

func someRuns() []tracking.Run {
	full := tracking.Run{
		Info: tracking.RunInfo{ID: "r1", Name: strange, ExperimentID: "7", UserID: strange, Status: tracking.Finished, StartTimeMS: -1, EndTimeMS: math.MaxInt64,
			ArtifactURI: "s3://b/<x>", Lifecycle: tracking.Deleted},
		Data: tracking.RunData{
			Metrics: []tracking.Metric{{Key: strange, Value: math.NaN()}, {Key: "b", Value: 1e22, TimestampMS: 5, Step: math.MinInt64, ModelID: "m-1", DatasetName: strange, DatasetDigest: "d", RunID: "r"}},
			Params:  []tracking.Param{{Key: "p", Value: ""}, {Key: "q", Value: strange}},
			Tags:    []tracking.Tag{{Key: strange, Value: "v"}},
		},
		Inputs: tracking.RunInputs{
			Datasets: []tracking.DatasetInput{{Tags: []tracking.Tag{{Key: "k", Value: strange}}, Dataset: tracking.Dataset{Name: "n", Digest: "<", Profile: strange}}},
			Models:   []tracking.ModelInput{{ModelID: "m-2"}},
		},
		Outputs: []tracking.ModelOutput{{ModelID: "m-3", Step: 4}},
	}
	onlyTags := tracking.Run{Info: tracking.RunInfo{ID: "r2"}, Data: tracking.RunData{Tags: []tracking.Tag{{Key: "a", Value: "b"}}}}
	return []tracking.Run{full, {}, onlyTags}
}

// TestRunsEncodeAsTheirTagsSay: the encoder that appends and the one that reflects write the same bytes.
func TestRunsEncodeAsTheirTagsSay(t *testing.T) {
	t.Parallel()
	reflected := func(v any) string {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
		return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
	}
	same := func(what string, got []byte, err error, want string) {
		t.Helper()
		if err != nil || string(got) != want {
			t.Errorf("%s:\ngot  %s, %v\nwant %s", what, got, err, want)
		}
	}
	runs := someRuns()
	for n := range len(runs) + 1 {
		for _, token := range []string{"", "t<"} {
			var want struct {
				Runs []taggedRun `json:"runs,omitempty"`
				Next string      `json:"next_page_token,omitempty"`
			}
			for _, r := range runs[:n] {
				want.Runs = append(want.Runs, tagged(r))
			}
			want.Next = token
			got, err := runsAnswer{runs[:n], token}.AppendJSON(nil)
			same(fmt.Sprint(n, " runs"), got, err, reflected(want))
		}
	}
	for _, r := range runs {
		want := map[string]any{"run": tagged(r)}
		got, err := runAnswer{run: r}.AppendJSON(nil)
		same("a run", got, err, reflected(want))
		unborn := tagged(r)
		unborn.Outputs = nil
		got, err = runAnswer{run: r, unborn: true}.AppendJSON(nil)
		same("a new run", got, err, reflected(map[string]any{"run": unborn}))
	}
}

// TestHistoriesEncodeAsMetrics: metrics as they are and as messages give the same bytes.
func TestHistoriesEncodeAsMetrics(t *testing.T) {
	t.Parallel()
	metrics := someRuns()[0].Data.Metrics
	for n := range len(metrics) + 1 {
		messages := metricsAnswer{NextPageToken: "t"}
		for _, m := range metrics[:n] {
			messages.Metrics = append(messages.Metrics, fromMetric(m))
		}
		got, err := historyAnswer{metrics[:n], "t"}.AppendJSON(nil)
		want, werr := messages.AppendJSON(nil)
		if err != nil || werr != nil || string(got) != string(want) {
			t.Errorf("got  %s, %v\nwant %s, %v", got, err, want, werr)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add(strange)
	f.Add("plain")
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := appendText(nil, s), appendEscaped(nil, s); string(got) != string(want) {
			t.Errorf("%q: got %s, want %s", s, got, want)
		}
	})
}

func BenchmarkEncodeRuns(b *testing.B) {
	answer := runsAnswer{runs: make([]tracking.Run, 100)}
	for i := range answer.runs {
		r := &answer.runs[i]
		r.Info = tracking.RunInfo{ID: "0123456789abcdef0123456789abcdef", Name: "run", ExperimentID: "1", Status: tracking.Finished, StartTimeMS: 1_700_000_000_000, Lifecycle: tracking.Active}
		for k := range 200 {
			r.Data.Metrics = append(r.Data.Metrics, tracking.Metric{Key: fmt.Sprintf("metric_%03d", k), Value: float64(i*k) / 1e6, TimestampMS: 1_700_000_000_000, Step: int64(k)})
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := answer.AppendJSON(nil); err != nil {
			b.Fatal(err)
		}
	}
}
