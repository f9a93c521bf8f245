package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"sluice/gateway/outcome"
	"sluice/gateway/predictions"
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

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is real tracking, registry and artifacts over SQLite and a folder.
type house struct {
	observed  []Observation
	db        string // the database file
	artifacts string // the artifact folder
	tracking  *tracking.Service
	registry  *registry.Service
	resolver  *artifact.Resolver
	book      *outcome.Book

	mu      sync.Mutex
	dropped map[predlog.Series]predlog.Drops
	index   *sqlindex.Index
	down    error // if set, what every call to tracking returns
	now     time.Time
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
		Tracking: faultyTracking{h.tracking, h}, Versions: h.registry, Artifacts: h.resolver, Index: h.index, Outcomes: h.book.Snapshot, Dropped: h.drops,
		Observed: func() []Observation { return h.observed },
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

func TestServedVersionIsFoundBothWays(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	training, model := h.trained(t, "wine")
	m := h.monitor(t)
	m.Routed(t.Context(), []Served{{"shop", "wine", 1, "Production", "stable"}})
	flush(t, m)

	r, ok := h.runs(t, "shop")["wine v1"]
	if !ok {
		t.Fatalf("runs: %v", h.runs(t, "shop"))
	}
	if r.Info.Status != tracking.Running {
		t.Errorf("status %s", r.Info.Status)
	}
	for key, want := range map[string]string{
		TagServing: "true", TagEndpoint: "shop", TagModel: "wine", TagVersion: "1", TagStage: "Production", TagArm: "stable",
		TagTrainingRun: training.Info.ID, TagLoggedModel: model.ID,
	} {
		if got := tag(r, key); got != want {
			t.Errorf("tag %s = %q, want %q", key, got, want)
		}
	}
	if len(r.Inputs.Models) != 1 || r.Inputs.Models[0].ModelID != model.ID {
		t.Errorf("model inputs: %v", r.Inputs.Models)
	}
	back, err := h.tracking.SearchRuns(t.Context(), tracking.RunQuery{
		ExperimentIDs: []string{training.Info.ExperimentID}, MaxResults: 10, Filter: "tags.`sluice.serving_run.shop` = '" + r.Info.ID + "'",
	})
	if err != nil || len(back.Runs) != 1 || back.Runs[0].Info.ID != training.Info.ID {
		t.Errorf("training run by serving run: %v, %v", back.Runs, err)
	}
	v, err := h.registry.Version(t.Context(), "wine", 1)
	if err != nil || len(v.Tags) != 1 || v.Tags[0] != (registry.Tag{Key: TagServingRun + "shop", Value: r.Info.ID}) {
		t.Errorf("version tags: %v, %v", v.Tags, err)
	}

	// A restart changes nothing, in the registry neither.
	revision, err := h.registry.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again := h.monitor(t)
	again.Routed(t.Context(), []Served{{"shop", "wine", 1, "Production", "stable"}})
	flush(t, again)
	after := h.runs(t, "shop")
	if len(after) != 1 || after["wine v1"].Info.ID != r.Info.ID || len(after["wine v1"].Inputs.Models) != 1 {
		t.Errorf("after a restart: %v", after)
	}
	if now, err := h.registry.Revision(t.Context()); err != nil || now != revision {
		t.Errorf("the registry changed: revision %d → %d, %v", revision, now, err)
	}
}

func TestRunsFollowTheRoutes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.trained(t, "wine")
	h.trained(t, "wine")
	m := h.monitor(t)
	status := func(want map[string]tracking.RunStatus) {
		t.Helper()
		for name, r := range h.runs(t, "wine") {
			if r.Info.Status != want[name] {
				t.Errorf("%s is %s, want %s", name, r.Info.Status, want[name])
			}
			if (r.Info.Status == tracking.Finished) != (r.Info.EndTimeMS > 0) && r.Info.Status == tracking.Finished {
				t.Errorf("%s: end time %d", name, r.Info.EndTimeMS)
			}
		}
	}
	v1, v2 := Served{"wine", "wine", 1, "Production", "stable"}, Served{"wine", "wine", 2, "Staging", "canary"}
	m.Routed(t.Context(), []Served{v1, v2})
	flush(t, m)
	status(map[string]tracking.RunStatus{"wine v1": tracking.Running, "wine v2": tracking.Running})

	v2.Stage, v2.Arm = "Production", "stable"
	m.Routed(t.Context(), []Served{v2})
	flush(t, m)
	status(map[string]tracking.RunStatus{"wine v1": tracking.Finished, "wine v2": tracking.Running})
	if r := h.runs(t, "wine")["wine v2"]; tag(r, TagArm) != "stable" || tag(r, TagStage) != "Production" {
		t.Errorf("tags after promotion: %v", r.Data.Tags)
	}

	// Late records of a version that is no longer routed still find their run, and do not wake it.
	seg := segment(t, predlog.Series{Endpoint: "wine", Model: "wine", Version: 1}, 3)
	if err := m.Deliver(t.Context(), seg); err != nil {
		t.Fatal(err)
	}
	flush(t, m)
	status(map[string]tracking.RunStatus{"wine v1": tracking.Finished, "wine v2": tracking.Running})

	// After a restart v1 is routed again, and v2, which the earlier life left running, is not.
	m = h.monitor(t)
	flush(t, m) // before the first word of Routed nothing is finished
	status(map[string]tracking.RunStatus{"wine v1": tracking.Finished, "wine v2": tracking.Running})
	m.Routed(t.Context(), []Served{v1})
	flush(t, m)
	status(map[string]tracking.RunStatus{"wine v1": tracking.Running, "wine v2": tracking.Finished})
}

