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
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"google.golang.org/protobuf/encoding/protowire"
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

// A load test takes from a log what its URL understands, as it was sent.
func TestBodiesFromAPredictionLog(t *testing.T) {
	type row struct {
		ID          string  `parquet:"databricks_request_id"`
		Request     *string `parquet:"request,optional"`
		Raw         []byte  `parquet:"request_binary,optional"`
		ContentType string  `parquet:"content_type"`
		Redaction   *string `parquet:"redaction,optional"`
		Truncated   bool    `parquet:"truncated"`
		Other       int64   `parquet:"other"`
	}
	text := func(s string) *string { return &s }
	head := `{"inputs": [{"name": "x", "shape": [2], "datatype": "INT8", "parameters": {"binary_data_size": 2}}]}`
	asJSON := `{"inputs": [{"name": "x", "shape": [1], "datatype": "INT8", "data": [1]}]}`
	message := appendMessage(appendText(appendText(appendText(nil, 1, "wine"), 2, "3"), 3, "id"), 5, appendText(nil, 1, "x"))
	path := filepath.Join(t.TempDir(), "log.parquet")
	if err := parquet.WriteFile(path, []row{
		{ID: "scoring", Request: text(`{"inputs": [1]}`), ContentType: "application/json"},
		{ID: "records", Request: text(`{"dataframe_records": [{"datatype": 1, "name": "a"}]}`), ContentType: "application/json"},
		{ID: "csv", Request: text("a\n1\n"), ContentType: "text/csv"},
		{ID: "arrow", Raw: []byte{0xff, 0xff, 0xff, 0xff}, ContentType: "application/vnd.apache.arrow.stream"},
		{ID: "tensors", Request: text(asJSON), ContentType: "application/json"},
		{ID: "bytes", Raw: []byte(head + "\x01\xff"), ContentType: "application/octet-stream"},
		{ID: "bytes that are text", Request: text(head + "ab"), ContentType: "application/octet-stream"},
		{ID: "message", Raw: message, ContentType: MessageType},
		{ID: "cut", Request: text(`{"inp`), Truncated: true}, {ID: "empty"}, {ID: "redacted", Request: text(`{"inputs": ["x"]}`), ContentType: "application/json", Redaction: text("redacted")},
	}); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{
		"http://h/endpoints/wine/invocations": "scoring records csv arrow", "http://h/v2/models/other/infer": "tensors bytes bytes that are text",
		"grpc://h/v2/models/other/infer": "message",
	} {
		found, err := FromLog(path, url, 10)
		var ids []string
		for _, r := range found {
			ids = append(ids, r.ID)
		}
		if got := strings.Join(ids, " "); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", url, got, err, want)
			continue
		}
		payloads := Payloads(found)
		switch url[:4] {
		case "grpc":
			if want := appendMessage(appendText(appendText(nil, 1, "other"), 3, "id"), 5, appendText(nil, 1, "x")); !bytes.Equal(payloads[0].Body, want) {
				t.Errorf("the message is not for another model: %q", payloads[0].Body)
			}
		case "http":
			for _, p := range payloads {
				length := p.Header[headerInferLength]
				if isBytes := p.ContentType == binaryType; isBytes != (length == fmt.Sprint(len(head))) || !isBytes && length != "" {
					t.Errorf("%q has the header %q", p.Body, length)
				}
			}
		}
	}
	if _, err := FromLog(filepath.Join(t.TempDir(), "none"), "http://h/invocations", 1); err == nil {
		t.Error("an absent file was read")
	}
	one := filepath.Join(t.TempDir(), "one.parquet")
	if err := parquet.WriteFile(one, []row{{Request: text("{}"), ContentType: "application/json"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := FromLog(one, "grpc://h/v2/models/m/infer", 1); err == nil || !strings.Contains(err.Error(), "over gRPC") {
		t.Errorf("a log of another protocol: %v", err)
	}
}

// The same outputs are read from an answer as JSON, as bytes and as a message.
func TestOutputs(t *testing.T) {
	raw := map[string]string{"f": "\x00\x3e\x00\x7e", "h": "\x20\x40", "d": "\x00\x00\x00\x00\x00\x00\xf0\x7f", "i": "\xff\xff\xff\xff\xff\xff\xff\xff", "s": "\x02\x00\x00\x00\xc3\xa9\x00\x00\x00\x00", "b": "\x01\x00", "u": "\xff\xff"}
	want := []Output{
		{"f", "FP16", []int{2}, []any{1.5, "NaN"}}, {"h", "BF16", []int{1}, []any{2.5}}, {"d", "FP64", []int{1}, []any{"+Inf"}}, {"i", "INT64", []int{1, 1}, []any{-1.0}},
		{"s", "BYTES", []int{2}, []any{"é", ""}}, {"b", "BOOL", []int{2}, []any{true, false}}, {"u", "UINT16", []int{1}, []any{65535.0}},
	}
	var tensors []map[string]any
	var tail string
	var message, contents []byte
	for _, o := range want {
		size := len(raw[o.Name])
		tensors = append(tensors, map[string]any{"name": o.Name, "datatype": o.Datatype, "shape": o.Shape, "parameters": map[string]any{"binary_data_size": size}})
		tail += raw[o.Name]
		var shape []byte
		for _, d := range o.Shape {
			shape = protowire.AppendVarint(shape, uint64(d))
		}
		message = appendMessage(message, 5, appendMessage(appendText(appendText(nil, 1, o.Name), 2, o.Datatype), 3, shape))
		contents = appendMessage(contents, 6, []byte(raw[o.Name]))
	}
	head, err := json.Marshal(map[string]any{"outputs": tensors})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Outputs(binaryType, append(head, tail...)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("bytes: %v, %v", got, err)
	}
	if got, err := Outputs(MessageType, append(message, contents...)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("message: %v, %v", got, err)
	}
	nested := `{"outputs": [{"name": "y", "datatype": "FP32", "shape": [2, 2], "data": [[1, 2.5], [null, 4]]}]} ` + "\n"
	if got, err := Outputs("application/json; charset=utf-8", []byte(nested)); err != nil || !reflect.DeepEqual(got, []Output{{"y", "FP32", []int{2, 2}, []any{1.0, 2.5, nil, 4.0}}}) {
		t.Errorf("JSON: %v, %v", got, err)
	}
	for name, c := range map[string]struct{ kind, body string }{
		"bytes missing":      {binaryType, string(head) + tail[1:]},
		"bytes left":         {binaryType, string(head) + tail + "x"},
		"no outputs":         {jsonType, `{"predictions": [1]}`},
		"an unknown type":    {binaryType, `{"outputs": [{"datatype": "FP8", "parameters": {"binary_data_size": 1}}]}x`},
		"half a number":      {binaryType, `{"outputs": [{"datatype": "FP16", "parameters": {"binary_data_size": 1}}]}x`},
		"half a text":        {binaryType, `{"outputs": [{"datatype": "BYTES", "parameters": {"binary_data_size": 5}}]}` + "\x02\x00\x00\x00x"},
		"a negative size":    {binaryType, `{"outputs": [{"datatype": "INT8", "parameters": {"binary_data_size": -1}}]}`},
		"neither":            {jsonType, `{"outputs": [{"datatype": "INT8"}]}`},
		"half a message":     {MessageType, string(message[:len(message)-1])},
		"contents missing":   {MessageType, string(message)},
		"another type":       {"text/html", string(head)},
		"no type":            {"", nested},
		"an error of gRPC's": {MessageType, ""},
	} {
		if got, err := Outputs(c.kind, []byte(c.body)); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestALogIsReadInOrderOfTime(t *testing.T) {
	type row struct {
		ID          string  `parquet:"databricks_request_id"`
		TimeUS      int64   `parquet:"time"`
		Endpoint    string  `parquet:"endpoint"`
		Model       string  `parquet:"model_name"`
		Version     int32   `parquet:"model_version"`
		Status      int32   `parquet:"status_code"`
		Shadow      bool    `parquet:"shadow"`
		Request     *string `parquet:"request,optional"`
		Response    *string `parquet:"response,optional"`
		ContentType string  `parquet:"content_type"`
		Truncated   bool    `parquet:"truncated"`
		LatencyNS   int64   `parquet:"latency_ns"`
	}
	folder := t.TempDir()
	body, answer := `{"inputs": [1]}`, `{"predictions": [1]}`
	for f := range int64(3) { // every file has every third record, the newest first
		var rows []row
		for i := int64(9); i >= 0; i-- {
			n := 3*i + f
			rows = append(rows, row{ID: fmt.Sprint(n), TimeUS: n * 1000, Endpoint: "wine", Model: "m", Version: 2, Status: 200, Request: &body, Response: &answer, LatencyNS: 5})
		}
		rows = append(rows, row{ID: "shadow", TimeUS: 1e6, Endpoint: "wine", Status: 200, Shadow: true, Request: &body}, row{ID: "failed", TimeUS: 1e6, Endpoint: "wine", Status: 500, Request: &body},
			row{ID: "elsewhere", TimeUS: 1e6, Endpoint: "iris", Status: 200, Request: &body}, row{ID: "cut", TimeUS: 1e6, Endpoint: "wine", Status: 200, Request: &body, Truncated: true})
		path := filepath.Join(folder, fmt.Sprintf("run%d/segment.parquet", f))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := parquet.WriteFile(path, rows); err != nil {
			t.Fatal(err)
		}
	}
	found, err := ReadLog(folder, Wanted{Endpoint: "wine", Answered: true, Last: 4})
	if err != nil || len(found) != 4 {
		t.Fatalf("%v, %v", found, err)
	}
	for i, r := range found {
		if r.ID != fmt.Sprint(26+i) || string(r.Response) != answer || r.Model != "m" || r.Version != 2 || r.Latency != 5 || r.Time.UnixMicro() != int64(26+i)*1000 {
			t.Errorf("record %d: %+v", i, r)
		}
	}
	if all, err := ReadLog(folder, Wanted{Last: 1000}); err != nil || len(all) != 39 {
		t.Errorf("%d records, %v; want all but the cut ones", len(all), err)
	}
	for what, w := range map[string]Wanted{folder: {Endpoint: "nobody", Last: 1}, t.TempDir(): {Last: 1}} {
		if _, err := ReadLog(what, w); err == nil {
			t.Errorf("%+v of %s was found", w, what)
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
