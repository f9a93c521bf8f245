package rollout

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/gateway"
	"sluice/gateway/outcome"
)

// member is one of several processes on the world's database: requests, a controller and a way to the database of its own. Its table is the
// world's, but for what it overrides.
type member struct {
	*world
	cut       bool // it does not reach the database
	overrides map[string]gateway.Rollout
	control   *Controller
	book      *outcome.Book
}

var errCut = errors.New("no route to host")

func (w *world) member(name string) *member {
	m := &member{world: w, overrides: map[string]gateway.Rollout{}, book: outcome.NewBook(nil)}
	m.control = New(Deps{
		Store: memberStore{m}, Endpoints: w.service(), Registry: (*fakeRegistry)(w), Table: memberTable{m}, Outcomes: m.book,
		NewID: func() string { return name + fmt.Sprint(time.Now().UnixNano()) },
	}, &Options{Now: func() time.Time { return w.now }, Name: name})
	return m
}

// ask counts requests that this process answered: the canary's share of them, of which every nth fails.
func (m *member) ask(requests, nth int) {
	for _, a := range m.plan.Table.Endpoint(endpointName).Arms {
		for i := range requests * a.Weight / int(gateway.FullWeight) {
			code := 200
			if nth > 0 && a.Servable.Version == 2 && i%nth == 0 {
				code = 500
			}
			m.book.Series(outcome.Key{Endpoint: endpointName, Model: endpointName, Version: a.Servable.Version, Arm: a.Name, Code: code}).Record(time.Millisecond)
		}
	}
}

// tookBack says whether this process's own table holds the canary back, against newer rows.
func (m *member) tookBack() bool {
	r := m.newest()
	o, ok := m.overrides[r.ID]
	return ok && o.Revision > r.Revision && o.Phase == gateway.RolloutRollingBack
}

type memberStore struct{ *member }

func (s memberStore) Rollouts(ctx context.Context, nowMS int64) ([]gateway.Rollout, error) {
	if s.cut {
		return nil, errCut
	}
	return s.store.Rollouts(ctx, nowMS)
}

func (s memberStore) RolloutHistory(ctx context.Context, endpoint string, limit int) ([]gateway.Rollout, error) {
	return s.store.RolloutHistory(ctx, endpoint, limit)
}

func (s memberStore) CreateRollout(ctx context.Context, r gateway.Rollout, events []gateway.Event) error {
	return s.store.CreateRollout(ctx, r, events)
}

func (s memberStore) SaveRollout(ctx context.Context, r gateway.Rollout, events []gateway.Event, config *gateway.Config) (int64, error) {
	if s.cut {
		return 0, errCut
	}
	return s.store.SaveRollout(ctx, r, events, config)
}

func (s memberStore) KeepRollout(ctx context.Context, r gateway.Rollout) (int64, error) {
	if s.cut {
		return 0, errCut
	}
	return s.store.KeepRollout(ctx, r)
}

func (s memberStore) TakeRollout(ctx context.Context, r gateway.Rollout, driver string, events []gateway.Event) (gateway.Rollout, error) {
	if s.cut {
		return r, errCut
	}
	return s.store.TakeRollout(ctx, r, driver, events)
}

func (s memberStore) PutRolloutShare(ctx context.Context, share gateway.RolloutShare) error {
	if s.cut {
		return errCut
	}
	return s.store.PutRolloutShare(ctx, share)
}

func (s memberStore) RolloutShares(ctx context.Context, rollout string) ([]gateway.RolloutShare, error) {
	if s.cut {
		return nil, errCut
	}
	return s.store.RolloutShares(ctx, rollout)
}

type memberTable struct{ *member }

func (t memberTable) State(endpoint string) (gateway.State, bool) {
	s, ok := t.plan.States[endpoint]
	return s, ok
}

func (t memberTable) Override(r gateway.Rollout) { t.overrides[r.ID] = r }

func (t memberTable) Poke() {}

// beginTwo starts a rollout that first drives and second follows: 20 % for the canary, an analysis under way.
func beginTwo(t *testing.T) (w *world, first, second *member) {
	t.Helper()
	w = newWorld(t)
	w.configure(threeSteps())
	first, second = w.member("first"), w.member("second")
	w.stages[1], w.stages[2] = "Archived", "Production"
	w.compute()
	first.control.Wanted(w.plan.Starts)
	for range 4 {
		w.both(first, second, 100*time.Millisecond)
	}
	if got := w.routes(); got != "stable=1@8000 canary=2@2000 " || w.newest().Driver != "first" {
		t.Fatalf("%s, driven by %q", got, w.newest().Driver)
	}
	return w, first, second
}

