package drift_test

import (
	"errors"
	"strings"
	"testing"

	"sluice/gateway"
	"sluice/gateway/drift"
	"sluice/gateway/predlog"
	"sluice/gateway/truth"
	"sluice/runtime/tensor"
)

var wine1 = predlog.Series{Endpoint: "wine", Model: "wine", Version: 1}

// given is a baseline of n rows like those of world.serve, moved by shift.
func (w *world) given(n int, shift float64) drift.Given {
	var b tensor.Batch
	b.Reset(tensor.Table)
	b.Grow(3)
	for _, name := range []string{"x", "y"} {
		b.AddColumn(name).Reset(tensor.Float64, 0)
	}
	b.AddColumn("c").Reset(tensor.String, 0)
	var answers []truth.Value
	for i := range n {
		tensor.Append(&b.Columns[0].Tensor, w.random.NormFloat64()+shift)
		tensor.Append(&b.Columns[1].Tensor, []float64{w.random.NormFloat64(), 3.5}[i%2])
		b.Columns[2].Tensor.AppendString([]string{"a", "b"}[i%2])
		answers = append(answers, truth.Value{Kind: truth.Text, Text: []string{"low", "high"}[i%2]})
	}
	if err := b.CountRows(); err != nil {
		w.t.Fatal(err)
	}
	p := new(drift.Profile)
	p.Add(&b, answers)
	return drift.Given{Origin: drift.Origin{Source: drift.FromDataset, From: "runs:/1/train.parquet", Notes: []string{"a note"}}, Profile: p}
}

func (w *world) kinds() string {
	var out []string
	for _, e := range w.events {
		out = append(out, string(e.Kind))
	}
	return strings.Join(out, " ")
}

// A version that is routed has its baseline before the first request, once, also over restarts; the first window is compared with it.
func TestGivenBaseline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.found = func() (drift.Given, error) { return w.given(2000, 3), nil }
	s := w.service()
	s.Routed([]predlog.Series{wine1})
	r := w.round(s)
	if r.Source != drift.FromDataset || r.From != "runs:/1/train.parquet" || r.BaselineRows != 2000 || !r.BaselineComplete || r.WindowRows != 0 || len(r.Notes) != 1 {
		t.Fatalf("got %+v", r.Report)
	}
	if len(w.events) != 1 || w.events[0].Kind != gateway.EventDriftBaseline || w.events[0].Version != 1 || !strings.Contains(w.events[0].Reason, "2000 rows of the training dataset runs:/1/") {
		t.Errorf("got %+v", w.events)
	}
	s = w.service()
	s.Routed([]predlog.Series{wine1})
	w.serve(1, 200, 0)
	if r = w.round(s); r.WindowRows != 400 || strings.Join(r.Drifting, " ") != "x" || r.Source != drift.FromDataset || w.looked != 1 {
		t.Errorf("%d looks, %+v", w.looked, r.Report)
	}
	for _, c := range r.Columns {
		if (c.Name == "c" || c.Name == drift.Prediction) && c.PSI > 0.01 {
			t.Errorf("%+v", c)
		}
	}
}

// Another setting of the endpoint makes the baseline anew, back to the first predictions too.
func TestAnotherSetting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.found = func() (drift.Given, error) { return w.given(2000, 0), nil }
	s := w.service()
	w.serve(1, 200, 0)
	if r := w.round(s); r.BaselineRows != 2000 || r.WindowRows != 400 {
		t.Fatalf("got %+v", r.Report)
	}
	w.settings.Baseline = gateway.BaselineFirst
	w.serve(1, 500, 0)
	if r := w.round(s); r.Source != drift.FromPredictions || r.BaselineRows != 1000 || r.WindowRows != 0 || w.looked != 1 {
		t.Fatalf("%d looks, %+v", w.looked, r.Report)
	}
	w.settings.Baseline = "other.csv"
	w.found = func() (drift.Given, error) { return drift.Given{Failed: "no such file"}, nil }
	w.serve(1, 200, 0)
	if r := w.round(s); r.Source != drift.FromPredictions || r.Setting != "other.csv" || r.BaselineRows != 1000 || r.WindowRows != 400 {
		t.Fatalf("got %+v", r.Report)
	}
	if got := w.kinds(); got != "drift_baseline drift_baseline_failed" {
		t.Errorf("got %s", got)
	}
}

// While nobody knows, the first predictions stand in; they go when the baseline comes, and stay when it never does.
func TestBaselineComesLate(t *testing.T) {
	t.Parallel()
	for name, tries := range map[string]int{"it comes": 2, "it never comes": 100} {
		w := newWorld(t)
		w.found = func() (drift.Given, error) {
			if w.looked <= tries {
				return drift.Given{}, errors.New("tracking is down")
			}
			return w.given(2000, 0), nil
		}
		s := w.service()
		w.serve(1, 500, 0)
		if r := w.round(s); r.Source != "" || r.BaselineRows != 1000 || !r.BaselineComplete {
			t.Fatalf("%s: %+v", name, r.Report)
		}
		s.Routed([]predlog.Series{wine1})
		var r drift.SeriesReport
		for range 10 {
			r = w.round(s)
		}
		if name == "it comes" && (r.Source != drift.FromDataset || r.BaselineRows != 2000 || w.looked != 3) {
			t.Errorf("%s: %d looks, %+v", name, w.looked, r.Report)
		}
		if name == "it never comes" && (r.Source != drift.FromPredictions || r.BaselineRows != 1000 || w.looked != 6 || w.kinds() != "drift_baseline_failed" || r.Notes[0] != "tracking is down") {
			t.Errorf("%s: %d looks, %s, %+v", name, w.looked, w.kinds(), r.Report)
		}
	}
}

// A segment that cannot be read is tried a number of times while those behind it wait; then it is told, counted and passed by.
func TestUnreadableSegments(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		why   error
		tries int
	}{"damaged": {predlog.ErrDamaged, 3}, "the store is down": {errors.New("connection refused"), 30}} {
		w := newWorld(t)
		w.why, w.broken = c.why, 1
		s := w.service()
		w.serve(1, 500, 0)
		w.serve(1, 200, 0)
		w.serve(1, 300, 0)
		for i := 1; i < c.tries; i++ {
			if s.Round(t.Context()) == nil {
				t.Fatalf("%s: round %d says nothing", name, i)
			}
		}
		if r := s.Reports("wine")[0]; r.WindowRows != 0 || r.SegmentsLeftOut != 0 || len(w.events) != 0 {
			t.Errorf("%s: %+v", name, r.Report)
		}
		if r := w.round(s); r.WindowRows != 600 || r.SegmentsLeftOut != 1 || w.kinds() != "drift_segment_left_out" || !strings.Contains(w.events[0].Reason, c.why.Error()) {
			t.Errorf("%s: %s %+v", name, w.kinds(), r.Report)
		}
		if r := w.round(s); r.SegmentsLeftOut != 1 || len(w.events) != 1 {
			t.Errorf("%s: told twice: %+v", name, r.Report)
		}
	}
}

// A segment whose store comes back is counted as if nothing had been.
func TestStoreComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.why, w.broken = errors.New("connection refused"), 0
	s := w.service()
	w.serve(1, 500, 0)
	for range 10 {
		if s.Round(t.Context()) == nil {
			t.Fatal("it says nothing")
		}
	}
	w.broken = -1
	if r := w.round(s); r.BaselineRows != 1000 || r.SegmentsLeftOut != 0 || len(w.events) != 0 {
		t.Errorf("%s: %+v", w.kinds(), r.Report)
	}
}
