package replay

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sluice/loadtest"
)

const jsonType, bytesType = "application/json", "application/octet-stream"

func TestCompare(t *testing.T) {
	const tolerance = 1e-3
	for name, c := range map[string]struct {
		recorded, now string
		want          difference
		err           error
	}{
		"the same":                {`{"predictions": [1, 2.5, "a", null, true]}`, `{"predictions":[1.0,2.5,"a",null,true]}`, difference{Numbers: 2, Labels: 3}, nil},
		"within the tolerance":    {`{"predictions": [1000, 0.0001]}`, `{"predictions": [1000.5, 0.0009]}`, difference{Numbers: 2, Distance: 0.5/1000.5 + 0.0008/0.0009, Worst: 0.0008 / 0.0009}, nil},
		"a number beyond":         {`{"predictions": [1, 2]}`, `{"predictions": [1, 4]}`, difference{Numbers: 2, NumbersDiffer: 1, Distance: 0.5, Worst: 0.5}, nil},
		"another label":           {`{"predictions": ["a", "b"]}`, `{"predictions": ["a", "c"]}`, difference{Labels: 2, LabelsDiffer: 1}, nil},
		"tables":                  {`{"predictions": [{"p": [0, 1], "l": "x"}]}`, `{"predictions": [{"l": "x", "p": [0, -1]}]}`, difference{Numbers: 2, NumbersDiffer: 1, Labels: 1, Distance: 2, Worst: 2}, nil},
		"a missing number":        {`{"predictions": [1]}`, `{"predictions": [null]}`, difference{Labels: 1, LabelsDiffer: 1}, nil},
		"more rows":               {`{"predictions": [1]}`, `{"predictions": [1, 2]}`, difference{}, errShape},
		"another column":          {`{"predictions": [{"a": 1}]}`, `{"predictions": [{"b": 1}]}`, difference{}, errShape},
		"a list for a number":     {`{"predictions": [1]}`, `{"predictions": [[1]]}`, difference{}, errShape},
		"tensors":                 {`{"outputs": [{"name": "y", "datatype": "FP32", "shape": [2], "data": [1, 2]}, {"name": "l", "datatype": "BYTES", "shape": [1], "data": ["a"]}]}`, `{"id": "7", "outputs": [{"name": "l", "datatype": "BYTES", "shape": [1], "data": ["b"]}, {"name": "y", "datatype": "FP64", "shape": [2], "data": [1, 4]}]}`, difference{Numbers: 2, NumbersDiffer: 1, Labels: 1, LabelsDiffer: 1, Distance: 0.5, Worst: 0.5}, nil},
		"tensors of other shapes": {`{"outputs": [{"name": "y", "datatype": "FP32", "shape": [2, 1], "data": [1, 2]}]}`, `{"outputs": [{"name": "y", "datatype": "FP32", "shape": [2], "data": [1, 2]}]}`, difference{}, errShape},
		"another output":          {`{"outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": [1]}]}`, `{"outputs": [{"name": "z", "datatype": "FP32", "shape": [1], "data": [1]}]}`, difference{}, errShape},
		"a number that is none":   {`{"outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": [null]}]}`, `{"outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": [1]}]}`, difference{Labels: 1, LabelsDiffer: 1}, nil},
		"not the protocol":        {`{"outputs": [1]}`, `{"predictions": [1]}`, difference{}, errNotPredictions},
		"an answer that is none":  {`{"predictions": [1]}`, `<html>`, difference{}, errShape},
		"a recorded one that was": {`{"error_code": "X"}`, `{"predictions": [1]}`, difference{}, errNotPredictions},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := compare(body{jsonType, []byte(c.recorded)}, body{jsonType, []byte(c.now)}, tolerance)
			if got != c.want || err != c.err {
				t.Errorf("%+v, %v; want %+v, %v", got, err, c.want, c.err)
			}
		})
	}
}

func FuzzCompare(f *testing.F) {
	f.Add(jsonType, []byte(`{"predictions": [1, "a", {"b": [null, true]}]}`), []byte(`{"predictions": [2, "b", {"b": [1, false]}]}`))
	f.Add(jsonType, []byte(`{"predictions": 1e308}`), []byte(`{"predictions": -1e308}`))
	f.Add(bytesType, []byte(`{"outputs": [{"name": "a", "datatype": "FP16", "shape": [1], "parameters": {"binary_data_size": 2}}]}xy`), []byte(`{"outputs": [{"name": "a", "datatype": "FP16", "shape": [1], "data": [2.5]}]}`))
	f.Fuzz(func(t *testing.T, kind string, a, b []byte) {
		d, err := compare(body{kind, a}, body{kind, b}, 1e-5)
		if d.NumbersDiffer > d.Numbers || d.LabelsDiffer > d.Labels || d.Worst < 0 {
			t.Errorf("%+v, %v", d, err)
		}
		if same, err := compare(body{kind, a}, body{kind, a}, 0); err == nil && (same.differs() || same.Distance != 0) {
			t.Errorf("%s differs from itself: %+v", a, same)
		}
	})
}

