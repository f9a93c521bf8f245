package rollout

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/gateway"
	"sluice/runtime/servable"
	"sluice/tracking/mlflow"
)

// threeSteps is a plan that a version with traffic gets through.
func threeSteps() *gateway.RolloutPlan {
	p := gateway.RolloutPlan{
		Steps: []gateway.RolloutStep{
			{Kind: gateway.StepSetWeight, Weight: 2000}, {Kind: gateway.StepAnalyse, MinRequests: 100},
			{Kind: gateway.StepSetWeight, Weight: 5000}, {Kind: gateway.StepPause, Duration: time.Minute},
		},
		Analysis: gateway.Analysis{Metrics: []gateway.AnalysisMetric{gateway.DefaultMetric(gateway.MetricErrorRate)}},
		BakeTime: time.Minute, KeepWarm: time.Hour,
	}.WithDefaults()
	return &p
}

// run turns until the rollout has ended, with traffic.
func (w *world) run(fails map[int]int) gateway.Rollout {
	w.t.Helper()
	for range 200 {
		w.ask(400, fails)
		w.turn(10 * time.Second)
		if found, err := w.store.RolloutHistory(w.t.Context(), endpointName, 1); err == nil && len(found) > 0 && !found[0].Phase.Active() {
			return found[0]
		}
	}
	w.t.Fatalf("the rollout does not end: %+v", w.newest())
	return gateway.Rollout{}
}

func TestATransitionIsPromotedStepByStep(t *testing.T) {
	w := newWorld(t)
	w.configure(threeSteps())
	w.stages[1], w.stages[2] = "Archived", "Production"
	w.compute()
	if got := w.routes(); got != "stable=1@10000 " {
		t.Fatalf("the transition moved traffic at once: %s", got)
	}
	w.turn(0)
	var seen []string
	for range 60 {
		w.ask(400, nil)
		w.turn(10 * time.Second)
		if r := w.routes(); len(seen) == 0 || seen[len(seen)-1] != r {
			seen = append(seen, r)
		}
	}
	want := []string{"stable=1@8000 canary=2@2000 ", "stable=1@5000 canary=2@5000 ", "stable=1@0 canary=2@10000 ", "stable=2@10000 "}
	if seen[0] == "stable=1@10000 canary=2@0 " {
		seen = seen[1:]
	}
	if !slices.Equal(seen, want) {
		t.Errorf("got  %q\nwant %q", seen, want)
	}
	if r := w.newest(); r.Phase != gateway.RolloutPromoted || len(w.moves) != 0 || !strings.HasPrefix(w.tags[2], "promoted: ") {
		t.Errorf("%s, moves %v, tag %q", r.Phase, w.moves, w.tags[2])
	}
	if !slices.Contains(w.plan.Aspired, servable.ID{Model: "wine", Version: 1}) {
		t.Error("the version before is not kept warm")
	}
	w.turn(2 * time.Hour)
	if slices.Contains(w.plan.Aspired, servable.ID{Model: "wine", Version: 1}) {
		t.Error("the version before is kept warm for ever")
	}
}

func TestABadTransitionGoesBackWithOneTable(t *testing.T) {
	w := newWorld(t)
	w.configure(threeSteps())
	w.stages[1], w.stages[2] = "Archived", "Production"
	w.compute()
	w.turn(0)
	w.turn(0)
	w.turn(0)
	if got := w.routes(); got != "stable=1@8000 canary=2@2000 " {
		t.Fatal(got)
	}
	before := w.tables
	end := w.run(map[int]int{2: 10})
	if end.Phase != gateway.RolloutRolledBack || w.stages[1] != "Production" || w.stages[2] != "Archived" || w.routes() != "stable=1@10000 " {
		t.Errorf("%s, stages %v, routes %s", end.Phase, w.stages, w.routes())
	}
	if n := w.tables - before; n != 1 {
		t.Errorf("%d tables were published for the rollback, want 1", n)
	}
	for range 5 {
		w.turn(10 * time.Second)
	}
	if n := w.tables - before; n != 1 || len(w.moves) != 1 {
		t.Errorf("%d tables, moves %v", n, w.moves)
	}
	if kinds := w.kinds(); count(kinds, "rollout_decided") != 1 || count(kinds, "rollout_rolled_back") != 1 {
		t.Errorf("%v", kinds)
	}
	w.stages[1], w.stages[2] = "Archived", "Production" // once more
	w.turn(time.Second)
	w.turn(time.Second)
	if r := w.newest(); r.ID == end.ID || r.Canary != 2 {
		t.Error("the second transition of the version begins no second rollout")
	}
}

