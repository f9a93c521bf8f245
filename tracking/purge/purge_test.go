package purge_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/tracking"
	"sluice/tracking/artifact"
	"sluice/tracking/artifact/fileartifact"
	"sluice/tracking/mlflow"
	"sluice/tracking/purge"
	"sluice/tracking/sqldb"
	"sluice/tracking/sqldb/sqldbtest"
	"sluice/tracking/sqlstore"
)

// house is tracking on a real database with artifacts in a real folder.
type house struct {
	*testing.T
	dir     string
	db      *sqldb.DB
	service *tracking.Service
	named   []purge.Named
	purger  *purge.Purger
	now     time.Time
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{T: t, dir: t.TempDir(), db: sqldbtest.Open(t, &sqldb.Options{RelaxedSync: true}), now: time.Now()}
	driver, err := fileartifact.New(h.dir, nil)
	h.ok(err)
	t.Cleanup(func() { driver.Close() })
	store := sqlstore.New(h.db, nil)
	h.service, err = tracking.New(store, &tracking.Options{ArtifactRoot: "mlflow-artifacts:/", WorkDir: h.dir, Now: func() time.Time { return h.now }})
	h.ok(err)
	h.ok(h.service.EnsureDefaultExperiment(t.Context()))
	h.purger = purge.New(store, artifact.NewResolver(artifact.NewRepo(driver), nil), purge.Options{
		Named: func(context.Context) ([]purge.Named, error) { return h.named, nil }, Now: func() time.Time { return h.now },
	})
	return h
}

func (h *house) ok(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *house) experiment(name string) string {
	h.Helper()
	id, err := h.service.CreateExperiment(h.Context(), tracking.ExperimentSpec{Name: name})
	h.ok(err)
	return id
}

// run makes a run with something in every table, and 5 bytes of artifacts.
func (h *house) run(experiment string) tracking.Run {
	h.Helper()
	r, err := h.service.CreateRun(h.Context(), tracking.RunSpec{ExperimentID: experiment})
	h.ok(err)
	h.ok(h.service.LogBatch(h.Context(), r.Info.ID, tracking.Batch{
		Metrics: []tracking.Metric{{Key: "m", Value: 1}}, Params: []tracking.Param{{Key: "p", Value: "1"}}, Tags: []tracking.Tag{{Key: "t", Value: "1"}},
	}))
	h.ok(h.service.LogInputs(h.Context(), r.Info.ID, []tracking.DatasetInput{{
		Dataset: tracking.Dataset{Name: "d", Digest: "1", SourceType: "local", Source: "x"}, Tags: []tracking.Tag{{Key: "mlflow.data.context", Value: "training"}},
	}}, nil))
	h.file(r.Info.ArtifactURI, "model/weights", "12345")
	return r
}

func (h *house) model(experiment string) tracking.LoggedModel {
	h.Helper()
	m, err := h.service.CreateLoggedModel(h.Context(), tracking.LoggedModelSpec{ExperimentID: experiment, Name: "m"})
	h.ok(err)
	h.file(m.ArtifactLocation, "MLmodel", "123")
	return m
}

func (h *house) path(uri string) string {
	return filepath.Join(h.dir, strings.TrimPrefix(uri, "mlflow-artifacts:"))
}

func (h *house) file(uri, name, text string) {
	h.Helper()
	file := filepath.Join(h.path(uri), name)
	h.ok(os.MkdirAll(filepath.Dir(file), 0o700))
	h.ok(os.WriteFile(file, []byte(text), 0o600))
}

func (h *house) exists(uri string) bool {
	_, err := os.Stat(h.path(uri))
	return err == nil
}

// rows counts every row that names the id, in all of MLflow's tables.
func (h *house) rows(id string) int {
	h.Helper()
	total := 0
	for _, c := range []string{
		"latest_metrics.run_uuid", "metrics.run_uuid", "params.run_uuid", "tags.run_uuid", "inputs.destination_id", "inputs.source_id",
		"runs.run_uuid", "logged_models.model_id", "logged_model_params.model_id", "logged_model_tags.model_id", "logged_model_metrics.model_id",
	} {
		table, column, _ := strings.Cut(c, ".")
		var n int
		h.ok(h.db.Read().QueryRowContext(h.Context(), "SELECT COUNT(*) FROM "+table+" WHERE "+column+" = ?", id).Scan(&n))
		total += n
	}
	return total
}

