package sqlstore_test

import (
	"os"
	"slices"
	"testing"
	"time"

	"sluice/gateway"
	"sluice/gateway/auth"
	"sluice/gateway/sqlstore"
	"sluice/gateway/storetest"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
	"sluice/tracking/sqldb/sqldbtest"
	"sluice/tracking/wire"
)

func TestMain(m *testing.M) { os.Exit(sqldbtest.Main(m)) }

func open(t *testing.T, uri string) *sqlstore.Store {
	t.Helper()
	return over(t, sqldbtest.OpenURI(t, uri, nil))
}

func over(t *testing.T, db *sqldb.DB) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.New(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func fresh(t *testing.T) *sqlstore.Store { return over(t, sqldbtest.Open(t, nil)) }

func TestStore(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, open sqldbtest.Opener) {
		storetest.Run(t, func(t *testing.T) gateway.Store { return over(t, open(t, nil)) })
	})
}

func newKey(t *testing.T, name string, at int64) auth.Key {
	t.Helper()
	k, _, err := auth.NewKey(name, []wire.Permission{wire.Read, wire.Predict}, deterministic(name), time.UnixMilli(at))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// deterministic repeats its text for ever.
type deterministic string

func (d deterministic) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = d[i%len(d)]
	}
	return len(p), nil
}

func TestKeys(t *testing.T) {
	for _, d := range []sqldb.Dialect{sqldb.SQLite, sqldb.Postgres, sqldb.MySQL} {
		t.Run(string(d), func(t *testing.T) {
			uri := sqldbtest.URI(t, d, true)
			testKeys(t, open(t, uri), open(t, uri)) // as two processes would have it
		})
	}
}

func testKeys(t *testing.T, s, other *sqlstore.Store) {
	ctx := t.Context()
	_, before, err := s.Keys(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ann, bob := newKey(t, "ann", 1), newKey(t, "bob", 2)
	for _, k := range []auth.Key{ann, bob} {
		if err := other.CreateKey(ctx, k); err != nil {
			t.Fatal(err)
		}
	}
	keys, after, err := s.Keys(ctx)
	if err != nil || len(keys) != 2 || keys[0].Name != "ann" || keys[0].Hash != ann.Hash || !slices.Equal(keys[1].Permissions, bob.Permissions) {
		t.Fatalf("got %+v (%v)", keys, err)
	}
	if after <= before {
		t.Errorf("revision %d did not rise from %d", after, before)
	}
	if err := s.CreateKey(ctx, newKey(t, "ann", 3)); mlflow.CodeOf(err) != mlflow.ResourceAlreadyExists {
		t.Errorf("second ann: got %v", err)
	}
	if err := s.TouchKeys(ctx, map[string]int64{ann.ID: 50, "nobody": 1}); err != nil {
		t.Fatal(err)
	}
	if r, _ := s.KeyRevision(ctx); r != after {
		t.Errorf("a use raised the revision to %d", r)
	}
	for i, want := range []mlflow.Code{"", mlflow.ResourceDoesNotExist} {
		if err := s.RevokeKey(ctx, "ann", 60); mlflow.CodeOf(err) != want {
			t.Errorf("revocation %d: got %v, want %q", i, err, want)
		}
	}
	keys, last, err := other.Keys(ctx)
	if err != nil || keys[0].RevokedMS != 60 || keys[0].LastUsedMS != 50 || last <= after || !auth.Valid(keys) {
		t.Errorf("got %+v, revision %d (%v)", keys, last, err)
	}
}

func TestRollouts(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, open sqldbtest.Opener) {
		storetest.RunRollouts(t, func(t *testing.T) storetest.RolloutStore { return over(t, open(t, nil)) })
	})
}
