package loadtest

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

// dueWithin counts the requests that a pacer has due in each second.
func dueWithin(p Pacer, seconds int) []int {
	out := make([]int, seconds)
	for {
		at := p.Next()
		if at >= time.Duration(seconds)*time.Second {
			return out
		}
		out[int(at/time.Second)]++
	}
}

func TestPacersKeepTheirRates(t *testing.T) {
	near := func(got int, want float64) bool { return math.Abs(float64(got)-want) <= math.Max(2, want*0.03) }
	for name, c := range map[string]struct {
		pacer Pacer
		want  []float64
	}{
		"constant":        {Constant(500), []float64{500, 500, 500}},
		"ramp":            {Ramp(0, 1000, 2*time.Second), []float64{250, 750, 1000}},
		"ramp down":       {Ramp(1000, 0, 2*time.Second), []float64{750, 250, 0}},
		"sine of 2 s":     {Sine(600, 600, 2*time.Second), []float64{600 + 600*2/math.Pi, 600 - 600*2/math.Pi}},
		"slow but steady": {Constant(2), []float64{2, 2, 2, 2}},
	} {
		for i, got := range dueWithin(c.pacer, len(c.want)) {
			if !near(got, c.want[i]) {
				t.Errorf("%s: second %d has %d requests, want about %.0f", name, i, got, c.want[i])
			}
		}
	}
}

func TestPoissonHasExponentialGapsAndRepeats(t *testing.T) {
	a, b := Poisson(1000, 7), Poisson(1000, 7)
	var last time.Duration
	var sum, squares float64
	const n = 50_000
	for range n {
		at := a.Next()
		if again := b.Next(); again != at {
			t.Fatal("equal seeds give different schedules")
		}
		gap := (at - last).Seconds()
		sum, squares, last = sum+gap, squares+gap*gap, at
	}
	mean := sum / n
	variance := squares/n - mean*mean
	if math.Abs(mean*1000-1) > 0.03 || math.Abs(math.Sqrt(variance)/mean-1) > 0.05 {
		t.Errorf("mean gap %.4f ms, coefficient of variation %.3f; want 1 and 1", mean*1000, math.Sqrt(variance)/mean)
	}
}

func TestSeveralRequestsAreSentInTurn(t *testing.T) {
	seen := make(chan string, 10_000)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case seen <- r.Header.Get("X-N"):
		default:
		}
	}))
	defer server.Close()
	requests := []Request{{URL: server.URL, Header: map[string]string{"X-N": "a"}}, {URL: server.URL, Header: map[string]string{"X-N": "b"}}}
	got, err := RunMany(t.Context(), requests, Options{Connections: 1, Duration: 100 * time.Millisecond})
	if err != nil || got.Answered < 4 {
		t.Fatalf("answered %v, %v", got, err)
	}
	if first, second, third := <-seen, <-seen, <-seen; first != "a" || second != "b" || third != "a" {
		t.Errorf("order %s %s %s", first, second, third)
	}
	var answered int64
	for _, s := range got.Seconds {
		answered += s.Answered
	}
	if answered != got.Answered {
		t.Errorf("seconds add up to %d, answered %d", answered, got.Answered)
	}
	if _, err := RunMany(t.Context(), []Request{{URL: server.URL}, {URL: "http://127.0.0.1:1/"}}, Options{Duration: time.Second}); err == nil {
		t.Error("two hosts in one run were accepted")
	}
}

func TestReports(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	got, err := Run(t.Context(), Request{URL: server.URL}, Options{Connections: 2, Duration: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	report := got.Report("load <1>", server.URL)
	var text, page, doc bytes.Buffer
	for _, err := range []error{report.WriteText(&text), report.WriteHTML(&page), report.WriteJSON(&doc)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(text.String(), "p99") || !strings.Contains(text.String(), "200: ") {
		t.Errorf("text report:\n%s", text.String())
	}
	if !strings.Contains(page.String(), "load &lt;1&gt;") || strings.Count(page.String(), "<polyline") != 3 || strings.Contains(page.String(), "src=") {
		t.Errorf("HTML report:\n%s", page.String())
	}
	var back Report
	if err := json.Unmarshal(doc.Bytes(), &back); err != nil || back.Answered != got.Answered || back.Latency["p99"] <= 0 {
		t.Errorf("JSON report %s: %v", doc.String(), err)
	}
}

func TestCompareFindsAServerThatIsSlower(t *testing.T) {
	quick := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer quick.Close()
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(10 * time.Millisecond) }))
	defer slow.Close()
	c, err := Compare(t.Context(), []Request{{URL: quick.URL}}, []Request{{URL: slow.URL}}, 6, func() Options {
		return Options{Connections: 1, Duration: 60 * time.Millisecond}
	})
	if err != nil {
		t.Fatal(err)
	}
	rate := c.Lines()[0]
	if rate.P > 0.05 || rate.B.Center > rate.A.Center || !strings.HasPrefix(rate.Delta, "-") {
		t.Errorf("rate %.0f against %.0f, delta %s, p %.3f", rate.A.Center, rate.B.Center, rate.Delta, rate.P)
	}
	var text bytes.Buffer
	if err := c.WriteText(&text, "quick", "slow"); err != nil || !strings.Contains(text.String(), "quick") {
		t.Errorf("%v\n%s", err, text.String())
	}
}

