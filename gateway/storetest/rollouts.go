package storetest

import (
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"sluice/gateway"
	"sluice/tracking/mlflow"
)

// RolloutStore is what RunRollouts checks.
type RolloutStore interface {
	gateway.Store
	gateway.RolloutStore
}

// RunRollouts checks every promise of gateway.RolloutStore. New returns an empty store that lives as long as the test.
func RunRollouts(t *testing.T, New func(t *testing.T) RolloutStore) {
	for name, f := range map[string]func(*testing.T, RolloutStore){
		"create and read":               rolloutRoundTrip,
		"one active per endpoint":       oneActive,
		"of many creators one wins":     oneCreator,
		"compare and set":               rolloutCAS,
		"of many writers one wins":      oneSaver,
		"the driver's lease":            rolloutLease,
		"of many takers one wins":       oneDriver,
		"shares of processes":           rolloutShares,
		"shares are bounded":            sharesBound,
		"ended ones are history":        rolloutHistory,
		"history is bounded":            historyBound,
		"promoted ones stay warm":       warmRollouts,
		"promotion writes the arm":      promotionWritesArm,
		"endpoint cannot change":        rolloutLocksEndpoint,
		"events come with the row":      rolloutEvents,
		"a refused write leaves no row": refusedRollout,
		"an endpoint keeps its plan":    endpointPlan,
	} {
		t.Run(name, func(t *testing.T) { f(t, New(t)) })
	}
}

// sampleRollout has every field in use.
func sampleRollout(id, endpoint string, startedMS int64) gateway.Rollout {
	return gateway.Rollout{
		ID: id, Endpoint: endpoint, Arm: "stable", CanaryArm: "canary", Model: "bread & wine", Target: gateway.Selector{Alias: "champion"},
		Stable: 3, Canary: 4, Origin: gateway.OriginTransition, Creator: "ann",
		Plan: gateway.RolloutPlan{
			Steps: []gateway.RolloutStep{{Kind: gateway.StepSetWeight, Weight: 1250}, {Kind: gateway.StepAnalyse, MinRequests: 500, Duration: time.Minute}},
			Analysis: gateway.Analysis{FalseRollback: 0.005, Metrics: []gateway.AnalysisMetric{
				gateway.DefaultMetric(gateway.MetricErrorRate), gateway.DefaultMetric(gateway.MetricLatencyRatio),
			}},
			BakeTime: time.Minute, KeepWarm: time.Hour,
		},
		Phase: gateway.RolloutRunning, Step: 1, Weight: 1250, Shadow: 10, Ending: gateway.RolloutAborted, Reason: "grapes – 'quoted'", StepRequests: 7,
		Evidence: `{"Tests":null}`, Writer: "me", StartedMS: startedMS, StepSinceMS: startedMS + 1, UpdatedMS: startedMS + 2, Revision: 1,
	}
}

func mustStart(t *testing.T, s RolloutStore, r gateway.Rollout) gateway.Rollout {
	t.Helper()
	if err := s.CreateRollout(t.Context(), r, nil); err != nil {
		t.Fatal(err)
	}
	return r
}

func mustSave(t *testing.T, s RolloutStore, r gateway.Rollout) gateway.Rollout {
	t.Helper()
	revision, err := s.SaveRollout(t.Context(), r, nil, nil)
	if err != nil || revision != r.Revision+1 {
		t.Fatalf("revision %d after %d (%v)", revision, r.Revision, err)
	}
	r.Revision = revision
	return r
}

func sameRollouts(t *testing.T, got []gateway.Rollout, err error, want ...gateway.Rollout) {
	t.Helper()
	if err != nil || len(got) != len(want) {
		t.Fatalf("got %d rollouts (%v), want %d", len(got), err, len(want))
	}
	for i := range got {
		if g, w := fmt.Sprintf("%+v", got[i]), fmt.Sprintf("%+v", want[i]); g != w {
			t.Errorf("got  %s\nwant %s", g, w)
		}
	}
}

func rolloutRoundTrip(t *testing.T, s RolloutStore) {
	b, a := mustStart(t, s, sampleRollout("1", "beer", 10)), mustStart(t, s, sampleRollout("2", "ale", 20))
	got, err := s.Rollouts(t.Context(), 0)
	sameRollouts(t, got, err, a, b)
	got, err = s.RolloutHistory(t.Context(), "beer", 5)
	sameRollouts(t, got, err, b)
	got, err = s.RolloutHistory(t.Context(), "", 1)
	sameRollouts(t, got, err, a)
	got, err = s.RolloutHistory(t.Context(), "nobody", 5)
	sameRollouts(t, got, err)
}