func (h *house) purge(q purge.Query) purge.Report {
	h.Helper()
	report, err := h.purger.Run(h.Context(), q)
	h.ok(err)
	return report
}

func TestOnlyWhatWasDeletedGoes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alive, dead := h.run("0"), h.run("0")
	liveModel, deadModel := h.model("0"), h.model("0")
	h.ok(h.service.DeleteRun(t.Context(), dead.Info.ID))
	h.ok(h.service.DeleteLoggedModel(t.Context(), deadModel.ID))
	before, err := h.purger.Preview(t.Context(), purge.Query{})
	h.ok(err)
	if before.Bytes != 8 || before.Files != 2 || len(before.Items) != 2 || !h.exists(dead.Info.ArtifactURI) || h.rows(dead.Info.ID) == 0 {
		t.Fatalf("preview %+v", before)
	}
	if after := h.purge(purge.Query{}); after.Bytes != 8 || len(after.Items) != 2 || after.Items[0].Kept != "" {
		t.Errorf("report %+v", after)
	}
	for _, gone := range []struct{ id, uri string }{{dead.Info.ID, dead.Info.ArtifactURI}, {deadModel.ID, deadModel.ArtifactLocation}} {
		if n := h.rows(gone.id); n != 0 || h.exists(gone.uri) {
			t.Errorf("%s: %d rows, artifacts there: %v", gone.id, n, h.exists(gone.uri))
		}
	}
	var tags int
	h.ok(h.db.Read().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM input_tags").Scan(&tags))
	if h.rows(alive.Info.ID) < 6 || tags != 1 || !h.exists(alive.Info.ArtifactURI) || h.rows(liveModel.ID) == 0 || !h.exists(liveModel.ArtifactLocation) {
		t.Errorf("the living lost something: %d rows, %d tags of inputs", h.rows(alive.Info.ID), tags)
	}
	if again := h.purge(purge.Query{}); len(again.Items) != 0 || again.Bytes != 0 {
		t.Errorf("a second time: %+v", again)
	}
}

func TestExperimentGoesWithEverythingInIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.experiment("mortal")
	r, m := h.run(id), h.model(id)
	h.ok(h.service.SetExperimentTag(t.Context(), id, tracking.Tag{Key: "k", Value: "v"}))
	h.ok(h.service.DeleteExperiment(t.Context(), id))
	report := h.purge(purge.Query{})
	if len(report.Items) != 3 || report.Bytes != 8 || h.rows(r.Info.ID)+h.rows(m.ID) != 0 || h.exists("mlflow-artifacts:/"+id) {
		t.Errorf("report %+v", report)
	}
	if _, err := h.service.Experiment(t.Context(), id); mlflow.CodeOf(err) != mlflow.ResourceDoesNotExist {
		t.Errorf("got %v", err)
	}
	if again := h.experiment("mortal"); again == "" {
		t.Error("the name is not free")
	}
}

