package truth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"sluice/gateway"
	"sluice/gateway/predictions"
	"sluice/gateway/predlog"
	"sluice/gateway/sqlstore"
	"sluice/gateway/truth"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { os.Exit(sqldbtest.Main(m)) }

var start = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// world is a prediction log that a test fills, and the clock.
type world struct {
	t        *testing.T
	now      time.Time
	rows     [][]predlog.Row // of each segment
	reads    int
	fail     error
	settings gateway.GroundTruth
	store    *sqlstore.Truth
	ids      uint64
}

func newWorld(t *testing.T) *world {
	t.Helper()
	store, err := sqlstore.NewTruth(t.Context(), sqldbtest.Open(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, now: start, store: store}
}

func (w *world) Segments(_ context.Context, q predictions.Query, _ int64) iter.Seq2[predictions.Segment, error] {
	return func(yield func(predictions.Segment, error) bool) {
		if w.fail != nil {
			yield(predictions.Segment{}, w.fail)
			return
		}
		for i, rows := range w.rows {
			s := predictions.Segment{Seq: int64(i + 1)}
			s.ID, s.Series = fmt.Sprint("segment-", i), predlog.Series{Endpoint: rows[0].Endpoint, Model: rows[0].Model, Version: rows[0].Version}
			s.First, s.Last = rows[0].Time, rows[len(rows)-1].Time
			holds := len(q.AnyClientID) == 0 || slices.ContainsFunc(rows, func(r predlog.Row) bool { return slices.Contains(q.AnyClientID, r.RequestID) })
			if s.Endpoint == q.Endpoint && !s.Last.Before(q.From) && s.First.Before(q.To) && holds && !yield(s, nil) {
				return
			}
		}
	}
}

func (w *world) SegmentRows(_ context.Context, s predictions.Segment) iter.Seq2[predlog.Row, error] {
	w.reads++
	return func(yield func(predlog.Row, error) bool) {
		for _, r := range w.rows[s.Seq-1] {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// predicted is a record of the endpoint "wine" that answers response, made now.
func (w *world) predicted(client, request, response string) predlog.Row {
	var id uuid.UUID
	w.ids++
	ms := w.now.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6], id[8], id[15], id[14] = 0x70, 0x80, byte(w.ids), byte(w.ids>>8)
	r := predlog.Row{}
	r.PredictionID, r.RequestID, r.Time = id, client, w.now
	r.Endpoint, r.Model, r.Version, r.Arm, r.Status = "wine", "wine", 1, "stable", 200
	r.ContentType, r.ResponseContentType, r.Request, r.Response = "application/json", "application/json", []byte(request), []byte(response)
	return r
}

func (w *world) deliver(rows ...predlog.Row) { w.rows = append(w.rows, rows) }

func (w *world) service(opts *truth.Options) *truth.Service {
	w.t.Helper()
	o := truth.Options{Now: func() time.Time { return w.now }}
	if opts != nil {
		o.MaxLabels, o.MaxWaiting, o.CacheBytes = opts.MaxLabels, opts.MaxWaiting, opts.CacheBytes
	}
	s, err := truth.New(w.t.Context(), truth.Deps{Store: w.store, Segments: w, Settings: func(_ context.Context, name string) (gateway.GroundTruth, error) {
		if name != "wine" {
			return gateway.GroundTruth{}, mlflow.Missingf("no endpoint %q", name)
		}
		return w.settings, nil
	}}, &o)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func item(kind truth.KeyKind, text string, values ...string) truth.Item {
	i := truth.Item{Key: truth.Key{Kind: kind, Text: text}, Row: truth.AllRows}
	for _, v := range values {
		i.Values = append(i.Values, json.RawMessage(v))
	}
	return i
}

func byID(r predlog.Row, values ...string) truth.Item {
	return item(truth.ByPrediction, uuid.UUID(r.PredictionID).String(), values...)
}

func (w *world) submit(s *truth.Service, items ...truth.Item) []truth.Outcome {
	w.t.Helper()
	results, err := s.Submit(w.t.Context(), "wine", items)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []truth.Outcome
	for _, r := range results {
		out = append(out, r.Outcome)
	}
	return out
}

func (w *world) round(s *truth.Service) {
	w.t.Helper()
	if err := s.Round(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func want(t *testing.T, got []truth.Outcome, want ...truth.Outcome) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func (w *world) counts(s *truth.Service, judged, wrong uint64) {
	w.t.Helper()
	w.round(s)
	if j, k := s.Judged("wine", "wine", 1); j != judged || k != wrong {
		w.t.Errorf("judged %d, wrong %d; want %d, %d", j, k, judged, wrong)
	}
}

const one = `{"predictions": ["red"]}`

// R44: ground truth before its prediction, 30 days late, duplicate, conflicting, for an unknown id – and every other outcome.
func TestEveryOutcome(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.service(nil)
	first, second := w.predicted("a", `{}`, one), w.predicted("b", `{}`, one)
	twice, again, failed := w.predicted("c", `{}`, one), w.predicted("c", `{}`, one), w.predicted("d", `{}`, `{"error_code": "INTERNAL_ERROR"}`)
	failed.Status = 500
	w.deliver(first, second, twice, again, failed)
	w.now = w.now.Add(time.Minute)

	want(t, w.submit(s, byID(first, `"red"`), item(truth.ByRequest, "b", `"white"`)), truth.Joined, truth.Joined)
	want(t, w.submit(s, byID(first, `"red"`), byID(second, `"white"`), item(truth.ByRequest, "a", `"red"`)), truth.Duplicate, truth.Duplicate, truth.Duplicate)
	want(t, w.submit(s, byID(first, `"white"`), item(truth.ByRequest, "b", `"red"`)), truth.Conflicting, truth.Conflicting)
	want(t, w.submit(s, item(truth.ByRequest, "c", `"red"`), byID(failed, `"red"`), byID(twice, `1`), byID(twice, `"red"`, `"red"`), item(truth.ByPrediction, "x", `1`), item(truth.ByKey, "k", `1`)),
		truth.Ambiguous, truth.WithoutPrediction, truth.Invalid, truth.Invalid, truth.Invalid, truth.Invalid)
	w.counts(s, 2, 1)

	// Before the prediction: it waits, and is joined when the log has delivered it.
	want(t, w.submit(s, item(truth.ByRequest, "later", `"white"`)), truth.Pending)
	want(t, w.submit(s, item(truth.ByRequest, "later", `"red"`)), truth.Conflicting)
	w.round(s)
	w.now = w.now.Add(time.Hour)
	w.deliver(w.predicted("later", `{}`, one))
	w.counts(s, 3, 2)
	want(t, w.submit(s, item(truth.ByRequest, "later", `"white"`)), truth.Duplicate)

	// 30 days late: joined like any other. Past the retention: not.
	late, later := w.predicted("late", `{}`, one), w.predicted("too late", `{}`, one)
	w.deliver(late, later)
	w.now = w.now.Add(30 * 24 * time.Hour)
	want(t, w.submit(s, byID(late, `"red"`)), truth.Joined)
	w.counts(s, 4, 2)
	w.now = w.now.Add(16 * 24 * time.Hour)
	want(t, w.submit(s, byID(later, `"red"`)), truth.TooLate)

	// Nobody's id: unknown at once where the prediction would be there by now, else after a wait.
	old, young := w.predicted("", `{}`, one), w.predicted("", `{}`, one)
	w.now = w.now.Add(25 * time.Hour)
	recent := w.predicted("", `{}`, one)
	want(t, w.submit(s, byID(old, `"red"`), byID(recent, `"red"`), item(truth.ByRequest, "nobody", `"red"`)), truth.Unknown, truth.Pending, truth.Pending)
	w.now = w.now.Add(23 * time.Hour)
	w.round(s)
	if n := s.Counts()[truth.OutcomeKey{Endpoint: "wine", Outcome: truth.Unknown}]; n != 1 {
		t.Errorf("%d are unknown before the wait is over", n)
	}
	w.now = w.now.Add(2 * time.Hour)
	w.round(s)
	if n := s.Counts()[truth.OutcomeKey{Endpoint: "wine", Outcome: truth.Unknown}]; n != 3 {
		t.Errorf("%d are unknown, want 3", n)
	}
	_ = young
}

// Rows of one prediction are labelled one by one or all at once.
func TestRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.service(nil)
	r := w.predicted("a", `{}`, `{"predictions": [1, 2, 3]}`)
	w.deliver(r)
	third := byID(r, `3`)
	third.Row = 2
	want(t, w.submit(s, third), truth.Joined)
	want(t, w.submit(s, byID(r, `1`, `1`, `3`)), truth.Joined)
	want(t, w.submit(s, byID(r, `1`, `1`, `3`), byID(r, `1`)), truth.Duplicate, truth.Invalid)
	want(t, w.submit(s, byID(r, `1`, `2`, `3`)), truth.Conflicting)
	beyond := byID(r, `1`)
	beyond.Row = 3
	want(t, w.submit(s, beyond), truth.Invalid)
	w.counts(s, 3, 1)
}

// A key of the business finds the row that had it, in any form of a request; a shadow's copy is judged, too.
func TestBusinessKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settings = gateway.GroundTruth{Key: "order", Output: "price", Tolerance: 0.5}
	s := w.service(nil)
	request := `{"dataframe_split": {"columns": ["a", "order"], "data": [[1, 17], [2, 18]]}}`
	given := w.predicted("a", request, `{"predictions": [{"x": 1, "price": 2.5}, {"x": 1, "price": 3.5}]}`)
	shadow := w.predicted("a", request, `{"predictions": [{"x": 1, "price": 9.5}, {"x": 1, "price": 3.5}]}`)
	shadow.Shadow, shadow.Version = true, 2
	text := w.predicted("b", `{"dataframe_records": [{"order": "A-1"}]}`, `{"predictions": [{"price": 1.5}]}`)
	w.deliver(given, text)
	w.deliver(shadow)
	want(t, w.submit(s, item(truth.ByKey, "17", `2.25`), item(truth.ByKey, "18", `9`), item(truth.ByKey, "A-1", `1.5`), item(truth.ByKey, "19", `1`)),
		truth.Joined, truth.Joined, truth.Joined, truth.Pending)
	w.counts(s, 3, 1)
	if j, k := s.Judged("wine", "wine", 2); j != 2 || k != 2 {
		t.Errorf("the shadow: judged %d, wrong %d; want 2, 2", j, k)
	}
	q := s.Quality("wine")
	if len(q) != 2 || q[0].Version != 1 || *q[0].Total.MAE != (0.25+5.5)/3 || q[0].Window.Labels != 3 {
		t.Errorf("got %+v", q)
	}
}

// A log that cannot be read loses nothing: the items wait.
func TestLogAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.service(nil)
	r := w.predicted("a", `{}`, one)
	w.deliver(r)
	w.fail = errors.New("the store is away")
	w.now = w.now.Add(time.Minute)
	want(t, w.submit(s, byID(r, `"red"`), item(truth.ByRequest, "a", `"red"`)), truth.Pending, truth.Pending)
	w.now = w.now.Add(48 * time.Hour)
	if err := s.Round(t.Context()); err == nil {
		t.Error("the round says nothing")
	}
	w.fail = nil
	w.counts(s, 1, 0)
}

// The rolling numbers forget, the totals do not; both survive a restart.
func TestWindow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.service(nil)
	for day := range 3 {
		for n := range 4 {
			r := w.predicted(fmt.Sprint(day, n), `{}`, one)
			w.deliver(r)
			actual := `"red"`
			if n < day {
				actual = `"white"`
			}
			want(t, w.submit(s, byID(r, actual)), truth.Joined)
		}
		w.now = w.now.Add(30 * time.Hour)
	}
	w.now = w.now.Add(-20 * time.Hour)
	s = w.service(nil)
	q := s.Quality("")
	if len(q) != 1 || q[0].Window.Labels != 4 || *q[0].Window.Accuracy != 0.5 || q[0].Total.Labels != 12 || *q[0].Total.Accuracy != 0.75 {
		t.Errorf("got %+v", q)
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.service(&truth.Options{MaxLabels: 1, MaxWaiting: 1, CacheBytes: 1})
	a, b := w.predicted("a", `{}`, one), w.predicted("b", `{}`, one)
	w.deliver(a)
	w.deliver(b)
	_, err := s.Submit(t.Context(), "wine", []truth.Item{item(truth.ByRequest, "x", `1`), item(truth.ByRequest, "y", `1`)})
	if mlflow.CodeOf(err) != mlflow.ResourceExhausted {
		t.Errorf("waiting: got %v", err)
	}
	want(t, w.submit(s, byID(a, `"red"`), byID(b, `"red"`)), truth.Joined, truth.Joined)
	want(t, w.submit(s, byID(a, `"red"`), byID(b, `"red"`)), truth.Duplicate, truth.Duplicate) // decoded again: the cache holds one
	w.round(s)
	if _, err := s.Submit(t.Context(), "wine", []truth.Item{byID(a, `"red"`)}); mlflow.CodeOf(err) != mlflow.ResourceExhausted {
		t.Errorf("labels: got %v", err)
	}
	if _, err := s.Submit(t.Context(), "beer", nil); mlflow.CodeOf(err) != mlflow.ResourceDoesNotExist {
		t.Errorf("an unknown endpoint: got %v", err)
	}
	if _, err := s.Submit(t.Context(), "wine", make([]truth.Item, truth.MaxItems+1)); mlflow.CodeOf(err) != mlflow.InvalidParameterValue {
		t.Errorf("too many: got %v", err)
	}
}

// The loop joins what waits when it is told that something was delivered, and ends.
func TestRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.service(nil)
	want(t, w.submit(s, item(truth.ByRequest, "a", `"red"`)), truth.Pending)
	w.deliver(w.predicted("a", `{}`, one))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(t.Context()) }()
	deadline := time.Now().Add(30 * time.Second)
	for j := uint64(0); j == 0; j, _ = s.Judged("wine", "wine", 1) {
		if time.Now().After(deadline) {
			t.Fatal("nothing was joined")
		}
		s.Poke()
		time.Sleep(time.Millisecond)
	}
	if err := errors.Join(s.Close(), <-ended); err != nil {
		t.Fatal(err)
	}
	if s.Run(t.Context()) == nil {
		t.Error("it runs twice")
	}
}
