package sqlstore_test

import (
	"bytes"
	"context"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sluice/registry"
	"sluice/registry/sqlstore"
	"sluice/tracking"
	"sluice/tracking/artifact"
	"sluice/tracking/artifact/fileartifact"
	"sluice/tracking/bundle"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
	"sluice/tracking/sqldb/sqldbtest"
	trackingstore "sluice/tracking/sqlstore"
)

// server is tracking and registry on one database, with bundles between them: what cmd wires.
type server struct {
	db        *sqldb.DB
	tracks    *trackingstore.Store
	tracking  *tracking.Service
	registers *sqlstore.Store
	registry  *registry.Service
	files     *artifact.Repo
	*bundle.Service
}

func newServer(t *testing.T, open sqldbtest.Opener) *server {
	t.Helper()
	s := &server{db: open(t, &sqldb.Options{RelaxedSync: true})}
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	s.tracks = trackingstore.New(s.db, nil)
	s.tracking, err = tracking.New(s.tracks, &tracking.Options{ArtifactRoot: "mlflow-artifacts:/", WorkDir: "/"})
	ok(err)
	ok(s.tracking.EnsureDefaultExperiment(t.Context()))
	s.registers, err = sqlstore.New(t.Context(), s.db)
	ok(err)
	s.registry = registry.New(s.registers, &registry.Options{Sources: registry.FromTracking(s.tracking)})
	driver, err := fileartifact.New(t.TempDir(), nil)
	ok(err)
	t.Cleanup(func() { ok(driver.Close()) })
	s.files = artifact.NewRepo(driver)
	s.Service = bundle.New(s, artifact.NewResolver(s.files, nil), bundle.Options{Locations: s.tracking})
	return s
}

func (s *server) Schema() string { return s.tracks.Schema() }

func (s *server) Export(ctx context.Context, sel bundle.Selection, emit bundle.Emit) (string, error) {
	switch sel.Kind {
	case bundle.KindRun:
		return sel.ID, s.tracks.ExportRun(ctx, sel.ID, emit)
	case bundle.KindExperiment:
		return s.tracks.ExportExperiment(ctx, sel.ID, emit)
	}
	runs, models, err := s.registers.ExportModel(ctx, sel.ID, emit)
	if err != nil {
		return "", err
	}
	return sel.ID, s.tracks.ExportRefs(ctx, trackingstore.BundleRefs{Runs: runs, Models: models}, emit)
}

func (s *server) Plan(ctx context.Context, c *bundle.Contents) (*bundle.Plan, error) {
	return s.tracks.PlanBundle(ctx, c, func(ctx context.Context, q sqldb.Querier, p *bundle.Plan) error {
		return s.registers.PlanBundle(ctx, q, c, p)
	})
}

func (s *server) Import(ctx context.Context, c *bundle.Contents, finish func(context.Context, *bundle.Plan) error) (plan *bundle.Plan, err error) {
	err = s.registry.Import(ctx, func() (events []registry.Event, err error) {
		plan, err = s.tracks.ImportBundle(ctx, c, func(ctx context.Context, tx *sqldb.Tx, p *bundle.Plan) (err error) {
			if events, err = s.registers.ImportBundle(ctx, tx, c, p); err != nil {
				return err
			}
			return finish(ctx, p)
		})
		return events, err
	})
	return plan, err
}

// work is what a test fills a server with.
type work struct{ experiment, run, model string }