func count(all []string, one string) (n int) {
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}

// TestKilledAtEveryWrite: whatever the process was about to write, or had just written, the next one brings the rollout to the same end, once.
func TestKilledAtEveryWrite(t *testing.T) {
	for _, c := range []struct {
		name    string
		request bool // started by request, else by a transition
		fails   map[int]int
		end     gateway.RolloutPhase
		stages  [2]string
		moves   int // of stages, at most
	}{
		{"good transition", false, nil, gateway.RolloutPromoted, [2]string{"Archived", "Production"}, 0},
		{"bad transition", false, map[int]int{2: 10}, gateway.RolloutRolledBack, [2]string{"Production", "Archived"}, 1},
		{"good request", true, nil, gateway.RolloutPromoted, [2]string{"Archived", "Production"}, 1},
		{"bad request", true, map[int]int{2: 10}, gateway.RolloutRolledBack, [2]string{"Production", "None"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			for at := 1; ; at++ {
				w := newWorld(t)
				w.configure(threeSteps())
				w.killAt = at
				killed := false
				if c.request {
					_, err := w.control.Start(t.Context(), StartRequest{Endpoint: endpointName, Version: gateway.Selector{Version: 2}})
					if w.stopped && at == 1 { // not begun: the caller was not told otherwise
						killed = true
						w.restart()
						_, err = w.control.Start(t.Context(), StartRequest{Endpoint: endpointName, Version: gateway.Selector{Version: 2}})
					}
					if err != nil && !errors.Is(err, errKilled) {
						t.Fatal(err)
					}
				} else {
					w.stages[1], w.stages[2] = "Archived", "Production"
				}
				for range 200 {
					if w.stopped {
						killed = true
						w.restart()
					}
					w.ask(400, c.fails)
					w.turn(10 * time.Second)
					if found, _ := w.store.RolloutHistory(t.Context(), endpointName, 2); !w.stopped && len(found) == 1 && !found[0].Phase.Active() {
						break
					}
				}
				for range 3 {
					w.turn(10 * time.Second)
				}
				found, err := w.store.RolloutHistory(t.Context(), endpointName, 5)
				if err != nil || len(found) != 1 || found[0].Phase != c.end {
					t.Fatalf("killed at %d: %d rollouts (%v), the first %s", at, len(found), err, found[0].Phase)
				}
				if got := [2]string{w.stages[1], w.stages[2]}; got != c.stages || len(w.moves) > c.moves {
					t.Errorf("killed at %d: stages %v, moves %v", at, got, w.moves)
				}
				kinds := w.kinds()
				if ended := "rollout_" + string(c.end); count(kinds, "rollout_started") != 1 || count(kinds, ended) != 1 || count(kinds, "rollout_decided") != 1 {
					t.Errorf("killed at %d: %v", at, kinds)
				}
				want := "stable=1@10000 "
				if c.end == gateway.RolloutPromoted {
					want = "stable=2@10000 "
				}
				if w.routes() != want {
					t.Errorf("killed at %d: %s", at, w.routes())
				}
				if !killed {
					t.Logf("killed before and behind each of %d writes", (at-1)/2)
					return
				}
			}
		})
	}
}

func TestTheTableFollowsARollbackWhileTheDatabaseIsAway(t *testing.T) {
	w := newWorld(t)
	w.configure(threeSteps())
	w.stages[1], w.stages[2] = "Archived", "Production"
	w.compute()
	for range 3 {
		w.turn(0)
	}
	w.broken = errors.New("disk on fire")
	for range 20 {
		w.ask(400, map[int]int{2: 10})
		w.turn(time.Second)
	}
	if got := w.routes(); got != "stable=1@10000 " {
		t.Fatalf("the canary keeps its traffic: %s", got)
	}
	if r := w.newest(); r.Phase != gateway.RolloutRunning {
		t.Fatalf("the row says %s", r.Phase)
	}
	w.broken = nil
	if end := w.run(nil); end.Phase != gateway.RolloutRolledBack || w.stages[1] != "Production" {
		t.Errorf("%s, stages %v", end.Phase, w.stages)
	}
}

func TestWithoutTrafficNothingGoesOn(t *testing.T) {
	w := newWorld(t)
	w.configure(threeSteps())
	w.stages[1], w.stages[2] = "Archived", "Production"
	w.compute()
	for range 100 {
		w.turn(time.Hour)
	}
	s, err := w.control.Status(t.Context(), endpointName)
	if err != nil || s.Verdict != InsufficientTraffic || s.Rollout.Step != 1 || w.routes() != "stable=1@8000 canary=2@2000 " {
		t.Errorf("%v: %+v, %s", err, s, w.routes())
	}
}