// recorded are n requests whose body is their number and whose answer was twice that.
func recorded(n int) []loadtest.Recorded {
	out := make([]loadtest.Recorded, n)
	for i := range out {
		out[i] = loadtest.Recorded{
			ID: fmt.Sprint("p", i), Latency: 2 * time.Millisecond, Request: loadtest.Payload{Body: fmt.Append(nil, i), ContentType: "application/json"},
			Response: fmt.Appendf(nil, `{"predictions": [%d]}`, 2*i),
		}
	}
	return out
}

func TestRunSaysHowACandidateDiffers(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Mark") != "replay" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("headers %v", r.Header)
		}
		w.Header().Set("Server-Timing", "queue;dur=0.100, total;dur=3.000")
		body, _ := io.ReadAll(r.Body)
		var n int
		_, _ = fmt.Sscan(string(body), &n)
		switch {
		case n < 10:
			fmt.Fprintf(w, `{"predictions": [%d]}`, 2*n)
		case n < 15:
			fmt.Fprintf(w, `{"predictions": [%d]}`, n)
		case n < 18:
			http.Error(w, "no such column", http.StatusBadRequest)
		default:
			fmt.Fprint(w, `{"predictions": [1, 2]}`)
		}
	}))
	defer server.Close()
	records := recorded(20)
	records = append(records, loadtest.Recorded{ID: "other", Response: []byte(`{"outputs": []}`)})
	report, err := Run(t.Context(), records, Options{URL: server.URL, Client: server.Client(), Header: map[string]string{"X-Mark": "replay"}, Connections: 3})
	if err != nil {
		t.Fatal(err)
	}
	if report.Records != 21 || report.LeftOut != 1 || report.Same != 10 || report.Different != 7 || report.Shapes != 2 || report.Failed != 3 {
		t.Errorf("report %+v", report)
	}
	if report.Numbers != 15 || report.NumbersDiffer != 5 || report.MaxDistance != 0.5 || report.Recorded.P95 != 2 || report.Now.P95 != 3 {
		t.Errorf("numbers %+v", report)
	}
	if len(report.Examples) != examples || !report.Examples[0].Shape || report.Examples[2].Distance != 0.5 || report.Failures["status 400: no such column\n"] != 3 {
		t.Errorf("examples %+v, failures %v", report.Examples, report.Failures)
	}
	var text, js, page bytes.Buffer
	report.Failures["<script>"] = 1
	if err := report.WriteHTML(&page); err != nil || !strings.Contains(page.String(), "<td>10</td><td>7</td><td>2</td><td>3</td><td>1</td>") ||
		!strings.Contains(page.String(), "&lt;script&gt;") || !strings.Contains(page.String(), "status 400: no such column") || !strings.Contains(page.String(), "<td>recorded</td><td>2.000</td>") {
		t.Errorf("%v\n%s", err, page.String())
	}
	if err := report.WriteText(&text); err != nil || !strings.Contains(text.String(), "10 same, 7 different (2 of another shape), 3 failed") {
		t.Errorf("%v\n%s", err, text.String())
	}
	if err := report.WriteJSON(&js); err != nil || !strings.Contains(js.String(), `"different_shapes": 2`) {
		t.Errorf("%v\n%s", err, js.String())
	}
}

func TestLimits(t *testing.T) {
	r := Report{Same: 90, Different: 10, Failed: 25, Recorded: Latency{P95: 2}, Now: Latency{P95: 5}}
	for name, c := range map[string]struct {
		limits Limits
		says   []string
	}{
		"none":        {Limits{-1, -1, -1}, nil},
		"all wide":    {Limits{0.1, 0.2, 2.5}, nil},
		"all narrow":  {Limits{0.05, 0.1, 2}, []string{"differ: 0.1, at most 0.05", "failed: 0.2, at most 0.1", "recorded: 2.5, at most 2"}},
		"only errors": {Limits{-1, 0, -1}, []string{"failed"}},
	} {
		err := r.Check(c.limits)
		if (err != nil) != (c.says != nil) {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range c.says {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v does not say %q", name, err, want)
			}
		}
	}
	if (&Report{Records: 3, LeftOut: 3}).Check(Limits{-1, -1, -1}) == nil {
		t.Error("nothing compared passes")
	}
}

func TestRequestsLeaveWhenTheyAreDueAndTheContextEndsIt(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"predictions": [0]}`) }))
	defer server.Close()
	start := time.Now()
	o := Options{URL: server.URL, Client: server.Client(), Due: func(i int) time.Duration { return time.Duration(i) * 30 * time.Millisecond }}
	if _, err := Run(t.Context(), recorded(4), o); err != nil || time.Since(start) < 90*time.Millisecond {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, recorded(4), o); err == nil {
		t.Error("an ended context runs")
	}
	if _, err := Run(t.Context(), recorded(1), Options{}); err == nil {
		t.Error("no URL runs")
	}
}