func TestOneVersionBehindTwoArms(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.trained(t, "wine")
	m := h.monitor(t)
	m.Routed(t.Context(), []Served{
		{"wine", "wine", 1, "Production", "stable"}, {"wine", "wine", 1, "", "canary"}, {"wine", "wine", 1, "Production", "stable"},
	})
	flush(t, m)
	r := h.runs(t, "wine")["wine v1"]
	if tag(r, TagArm) != "stable,canary" || tag(r, TagStage) != "Production" {
		t.Errorf("tags: %v", r.Data.Tags)
	}
	flush(t, m) // nothing changed: nothing is written, tracking may be down
	h.setDown(errors.New("database is gone"))
	if err := m.Flush(t.Context()); err != nil {
		t.Errorf("an idle round writes: %v", err)
	}
}

func TestMetricsOverTimeAndRestarts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.trained(t, "wine")
	series := predlog.Series{Endpoint: "wine", Model: "wine", Version: 1}
	key := outcome.Key{Endpoint: "wine", Model: "wine", Version: 1, Stage: "Production", Arm: "stable", Code: 200}
	bad, broken := key, key
	bad.Code, broken.Code = 400, 503
	m := h.monitor(t)
	h.serve(90, key, 2*time.Millisecond)
	h.serve(6, bad, time.Millisecond)
	h.serve(4, broken, 40*time.Millisecond)
	if err := m.Deliver(t.Context(), segment(t, series, 97)); err != nil {
		t.Fatal(err)
	}
	h.dropped = map[predlog.Series]predlog.Drops{series: {predlog.QueueFull: 3}}
	flush(t, m)
	want := map[string]float64{
		"requests": 100, "errors": 10, "server_errors": 4, "error_rate": 0.1, "rows": 97, "dropped": 3,
		requestsTotal: 100, errorsTotal: 10, rowsTotal: 97, droppedTotal: 3,
	}
	check := func(want map[string]float64) {
		t.Helper()
		got := latest(h.runs(t, "wine")["wine v1"])
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s = %v, want %v", k, got[k], v)
			}
		}
		p50, p90, p99 := got["latency_p50_ms"], got["latency_p90_ms"], got["latency_p99_ms"]
		if !(p50 > 0.5 && p50 <= p90 && p90 <= p99 && p99 < 100) {
			t.Errorf("latency quantiles %v %v %v", p50, p90, p99)
		}
	}
	check(want)

	flush(t, m) // no traffic, no step
	h.serve(10, key, 2*time.Millisecond)
	h.setDown(errors.New("database is gone"))
	if err := m.Flush(t.Context()); err == nil {
		t.Fatal("no error while tracking is down")
	}
	h.setDown(nil)
	flush(t, m) // nothing was lost
	check(map[string]float64{"requests": 10, "error_rate": 0, "dropped": 0, requestsTotal: 110, rowsTotal: 97})

	m = h.monitor(t) // the Book's counts so far are written already
	h.serve(5, key, 2*time.Millisecond)
	if err := m.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(map[string]float64{"requests": 5, requestsTotal: 115})
	r := h.runs(t, "wine")["wine v1"]
	history, err := h.tracking.MetricHistory(t.Context(), tracking.HistoryQuery{RunID: r.Info.ID, Key: "requests"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range history.Metrics {
		got = append(got, fmt.Sprintf("%d:%v", p.Step, p.Value))
	}
	if fmt.Sprint(got) != "[1:100 2:10 3:5]" {
		t.Errorf("history of requests: %v", got)
	}
}

func TestSegmentsBecomeArtifactsOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.trained(t, "wine")
	m := h.monitor(t)
	series := predlog.Series{Endpoint: "wine", Model: "wine", Version: 1}
	seg := segment(t, series, 20)
	h.setDown(errors.New("database is gone"))
	if err := m.Deliver(t.Context(), seg); err == nil {
		t.Fatal("no error while tracking is down")
	}
	h.setDown(nil)
	for range 2 {
		if err := m.Deliver(t.Context(), seg); err != nil {
			t.Fatal(err)
		}
	}
	repo, err := h.resolver.Resolve(h.runs(t, "wine")["wine v1"].Info.ArtifactURI)
	if err != nil {
		t.Fatal(err)
	}
	files, err := repo.List(t.Context(), "predictions/2026-09-21")
	if err != nil || len(files) != 1 || files[0].Path != SegmentPath(seg) {
		t.Fatalf("artifacts: %v, %v; want %s", files, err, SegmentPath(seg))
	}
	local, _ := repo.LocalPath(files[0].Path)
	rows := 0
	for _, err := range predlog.Scan(local) {
		if err != nil {
			t.Fatal(err)
		}
		rows++
	}
	if rows != 20 {
		t.Errorf("%d rows", rows)
	}
	indexed, err := h.index.Segments(t.Context(), predictions.Query{Endpoint: "wine"}, 0, 10)
	if err != nil || len(indexed) != 1 || indexed[0].ID != seg.ID || indexed[0].Rows != 20 || indexed[0].Place.Path != SegmentPath(seg) {
		t.Errorf("index: %+v, %v", indexed, err)
	}
}

