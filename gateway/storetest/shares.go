package storetest

import (
	"fmt"
	"strings"
	"testing"

	"sluice/gateway"
	"sluice/tracking/mlflow"
)

func sameShares(t *testing.T, s RolloutStore, rollout string, want ...gateway.RolloutShare) {
	t.Helper()
	got, err := s.RolloutShares(t.Context(), rollout)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v (%v), want %v", got, err, want)
	}
}

// rolloutShares: each process has one share, which it writes over, and all of them go with the rollout.
func rolloutShares(t *testing.T, s RolloutStore) {
	ctx := t.Context()
	beer, ale := mustStart(t, s, sampleRollout("1", "beer", 10)), mustStart(t, s, sampleRollout("2", "ale", 20))
	put := func(id, member string, seq int64) gateway.RolloutShare {
		t.Helper()
		share := gateway.RolloutShare{Rollout: id, Member: member, Seq: seq, Counts: fmt.Sprintf(`{"seq":%d}`, seq) + strings.Repeat(" ", 40_000)}
		if err := s.PutRolloutShare(ctx, share); err != nil {
			t.Fatal(err)
		}
		return share
	}
	sameShares(t, s, beer.ID)
	put(beer.ID, "second", 1)
	first, second, other := put(beer.ID, "first", 7), put(beer.ID, "second", 2), put(ale.ID, "first", 1)
	sameShares(t, s, beer.ID, first, second)

	beer = mustSave(t, s, beer) // a step
	sameShares(t, s, beer.ID, first, second)
	beer.Phase, beer.EndedMS = gateway.RolloutRolledBack, 30
	mustSave(t, s, beer)
	sameShares(t, s, beer.ID)
	sameShares(t, s, ale.ID, other)
	wantCode(t, s.PutRolloutShare(ctx, first), mlflow.ResourceConflict)
	first.Rollout = "9"
	wantCode(t, s.PutRolloutShare(ctx, first), mlflow.ResourceDoesNotExist)
}

func sharesBound(t *testing.T, s RolloutStore) {
	r := mustStart(t, s, sampleRollout("1", "beer", 10))
	for i := range gateway.MaxRolloutMembers {
		if err := s.PutRolloutShare(t.Context(), gateway.RolloutShare{Rollout: r.ID, Member: fmt.Sprint(i), Seq: 1}); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, s.PutRolloutShare(t.Context(), gateway.RolloutShare{Rollout: r.ID, Member: "one more", Seq: 1}), mlflow.ResourceConflict)
	if err := s.PutRolloutShare(t.Context(), gateway.RolloutShare{Rollout: r.ID, Member: "0", Seq: 2}); err != nil {
		t.Error(err)
	}
}
