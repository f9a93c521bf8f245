package sqlstore_test

import (
	"testing"
	"time"

	"sluice/tracking"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
	"sluice/tracking/sqldb/sqldbtest"
	"sluice/tracking/sqlstore"
)

// TestPurge: on every database what was deleted goes with all its rows, nothing else does, and what is not empty or not deleted stays.
func TestPurge(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, open sqldbtest.Opener) {
		t.Parallel()
		ctx := t.Context()
		ok := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		db := open(t, &sqldb.Options{RelaxedSync: true})
		store := sqlstore.New(db, nil)
		service, err := tracking.New(store, &tracking.Options{ArtifactRoot: "mlflow-artifacts:/", WorkDir: "/"})
		ok(err)
		id, err := service.CreateExperiment(ctx, tracking.ExperimentSpec{Name: "e"})
		ok(err)
		ok(service.SetExperimentTag(ctx, id, tracking.Tag{Key: "k", Value: "v"}))
		run := func() string {
			t.Helper()
			r, err := service.CreateRun(ctx, tracking.RunSpec{ExperimentID: id})
			ok(err)
			ok(service.LogBatch(ctx, r.Info.ID, tracking.Batch{Metrics: []tracking.Metric{{Key: "m", Value: 1}}, Params: []tracking.Param{{Key: "p", Value: "1"}}}))
			ok(service.LogInputs(ctx, r.Info.ID, []tracking.DatasetInput{{
				Dataset: tracking.Dataset{Name: "d", Digest: "1", SourceType: "local", Source: "x"}, Tags: []tracking.Tag{{Key: "c", Value: "t"}},
			}}, nil))
			return r.Info.ID
		}
		alive, dead := run(), run()
		model, err := service.CreateLoggedModel(ctx, tracking.LoggedModelSpec{ExperimentID: id, Name: "m", SourceRunID: dead, Params: []tracking.Param{{Key: "a", Value: "b"}}})
		ok(err)
		ok(service.LogOutputs(ctx, dead, []tracking.ModelOutput{{ModelID: model.ID}}))
		ok(service.DeleteRun(ctx, dead))
		later := time.Now().Add(time.Hour).UnixMilli()
		left, err := store.Remains(ctx, later)
		ok(err)
		if len(left) != 1 || left[0].ID != dead || left[0].Kind != tracking.RemainsOfRun || left[0].ExperimentID != id || left[0].ArtifactURI == "" {
			t.Fatalf("remains %+v", left)
		}
		if none, err := store.Remains(ctx, 1); err != nil || len(none) != 0 {
			t.Errorf("before it was deleted: %+v, %v", none, err)
		}
		ok(store.Purge(ctx, left[0]))
		for _, d := range []tracking.Remains{left[0], {Kind: tracking.RemainsOfRun, ID: alive}, {Kind: tracking.RemainsOfLoggedModel, ID: model.ID},
			{Kind: tracking.RemainsOfExperiment, ID: id}, {Kind: tracking.RemainsOfExperiment, ID: "x"}} {
			if err := store.Purge(ctx, d); mlflow.CodeOf(err) != mlflow.InvalidState {
				t.Errorf("%+v: %v", d, err)
			}
		}
		if got, err := service.Run(ctx, alive); err != nil || len(got.Data.Metrics) != 1 || len(got.Inputs.Datasets) != 1 || len(got.Inputs.Datasets[0].Tags) != 1 {
			t.Errorf("the living run: %+v, %v", got, err)
		}
		const rebuild = "sql_trace_rollup_rebuild_queue" // SQLite gives the numbers of experiments again
		ok(db.WithTx(ctx, func(tx *sqldb.Tx) error {
			_, err := tx.ExecContext(ctx, db.Dialect().Insert(rebuild, "experiment_id", "rollup_day", "rollup_family"), id, "2026-01-02", "x")
			return err
		}))
		ok(service.DeleteExperiment(ctx, id))
		if left, err = store.Remains(ctx, later); err != nil || len(left) != 3 {
			t.Fatalf("remains %+v, %v", left, err)
		}
		if err := store.Purge(ctx, left[2]); left[2].Kind != tracking.RemainsOfExperiment || mlflow.CodeOf(err) != mlflow.InvalidState {
			t.Errorf("an experiment with runs: %v", err)
		}
		for _, d := range left {
			ok(store.Purge(ctx, d))
		}
		var rollups int
		ok(db.Read().QueryRowContext(ctx, "SELECT COUNT(*) FROM "+rebuild).Scan(&rollups))
		if left, err = store.Remains(ctx, later); err != nil || len(left) != 0 || rollups != 0 {
			t.Errorf("remains %+v, %v", left, err)
		}
	})
}
