package loadtest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
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
	got, err := RunMany(t.Context(), requests, Options{Connections: 1, Duration: 600 * time.Millisecond})
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
	report := got.Report(About{Title: "load <1>", URL: server.URL, Load: "closed loop", Connections: 2})
	var text, page, doc bytes.Buffer
	for _, err := range []error{report.WriteText(&text), report.WriteHTML(&page), report.WriteJSON(&doc)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(text.String(), "p99") || !strings.Contains(text.String(), "200: ") || !strings.Contains(text.String(), "closed loop, 2 connections") {
		t.Errorf("text report:\n%s", text.String())
	}
	if !strings.Contains(page.String(), "load &lt;1&gt;") || strings.Count(page.String(), "<polyline") != 5 || strings.Contains(page.String(), "NaN") || strings.Contains(page.String(), "src=") {
		t.Errorf("HTML report:\n%s", page.String())
	}
	var back Report
	if err := json.Unmarshal(doc.Bytes(), &back); err != nil || back.Answered != got.Answered || back.Latency["p99"] <= 0 {
		t.Errorf("JSON report %s: %v", doc.String(), err)
	}
	for i, p := range back.Spectrum {
		if i > 0 && (p.Share <= back.Spectrum[i-1].Share || p.MS < back.Spectrum[i-1].MS) || p.Share < 0 || p.Share >= 1 {
			t.Errorf("spectrum goes back at %d: %v", i, back.Spectrum)
			break
		}
	}
	if len(back.Spectrum) < 15 {
		t.Errorf("a spectrum of %d points", len(back.Spectrum))
	}
}

func TestReportsOfNothingAndOfFailures(t *testing.T) {
	answers := func(status int) *Result {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		defer server.Close()
		got, err := Run(t.Context(), Request{URL: server.URL}, Options{Connections: 1, Duration: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	nothing := &Result{Elapsed: time.Second, Latency: newLatency(), FailedLatency: newLatency()}
	for name, r := range map[string]*Result{"nothing": nothing, "failures": answers(500)} {
		var page bytes.Buffer
		if err := r.Report(About{}).WriteHTML(&page); err != nil || strings.Contains(page.String(), "NaN") || strings.Contains(page.String(), "Inf") {
			t.Errorf("%s: %v\n%s", name, err, page.String())
		}
	}
}

func TestMarksAreRound(t *testing.T) {
	for top, want := range map[float64]string{1: "[0 0.2 0.4 0.6000000000000001 0.8 1]", 47000: "[0 10000 20000 30000 40000]", 10: "[0 2 4 6 8 10]", 3: "[0 0.5 1 1.5 2 2.5 3]"} {
		if got := fmt.Sprint(roundMarks(top)); got != want {
			t.Errorf("up to %v: %s, want %s", top, got, want)
		}
	}
}

func TestCompareFindsAServerThatIsSlower(t *testing.T) {
	quick := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer quick.Close()
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(10 * time.Millisecond) }))
	defer slow.Close()
	var order strings.Builder
	c, err := Compare(t.Context(), []Request{{URL: quick.URL}}, []Request{{URL: slow.URL}}, 6, func() Options {
		return Options{Connections: 1, Duration: 60 * time.Millisecond}
	}, func(round int, ofB bool, _ *Result) { fmt.Fprintf(&order, "%d%v ", round, ofB) })
	if err != nil || !strings.HasPrefix(order.String(), "1false 1true 2false ") {
		t.Fatal(order.String(), err)
	}
	rate := c.Lines()[0]
	if rate.P > 0.05 || rate.B.Center > rate.A.Center || !strings.HasPrefix(rate.Delta, "-") {
		t.Errorf("rate %.0f against %.0f, delta %s, p %.3f", rate.A.Center, rate.B.Center, rate.Delta, rate.P)
	}
	var text bytes.Buffer
	c.NameA, c.NameB = "quick", "slow"
	if err := c.WriteText(&text); err != nil || !strings.Contains(text.String(), "slow against quick") {
		t.Errorf("%v\n%s", err, text.String())
	}
	var doc bytes.Buffer
	var back struct {
		Lines []struct{ Name string }
		A, B  []Report
	}
	if err := c.WriteJSON(&doc); err != nil || json.Unmarshal(doc.Bytes(), &back) != nil || len(back.Lines) != 5 || len(back.A) != 6 || len(back.B) != 6 {
		t.Errorf("%v\n%s", err, doc.String())
	}
}

func TestCapacityStopsWhereTheLimitBreaks(t *testing.T) {
	// One request at a time, 5 ms each: 200 per second is the most that one connection carries.
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(5 * time.Millisecond) }))
	defer server.Close()
	found, err := FindCapacity(t.Context(), []Request{{URL: server.URL}}, Limit{P99: 100 * time.Millisecond}, 20,
		Options{Connections: 1, Duration: 400 * time.Millisecond}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if found.Rate <= 0 || found.Rate > 250 || found.Probes[len(found.Probes)-1].Rate > 1000 {
		t.Errorf("capacity %.0f requests/s after %d probes, want at most about 200", found.Rate, len(found.Probes))
	}
	var doc bytes.Buffer
	var back struct {
		Capacity float64
		Probes   []struct{ Kept bool }
	}
	if err := found.WriteJSON(&doc); err != nil || json.Unmarshal(doc.Bytes(), &back) != nil || back.Capacity != found.Rate || len(back.Probes) != len(found.Probes) {
		t.Errorf("%v\n%s", err, doc.String())
	}
	if none, err := FindCapacity(t.Context(), []Request{{URL: server.URL}}, Limit{P99: time.Microsecond}, 20, Options{Connections: 1, Duration: 100 * time.Millisecond}, nil); err != nil || none.Rate != 0 {
		t.Errorf("a limit that nothing keeps gives %.0f, %v", none.Rate, err)
	}
}

