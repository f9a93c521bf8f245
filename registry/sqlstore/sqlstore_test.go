package sqlstore_test

import (
	"testing"

	"sluice/registry"
	"sluice/registry/sqlstore"
	"sluice/registry/storetest"
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

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, newStore)
}

func BenchmarkStore(b *testing.B) { storetest.RunBenchmarks(b, newStore) }
