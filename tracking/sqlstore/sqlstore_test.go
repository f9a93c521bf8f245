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
			return sqlstore.New(open(t, &sqldb.Options{RelaxedSync: true}), nil)
		})
	})
}

func BenchmarkStore(b *testing.B) {
	storetest.RunBenchmarks(b, func(b *testing.B) tracking.Store {
		return sqlstore.New(sqldbtest.Open(b, nil), nil)
	})
}