func TestRegisteredStays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		named func(h *house, r tracking.Run, m tracking.LoggedModel) purge.Named
		kept  tracking.RemainsKind
	}{
		{"its artifacts", func(_ *house, r tracking.Run, _ tracking.LoggedModel) purge.Named {
			return purge.Named{URI: r.Info.ArtifactURI + "/model"}
		}, tracking.RemainsOfRun},
		{"by another host", func(_ *house, r tracking.Run, _ tracking.LoggedModel) purge.Named {
			return purge.Named{URI: strings.Replace(r.Info.ArtifactURI, "mlflow-artifacts:/", "mlflow-artifacts://host:5000/", 1) + "/"}
		}, tracking.RemainsOfRun},
		{"by its folder", func(h *house, r tracking.Run, _ tracking.LoggedModel) purge.Named {
			return purge.Named{URI: "file://" + h.path(r.Info.ArtifactURI) + "/model"}
		}, tracking.RemainsOfRun},
		{"by its plain folder", func(h *house, r tracking.Run, _ tracking.LoggedModel) purge.Named {
			return purge.Named{URI: h.path(r.Info.ArtifactURI)}
		}, tracking.RemainsOfRun},
		{"by the run", func(_ *house, r tracking.Run, _ tracking.LoggedModel) purge.Named {
			return purge.Named{URI: "runs:/" + r.Info.ID + "/model"}
		}, tracking.RemainsOfRun},
		{"by the model", func(_ *house, _ tracking.Run, m tracking.LoggedModel) purge.Named {
			return purge.Named{URI: "models:/" + m.ID, ModelID: m.ID}
		}, tracking.RemainsOfLoggedModel},
		{"by the model's folder", func(_ *house, _ tracking.Run, m tracking.LoggedModel) purge.Named {
			return purge.Named{URI: m.ArtifactLocation}
		}, tracking.RemainsOfLoggedModel},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			id := h.experiment("e")
			r, m := h.run(id), h.model(id)
			n := c.named(h, r, m)
			n.By = "version 1 of wine"
			h.named = []purge.Named{n}
			h.ok(h.service.DeleteExperiment(t.Context(), id))
			kept := map[tracking.RemainsKind]string{}
			for _, item := range h.purge(purge.Query{}).Items {
				if item.Kept != "" {
					kept[item.Kind] = item.Kept
				}
			}
			if len(kept) != 2 || kept[c.kept] != "version 1 of wine was made from it" || kept[tracking.RemainsOfExperiment] == "" {
				t.Errorf("kept %v", kept)
			}
			if runKept := c.kept == tracking.RemainsOfRun; h.exists(r.Info.ArtifactURI) != runKept || (h.rows(r.Info.ID) > 0) != runKept || h.exists(m.ArtifactLocation) == runKept {
				t.Error("artifacts and rows do not tell what was kept")
			}
		})
	}
}

func TestAgeAndIDs(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	old, young := h.run("0"), h.run("0")
	h.ok(h.service.DeleteRun(t.Context(), old.Info.ID))
	h.now = h.now.Add(48 * time.Hour)
	h.ok(h.service.DeleteRun(t.Context(), young.Info.ID))
	found := func(q purge.Query) []string {
		t.Helper()
		report, err := h.purger.Preview(t.Context(), q)
		h.ok(err)
		var ids []string
		for _, item := range report.Items {
			ids = append(ids, item.ID)
		}
		return ids
	}
	if got := found(purge.Query{OlderThan: 24 * time.Hour}); !slices.Equal(got, []string{old.Info.ID}) {
		t.Errorf("older than a day: %v", got)
	}
	if got := found(purge.Query{IDs: []string{young.Info.ID}}); !slices.Equal(got, []string{young.Info.ID}) {
		t.Errorf("one: %v", got)
	}
	for _, q := range []purge.Query{{IDs: []string{"0"}}, {IDs: []string{"nobody"}}, {OlderThan: 24 * time.Hour, IDs: []string{young.Info.ID}}} {
		if _, err := h.purger.Run(t.Context(), q); mlflow.CodeOf(err) != mlflow.InvalidState {
			t.Errorf("%+v: %v", q, err)
		}
	}
	if _, err := h.purger.Run(t.Context(), purge.Query{OlderThan: -1}); mlflow.CodeOf(err) != mlflow.InvalidParameterValue {
		t.Errorf("negative: %v", err)
	}
	h.ok(h.service.RestoreRun(t.Context(), old.Info.ID))
	if h.purge(purge.Query{}); h.rows(old.Info.ID) == 0 || !h.exists(old.Info.ArtifactURI) {
		t.Error("a restored run went")
	}
}

// TestForeignFolders: a location that a user chose may hold what is not the experiment's.
func TestForeignFolders(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id, err := h.service.CreateExperiment(t.Context(), tracking.ExperimentSpec{Name: "shared", ArtifactLocation: "mlflow-artifacts:/team"})
	h.ok(err)
	r := h.run(id)
	h.file("mlflow-artifacts:/team", "theirs", "x")
	h.ok(h.service.DeleteExperiment(t.Context(), id))
	if report := h.purge(purge.Query{}); report.Bytes != 5 || h.exists(r.Info.ArtifactURI) || !h.exists("mlflow-artifacts:/team/theirs") {
		t.Errorf("got %+v", report)
	}
}
