package drift_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"sluice/gateway"
	"sluice/gateway/drift"
	"sluice/gateway/predictions"
	"sluice/gateway/predlog"
	"sluice/gateway/sqlstore"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { os.Exit(sqldbtest.Main(m)) }

var start = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// world is a prediction log that a test fills.
type world struct {
	t        *testing.T
	now      time.Time
	rows     [][]predlog.Row
	reads    int
	broken   int // this segment cannot be read; -1: none
	why      error
	found    func() (drift.Given, error) // the baseline; nil: nobody looks for one
	looked   int
	settings gateway.Drift
	key      string // of ground truth
	store    *sqlstore.Drift
	events   []gateway.Event
	random   *rand.Rand
}

func newWorld(t *testing.T) *world {
	t.Helper()
	store, err := sqlstore.NewDrift(t.Context(), sqldbtest.Open(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, now: start, store: store, broken: -1, why: predlog.ErrDamaged, random: rand.New(rand.NewPCG(1, 2)), settings: gateway.Drift{Window: time.Minute, MinRows: 200, BaselineRows: 1000}}
}

func (w *world) Segments(_ context.Context, _ predictions.Query, after int64) iter.Seq2[predictions.Segment, error] {
	return func(yield func(predictions.Segment, error) bool) {
		for i := after; i < int64(len(w.rows)); i++ {
			s := predictions.Segment{Seq: i + 1}
			first := w.rows[i][0]
			s.ID, s.Series, s.Rows = fmt.Sprint(i), predlog.Series{Endpoint: first.Endpoint, Model: first.Model, Version: first.Version}, int64(len(w.rows[i]))
			if !yield(s, nil) {
				return
			}
		}
	}
}

func (w *world) SegmentSample(_ context.Context, s predictions.Segment, most int64) iter.Seq2[predlog.Row, error] {
	w.reads++
	return func(yield func(predlog.Row, error) bool) {
		if int(s.Seq) == w.broken+1 {
			yield(predlog.Row{}, w.why)
			return
		}
		rows := w.rows[s.Seq-1]
		for _, r := range rows[:min(most, int64(len(rows)))] {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// serve delivers a segment of n requests with two rows each, whose column x is moved by shift.
func (w *world) serve(version, n int, shift float64) {
	var rows []predlog.Row
	for range n {
		r := predlog.Row{}
		r.Time, r.Endpoint, r.Model, r.Version, r.Status = w.now, "wine", "wine", version, 200
		r.ContentType, r.ResponseContentType = "application/json", "application/json"
		x, y := w.random.NormFloat64()+shift, w.random.NormFloat64()
		r.Request = fmt.Appendf(nil, `{"dataframe_split": {"columns": ["x", "y", "c"], "data": [[%v, %v, "a"], [%v, 3.5, "b"]]}}`, x, y, x+0.1)
		r.Response = fmt.Appendf(nil, `{"predictions": [{"label": "low"}, {"label": "high"}]}`)
		rows = append(rows, r)
	}
	w.rows = append(w.rows, rows)
}

// known is how many requests the baselines hold.
func (w *world) known(s *drift.Service) (records uint64) {
	for _, r := range s.Reports("") {
		records += r.BaselineRows / 2 // two rows in each
	}
	return records
}

func (w *world) service() *drift.Service {
	w.t.Helper()
	deps := drift.Deps{
		Store: w.store, Segments: w,
		Settings: func(_ context.Context, name string) (gateway.Drift, gateway.GroundTruth, error) {
			if name != "wine" {
				return gateway.Drift{}, gateway.GroundTruth{}, mlflow.Missingf("no endpoint %q", name)
			}
			return w.settings, gateway.GroundTruth{Output: "label", Key: w.key}, nil
		},
		Events: func(_ context.Context, e []gateway.Event) error { w.events = append(w.events, e...); return nil },
	}
	if w.found != nil {
		deps.Baseline = func(context.Context, predlog.Series, gateway.Drift, string) (drift.Given, error) {
			w.looked++
			return w.found()
		}
	}
	s, err := drift.New(w.t.Context(), deps, &drift.Options{Now: func() time.Time { return w.now }})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) round(s *drift.Service) drift.SeriesReport {
	w.t.Helper()
	if err := s.Round(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	all := s.Reports("wine")
	if len(all) == 0 {
		return drift.SeriesReport{}
	}
	return all[0]
}

// A known shift of one feature is found, in that feature alone, told once, and told to be over.
func TestAShiftIsFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.service()
	w.serve(1, 500, 0)
	if r := w.round(s); !r.BaselineComplete || r.BaselineRows != 1000 || r.WindowRows != 0 {
		t.Fatalf("baseline: %+v", r.Report)
	}
	w.now = w.now.Add(time.Minute)
	w.serve(1, 90, 0)
	if r := w.round(s); r.WindowRows != 0 {
		t.Errorf("180 rows were compared: %+v", r.Report)
	}
	w.serve(1, 300, 0)
	if r := w.round(s); r.WindowRows != 780 || len(r.Drifting) != 0 || len(r.Columns) != 4 {
		t.Errorf("no drift: %+v", r.Report)
	}
	w.now = w.now.Add(time.Minute)
	w.serve(1, 300, 1.5)
	r := w.round(s)
	if !reflect.DeepEqual(r.Drifting, []string{"x"}) || r.Columns[2].Name != "x" && r.Columns[3].Name != "y" {
		t.Fatalf("drift: %+v", r.Report)
	}
	for _, c := range r.Columns {
		if c.Drifts != (c.Name == "x") || c.Name == "x" && (c.PSI < 1 || c.KS < 0.4) || c.Name != "x" && (c.PSI > 0.1 || c.KS > 0.1) {
			t.Errorf("%+v", c)
		}
	}
	w.serve(1, 300, 1.5)
	w.round(s)
	if len(w.events) != 1 || w.events[0].Kind != gateway.EventDriftDetected || w.events[0].Version != 1 || !strings.Contains(w.events[0].Reason, "1 of 4 columns drift in 600 rows: x (PSI") {
		t.Errorf("got %+v", w.events)
	}
	w.now = w.now.Add(time.Minute)
	w.serve(1, 300, 0)
	w.round(s)
	if len(w.events) != 2 || w.events[1].Kind != gateway.EventDriftEnded {
		t.Errorf("got %+v", w.events)
	}
}

// A restart, at any segment, changes nothing: what was taken in is not taken in again, what was not is.
// The column that identifies rows is compared with nothing: each row has another.
func TestTheKeyIsLeftOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.service()
	w.serve(1, 500, 0)
	w.round(s)
	w.key = "x" // named when the baseline had it already
	w.now = w.now.Add(time.Minute)
	w.serve(1, 300, 1.5)
	if r := w.round(s); r.WindowRows != 600 || len(r.Drifting) != 0 || len(r.Columns) != 3 {
		t.Errorf("%+v", r.Report)
	}
}

func TestRestart(t *testing.T) {
	t.Parallel()
	run := func(restarts bool) drift.Report {
		w := newWorld(t)
		s := w.service()
		for i := range 8 {
			w.serve(1, 150, float64(i)/4)
			if i%2 == 1 {
				w.now = w.now.Add(time.Minute)
			}
			w.round(s)
			if restarts {
				s = w.service()
				w.round(s) // everything is looked at again
			}
		}
		if w.reads != 8 {
			t.Errorf("%d segments were read", w.reads)
		}
		return w.round(s).Report
	}
	if a, b := run(false), run(true); !reflect.DeepEqual(a, b) {
		t.Errorf("got %+v, want %+v", b, a)
	}
}

// Two servers on one database do not count a segment twice.
func TestTwoServers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.service(), w.service()
	for range 4 {
		w.serve(1, 250, 0)
		w.round(a)
		w.round(b)
	}
	if r := w.round(b); r.BaselineRows != 1000 || r.WindowRows != 1000 {
		t.Errorf("got %+v", r.Report)
	}
}

// What failed, is switched off or belongs to nobody stops nothing.
func TestLeftOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.service()
	w.serve(1, 500, 0)
	w.serve(1, 300, 0)
	w.serve(2, 10, 0)
	w.rows[2][0].Endpoint = "gone"
	failed := w.rows[1][0]
	failed.Status, failed.Request = 500, []byte(`{`)
	w.rows[1] = append(w.rows[1], failed)
	if r := w.round(s); r.BaselineRows != 1000 || r.WindowRows != 600 || len(s.Reports("")) != 1 {
		t.Errorf("got %+v", s.Reports(""))
	}
	w.settings.Off = true
	w.serve(1, 300, 0)
	if r := w.round(s); r.BaselineRows != 1000 {
		t.Errorf("switched off: %+v", r.Report)
	}
	w.now = w.now.Add(100 * 24 * time.Hour)
	w.round(s)
	if got := s.Reports(""); len(got) != 0 {
		t.Errorf("an old state is kept: %+v", got)
	}
}

// Of a large segment a bounded part is taken, evenly.
func TestLargeSegments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settings.BaselineRows = 10_000_000
	s := w.service()
	w.serve(1, 20000, 0)
	if r := w.round(s); r.BaselineRows < drift.MaxRecords || r.BaselineRows > drift.MaxRows {
		t.Errorf("got %+v", r.Report)
	}
}