func TestWhatAPersonDeleted(t *testing.T) {
	t.Parallel()
	series := predlog.Series{Endpoint: "wine", Model: "wine", Version: 1}
	for _, c := range []struct {
		name   string
		remove func(t *testing.T, h *house, r tracking.Run)
		same   bool // the run goes on, else a new one takes its place
	}{
		{"the experiment", func(t *testing.T, h *house, r tracking.Run) {
			if err := h.tracking.DeleteExperiment(t.Context(), r.Info.ExperimentID); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"the serving run", func(t *testing.T, h *house, r tracking.Run) {
			if err := h.tracking.DeleteRun(t.Context(), r.Info.ID); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"the training run", func(t *testing.T, h *house, r tracking.Run) {
			if err := h.tracking.DeleteRun(t.Context(), tag(r, TagTrainingRun)); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"the model version", func(t *testing.T, h *house, r tracking.Run) {
			if err := h.registry.DeleteVersion(t.Context(), "wine", 1, true); err != nil {
				t.Fatal(err)
			}
		}, true},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restart=%v", c.name, restart), func(t *testing.T) {
				t.Parallel()
				h := newHouse(t)
				h.trained(t, "wine")
				m := h.monitor(t)
				m.Routed(t.Context(), []Served{{"wine", "wine", 1, "Production", "stable"}})
				flush(t, m)
				before := h.runs(t, "wine")["wine v1"]
				c.remove(t, h, before)
				if restart {
					m = h.monitor(t)
				}
				h.serve(7, outcome.Key{Endpoint: "wine", Model: "wine", Version: 1, Code: 200}, time.Millisecond)
				if err := m.Deliver(t.Context(), segment(t, series, 7)); err != nil {
					t.Fatal(err)
				}
				flush(t, m)
				after := h.runs(t, "wine")["wine v1"]
				if (after.Info.ID == before.Info.ID) != c.same {
					t.Errorf("run %s → %s", before.Info.ID, after.Info.ID)
				}
				if got := latest(after); got[requestsTotal] != 7 || got[rowsTotal] != 7 {
					t.Errorf("metrics: %v", got)
				}
			})
		}
	}
}