func (s *server) fill(t *testing.T) (w work) {
	t.Helper()
	ctx := t.Context()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	w.experiment, err = s.tracking.CreateExperiment(ctx, tracking.ExperimentSpec{Name: "wines", Tags: []tracking.Tag{{Key: "team", Value: "é"}}})
	ok(err)
	r, err := s.tracking.CreateRun(ctx, tracking.RunSpec{ExperimentID: w.experiment, Name: "first"})
	ok(err)
	w.run = r.Info.ID
	metrics := []tracking.Metric{
		{Key: "loss", Value: math.NaN(), TimestampMS: 1, Step: 1}, {Key: "loss", Value: math.Inf(1), TimestampMS: 2, Step: 2},
		{Key: "loss", Value: math.Inf(-1), TimestampMS: 3, Step: 3}, {Key: "loss", Value: 0.1, TimestampMS: math.MaxInt64, Step: 1 << 40},
	}
	for i := range 500 {
		metrics = append(metrics, tracking.Metric{Key: "many", Value: 1 / float64(i+1), TimestampMS: int64(i), Step: int64(-i)})
	}
	ok(s.tracking.LogBatch(ctx, w.run, tracking.Batch{Metrics: metrics, Params: []tracking.Param{{Key: "p", Value: "a\nb"}}, Tags: []tracking.Tag{{Key: "t", Value: "日本"}}}))
	ok(s.tracking.LogInputs(ctx, w.run, []tracking.DatasetInput{
		{Dataset: tracking.Dataset{Name: "d", Digest: "1", SourceType: "local", Source: "x"}, Tags: []tracking.Tag{{Key: "mlflow.data.context", Value: "training"}}},
	}, nil))
	m, err := s.tracking.CreateLoggedModel(ctx, tracking.LoggedModelSpec{ExperimentID: w.experiment, Name: "m", SourceRunID: w.run, Params: []tracking.Param{{Key: "a", Value: "b"}}, Tags: []tracking.Tag{{Key: "c", Value: "d"}}})
	ok(err)
	w.model = m.ID
	ok(s.tracking.LogOutputs(ctx, w.run, []tracking.ModelOutput{{ModelID: m.ID, Step: 7}}))
	ok(s.tracking.LogBatch(ctx, w.run, tracking.Batch{Metrics: []tracking.Metric{{Key: "f1", Value: 0.5, ModelID: m.ID}}}))
	for _, f := range []string{w.experiment + "/" + w.run + "/artifacts/a/b", w.experiment + "/models/" + m.ID + "/artifacts/MLmodel"} {
		_, err := s.files.Write(ctx, f, strings.NewReader(f))
		ok(err)
	}
	_, err = s.registry.CreateModel(ctx, registry.ModelSpec{Name: "wine", Description: "of wines", Tags: []registry.Tag{{Key: "owner", Value: "me"}}})
	ok(err)
	for _, spec := range []registry.VersionSpec{{Name: "wine", Source: "models:/" + m.ID, RunID: &w.run, ModelID: &m.ID}, {Name: "wine", Source: "s3://bucket/x"}} {
		_, err := s.registry.CreateVersion(ctx, spec)
		ok(err)
	}
	_, err = s.registry.SetStage(ctx, "wine", 1, string(registry.StageProduction), false)
	ok(err)
	ok(s.registry.SetAlias(ctx, "wine", "champion", 2))
	return w
}

