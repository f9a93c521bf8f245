package monitor

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/gateway/outcome"
	"sluice/gateway/predictions"
	"sluice/gateway/predlog"
	"sluice/registry"
	"sluice/tracking"
	"sluice/tracking/artifact"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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

// The run of a version that a rollout brings names the rollout, also after its end and a restart, until another one brings it again.
func TestARolloutIsNamed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.trained(t, "wine")
	h.trained(t, "wine")
	m := h.monitor(t)
	v1, v2 := Served{"wine", "wine", 1, "Production", "stable"}, Served{"wine", "wine", 2, "", "canary"}
	for i, step := range []struct {
		active string
		served []Served
		want   string
	}{
		{"", []Served{v1}, ""},
		{"first", []Served{v1, v2}, "first"},
		{"", []Served{v1}, "first"},
		{"", []Served{v2}, "first"},
		{"second", []Served{v1, v2}, "second"},
	} {
		h.rollouts = map[predlog.Series]string{}
		if step.active != "" {
			h.rollouts[v2.series()] = step.active
		}
		if i == 3 {
			m = h.monitor(t)
		}
		m.Routed(t.Context(), step.served)
		flush(t, m)
		runs := h.runs(t, "wine")
		if got := tag(runs["wine v2"], TagRollout); got != step.want {
			t.Errorf("step %d: version 2 came with rollout %q, want %q", i, got, step.want)
		}
		if got := tag(runs["wine v1"], TagRollout); got != "" {
			t.Errorf("step %d: version 1 came with rollout %q", i, got)
		}
	}
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
	h.sampledOut = map[predlog.Series]int64{series: 900}
	flush(t, m)
	want := map[string]float64{
		"requests": 100, "errors": 10, "server_errors": 4, "error_rate": 0.1, "rows": 97, "dropped": 3, "sampled_out": 900,
		requestsTotal: 100, errorsTotal: 10, rowsTotal: 97, droppedTotal: 3, sampledOutTotal: 900,
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
	check(map[string]float64{"requests": 10, "error_rate": 0, "dropped": 0, "sampled_out": 0, requestsTotal: 110, rowsTotal: 97, sampledOutTotal: 900})

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
				h.observed = []Observation{{Series: series, Subject: "quality", Values: map[string]float64{"accuracy": 0.5}}}
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
				if got := latest(after); got[requestsTotal] != 7 || got[rowsTotal] != 7 || got["accuracy"] != 0.5 {
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