func TestRequestsThatReachedNoVersion(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.monitor(t)
	for _, s := range []predlog.Series{{Endpoint: ""}, {Endpoint: "wine"}, {Endpoint: "wine", Model: "it's odd", Version: 3}} {
		if err := m.Deliver(t.Context(), segment(t, s, 2)); err != nil {
			t.Fatalf("%+v: %v", s, err)
		}
	}
	h.serve(2, outcome.Key{Endpoint: "wine", Code: 400}, time.Millisecond)
	m.Routed(t.Context(), nil)
	flush(t, m)
	if got := latest(h.runs(t, "")["unrouted"]); got["rows"] != 2 {
		t.Errorf("no endpoint: %v", got)
	}
	runs := h.runs(t, "wine")
	if got := latest(runs["unrouted"]); got["rows"] != 2 || got["errors"] != 2 {
		t.Errorf("no version: %v", got)
	}
	if runs["it's odd v3"].Info.Status != tracking.Finished {
		t.Errorf("a version that the registry does not know: %+v", runs["it's odd v3"].Info)
	}
}

// The whole way, with the loop running: records → log → monitor → tracking, and rows + drops = records offered.
func TestLogThroughMonitor(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.trained(t, "wine")
	var log *predlog.Log
	m, err := New(Sources{
		Tracking: h.tracking, Versions: h.registry, Artifacts: h.resolver, Index: h.index, Outcomes: h.book.Snapshot,
		Dropped: func() map[predlog.Series]predlog.Drops { return log.DroppedBySeries() },
	}, &Options{Interval: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if log, err = predlog.Open(t.TempDir(), m, &predlog.Options{SyncInterval: time.Millisecond, SpoolRows: 50}); err != nil {
		t.Fatal(err)
	}
	m.Start()
	m.Routed(t.Context(), []Served{{"wine", "wine", 1, "Production", "stable"}})
	record(t, log, predlog.Series{Endpoint: "wine", Model: "wine", Version: 1}, 500)
	if lost, err := log.Close(t.Context()); lost != 0 || err != nil {
		t.Fatalf("close the log: %d lost, %v", lost, err)
	}
	if err := m.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := h.runs(t, "wine")["wine v1"]
	if got := latest(r); got[rowsTotal]+got[droppedTotal] != 500 || got[rowsTotal] == 0 {
		t.Errorf("metrics: %v", got)
	}
	rows := 0
	repo, err := h.resolver.Resolve(r.Info.ArtifactURI)
	if err != nil {
		t.Fatal(err)
	}
	err = repo.Walk(t.Context(), "predictions", func(i artifact.Info) error {
		local, _ := repo.LocalPath(i.Path)
		for _, err := range predlog.Scan(local) {
			if err != nil {
				return err
			}
			rows++
		}
		return nil
	})
	if err != nil || rows != 500 {
		t.Errorf("%d rows in artifacts, %v", rows, err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	if _, err := New(Sources{}, nil); err == nil {
		t.Error("no sources: no error")
	}
	h := newHouse(t)
	src := Sources{Tracking: h.tracking, Versions: h.registry, Artifacts: h.resolver, Index: h.index, Outcomes: h.book.Snapshot, Dropped: h.drops}
	if _, err := New(src, &Options{Interval: -1}); err == nil {
		t.Error("negative interval: no error")
	}
}