func TestAVersionThatCannotBeLoadedGoesBack(t *testing.T) {
	w := newWorld(t)
	w.configure(threeSteps())
	w.status[2] = servable.Loading
	w.stages[1], w.stages[2] = "Archived", "Production"
	w.compute()
	for range 5 {
		w.turn(time.Minute)
	}
	if r := w.newest(); r.Step != 0 || w.routes() != "stable=1@10000 " {
		t.Errorf("step %d before it is loaded, %s", r.Step, w.routes())
	}
	w.status[2] = servable.Failed
	if end := w.run(nil); end.Phase != gateway.RolloutRolledBack || !strings.Contains(end.Reason, "it is not a model") || w.stages[1] != "Production" {
		t.Errorf("%+v, stages %v", end, w.stages)
	}
}

func TestMovedElsewhere(t *testing.T) {
	for name, c := range map[string]struct {
		stages map[int]string
		then   func(r gateway.Rollout) bool
		routes string
	}{
		"back": {map[int]string{1: "Production", 2: "Archived", 3: "None"}, func(r gateway.Rollout) bool { return r.Canary == 2 && r.Phase == gateway.RolloutSuperseded }, "stable=1@10000 "},
		"to a third version": {map[int]string{1: "Archived", 2: "Archived", 3: "Production"}, func(r gateway.Rollout) bool {
			return r.Canary == 3 && r.Stable == 1 && r.Phase == gateway.RolloutRunning
		}, "stable=1@8000 canary=3@2000 "},
		"to nothing": {map[int]string{1: "Archived", 2: "Archived", 3: "None"}, func(r gateway.Rollout) bool { return r.Canary == 2 && r.Phase == gateway.RolloutSuperseded }, "stable=1@10000 "},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.configure(threeSteps())
			w.stages[1], w.stages[2] = "Archived", "Production"
			w.compute()
			for range 3 {
				w.turn(time.Second)
			}
			w.stages = c.stages
			for range 6 {
				w.turn(time.Second)
			}
			if r := w.newest(); !c.then(r) || w.routes() != c.routes || len(w.moves) > 0 {
				t.Errorf("%+v, %s, moves %v", r, w.routes(), w.moves)
			}
		})
	}
}

func TestTwoControllers(t *testing.T) {
	w := newWorld(t)
	w.configure(threeSteps())
	w.stages[1], w.stages[2] = "Archived", "Production"
	other := w.newController("other")
	w.compute()
	for range 100 {
		w.ask(400, nil)
		w.turn(10 * time.Second)
		other.turn(t.Context())
		w.compute()
	}
	found, err := w.store.RolloutHistory(t.Context(), endpointName, 5)
	if kinds := w.kinds(); err != nil || len(found) != 1 || found[0].Phase != gateway.RolloutPromoted || count(kinds, "rollout_promoted") != 1 || count(kinds, "rollout_decided") != 1 {
		t.Errorf("%d rollouts (%v): %v", len(found), err, kinds)
	}
}

