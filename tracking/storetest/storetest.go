// Package storetest is the suite that every tracking.Store passes: one subtest for each promise of the contract.
//
// It owns the cases and the benchmarks. It is called by the tests of the drivers; it must not know any driver. A new promise in
// tracking/store.go begins as a case here.
package storetest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"sluice/tracking"
	"sluice/tracking/mlflow"
)

// Run runs the suite. newStore returns an empty store, closed by the test's own clean-up; it is called once for each case.
func Run(t *testing.T, newStore func(t *testing.T) tracking.Store) {
	for _, group := range []struct {
		name  string
		cases []testCase
	}{
		{"experiments", experimentCases}, {"runs", runCases}, {"batch", batchCases}, {"metrics", metricCases}, {"search runs", searchCases}, {"paging", pagingCases},
		{"inputs", inputCases}, {"logged models", modelCases}, {"logged model search", modelSearchCases},
		{"traces", traceCases}, {"trace search", traceSearchCases}, {"assessments", assessmentCases},
		{"trace metrics", traceMetricCases},
	} {
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range group.cases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.run(newFixture(t, newStore(t)))
				})
			}
		})
	}
}

type testCase struct {
	name string
	run  func(f *fixture)
}

// fixture is a store behind its Service, with a clock that moves one millisecond at every look.
type fixture struct {
	*testing.T
	ctx   context.Context
	store tracking.Store
	svc   *tracking.Service
	now   int64 // Unix milliseconds
}

const startMS = 1_700_000_000_000

func newFixture(t *testing.T, store tracking.Store) *fixture {
	f := &fixture{T: t, ctx: t.Context(), store: store, now: startMS}
	svc, err := tracking.New(store, &tracking.Options{ArtifactRoot: "mlflow-artifacts:/", Now: f.tick})
	if err != nil {
		t.Fatal(err)
	}
	f.svc = svc
	f.must(svc.EnsureDefaultExperiment(f.ctx))
	return f
}

func (f *fixture) tick() time.Time {
	f.now++
	return time.UnixMilli(f.now)
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// refused checks that err has the code.
func (f *fixture) refused(err error, code mlflow.Code) {
	f.Helper()
	if got := mlflow.CodeOf(err); got != code {
		f.Fatalf("error = %v, want code %s", err, code)
	}
}

func (f *fixture) experiment(name string) string {
	f.Helper()
	id, err := f.svc.CreateExperiment(f.ctx, tracking.ExperimentSpec{Name: name})
	f.must(err)
	return id
}

// run creates a run in the default experiment; later ones start later.
func (f *fixture) run(name string, tags ...tracking.Tag) string {
	f.Helper()
	return f.runIn(tracking.DefaultExperimentID, name, tags...)
}

func (f *fixture) runIn(experiment, name string, tags ...tracking.Tag) string {
	f.Helper()
	r, err := f.svc.CreateRun(f.ctx, tracking.RunSpec{ExperimentID: experiment, Name: name, UserID: "ada", StartTimeMS: f.tick().UnixMilli(), Tags: tags})
	f.must(err)
	return r.Info.ID
}

func (f *fixture) get(id string) tracking.Run {
	f.Helper()
	r, err := f.svc.Run(f.ctx, id)
	f.must(err)
	return r
}

func (f *fixture) metric(run, key string, value float64, timestamp, step int64) {
	f.Helper()
	f.must(f.svc.LogMetric(f.ctx, run, tracking.Metric{Key: key, Value: value, TimestampMS: timestamp, Step: step}))
}

func (f *fixture) history(run, key string) []tracking.Metric {
	f.Helper()
	page, err := f.svc.MetricHistory(f.ctx, tracking.HistoryQuery{RunID: run, Key: key})
	f.must(err)
	return page.Metrics
}

// latest returns the latest value of a key, and false if the run has none.
func (f *fixture) latest(run, key string) (tracking.Metric, bool) {
	f.Helper()
	for _, m := range f.get(run).Data.Metrics {
		if m.Key == key {
			return m, true
		}
	}
	return tracking.Metric{}, false
}

// names searches the default experiment and returns the names of the runs found, in order.
func (f *fixture) names(filter string, order ...string) []string {
	f.Helper()
	return f.search(tracking.RunQuery{Filter: filter, OrderBy: order})
}

func (f *fixture) search(q tracking.RunQuery) []string {
	f.Helper()
	if q.ExperimentIDs == nil {
		q.ExperimentIDs = []string{tracking.DefaultExperimentID}
	}
	if q.MaxResults == 0 {
		q.MaxResults = 1000
	}
	page, err := f.svc.SearchRuns(f.ctx, q)
	if err != nil {
		f.Fatalf("search %q order %q: %v", q.Filter, q.OrderBy, err)
	}
	var out []string
	for _, r := range page.Runs {
		out = append(out, r.Info.Name)
	}
	return out
}

func equal[T any](f *fixture, got, want T, what string) {
	f.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		f.Fatalf("%s = %s, want %s", what, g, w)
	}
}

// sameSet compares without regard to order.
func sameSet(f *fixture, got, want []string, what string) {
	f.Helper()
	got, want = slices.Clone(got), slices.Clone(want)
	slices.Sort(got)
	slices.Sort(want)
	equal(f, got, want, what)
}

// sameValue compares metric values; NaN equals NaN, and infinities may come back clipped.
func sameValue(got, want float64) bool {
	switch {
	case math.IsNaN(want):
		return math.IsNaN(got)
	case math.IsInf(want, 0):
		return got == want || got == math.Copysign(math.MaxFloat64, want)
	}
	return got == want
}
