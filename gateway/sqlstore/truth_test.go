package sqlstore_test

import (
	"testing"

	"sluice/gateway/sqlstore"
	"sluice/gateway/storetest"
	"sluice/gateway/truth"
	"sluice/tracking/sqldb/sqldbtest"
)

func TestTruth(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, open sqldbtest.Opener) {
		storetest.RunTruth(t, func(t *testing.T) truth.Store {
			s, err := sqlstore.NewTruth(t.Context(), open(t, nil))
			if err != nil {
				t.Fatal(err)
			}
			return s
		})
	})
}