func oneActive(t *testing.T, s RolloutStore) {
	first := mustStart(t, s, sampleRollout("1", "beer", 10))
	err := s.CreateRollout(t.Context(), sampleRollout("2", "beer", 20), nil)
	wantCode(t, err, mlflow.ResourceConflict)
	first.Phase, first.EndedMS = gateway.RolloutRolledBack, 30
	mustSave(t, s, first)
	mustStart(t, s, sampleRollout("2", "beer", 40))
}

func oneCreator(t *testing.T, s RolloutStore) {
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { errs[i] = s.CreateRollout(t.Context(), sampleRollout(fmt.Sprint(i), "beer", int64(i)), nil) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			wantCode(t, err, mlflow.ResourceConflict)
		}
	}
	if got, err := s.Rollouts(t.Context(), 0); won != 1 || len(got) != 1 || err != nil {
		t.Errorf("%d creators won, %d rollouts (%v)", won, len(got), err)
	}
}

func rolloutCAS(t *testing.T, s RolloutStore) {
	r := mustStart(t, s, sampleRollout("1", "beer", 10))
	next := r
	next.Step, next.Weight, next.Reason = 0, 9999, ""
	next = mustSave(t, s, next)
	_, err := s.SaveRollout(t.Context(), r, nil, nil)
	wantCode(t, err, mlflow.ResourceConflict)
	got, err := s.Rollouts(t.Context(), 0)
	sameRollouts(t, got, err, next)
	gone := r
	gone.ID = "9"
	_, err = s.SaveRollout(t.Context(), gone, nil, nil)
	wantCode(t, err, mlflow.ResourceDoesNotExist)
}

func oneSaver(t *testing.T, s RolloutStore) {
	r := mustStart(t, s, sampleRollout("1", "beer", 10))
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			mine := r
			mine.Writer = fmt.Sprint(i)
			_, errs[i] = s.SaveRollout(t.Context(), mine, nil, nil)
		})
	}
	wg.Wait()
	winner := ""
	for i, err := range errs {
		if err == nil {
			if winner != "" {
				t.Error("two writers won")
			}
			winner = fmt.Sprint(i)
		} else {
			wantCode(t, err, mlflow.ResourceConflict)
		}
	}
	if got, err := s.Rollouts(t.Context(), 0); err != nil || got[0].Writer != winner || got[0].Revision != 2 {
		t.Errorf("got %+v (%v), want the row of writer %q", got, err, winner)
	}
}

func rolloutHistory(t *testing.T, s RolloutStore) {
	old := mustStart(t, s, sampleRollout("1", "beer", 50))
	old.Phase, old.EndedMS = gateway.RolloutSuperseded, 60
	old = mustSave(t, s, old)
	// The active one comes first even if its clock was behind.
	now := mustStart(t, s, sampleRollout("2", "beer", 40))
	got, err := s.RolloutHistory(t.Context(), "beer", 5)
	sameRollouts(t, got, err, now, old)
	got, err = s.Rollouts(t.Context(), 0)
	sameRollouts(t, got, err, now)
}

func historyBound(t *testing.T, s RolloutStore) {
	for i := range gateway.MaxRolloutHistory + 3 {
		r := mustStart(t, s, sampleRollout(fmt.Sprint(i), "beer", int64(i)))
		r.Phase, r.EndedMS = gateway.RolloutAborted, int64(i)
		mustSave(t, s, r)
	}
	mustStart(t, s, sampleRollout("last", "beer", 1000))
	got, err := s.RolloutHistory(t.Context(), "beer", 1000)
	if err != nil || len(got) != gateway.MaxRolloutHistory+1 || got[0].ID != "last" {
		t.Errorf("%d rollouts are kept (%v)", len(got), err)
	}
}

func warmRollouts(t *testing.T, s RolloutStore) {
	r := mustStart(t, s, sampleRollout("1", "beer", 10))
	r.Phase, r.EndedMS = gateway.RolloutPromoted, 100
	r = mustSave(t, s, r)
	warm := 100 + time.Hour.Milliseconds()
	got, err := s.Rollouts(t.Context(), warm-1)
	sameRollouts(t, got, err, r)
	got, err = s.Rollouts(t.Context(), warm)
	sameRollouts(t, got, err)
}

