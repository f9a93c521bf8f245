package sqlstore_test

import (
	"testing"

	"sluice/gateway/drift"
	"sluice/gateway/sqlstore"
	"sluice/gateway/storetest"
	"sluice/tracking/sqldb/sqldbtest"
)

func TestDrift(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, open sqldbtest.Opener) {
		storetest.RunDrift(t, func(t *testing.T) drift.Store {
			s, err := sqlstore.NewDrift(t.Context(), open(t, nil))
			if err != nil {
				t.Fatal(err)
			}
			return s
		})
	})
}