// both lets time pass and both processes look.
func (w *world) both(first, second *member, pass time.Duration) {
	w.now = w.now.Add(pass)
	for _, m := range []*member{first, second} {
		if m != nil {
			m.control.turn(w.t.Context())
		}
	}
	w.compute()
}

// TestAnotherTakesOver: the driver is killed; before the lease is over nobody moves, and then the other one goes on with what was stored.
func TestAnotherTakesOver(t *testing.T) {
	w, first, second := beginTwo(t)
	for range 20 {
		first.ask(100, 0)
		w.both(first, second, time.Second)
	}
	stored := ParseEvidence(w.newest().Evidence).Canary.Requests
	if stored == 0 {
		t.Fatal("nothing was stored")
	}
	step := w.newest().Step
	for range 5 { // killed; its last word is at most a third of the lease old
		w.both(nil, second, time.Second)
		if r := w.newest(); r.Driver != "first" {
			t.Fatal("taken over before the lease was over")
		}
	}
	for range 3 {
		w.both(nil, second, time.Second)
	}
	r := w.newest()
	if r.Driver != "second" || r.Step != step || ParseEvidence(r.Evidence).Canary.Requests < stored || count(w.kinds(), string(gateway.EventRolloutTaken)) != 1 {
		t.Fatalf("driven by %q at step %d with %d requests: %v", r.Driver, r.Step, ParseEvidence(r.Evidence).Canary.Requests, w.kinds())
	}
	for range 60 {
		second.ask(400, 0)
		w.both(nil, second, 10*time.Second)
	}
	if r := w.newest(); r.Phase != gateway.RolloutPromoted || count(w.kinds(), "rollout_decided") != 1 {
		t.Errorf("%s: %v", r.Phase, w.kinds())
	}
}

// TestAStaleDriverIsFenced: a driver that is cut off from the database keeps a bad canary out of its own traffic, but writes nothing when it
// comes back to a rollout that another one drives, and follows it.
func TestAStaleDriverIsFenced(t *testing.T) {
	w, first, second := beginTwo(t)
	first.cut = true
	for range 5 {
		first.ask(4000, 2)
		w.both(first, second, 200*time.Millisecond)
	}
	if !first.tookBack() {
		t.Fatal("the canary keeps its share of the cut-off process's traffic")
	}
	for range 12 {
		second.ask(100, 0)
		w.both(first, second, time.Second)
	}
	if r := w.newest(); r.Driver != "second" || r.Phase != gateway.RolloutRunning {
		t.Fatalf("%s, driven by %q", r.Phase, r.Driver)
	}
	first.cut = false
	for range 20 {
		second.ask(100, 0)
		w.both(first, second, 200*time.Millisecond)
	}
	if r := w.newest(); r.Phase == gateway.RolloutRolledBack || r.Driver != "second" || count(w.kinds(), "rollout_decided") != 0 || first.tookBack() {
		t.Errorf("%s, driven by %q, held back there: %v, %v", r.Phase, r.Driver, first.tookBack(), w.kinds())
	}
}