func promotionWritesArm(t *testing.T, s RolloutStore) {
	mustCreate(t, s, "wine")
	r := sampleRollout("1", "wine", 10)
	r.Arm, r.Model, r.Target = "c", "bread & wine", gateway.Selector{Version: 7}
	mustStart(t, s, r)
	r.Phase, r.EndedMS, r.UpdatedMS = gateway.RolloutPromoted, 20, 20
	config := Config()
	config.ServedEntities[2].Target.Version = r.Canary
	if _, err := s.SaveRollout(t.Context(), r, nil, &config); err != nil {
		t.Fatal(err)
	}
	e, err := s.Endpoint(t.Context(), "wine")
	if err != nil || e.ConfigVersion != 2 || e.Config.ServedEntities[2].Target.Version != r.Canary {
		t.Errorf("got %+v (%v)", e, err)
	}
	arms, err := s.Arms(t.Context())
	want := gateway.ArmRecord{Endpoint: "wine", Arm: "c", Model: "bread & wine", Target: gateway.Selector{Version: r.Canary}, Version: r.Canary, UpdatedMS: 20}
	if err != nil || len(arms) != 1 || arms[0] != want {
		t.Errorf("got %+v (%v), want %+v", arms, err, want)
	}
}

func rolloutLocksEndpoint(t *testing.T, s RolloutStore) {
	mustCreate(t, s, "wine")
	r := mustStart(t, s, sampleRollout("1", "wine", 10))
	mustStart(t, s, sampleRollout("2", "implicit", 10))
	_, err := s.UpdateConfig(t.Context(), "wine", Config(), 0, 20)
	wantCode(t, err, mlflow.ResourceConflict)
	wantCode(t, s.DeleteEndpoint(t.Context(), "wine"), mlflow.ResourceConflict)
	wantCode(t, s.CreateEndpoint(t.Context(), sample("implicit")), mlflow.ResourceConflict)
	r.Phase, r.EndedMS = gateway.RolloutAborted, 20
	mustSave(t, s, r)
	if _, err := s.UpdateConfig(t.Context(), "wine", Config(), 0, 20); err != nil {
		t.Error(err)
	}
	if err := s.DeleteEndpoint(t.Context(), "wine"); err != nil {
		t.Error(err)
	}
}

func rolloutEvents(t *testing.T, s RolloutStore) {
	event := func(kind gateway.EventKind) []gateway.Event {
		return []gateway.Event{{Endpoint: "wine", Kind: kind, Arm: "canary", Version: 4, Reason: "why", TimeMS: 5}}
	}
	r := sampleRollout("1", "wine", 10)
	if err := s.CreateRollout(t.Context(), r, event(gateway.EventRolloutStarted)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SaveRollout(t.Context(), r, event(gateway.EventRolloutStep), nil); err != nil {
		t.Fatal(err)
	}
	_, err := s.SaveRollout(t.Context(), r, event(gateway.EventRolloutDecided), nil) // a revision behind
	wantCode(t, err, mlflow.ResourceConflict)
	got, err := s.Events(t.Context(), "wine", 10)
	if err != nil || len(got) != 2 || got[0] != event(gateway.EventRolloutStep)[0] || got[1].Kind != gateway.EventRolloutStarted {
		t.Errorf("got %+v (%v)", got, err)
	}
}

func endpointPlan(t *testing.T, s RolloutStore) {
	plan := sampleRollout("1", "wine", 10).Plan
	e := sample("wine")
	e.Config.Rollout = &plan
	if err := s.CreateEndpoint(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	got, err := s.Endpoint(t.Context(), "wine")
	if err != nil || got.Config.Rollout == nil || !reflect.DeepEqual(*got.Config.Rollout, plan) {
		t.Fatalf("got %+v (%v), want %+v", got.Config.Rollout, err, plan)
	}
	got, err = s.UpdateConfig(t.Context(), "wine", Config(), 0, 20)
	if err != nil || got.Config.Rollout != nil {
		t.Errorf("a configuration without a plan has %+v (%v)", got.Config.Rollout, err)
	}
}

func refusedRollout(t *testing.T, s RolloutStore) {
	r := mustStart(t, s, sampleRollout("1", "nowhere", 10))
	r.Phase, r.EndedMS = gateway.RolloutPromoted, 20
	config := Config()
	_, err := s.SaveRollout(t.Context(), r, nil, &config) // there is no endpoint to configure
	wantCode(t, err, mlflow.ResourceDoesNotExist)
	got, err := s.Rollouts(t.Context(), 0)
	r.Phase, r.EndedMS = gateway.RolloutRunning, 0
	sameRollouts(t, got, err, r)
}