func TestOrders(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t)
	for name, do := range map[string]func() error{
		"abort":   func() error { _, err := w.control.Abort(ctx, endpointName, ""); return err },
		"promote": func() error { _, err := w.control.Promote(ctx, PromoteRequest{Endpoint: endpointName}); return err },
		"unknown": func() error { _, err := w.control.Status(ctx, "nobody"); return err },
		"version": func() error {
			_, err := w.control.Start(ctx, StartRequest{Endpoint: endpointName, Version: gateway.Selector{Version: 9}, Plan: threeSteps()})
			return err
		},
		"arm": func() error {
			_, err := w.control.Start(ctx, StartRequest{Endpoint: endpointName, Arm: "x", Version: gateway.Selector{Version: 2}, Plan: threeSteps()})
			return err
		},
	} {
		if err := do(); mlflow.CodeOf(err) != mlflow.ResourceDoesNotExist {
			t.Errorf("%s with nothing running: %v", name, err)
		}
	}
	for name, q := range map[string]StartRequest{
		"no plan":      {Endpoint: endpointName, Version: gateway.Selector{Version: 2}},
		"same version": {Endpoint: endpointName, Version: gateway.Selector{Version: 1}, Plan: threeSteps()},
	} {
		if _, err := w.control.Start(ctx, q); mlflow.CodeOf(err) != mlflow.InvalidParameterValue {
			t.Errorf("%s: %v", name, err)
		}
	}
	manual := gateway.RolloutPlan{Steps: []gateway.RolloutStep{{Kind: gateway.StepSetWeight, Weight: 100}, {Kind: gateway.StepApproval}}}.WithDefaults()
	start := StartRequest{Endpoint: endpointName, Version: gateway.Selector{Version: 2}, Plan: &manual, Creator: "ann"}
	if _, err := w.control.Start(ctx, start); err != nil {
		t.Fatal(err)
	}
	if _, err := w.control.Start(ctx, start); mlflow.CodeOf(err) != mlflow.ResourceConflict {
		t.Errorf("second start: %v", err)
	}
	w.compute()
	w.turn(time.Second)
	w.turn(time.Hour)
	if r := w.newest(); r.Step != 1 || r.Weight != 100 {
		t.Fatalf("%+v", r)
	}
	wrong := 0
	if _, err := w.control.Promote(ctx, PromoteRequest{Endpoint: endpointName, Step: &wrong}); mlflow.CodeOf(err) != mlflow.ResourceConflict {
		t.Errorf("promote of another step: %v", err)
	}
	for i := range 2 {
		if r, err := w.control.Abort(ctx, endpointName, "ann"); err != nil || r.Phase != gateway.RolloutRollingBack && i == 0 {
			t.Errorf("abort %d: %s (%v)", i, r.Phase, err)
		}
		if w.routes() != "prod" && !strings.HasSuffix(w.routes(), "=1@10000 ") {
			t.Errorf("abort %d: %s", i, w.routes())
		}
	}
	w.turn(time.Second)
	if r, err := w.control.Abort(ctx, endpointName, ""); err != nil || r.Phase != gateway.RolloutAborted || r.Reason != "aborted by order of ann" {
		t.Errorf("abort of an aborted one: %+v (%v)", r, err)
	}
	if _, err := w.control.Promote(ctx, PromoteRequest{Endpoint: endpointName}); mlflow.CodeOf(err) != mlflow.ResourceConflict {
		t.Errorf("promote after abort: %v", err)
	}
	if _, err := w.control.Start(ctx, start); err != nil {
		t.Fatal(err)
	}
	w.compute()
	w.turn(time.Second)
	for range 2 {
		if _, err := w.control.Promote(ctx, PromoteRequest{Endpoint: endpointName, Full: true}); err != nil {
			t.Errorf("promote: %v", err)
		}
	}
	w.turn(time.Second)
	w.turn(time.Second)
	if r := w.newest(); r.Phase != gateway.RolloutPromoted || w.stages[2] != "Production" || w.stages[1] != "Archived" || len(w.moves) != 1 {
		t.Errorf("%s, stages %v, moves %v", r.Phase, w.stages, w.moves)
	}
	if _, err := w.control.Abort(ctx, endpointName, ""); mlflow.CodeOf(err) != mlflow.ResourceConflict {
		t.Errorf("abort of a promoted one: %v", err)
	}
}

func TestAShadowIsAnalysedBeforeItGetsTraffic(t *testing.T) {
	shadowFirst := gateway.RolloutPlan{Steps: []gateway.RolloutStep{
		{Kind: gateway.StepShadow, Weight: 5000, Duration: time.Minute}, {Kind: gateway.StepAnalyse, MinRequests: 200},
		{Kind: gateway.StepSetWeight, Weight: 1000}, {Kind: gateway.StepApproval},
	}}.WithDefaults()
	for name, c := range map[string]struct {
		failing uint64
		phase   gateway.RolloutPhase
		routes  string
	}{
		"good": {0, gateway.RolloutRunning, "stable=1@9000 canary=2@1000 "},
		"bad":  {10, gateway.RolloutRolledBack, "stable=1@10000 "},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.configure(&shadowFirst)
			w.stages[1], w.stages[2] = "Archived", "Production"
			w.compute()
			w.turn(0)
			w.turn(0)
			w.turn(0)
			shadows := w.plan.Table.Endpoint(endpointName).Shadows
			if len(shadows) != 1 || shadows[0].Arm != "canary" || shadows[0].Share != 5000 || w.routes() != "stable=1@10000 canary=2@0 " {
				t.Fatalf("%+v, %s", shadows, w.routes())
			}
			for range 30 {
				w.ask(100, nil)
				w.copies = w.copies.plus(Count{50, c.failing})
				w.turn(10 * time.Second)
			}
			if r := w.newest(); r.Phase != c.phase || w.routes() != c.routes || len(w.plan.Table.Endpoint(endpointName).Shadows) != 0 {
				t.Errorf("%+v, %s", r, w.routes())
			}
		})
	}
}
