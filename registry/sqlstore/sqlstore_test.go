package sqlstore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"sluice/registry"
	"sluice/registry/sqlstore"
	"sluice/registry/storetest"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
	"sluice/tracking/sqldb/sqldbtest"
)

func newStore(t testing.TB) registry.Store {
	t.Helper()
	store, err := sqlstore.New(t.Context(), sqldbtest.Open(t, &sqldb.Options{RelaxedSync: true}))
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestMain(m *testing.M) { os.Exit(sqldbtest.Main(m)) }

func TestStore(t *testing.T) {
	t.Parallel()
	sqldbtest.EachExact(t, func(t *testing.T, open sqldbtest.Opener) {
		t.Parallel()
		storetest.Run(t, func(t testing.TB) registry.Store {
			t.Helper()
			store, err := sqlstore.New(t.Context(), open(t, &sqldb.Options{RelaxedSync: true}))
			if err != nil {
				t.Fatal(err)
			}
			return store
		})
	})
}

func TestWebhooks(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, open sqldbtest.Opener) {
		t.Parallel()
		storetest.RunWebhooks(t, func(t testing.TB) storetest.Told {
			t.Helper()
			store, err := sqlstore.New(t.Context(), open(t, &sqldb.Options{RelaxedSync: true}))
			if err != nil {
				t.Fatal(err)
			}
			return store
		})
	})
}

func TestOtherWorkspacesAreRefused(t *testing.T) {
	t.Parallel()
	db := sqldbtest.Open(t, nil)
	err := db.WithTx(t.Context(), func(tx *sqldb.Tx) error {
		_, err := tx.ExecContext(t.Context(), "INSERT INTO registered_models (name, workspace) VALUES ('wine', 'team')")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sqlstore.New(t.Context(), db); mlflow.CodeOf(err) != mlflow.InvalidState {
		t.Errorf("got %v", err)
	}
}

// TestStoreSurvivesReopening opens the same file twice: the second time everything is there and revisions go on.
func TestStoreSurvivesReopening(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a.db")
	for want := range int64(3) {
		db := sqldbtest.OpenFile(t, file, nil)
		store, err := sqlstore.New(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := store.Revision(t.Context()); err != nil || got != want {
			t.Errorf("revision %d, %v; want %d", got, err, want)
		}
		if _, _, err := store.CreateModel(t.Context(), registry.ModelSpec{Name: fmt.Sprint(want)}, 1); err != nil {
			t.Fatal(err)
		}
		db.Close()
	}
}

func BenchmarkStore(b *testing.B) { storetest.RunBenchmarks(b, newStore) }