func (s *server) export(t *testing.T, kind bundle.Kind, id string) []byte {
	t.Helper()
	out, err := s.Gather(t.Context(), bundle.Selection{Kind: kind, ID: id})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var b bytes.Buffer
	if err := out.WriteTo(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (s *server) load(t *testing.T, b []byte, skip bool) bundle.Report {
	t.Helper()
	report, err := s.Service.Import(t.Context(), bytes.NewReader(b), skip)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// seen is what clients see of a run, without the experiment that it is in.
func (s *server) seen(t *testing.T, w work) any {
	t.Helper()
	run, err := s.tracking.Run(t.Context(), w.run)
	if err != nil {
		t.Fatal(err)
	}
	run.Info.ExperimentID, run.Info.ArtifactURI = "", ""
	slices.SortFunc(run.Data.Metrics, func(a, b tracking.Metric) int { return strings.Compare(a.Key, b.Key) })
	model, err := s.tracking.LoggedModel(t.Context(), w.model, false)
	if err != nil {
		t.Fatal(err)
	}
	model.ExperimentID, model.ArtifactLocation = "", ""
	var history []uint64
	for _, key := range []string{"loss", "many"} {
		page, err := s.tracking.MetricHistory(t.Context(), tracking.HistoryQuery{RunID: w.run, Key: key})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page.Metrics {
			history = append(history, math.Float64bits(m.Value), uint64(m.TimestampMS), uint64(m.Step))
		}
	}
	return []any{run, model, history}
}

// TestBundles: on every database a run, an experiment and a registered model arrive as they were, once, whole, and nothing else changes.
func TestBundles(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, open sqldbtest.Opener) {
		t.Parallel()
		from := newServer(t, sqldbtest.Open)
		w := from.fill(t)
		want := from.seen(t, w)
		t.Run("run", func(t *testing.T) {
			to := newServer(t, open)
			if _, err := to.tracking.CreateExperiment(t.Context(), tracking.ExperimentSpec{Name: "other"}); err != nil {
				t.Fatal(err) // it has the id that "wines" had
			}
			b := from.export(t, bundle.KindRun, w.run)
			report := to.load(t, b, false)
			if report.Rows["metrics"] != 505 || report.Files != 2 || report.Experiments[w.experiment] == w.experiment {
				t.Errorf("report %+v", report)
			}
			if got := to.seen(t, w); !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			if _, err := to.Service.Import(t.Context(), bytes.NewReader(b), false); mlflow.CodeOf(err) != mlflow.ResourceAlreadyExists || !strings.Contains(err.Error(), w.run) {
				t.Errorf("again: %v", err)
			}
			if report = to.load(t, b, true); report.SkippedAll != 2 || len(report.Rows) != 0 {
				t.Errorf("skipping: %+v", report)
			}
			if id, err := to.tracking.CreateExperiment(t.Context(), tracking.ExperimentSpec{Name: "next"}); err != nil || id == report.Experiments[w.experiment] {
				t.Errorf("the next experiment: %s, %v", id, err)
			}
		})
		t.Run("experiment", func(t *testing.T) {
			to := newServer(t, open)
			b := from.export(t, bundle.KindExperiment, "wines")
			report := to.load(t, b, false)
			if report.Experiments[w.experiment] != w.experiment || !slices.Contains(report.Made, w.experiment) {
				t.Errorf("report %+v", report)
			}
			if got := to.seen(t, w); !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			if err := to.tracking.DeleteExperiment(t.Context(), w.experiment); err != nil {
				t.Fatal(err)
			}
			if _, err := to.Service.Import(t.Context(), bytes.NewReader(b), true); mlflow.CodeOf(err) != mlflow.InvalidState {
				t.Errorf("into a deleted experiment: %v", err)
			}
		})
		t.Run("registered model", func(t *testing.T) {
			to := newServer(t, open)
			var events []registry.Event
			defer to.registry.Subscribe(func(e registry.Event) { events = append(events, e) })()
			b := from.export(t, bundle.KindModel, "wine")
			report := to.load(t, b, false)
			if report.Files != 1 || report.Foreign != 1 || report.Rows["model_versions"] != 2 {
				t.Errorf("report %+v", report)
			}
			for version := 1; version <= 2; version++ {
				a, err := from.registry.Version(t.Context(), "wine", version)
				b, err2 := to.registry.Version(t.Context(), "wine", version)
				if err != nil || err2 != nil || !reflect.DeepEqual(a, b) {
					t.Errorf("got  %+v, %v\nwant %+v, %v", b, err2, a, err)
				}
			}
			if len(events) != 5 || events[len(events)-1].Kind != registry.AliasSet || events[0].Revision == 0 {
				t.Errorf("events %+v", events)
			}
			if _, err := to.Service.Import(t.Context(), bytes.NewReader(b), false); mlflow.CodeOf(err) != mlflow.ResourceAlreadyExists {
				t.Errorf("again: %v", err)
			}
			report = to.load(t, b, true)
			if len(report.Rows) != 0 || report.SkippedAll != 4 {
				t.Errorf("skipping: %+v", report)
			}
		})
	})
}

// TestAnAliasIsNotMoved: a version that is new joins a registered model, but takes no alias away, and nothing of it stays.
func TestAnAliasIsNotMoved(t *testing.T) {
	t.Parallel()
	from, to := newServer(t, sqldbtest.Open), newServer(t, sqldbtest.Open)
	from.fill(t)
	ctx := t.Context()
	if _, err := to.registry.CreateModel(ctx, registry.ModelSpec{Name: "wine", Description: "mine"}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := to.registry.CreateVersion(ctx, registry.VersionSpec{Name: "wine", Source: "s3://b/y"}); err != nil {
			t.Fatal(err)
		}
	}
	for version := 1; version <= 2; version++ {
		if err := to.db.WithTx(ctx, func(tx *sqldb.Tx) error {
			_, err := tx.ExecContext(ctx, "DELETE FROM model_versions WHERE version = ?", version)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := to.registry.SetAlias(ctx, "wine", "champion", 3); err != nil {
		t.Fatal(err)
	}
	b := from.export(t, bundle.KindModel, "wine")
	if _, err := to.Service.Import(ctx, bytes.NewReader(b), false); mlflow.CodeOf(err) != mlflow.ResourceAlreadyExists || !strings.Contains(err.Error(), "champion") {
		t.Errorf("got %v", err)
	}
	if _, err := to.registry.Version(ctx, "wine", 1); mlflow.CodeOf(err) != mlflow.ResourceDoesNotExist {
		t.Errorf("version 1 stayed: %v", err)
	}
	report := to.load(t, b, true)
	m, err := to.registry.Model(ctx, "wine")
	if err != nil || m.Description != "mine" || report.Rows["model_versions"] != 2 || len(m.Tags) != 1 || len(m.Aliases) != 1 || m.Aliases[0].Version != 3 {
		t.Errorf("%+v, %+v, %v", report, m, err)
	}
}
