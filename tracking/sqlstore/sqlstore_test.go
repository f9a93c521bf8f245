package sqlstore_test

import (
	"os"
	"testing"

	"sluice/tracking"
	"sluice/tracking/sqldb"
	"sluice/tracking/sqldb/sqldbtest"
	"sluice/tracking/sqlstore"
	"sluice/tracking/storetest"
)

func TestMain(m *testing.M) { os.Exit(sqldbtest.Main(m)) }

func TestStore(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, open sqldbtest.Opener) {
		t.Parallel()
		storetest.Run(t, func(t *testing.T) tracking.Store {
			db := open(t, &sqldb.Options{RelaxedSync: true})
			if err := sqlstore.Prepare(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			return sqlstore.New(db, nil)
		})
	})
}

func BenchmarkStore(b *testing.B) {
	storetest.RunBenchmarks(b, func(b *testing.B) tracking.Store {
		db := sqldbtest.Open(b, nil)
		if err := sqlstore.Prepare(b.Context(), db); err != nil {
			b.Fatal(err)
		}
		return sqlstore.New(db, nil)
	})
}

// TestInputsKeepTheirOrder: on SQLite a run's datasets come back as they were logged, as MLflow's clients expect; other databases keep no order.
func TestInputsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	service, err := tracking.New(sqlstore.New(sqldbtest.Open(t, &sqldb.Options{RelaxedSync: true}), nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := service.EnsureDefaultExperiment(t.Context()); err != nil {
		t.Fatal(err)
	}
	run, err := service.CreateRun(t.Context(), tracking.RunSpec{ExperimentID: "0"})
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"c", "a", "b", "a2"}
	for _, name := range names {
		d := tracking.DatasetInput{Dataset: tracking.Dataset{Name: name, Digest: "1", SourceType: "local", Source: "s"}, Tags: []tracking.Tag{{Key: "y", Value: "1"}, {Key: "x", Value: "2"}}}
		if err := service.LogInputs(t.Context(), run.Info.ID, []tracking.DatasetInput{d}, nil); err != nil {
			t.Fatal(err)
		}
	}
	got, err := service.Run(t.Context(), run.Info.ID)
	if err != nil {
		t.Fatal(err)
	}
	for i, in := range got.Inputs.Datasets {
		if in.Dataset.Name != names[i] || in.Tags[0].Key != "x" {
			t.Errorf("%d: got %s with tags %v, want %s", i, in.Dataset.Name, in.Tags, names[i])
		}
	}
}