// TestWhoLeavesHandsOver: nobody waits for the lease of a process that was stopped in order.
func TestWhoLeavesHandsOver(t *testing.T) {
	w, first, second := beginTwo(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := first.control.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if err := first.control.Close(); err != nil {
		t.Fatal(err)
	}
	w.both(nil, second, 200*time.Millisecond)
	if r := w.newest(); r.Driver != "second" {
		t.Errorf("driven by %q", r.Driver)
	}
}

// TestOrdersAtAnyProcess: who promotes or aborts need not find the driver.
func TestOrdersAtAnyProcess(t *testing.T) {
	w, first, second := beginTwo(t)
	step := w.newest().Step
	if _, err := second.control.Promote(t.Context(), PromoteRequest{Endpoint: endpointName, Step: &step}); err != nil {
		t.Fatal(err)
	}
	w.both(first, second, 200*time.Millisecond)
	if r := w.newest(); r.Step <= step || r.Driver != "first" {
		t.Errorf("step %d after %d, driven by %q", r.Step, step, r.Driver)
	}
	if _, err := second.control.Abort(t.Context(), endpointName, "ann"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		w.both(first, second, 200*time.Millisecond)
	}
	if r := w.newest(); r.Phase != gateway.RolloutAborted || w.stages[1] != "Production" || len(w.moves) != 1 {
		t.Errorf("%s, stages %v, moves %v", r.Phase, w.stages, w.moves)
	}
}

// TestTheEndIsNotForcedOnTheRegistry: the stage moves at the end only from the version that the rollout began with; who moves it first, even in
// the same moment, is not overruled.
func TestTheEndIsNotForcedOnTheRegistry(t *testing.T) {
	for name, c := range map[string]struct {
		request bool
		stages  map[int]string // as somebody sets them
		between bool           // between the look and the move, else before
		phase   gateway.RolloutPhase
	}{
		"moved to a third version":            {true, map[int]string{1: "Archived", 2: "None", 3: "Production"}, false, gateway.RolloutSuperseded},
		"moved to a third version just then":  {true, map[int]string{1: "Archived", 2: "None", 3: "Production"}, true, gateway.RolloutSuperseded},
		"moved to the canary just then":       {true, map[int]string{1: "Archived", 2: "Production", 3: "None"}, true, gateway.RolloutPromoted},
		"moved back after a transition":       {false, map[int]string{1: "Production", 2: "Archived", 3: "None"}, false, gateway.RolloutSuperseded},
		"emptied after a transition":          {false, map[int]string{1: "Archived", 2: "Archived", 3: "None"}, false, gateway.RolloutSuperseded},
		"left alone":                          {true, nil, false, gateway.RolloutPromoted},
		"left alone, begun by the transition": {false, nil, false, gateway.RolloutPromoted},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.configure(threeSteps())
			if c.request {
				if _, err := w.control.Start(t.Context(), StartRequest{Endpoint: endpointName, Version: gateway.Selector{Version: 2}}); err != nil {
					t.Fatal(err)
				}
			} else {
				w.stages[1], w.stages[2] = "Archived", "Production"
			}
			w.compute()
			for range 3 {
				w.turn(time.Second)
			}
			if _, err := w.control.Promote(t.Context(), PromoteRequest{Endpoint: endpointName, Full: true}); err != nil {
				t.Fatal(err)
			}
			want := map[int]string{1: "Archived", 2: "Production", 3: "None"}
			if c.stages != nil {
				want = c.stages
				if c.between {
					w.moving = func() { w.stages, w.moving = c.stages, nil }
				} else {
					w.stages = c.stages
				}
			}
			for range 4 {
				w.turn(2 * time.Second)
			}
			found, err := w.store.RolloutHistory(t.Context(), endpointName, 5)
			if err != nil {
				t.Fatal(err)
			}
			r := found[len(found)-1] // another one may follow
			if r.Phase != c.phase || fmt.Sprint(w.stages) != fmt.Sprint(want) {
				t.Errorf("%s (%s), stages %v", r.Phase, r.Reason, w.stages)
			}
			if kinds := w.kinds(); count(kinds, "rollout_"+string(c.phase)) != 1 {
				t.Errorf("%v", kinds)
			}
			if c.phase == gateway.RolloutSuperseded && !strings.Contains(r.Reason, "Production") {
				t.Errorf("reason %q", r.Reason)
			}
		})
	}
}

// TestAnOrderMeetsTheDriversWrite: whoever promotes or aborts in the moment in which the driver takes a step is obeyed nevertheless.
func TestAnOrderMeetsTheDriversWrite(t *testing.T) {
	for name, give := range map[string]func(*world) error{
		"promote": func(w *world) error {
			_, err := w.control.Promote(w.t.Context(), PromoteRequest{Endpoint: endpointName, Full: true})
			return err
		},
		"abort": func(w *world) error { _, err := w.control.Abort(w.t.Context(), endpointName, ""); return err },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.configure(threeSteps())
			w.stages[1], w.stages[2] = "Archived", "Production"
			w.compute()
			w.turn(0)
			before := w.newest()
			w.looked = func() { w.looked = nil; w.turn(time.Second) }
			if err := give(w); err != nil {
				t.Fatal(err)
			}
			if r := w.newest(); r.Revision < before.Revision+2 || r.Phase.Undecided() {
				t.Errorf("%s at revision %d after %d", r.Phase, r.Revision, before.Revision)
			}
		})
	}
}