func TestGenerateFollowsTheSignature(t *testing.T) {
	columns := `[{"type":"double","name":"a"},{"type":"long","name":"b"},{"type":"string","name":"c"},{"type":"boolean","name":"d"},{"type":"datetime","name":"e"}]`
	bodies, err := Generate([]byte(columns), Make{Requests: 3, Rows: 2, Seed: 1})
	if err != nil || len(bodies) != 3 || bytes.Equal(bodies[0].Body, bodies[1].Body) {
		t.Fatalf("%v, %v", bodies, err)
	}
	var frame struct {
		Split struct {
			Columns []string `json:"columns"`
			Data    [][]any  `json:"data"`
		} `json:"dataframe_split"`
	}
	if err := json.Unmarshal(bodies[0].Body, &frame); err != nil || strings.Join(frame.Split.Columns, "") != "abcde" || len(frame.Split.Data) != 2 || len(frame.Split.Data[0]) != 5 {
		t.Errorf("%s: %v", bodies[0].Body, err)
	}
	tensors, err := Generate([]byte(`[{"type":"tensor","tensor-spec":{"dtype":"float32","shape":[-1,3]}}]`), Make{Requests: 1, Rows: 4, Seed: 1})
	if err != nil || !json.Valid(tensors[0].Body) || bytes.Count(tensors[0].Body, []byte("[")) != 5 {
		t.Errorf("%s, %v", tensors, err)
	}
	for _, bad := range []string{"", "[]", "null", `[{"type":"map","name":"x"}]`, `[{"type":"tensor","tensor-spec":{"dtype":"float32","shape":[99999999,9]}}]`} {
		if _, err := Generate([]byte(bad), Make{}); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestAListOfTimesIsAPacer(t *testing.T) {
	p := At([]time.Duration{0, 5, 7})
	for _, want := range []time.Duration{0, 5, 7, math.MaxInt64, math.MaxInt64} {
		if got := p.Next(); got != want {
			t.Errorf("due %v, want %v", got, want)
		}
	}
}

func TestOpenInferenceProtocolPayloads(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer me":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/v2/models/m/versions/3":
			w.Write([]byte(`{"name":"m","inputs":[{"name":"x","datatype":"FP32","shape":[-1,4]},{"name":"n","datatype":"INT16","shape":[-1]},{"name":"s","datatype":"BYTES","shape":[-1]},{"name":"b","datatype":"BOOL","shape":[-1]}]}`))
		default:
			w.Write([]byte(`{"name":"silent","inputs":[]}`))
		}
	}))
	defer server.Close()
	source := Source{Header: map[string]string{"Authorization": "Bearer me"}}
	type tensors struct {
		Inputs []struct {
			Shape      []int
			Data       []any
			Parameters struct {
				Size int `json:"binary_data_size"`
			}
		}
	}
	made, err := source.FromInferenceProtocol(t.Context(), server.URL, "m", "3", Make{Requests: 2, Rows: 2, Seed: 1})
	if err != nil || len(made) != 2 {
		t.Fatal(made, err)
	}
	var body tensors
	if err := json.Unmarshal(made[0].Body, &body); err != nil || len(body.Inputs) != 4 || len(body.Inputs[0].Data) != 8 || body.Inputs[0].Shape[0] != 2 || len(body.Inputs[2].Data) != 2 {
		t.Errorf("%s: %v", made[0].Body, err)
	}

	packed, err := source.FromInferenceProtocol(t.Context(), server.URL, "m", "3", Make{Rows: 2, Seed: 1, Binary: true})
	if err != nil {
		t.Fatal(err)
	}
	head, err := strconv.Atoi(packed[0].Header[headerInferLength])
	if err != nil || head >= len(packed[0].Body) {
		t.Fatalf("a head of %d bytes: %v", head, err)
	}
	var announced tensors
	if err := json.Unmarshal(packed[0].Body[:head], &announced); err != nil {
		t.Fatal(err)
	}
	tail, total := packed[0].Body[head:], 0
	for _, in := range announced.Inputs {
		total += in.Parameters.Size
	}
	if total != len(tail) || announced.Inputs[0].Parameters.Size != 2*4*4 || announced.Inputs[1].Parameters.Size != 2*2 || announced.Inputs[3].Parameters.Size != 2 {
		t.Errorf("%d bytes announced, %d sent: %+v", total, len(tail), announced)
	}
	if first := math.Float32frombits(binary.LittleEndian.Uint32(tail)); first != float32(body.Inputs[0].Data[0].(float64)) {
		t.Errorf("first value %v, as JSON %v", first, body.Inputs[0].Data[0])
	}

	if _, err := source.FromInferenceProtocol(t.Context(), server.URL, "silent", "", Make{}); !errors.Is(err, errNoMetadata) {
		t.Errorf("a model without metadata: %v", err)
	}
	for path, want := range map[string][2]string{
		"/v2/models/m/infer": {"m", ""}, "/v2/models/m/versions/3/infer": {"m", "3"}, "/prefix/v2/models/m/infer": {"m", ""},
		"/invocations": {}, "/v2/models/m": {}, "/v2/models/m/stages/3/infer": {},
	} {
		if model, version := InferenceModel(server.URL + path); [2]string{model, version} != want {
			t.Errorf("%s names %q version %q", path, model, version)
		}
	}
}