// Heavy traffic is read at a bounded rate, but for a share of each segment; a burst after a quiet time is read as before.
func TestHeavyTraffic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settings.BaselineRows = 10_000_000
	s := w.service()
	baseline := func(segments int) (records uint64) {
		before := w.known(s)
		for range segments {
			w.serve(1, 5500, 0)
			w.now = w.now.Add(time.Second)
		}
		w.round(s)
		return w.known(s) - before
	}
	if got := baseline(10); got < 30_000 || got > 45_000 {
		t.Errorf("%d requests of the first 55,000 were read", got)
	}
	if got := baseline(10); got > 10*1000+2500 {
		t.Errorf("%d requests of the next 55,000 were read", got)
	}
	w.now = w.now.Add(time.Hour)
	if got := baseline(4); got != 4*drift.MaxRecords {
		t.Errorf("%d requests of 22,000 were read an hour later", got)
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve(1, 500, 0)
	s := w.service()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(t.Context()) }()
	deadline := time.Now().Add(30 * time.Second)
	for len(s.Reports("wine")) == 0 {
		if time.Now().After(deadline) {
			t.Fatal("nothing was taken in")
		}
		time.Sleep(time.Millisecond)
	}
	if err := errors.Join(s.Close(), <-ended); err != nil {
		t.Fatal(err)
	}
	if s.Run(t.Context()) == nil {
		t.Error("it runs twice")
	}
}
