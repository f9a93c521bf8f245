package monitor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"sluice/gateway/outcome"
	"sluice/gateway/predictions/sqlindex"
	"sluice/gateway/predlog"
	"sluice/registry"
	registrystore "sluice/registry/sqlstore"
	"sluice/tracking"
	"sluice/tracking/artifact"
	"sluice/tracking/artifact/fileartifact"
	"sluice/tracking/sqldb"
	"sluice/tracking/sqldb/sqldbtest"
	"sluice/tracking/sqlstore"
)

// house is real tracking, registry and artifacts over SQLite and a folder.
type house struct {
	observed  []Observation
	rollouts  map[predlog.Series]string
	db        string // the database file
	artifacts string // the artifact folder
	tracking  *tracking.Service
	registry  *registry.Service
	resolver  *artifact.Resolver
	book      *outcome.Book

	mu         sync.Mutex
	dropped    map[predlog.Series]predlog.Drops
	sampledOut map[predlog.Series]int64
	index      *sqlindex.Index
	down       error // if set, what every call to tracking returns
	now        time.Time
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{db: filepath.Join(t.TempDir(), "mlflow.db"), artifacts: t.TempDir(), book: outcome.NewBook(nil), now: time.UnixMilli(1_790_000_000_000)}
	db := sqldbtest.OpenFile(t, h.db, &sqldb.Options{RelaxedSync: true})
	var err error
	if h.tracking, err = tracking.New(sqlstore.New(db, nil), nil); err != nil {
		t.Fatal(err)
	}
	versions, err := registrystore.New(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	if h.index, err = sqlindex.New(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	h.registry = registry.New(versions, &registry.Options{Sources: registry.FromTracking(h.tracking)})
	driver, err := fileartifact.New(h.artifacts, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { driver.Close() })
	h.resolver = artifact.NewResolver(artifact.NewRepo(driver), nil)
	return h
}

// monitor starts a life of the monitor, not its loop: tests call Flush.
func (h *house) monitor(t *testing.T) *Monitor {
	t.Helper()
	m, err := New(Sources{
		Tracking: faultyTracking{h.tracking, h}, Versions: h.registry, Artifacts: h.resolver, Index: h.index, Outcomes: h.book.Snapshot, Dropped: h.drops, SampledOut: func() map[predlog.Series]int64 { return h.sampledOut },
		Observed: func() []Observation { return h.observed },
		Rollouts: func(context.Context) (map[predlog.Series]string, error) { return h.rollouts, nil },
	}, &Options{Now: func() time.Time { h.mu.Lock(); defer h.mu.Unlock(); h.now = h.now.Add(time.Second); return h.now }})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (h *house) drops() map[predlog.Series]predlog.Drops {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.dropped
}

func (h *house) setDown(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = err
}

// faultyTracking is tracking that can be down: the calls through which every write goes fail then.
type faultyTracking struct {
	*tracking.Service
	h *house
}

func (f faultyTracking) broken() error {
	f.h.mu.Lock()
	defer f.h.mu.Unlock()
	return f.h.down
}

func (f faultyTracking) ExperimentByName(ctx context.Context, name string) (tracking.Experiment, error) {
	if err := f.broken(); err != nil {
		return tracking.Experiment{}, err
	}
	return f.Service.ExperimentByName(ctx, name)
}

func (f faultyTracking) Run(ctx context.Context, id string) (tracking.Run, error) {
	if err := f.broken(); err != nil {
		return tracking.Run{}, err
	}
	return f.Service.Run(ctx, id)
}

func (f faultyTracking) LogBatch(ctx context.Context, id string, b tracking.Batch) error {
	if err := f.broken(); err != nil {
		return err
	}
	return f.Service.LogBatch(ctx, id, b)
}

// trained makes a training run with a logged model and registers it; it returns the run and the logged model.
func (h *house) trained(t *testing.T, name string) (run tracking.Run, model tracking.LoggedModel) {
	t.Helper()
	ctx := t.Context()
	experiment, err := h.tracking.ExperimentByName(ctx, "training")
	id := experiment.ID
	if err != nil {
		if id, err = h.tracking.CreateExperiment(ctx, tracking.ExperimentSpec{Name: "training"}); err != nil {
			t.Fatal(err)
		}
		if _, err := h.registry.CreateModel(ctx, registry.ModelSpec{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	if run, err = h.tracking.CreateRun(ctx, tracking.RunSpec{ExperimentID: id}); err != nil {
		t.Fatal(err)
	}
	if model, err = h.tracking.CreateLoggedModel(ctx, tracking.LoggedModelSpec{ExperimentID: id, Name: name, SourceRunID: run.Info.ID}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.registry.CreateVersion(ctx, registry.VersionSpec{
		Name: name, Source: "models:/" + model.ID, RunID: &run.Info.ID, ModelID: &model.ID,
	}); err != nil {
		t.Fatal(err)
	}
	return run, model
}

// runs returns the serving runs of an endpoint, by name.
func (h *house) runs(t *testing.T, endpoint string) map[string]tracking.Run {
	t.Helper()
	e, err := h.tracking.ExperimentByName(t.Context(), ExperimentName(endpoint))
	if err != nil {
		t.Fatal(err)
	}
	page, err := h.tracking.SearchRuns(t.Context(), tracking.RunQuery{ExperimentIDs: []string{e.ID}, MaxResults: 100, Filter: "tags.`sluice.serving` = 'true'"})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]tracking.Run{}
	for _, r := range page.Runs {
		if _, twice := out[r.Info.Name]; twice {
			t.Fatalf("two serving runs named %s", r.Info.Name)
		}
		if out[r.Info.Name], err = h.tracking.Run(t.Context(), r.Info.ID); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func latest(r tracking.Run) map[string]float64 {
	out := map[string]float64{}
	for _, m := range r.Data.Metrics {
		out[m.Key] = m.Value
	}
	return out
}

func flush(t *testing.T, m *Monitor) {
	t.Helper()
	if err := m.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (h *house) serve(n int, k outcome.Key, latency time.Duration) {
	s := h.book.Series(k)
	for range n {
		s.Record(latency)
	}
}

// segment writes one record of the Series through a real log and delivers nothing: it returns the file.
func segment(t *testing.T, s predlog.Series, records int) predlog.Segment {
	t.Helper()
	var out predlog.Segment
	keep := t.TempDir()
	l, err := predlog.Open(t.TempDir(), predlog.SinkFunc(func(_ context.Context, got predlog.Segment) error {
		data, err := os.ReadFile(got.Path)
		if err != nil {
			return err
		}
		out = got
		out.Path = filepath.Join(keep, "segment")
		return os.WriteFile(out.Path, data, 0o600)
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	record(t, l, s, records)
	if lost, err := l.Close(t.Context()); lost != 0 || err != nil {
		t.Fatal(lost, err)
	}
	return out
}

func record(t *testing.T, l *predlog.Log, s predlog.Series, records int) {
	t.Helper()
	for i := range records {
		id, err := uuid.NewV7()
		if err != nil {
			t.Fatal(err)
		}
		l.Record(&predlog.Record{
			PredictionID: id, Time: time.UnixMilli(1_790_000_000_000 + int64(i)).UTC(), Endpoint: s.Endpoint, Model: s.Model, Version: s.Version,
			Stage: "Production", Arm: "stable", Status: 200, Rows: 1, Request: fmt.Appendf(nil, `{"inputs":[%d]}`, i), Response: []byte(`{"predictions":[1]}`),
		})
	}
}
