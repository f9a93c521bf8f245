package storetest

import (
	"fmt"
	"sync"
	"testing"

	"sluice/gateway"
	"sluice/tracking/mlflow"
)

func rolloutLease(t *testing.T, s RolloutStore) {
	ctx := t.Context()
	r := sampleRollout("1", "beer", 10)
	r.Driver = "first"
	mustStart(t, s, r)

	kept := r
	kept.Evidence, kept.Verdict, kept.Because = `{"Tests":[]}`, "hold", "it lasts"
	kept.Step, kept.Weight = 0, 1 // not what keeping is for
	beat, err := s.KeepRollout(ctx, kept)
	if err != nil || beat != r.Beat+1 {
		t.Fatalf("beat %d after %d (%v)", beat, r.Beat, err)
	}
	r.Evidence, r.Verdict, r.Because, r.Beat = kept.Evidence, kept.Verdict, kept.Because, beat
	got, err := s.Rollouts(ctx, 0)
	sameRollouts(t, got, err, r)

	other := r
	other.Driver = "second"
	_, err = s.KeepRollout(ctx, other)
	wantCode(t, err, mlflow.ResourceConflict)
	behind := r
	behind.Beat--
	_, err = s.TakeRollout(ctx, behind, "second", nil)
	wantCode(t, err, mlflow.ResourceConflict)

	event := gateway.Event{Endpoint: "beer", Kind: gateway.EventRolloutTaken, Arm: "canary", Version: 4, Reason: "silence", TimeMS: 5}
	taken, err := s.TakeRollout(ctx, r, "second", []gateway.Event{event})
	want := r
	want.Driver, want.Beat, want.Revision = "second", r.Beat+1, r.Revision+1
	sameRollouts(t, []gateway.Rollout{taken}, err, want)
	got, err = s.Rollouts(ctx, 0)
	sameRollouts(t, got, err, want)
	if told, err := s.Events(ctx, "beer", 10); err != nil || len(told) != 1 || told[0] != event {
		t.Errorf("got %+v (%v)", told, err)
	}

	_, err = s.KeepRollout(ctx, r) // the driver that was replaced
	wantCode(t, err, mlflow.ResourceConflict)
	_, err = s.SaveRollout(ctx, r, nil, nil)
	wantCode(t, err, mlflow.ResourceConflict)

	// A write by whoever gives orders leaves the driver alone.
	order := taken
	order.Driver, order.Beat, order.Writer = "nobody", 99, "order"
	order = mustSave(t, s, order)
	order.Driver, order.Beat = taken.Driver, taken.Beat
	got, err = s.Rollouts(ctx, 0)
	sameRollouts(t, got, err, order)

	order.Phase, order.EndedMS = gateway.RolloutAborted, 20
	ended := mustSave(t, s, order)
	_, err = s.KeepRollout(ctx, ended)
	wantCode(t, err, mlflow.ResourceConflict)
	_, err = s.TakeRollout(ctx, ended, "third", nil)
	wantCode(t, err, mlflow.ResourceConflict)
	ended.ID = "9"
	_, err = s.KeepRollout(ctx, ended)
	wantCode(t, err, mlflow.ResourceDoesNotExist)
}

func oneDriver(t *testing.T, s RolloutStore) {
	r := mustStart(t, s, sampleRollout("1", "beer", 10))
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { _, errs[i] = s.TakeRollout(t.Context(), r, fmt.Sprint(i), nil) })
	}
	wg.Wait()
	winner := ""
	for i, err := range errs {
		if err == nil {
			winner += fmt.Sprint(i)
		} else {
			wantCode(t, err, mlflow.ResourceConflict)
		}
	}
	if got, err := s.Rollouts(t.Context(), 0); err != nil || len(winner) != 1 || got[0].Driver != winner {
		t.Errorf("got %+v (%v), winners %q", got, err, winner)
	}
}
