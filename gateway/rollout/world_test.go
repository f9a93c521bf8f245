package rollout

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"sluice/gateway"
	"sluice/gateway/outcome"
	"sluice/gateway/plan"
	"sluice/gateway/sqlstore"
	"sluice/registry"
	"sluice/runtime/servable"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { os.Exit(sqldbtest.Main(m)) }

var errKilled = errors.New("killed")

// world is everything around a controller: a real store and plan, a registry in memory, versions that load when the test says so, and a process
// that can be killed at any write.
type world struct {
	t     *testing.T
	store *sqlstore.Store
	now   time.Time

	stages map[int]string
	tags   map[int]string
	moves  []string // what the registry was told to move
	moving func()   // is called before it looks, if there is one
	looked func()   // is called after an order read the row, if there is one

	status    map[int]servable.State
	plan      *plan.Plan
	tables    int // published
	overrides map[string]gateway.Rollout

	book    *outcome.Book
	copies  Count // what version 2 executed as a shadow, and failed
	control *Controller

	writes  int   // of this process so far
	killAt  int   // before this write (odd) or behind it (even), counted from 1; 0: never
	broken  error // every write of the database fails with it
	stopped bool
}

const endpointName = "wine"

func newWorld(t *testing.T) *world {
	t.Helper()
	store, err := sqlstore.New(t.Context(), sqldbtest.Open(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, store: store, now: time.UnixMilli(1_000_000), stages: map[int]string{1: "Production", 2: "None", 3: "None"}, tags: map[int]string{},
		status: map[int]servable.State{1: servable.Ready, 2: servable.Ready, 3: servable.Ready},
	}
	w.restart()
	return w
}

// restart begins a new process on the same database.
func (w *world) restart() {
	w.plan, w.overrides, w.book = nil, map[string]gateway.Rollout{}, outcome.NewBook(nil)
	w.writes, w.killAt, w.stopped = 0, 0, false
	w.control = w.newController("controller")
	w.compute()
}

func (w *world) newController(name string) *Controller {
	return New(Deps{
		Store: (*killable)(w), Endpoints: w.service(), Registry: (*fakeRegistry)(w), Table: (*fakeTable)(w), Outcomes: w.book,
		Shadowed: func(_, _, _ string, version int) (uint64, uint64) {
			if version != 2 {
				return 0, 0
			}
			return w.copies.N, w.copies.K
		},
		NewID: func() string { return fmt.Sprintf("id-%d", time.Now().UnixNano()) },
	}, &Options{Now: func() time.Time { return w.now }, Name: name})
}

func (w *world) service() *gateway.Service {
	return gateway.NewService(w.store, func(context.Context) (*gateway.Registered, error) { return w.registered(), nil }, nil)
}

func (w *world) registered() *gateway.Registered {
	var m gateway.Model
	for v := 1; v <= len(w.stages); v++ {
		m.Versions = append(m.Versions, gateway.Version{Number: v, Stage: w.stages[v]})
	}
	return &gateway.Registered{Models: map[string]gateway.Model{endpointName: m}}
}

// configure makes the endpoint explicit, with a plan.
func (w *world) configure(p *gateway.RolloutPlan) {
	w.t.Helper()
	_, err := w.service().UpdateConfig(w.t.Context(), endpointName, gateway.Config{Rollout: p, ServedEntities: []gateway.ServedEntity{
		{Name: "stable", Model: endpointName, Target: gateway.Selector{Stage: "Production"}, Weight: gateway.FullWeight},
	}}, 0, "ann")
	if err != nil {
		w.t.Fatal(err)
	}
	w.compute()
}

// compute publishes the table of now.
func (w *world) compute() {
	w.t.Helper()
	ctx := w.t.Context()
	rows, err := w.store.Rollouts(ctx, w.now.UnixMilli())
	if err != nil {
		w.t.Fatal(err)
	}
	for i, r := range rows {
		if o, ok := w.overrides[r.ID]; ok && o.Revision > r.Revision {
			rows[i] = o
		}
	}
	explicit, err := w.store.Endpoints(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	arms, err := w.store.Arms(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	reg := w.registered()
	p, err := plan.Compute(plan.Input{
		Endpoints: gateway.Effective(explicit, reg, arms), Registered: reg, Arms: arms, Rollouts: rows, Previous: w.plan, NowMS: w.now.UnixMilli(),
		Status: func(id servable.ID) servable.Status {
			return servable.Status{State: w.status[id.Version], Reason: "it is not a model"}
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if w.plan == nil || p.Table != w.plan.Table {
		w.tables++
	}
	w.plan = p
	if err := w.store.PutArms(ctx, p.Records); err != nil {
		w.t.Fatal(err)
	}
	w.control.Wanted(p.Starts)
}

// turn lets time pass, the controller look, and the table follow.
func (w *world) turn(pass time.Duration) {
	w.t.Helper()
	w.now = w.now.Add(pass)
	w.control.turn(w.t.Context())
	w.compute()
}

// routes writes the table's arms as "arm=version@basispoints".
func (w *world) routes() string {
	out := ""
	for _, a := range w.plan.Table.Endpoint(endpointName).Arms {
		out += fmt.Sprintf("%s=%d@%d ", a.Name, a.Servable.Version, a.Weight)
	}
	return out
}

// ask counts requests as the arms of the table share them: of the version's, every nth fails (0: none).
func (w *world) ask(requests int, fails map[int]int) {
	for _, a := range w.plan.Table.Endpoint(endpointName).Arms {
		n := requests * a.Weight / int(gateway.FullWeight)
		for i := range n {
			code := 200
			if nth := fails[a.Servable.Version]; nth > 0 && i%nth == 0 {
				code = 500
			}
			w.book.Series(outcome.Key{Endpoint: endpointName, Model: endpointName, Version: a.Servable.Version, Arm: a.Name, Code: code}).Record(time.Millisecond)
		}
	}
}

func (w *world) newest() gateway.Rollout {
	w.t.Helper()
	found, err := w.store.RolloutHistory(w.t.Context(), endpointName, 1)
	if err != nil || len(found) == 0 {
		w.t.Fatalf("no rollout (%v)", err)
	}
	return found[0]
}

func (w *world) kinds() []string {
	w.t.Helper()
	events, err := w.store.Events(w.t.Context(), endpointName, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, e := range slices.Backward(events) {
		out = append(out, string(e.Kind))
	}
	return out
}

// write carries a write out, unless the process is killed before or behind it.
func (w *world) write(do func() error) error {
	if w.stopped {
		return errKilled
	}
	if w.broken != nil {
		return w.broken
	}
	w.writes++
	if 2*w.writes-1 == w.killAt {
		w.stopped = true
		return errKilled
	}
	err := do()
	if 2*w.writes == w.killAt {
		w.stopped = true
		return errKilled
	}
	return err
}

// killable is the store.
type killable world

func (k *killable) Rollouts(ctx context.Context, nowMS int64) ([]gateway.Rollout, error) {
	return k.store.Rollouts(ctx, nowMS)
}

func (k *killable) RolloutHistory(ctx context.Context, endpoint string, limit int) ([]gateway.Rollout, error) {
	found, err := k.store.RolloutHistory(ctx, endpoint, limit)
	if k.looked != nil {
		k.looked()
	}
	return found, err
}

func (k *killable) CreateRollout(ctx context.Context, r gateway.Rollout, events []gateway.Event) error {
	return (*world)(k).write(func() error { return k.store.CreateRollout(ctx, r, events) })
}

func (k *killable) SaveRollout(ctx context.Context, r gateway.Rollout, events []gateway.Event, config *gateway.Config) (revision int64, err error) {
	err = (*world)(k).write(func() error {
		var err error
		revision, err = k.store.SaveRollout(ctx, r, events, config)
		return err
	})
	return revision, err
}

func (k *killable) KeepRollout(ctx context.Context, r gateway.Rollout) (beat int64, err error) {
	err = (*world)(k).write(func() error {
		var err error
		beat, err = k.store.KeepRollout(ctx, r)
		return err
	})
	return beat, err
}

func (k *killable) TakeRollout(ctx context.Context, r gateway.Rollout, driver string, events []gateway.Event) (now gateway.Rollout, err error) {
	err = (*world)(k).write(func() error {
		var err error
		now, err = k.store.TakeRollout(ctx, r, driver, events)
		return err
	})
	return now, err
}

func (k *killable) PutRolloutShare(ctx context.Context, s gateway.RolloutShare) error {
	return (*world)(k).write(func() error { return k.store.PutRolloutShare(ctx, s) })
}

func (k *killable) RolloutShares(ctx context.Context, rollout string) ([]gateway.RolloutShare, error) {
	return k.store.RolloutShares(ctx, rollout)
}

// fakeRegistry keeps stages and the tag of the rollout.
type fakeRegistry world

func (f *fakeRegistry) Version(_ context.Context, _ string, version int) (registry.Version, error) {
	if _, ok := f.stages[version]; !ok {
		return registry.Version{}, mlflow.Missingf("no version %d", version)
	}
	v := registry.Version{Version: version}
	if text, ok := f.tags[version]; ok {
		v.Tags = []registry.Tag{{Key: VersionTag, Value: text}}
	}
	return v, nil
}

func (f *fakeRegistry) SetStageFrom(_ context.Context, _ string, version int, stage string, archive bool, from int) (registry.Version, error) {
	if f.moving != nil {
		f.moving()
	}
	return registry.Version{}, (*world)(f).write(func() error {
		m := (*world)(f).registered().Models[endpointName]
		if now := m.InStage(stage); now != from {
			return registry.Moved(stage, from, now)
		}
		for v, s := range f.stages {
			if archive && s == stage {
				f.stages[v] = "Archived"
			}
		}
		f.stages[version] = stage
		f.moves = append(f.moves, fmt.Sprintf("%d to %s", version, stage))
		return nil
	})
}

func (f *fakeRegistry) SetAliasFrom(context.Context, string, string, int, int) error { return nil }

func (f *fakeRegistry) SetVersionTag(_ context.Context, _ string, version int, tag registry.Tag) error {
	return (*world)(f).write(func() error { f.tags[version] = tag.Value; return nil })
}

// fakeTable is the plan of the world.
type fakeTable world

func (f *fakeTable) State(endpoint string) (gateway.State, bool) {
	s, ok := f.plan.States[endpoint]
	return s, ok
}

func (f *fakeTable) Override(r gateway.Rollout) {
	f.overrides[r.ID] = r
	(*world)(f).compute()
}

func (f *fakeTable) Poke() {}