func TestCapacityStopsWhereTheLimitBreaks(t *testing.T) {
	// One request at a time, 5 ms each: 200 per second is the most that one connection carries.
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(5 * time.Millisecond) }))
	defer server.Close()
	rate, probes, err := Capacity(t.Context(), []Request{{URL: server.URL}}, Limit{P99: 100 * time.Millisecond}, 20,
		Options{Connections: 1, Duration: 400 * time.Millisecond}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if rate <= 0 || rate > 250 || probes[len(probes)-1].Rate > 1000 {
		t.Errorf("capacity %.0f requests/s after %d probes, want at most about 200", rate, len(probes))
	}
	if rate, _, err := Capacity(t.Context(), []Request{{URL: server.URL}}, Limit{P99: time.Microsecond}, 20, Options{Connections: 1, Duration: 100 * time.Millisecond}, nil); err != nil || rate != 0 {
		t.Errorf("a limit that nothing keeps gives %.0f, %v", rate, err)
	}
}

func TestGenerateFollowsTheSignature(t *testing.T) {
	columns := `[{"type":"double","name":"a"},{"type":"long","name":"b"},{"type":"string","name":"c"},{"type":"boolean","name":"d"},{"type":"datetime","name":"e"}]`
	bodies, err := Generate([]byte(columns), 3, 1)
	if err != nil || len(bodies) != 3 || bytes.Equal(bodies[0], bodies[1]) {
		t.Fatalf("%s, %v", bodies, err)
	}
	var frame struct {
		Split struct {
			Columns []string `json:"columns"`
			Data    [][]any  `json:"data"`
		} `json:"dataframe_split"`
	}
	if err := json.Unmarshal(bodies[0], &frame); err != nil || strings.Join(frame.Split.Columns, "") != "abcde" || len(frame.Split.Data[0]) != 5 {
		t.Errorf("%s: %v", bodies[0], err)
	}
	tensors, err := Generate([]byte(`[{"type":"tensor","tensor-spec":{"dtype":"float32","shape":[-1,3]}}]`), 1, 1)
	if err != nil || !json.Valid(tensors[0]) || bytes.Count(tensors[0], []byte("[")) != 2 {
		t.Errorf("%s, %v", tensors, err)
	}
	for _, bad := range []string{"", "[]", "null", `[{"type":"map","name":"x"}]`} {
		if _, err := Generate([]byte(bad), 1, 1); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestBodiesFromAPredictionLog(t *testing.T) {
	type row struct {
		Request     *string `parquet:"request,optional"`
		ContentType string  `parquet:"content_type"`
		Truncated   bool    `parquet:"truncated"`
		Other       int64   `parquet:"other"`
	}
	one, cut := `{"inputs": [1]}`, `{"inp`
	path := filepath.Join(t.TempDir(), "log.parquet")
	var buf bytes.Buffer
	if err := parquet.Write(&buf, []row{{Request: &one, ContentType: "application/json"}, {Request: &cut, Truncated: true}, {}}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	bodies, types, err := FromLog(path, 10)
	if err != nil || len(bodies) != 1 || string(bodies[0]) != one || types[0] != "application/json" {
		t.Errorf("%s %v, %v", bodies, types, err)
	}
	if _, _, err := FromLog(filepath.Join(t.TempDir(), "none"), 1); err == nil {
		t.Error("an absent file was read")
	}
}

func TestOpenInferenceProtocolPayload(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/models/m" {
			http.NotFound(w, r)
			return
		}
		w.Write([]byte(`{"name":"m","inputs":[{"name":"x","datatype":"FP32","shape":[-1,4]}]}`))
	}))
	defer server.Close()
	bodies, err := FromInferenceProtocol(t.Context(), server.URL, "m", 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	var body struct {
		Inputs []struct {
			Shape []int     `json:"shape"`
			Data  []float64 `json:"data"`
		} `json:"inputs"`
	}
	if err := json.Unmarshal(bodies[0], &body); err != nil || len(body.Inputs[0].Data) != 4 || body.Inputs[0].Shape[0] != 1 {
		t.Errorf("%s: %v", bodies[0], err)
	}
	if m := InferenceModel(server.URL + "/v2/models/m/infer"); m != "m" {
		t.Errorf("model %q", m)
	}
	if m := InferenceModel(server.URL + "/invocations"); m != "" {
		t.Errorf("model %q", m)
	}
}
