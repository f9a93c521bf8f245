package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"sluice/gateway"
	"sluice/runtime/servable"
)

// world is a registry, desired endpoints and loaded versions, moved by hand.
type world struct {
	t         *testing.T
	reg       *gateway.Registered
	explicit  []gateway.Endpoint
	records   map[armKey]gateway.ArmRecord
	status    map[servable.ID]servable.Status
	plan      *Plan
	byDefault string
	onlyONNX  []string
}

func newWorld(t *testing.T) *world {
	return &world{t: t, reg: &gateway.Registered{Models: map[string]gateway.Model{}}, records: map[armKey]gateway.ArmRecord{}, status: map[servable.ID]servable.Status{}}
}

// stages gives model the versions 1, 2, … in these stages.
func (w *world) stages(model string, stages ...string) {
	m := gateway.Model{Aliases: w.reg.Models[model].Aliases}
	for i, s := range stages {
		if s != "deleted" {
			m.Versions = append(m.Versions, gateway.Version{Number: i + 1, Stage: s})
		}
	}
	w.reg.Models[model] = m
}

func (w *world) set(model string, version int, s servable.State, reason string) {
	w.status[servable.ID{Model: model, Version: version}] = servable.Status{State: s, Reason: reason}
}

func (w *world) ready(model string, versions ...int) {
	for _, v := range versions {
		w.set(model, v, servable.Ready, "")
	}
}

func (w *world) configure(name string, entities ...gateway.ServedEntity) {
	for i := range w.explicit {
		if w.explicit[i].Name == name {
			w.explicit[i].Config = gateway.Config{ServedEntities: entities}
			w.explicit[i].ConfigVersion++
			return
		}
	}
	w.explicit = append(w.explicit, gateway.Endpoint{Name: name, ConfigVersion: 1, Config: gateway.Config{ServedEntities: entities}})
}

// entity reads "arm model target percent".
func entity(text string) gateway.ServedEntity {
	f := strings.Fields(text)
	target, err := gateway.ParseSelector(f[2])
	if err != nil {
		panic(err)
	}
	weight, err := gateway.ParsePercent(f[3])
	if err != nil {
		panic(err)
	}
	return gateway.ServedEntity{Name: f[0], Model: f[1], Target: target, Weight: weight}
}

func (w *world) compute() *Plan {
	w.t.Helper()
	records := make([]gateway.ArmRecord, 0, len(w.records))
	for _, r := range w.records {
		records = append(records, r)
	}
	slices.SortFunc(records, func(a, b gateway.ArmRecord) int {
		return strings.Compare(a.Endpoint+"\x00"+a.Arm, b.Endpoint+"\x00"+b.Arm)
	})
	p, err := Compute(Input{
		Endpoints: gateway.Effective(w.explicit, w.reg, records), Registered: w.reg, Arms: records,
		Status:   func(id servable.ID) servable.Status { return w.status[id] },
		Previous: w.plan, DefaultEndpoint: w.byDefault, OnlyONNX: w.onlyONNX, NowMS: 7,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range p.Records {
		w.records[armKey{r.Endpoint, r.Arm}] = r
	}
	for _, name := range p.Obsolete {
		for k := range w.records {
			if k.endpoint == name {
				delete(w.records, k)
			}
		}
	}
	w.plan = p
	return p
}

// restart forgets everything but what is stored.
func (w *world) restart() { w.plan, w.status = nil, map[servable.ID]servable.Status{} }

// routes writes the endpoint's arms as "arm=model/version@basispoints".
func (w *world) routes(endpoint string) string {
	e := w.plan.Table.Endpoint(endpoint)
	if e == nil {
		return "absent"
	}
	var out []string
	for _, a := range e.Arms {
		text := fmt.Sprintf("%s=%d@%d", a.Name, a.Servable.Version, a.Weight)
		if a.Stale {
			text += "!"
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func (w *world) want(endpoint, routes string) {
	w.t.Helper()
	w.compute()
	if got := w.routes(endpoint); got != routes {
		w.t.Errorf("%s routes %q, want %q", endpoint, got, routes)
	}
}

func (w *world) wantState(endpoint string, update gateway.Update, ready bool, reason string) {
	w.t.Helper()
	s := w.plan.States[endpoint]
	if s.Update != update || s.Ready != ready || !strings.Contains(s.Reason, reason) {
		w.t.Errorf("%s is %+v, want update %d, ready %v, reason with %q", endpoint, s, update, ready, reason)
	}
}

func (w *world) wantEvent(kind gateway.EventKind, reason string) {
	w.t.Helper()
	for _, e := range w.plan.Events {
		if e.Kind == kind && strings.Contains(e.Reason, reason) {
			return
		}
	}
	w.t.Errorf("no event %s with %q among %+v", kind, reason, w.plan.Events)
}

func (w *world) aspired() string {
	var out []string
	for _, id := range w.plan.Aspired {
		out = append(out, fmt.Sprint(id.Version))
	}
	return strings.Join(out, " ")
}

func TestProductionIsAnEndpoint(t *testing.T) {
	w := newWorld(t)
	w.stages("wine", "None", "Production", "Production", "Staging")
	w.want("wine", "")
	w.wantState("wine", gateway.InProgress, false, "version 3 is being loaded")
	if len(w.plan.Waiting) != 1 || w.aspired() != "3" {
		t.Errorf("waits for %v, aspires %s", w.plan.Waiting, w.aspired())
	}
	w.ready("wine", 3)
	w.want("wine", "wine-Production=3@10000")
	w.wantState("wine", gateway.NotUpdating, true, "")
	w.wantEvent(gateway.EventReady, "")
	if len(w.plan.Waiting) != 0 {
		t.Errorf("waits for %v", w.plan.Waiting)
	}
}

func TestOldServesUntilNewIsReady(t *testing.T) {
	w := newWorld(t)
	w.stages("wine", "Production")
	w.ready("wine", 1)
	w.want("wine", "wine-Production=1@10000")
	w.stages("wine", "Archived", "Production")
	w.set("wine", 2, servable.Loading, "")
	w.want("wine", "wine-Production=1@10000")
	if got := w.aspired(); got != "1 2" {
		t.Errorf("aspires %q, want both", got)
	}
	if _, err := w.plan.Table.Resolve("wine", 1, "Production"); err != nil {
		t.Errorf("the stage's address is gone meanwhile: %v", err)
	}
	w.ready("wine", 2)
	w.want("wine", "wine-Production=2@10000")
	w.wantEvent(gateway.EventServing, "version 2 took over from version 1")
	if got := w.aspired(); got != "2" {
		t.Errorf("aspires %q, want the new one alone", got)
	}
}

// TestAVersionThatExecutesNothing: what executes it was lost. It keeps its traffic, which nobody else would answer, but is not ready.
func TestAVersionThatExecutesNothing(t *testing.T) {
	w := newWorld(t)
	w.stages("wine", "Production", "Staging")
	w.configure("wine", entity("main wine Production 90"), entity("side wine Staging 10"))
	w.ready("wine", 1, 2)
	w.compute()
	lose := func(version int, why string) {
		w.status[servable.ID{Model: "wine", Version: version}] = servable.Status{State: servable.Ready, Down: why}
	}
	lose(1, "killed")
	w.want("wine", "main=1@9000 side=2@1000")
	w.wantState("wine", gateway.NotUpdating, true, "main: version 1 executes nothing at present: killed")
	if got, want := fmt.Sprint(w.plan.Waiting), "[endpoint wine, main: version 1 executes nothing at present]"; got != want {
		t.Errorf("waits for %s, want %s", got, want)
	}
	lose(2, "hung")
	w.want("wine", "main=1@9000 side=2@1000")
	w.wantState("wine", gateway.NotUpdating, false, "side: version 2 executes nothing at present: hung")
	w.wantEvent(gateway.EventNotReady, "killed")
	lose(1, "")
	lose(2, "")
	w.compute()
	w.wantState("wine", gateway.NotUpdating, true, "")
	w.wantEvent(gateway.EventReady, "")
	if len(w.plan.Waiting) != 0 {
		t.Errorf("waits for %v", w.plan.Waiting)
	}
}

func TestFailedVersionChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.stages("wine", "Production")
	w.ready("wine", 1)
	w.compute()
	w.stages("wine", "Archived", "Production")
	w.set("wine", 2, servable.Failed, "not an ONNX file")
	w.want("wine", "wine-Production=1@10000")
	w.wantState("wine", gateway.UpdateFailed, true, "version 2 could not be loaded: not an ONNX file; version 1 keeps serving")
	w.wantEvent(gateway.EventLoadFailed, "not an ONNX file")
	w.set("wine", 2, servable.Loading, "") // the manager tries again
	w.want("wine", "wine-Production=1@10000")
	w.wantState("wine", gateway.UpdateFailed, true, "version 2 could not be loaded: not an ONNX file; version 1 keeps serving")
	if len(w.plan.Events) != 0 {
		t.Errorf("a retry is no news: %+v", w.plan.Events)
	}
	if len(w.plan.Waiting) != 0 {
		t.Errorf("waits for %v though the old version serves", w.plan.Waiting)
	}

	w.restart()
	w.set("wine", 2, servable.Failed, "not an ONNX file")
	w.compute()
	if got := w.aspired(); got != "1 2" {
		t.Errorf("after a restart aspires %q, want the version that served too", got)
	}
	w.ready("wine", 1)
	w.want("wine", "wine-Production=1@10000")
}

func TestWhatIsComingIsInTheTable(t *testing.T) {
	w := newWorld(t)
	w.stages("wine", "Production", "")
	w.set("wine", 1, servable.Loading, "")
	w.status[servable.ID{Model: "wine", Version: 1}] = servable.Status{State: servable.Loading, Progress: "resolving"}
	w.want("wine", "")
	e := w.plan.Table.Endpoint("wine")
	if len(e.Coming) != 1 || e.Coming[0].Servable.Version != 1 || e.Coming[0].Stage != "Production" || strings.Contains(e.Coming[0].Reason, "resolving") {
		t.Errorf("coming: %+v", e.Coming)
	}
	if want := "version 1 is being loaded (resolving)"; !strings.Contains(e.Reason, want) {
		t.Errorf("reason %q, want %q", e.Reason, want)
	}
	if got := w.plan.States["wine"].Arms[0].Progress; got != "resolving" {
		t.Errorf("progress %q", got)
	}
	w.ready("wine", 1)
	w.compute()
	if e := w.plan.Table.Endpoint("wine"); len(e.Coming) != 0 {
		t.Errorf("still coming: %+v", e.Coming)
	}
	w.stages("wine", "Archived", "Production")
	w.status[servable.ID{Model: "wine", Version: 2}] = servable.Status{State: servable.Loading, Progress: "resolving"}
	table := w.compute().Table
	if e := table.Endpoint("wine"); len(e.Coming) != 1 || e.Coming[0].Servable.Version != 2 {
		t.Errorf("coming beside one that serves: %+v", e.Coming)
	}
	w.status[servable.ID{Model: "wine", Version: 2}] = servable.Status{State: servable.Loading, Progress: "installing"}
	if w.compute().Table != table {
		t.Error("a word of progress made a table although the endpoint answers")
	}
	if state := w.plan.States["wine"]; !strings.Contains(state.Reason, "(installing)") {
		t.Errorf("reason %q", state.Reason)
	}
}

func TestEmptyStageKeepsItsLastVersion(t *testing.T) {
	w := newWorld(t)
	w.stages("wine", "Production")
	w.ready("wine", 1)
	w.compute()
	w.stages("wine", "Archived")
	w.want("wine", "wine-Production=1@10000!")
	w.wantState("wine", gateway.NotUpdating, true, "stage Production of registered model \"wine\" has no version; version 1 keeps serving")
	w.wantEvent(gateway.EventStale, "version 1 keeps serving")
	w.restart()
	w.want("wine", "")
	w.ready("wine", 1)
	w.want("wine", "wine-Production=1@10000!")
	w.stages("wine", "Archived", "Production")
	w.ready("wine", 2)
	w.want("wine", "wine-Production=2@10000")
	w.stages("wine", "Archived", "deleted") // forced: there is nothing to keep
	w.want("wine", "absent")
	if !slices.Equal(w.plan.Obsolete, []string{"wine"}) || len(w.records) != 0 {
		t.Errorf("obsolete %v, records %v", w.plan.Obsolete, w.records)
	}
}

func TestArmThatNeverServedGivesItsWeight(t *testing.T) {
	w := newWorld(t)
	w.stages("wine", "Production", "None", "None")
	w.configure("wine", entity("canary wine Staging 10"), entity("stable wine Production 60"), entity("third wine 3 30"))
	w.ready("wine", 1, 3)
	w.want("wine", "stable=1@6667 third=3@3333")
	w.wantState("wine", gateway.NotUpdating, true, "canary: stage Staging")
	w.wantEvent(gateway.EventEmpty, "its traffic goes to the other arms")
	w.stages("wine", "Production", "Staging", "None")
	w.set("wine", 2, servable.Loading, "")
	w.want("wine", "stable=1@6667 third=3@3333")
	w.ready("wine", 2)
	w.want("wine", "stable=1@6000 canary=2@1000 third=3@3000")
	w.stages("wine", "Production", "None", "None")
	w.want("wine", "stable=1@6000 canary=2@1000! third=3@3000")
}

func TestArmOfWeightZeroNeverGetsTraffic(t *testing.T) {
	w := newWorld(t)
	w.stages("wine", "Production", "Staging")
	w.configure("wine", entity("stable wine Production 100"), entity("canary wine Staging 0"))
	w.ready("wine", 2)
	w.want("wine", "canary=2@0")
	w.wantState("wine", gateway.InProgress, false, "version 1 is being loaded")
	w.ready("wine", 1)
	w.want("wine", "stable=1@10000 canary=2@0")
}

func TestConfigurationIsAppliedAsAWhole(t *testing.T) {
	w := newWorld(t)
	w.stages("wine", "None", "None", "None")
	w.configure("wine", entity("a wine 1 90"), entity("b wine 2 10"))
	w.ready("wine", 1, 2)
	w.want("wine", "a=1@9000 b=2@1000")
	w.configure("wine", entity("b wine 2 10"), entity("c wine 3 90"))
	w.set("wine", 3, servable.Loading, "")
	w.want("wine", "a=1@9000 b=2@1000") // the canary does not inherit 90 %
	w.wantState("wine", gateway.InProgress, true, "the previous configuration keeps serving")
	if got := w.aspired(); got != "1 2 3" {
		t.Errorf("aspires %q, want all", got)
	}
	w.set("wine", 3, servable.Failed, "no such file")
	w.want("wine", "a=1@9000 b=2@1000")
	w.wantState("wine", gateway.UpdateFailed, true, "no such file")
	w.ready("wine", 3)
	w.want("wine", "b=2@1000 c=3@9000")
	w.wantEvent(gateway.EventUpdateApplied, "configuration 2")

	w.configure("wine", entity("c wine 3 50"), entity("a wine 1 50"))
	w.set("wine", 1, servable.Loading, "")
	w.set("wine", 2, servable.Failed, "gone")
	w.want("wine", "c=3@10000") // what served before cannot any more
}

func TestArmWithItsOwnOldVersionDoesNotHoldTheRest(t *testing.T) {
	w := newWorld(t)
	w.stages("wine", "Production", "Staging")
	w.configure("wine", entity("s wine Production 90"), entity("c wine Staging 10"))
	w.ready("wine", 1, 2)
	w.compute()
	w.stages("wine", "Production", "None", "Staging")
	w.configure("wine", entity("s wine Production 50"), entity("c wine Staging 50"))
	w.want("wine", "s=1@5000 c=2@5000")
}

func TestExplicitAndImplicit(t *testing.T) {
	w := newWorld(t)
	w.stages("wine", "Production", "None")
	w.ready("wine", 1, 2)
	w.want("wine", "wine-Production=1@10000")
	w.configure("wine", entity("two wine 2 100"))
	w.want("wine", "two=2@10000")
	w.explicit = nil
	w.want("wine", "wine-Production=1@10000")
}

func TestDefaultEndpointThatIsNotThere(t *testing.T) {
	w := newWorld(t)
	w.byDefault = "wine"
	w.stages("beer", "Production")
	w.ready("beer", 1)
	w.compute()
	if _, err := w.plan.Table.Pick("", "", 0); err == nil || !strings.Contains(err.Error(), "does not exist yet") {
		t.Errorf("got %v, want to hear that the default is missing", err)
	}
}

func TestTableIsKeptWhenNothingChanged(t *testing.T) {
	w := newWorld(t)
	w.stages("wine", "Production")
	w.ready("wine", 1)
	first := w.compute()
	second := w.compute()
	if first.Table != second.Table || second.Revision != 1 || len(second.Events) != 0 || len(second.Records) != 0 {
		t.Errorf("a second look changed something: %+v", second)
	}
}

// TestRandomLife drives a world through random changes and checks what must hold of every plan.
func TestRandomLife(t *testing.T) {
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			life := &life{world: newWorld(t), rnd: rand.New(rand.NewPCG(seed, 1))}
			for range 120 {
				life.step()
			}
		})
	}
}

type life struct {
	*world
	rnd *rand.Rand
}

var (
	someModels = []string{"m", "n"}
	someStages = []string{"None", "Staging", "Production", "Archived"}
	someNames  = []string{"m", "n", "e", "f"}
)

func (l *life) step() {
	model := someModels[l.rnd.IntN(len(someModels))]
	switch l.rnd.IntN(8) {
	case 0: // a transition, or a new version
		m := l.reg.Models[model]
		m.Versions = slices.Clone(m.Versions)
		if n := len(m.Versions); n == 0 || n < 5 && l.rnd.IntN(3) == 0 {
			m.Versions = append(m.Versions, gateway.Version{Number: l.rnd.IntN(3) + 1 + lastNumber(m), Stage: "None"})
		} else {
			m.Versions[l.rnd.IntN(n)].Stage = someStages[l.rnd.IntN(4)]
		}
		l.reg.Models[model] = m
	case 1: // a deletion
		m := l.reg.Models[model]
		if n := len(m.Versions); n > 0 && l.rnd.IntN(4) == 0 {
			i := l.rnd.IntN(n)
			m.Versions = slices.Delete(slices.Clone(m.Versions), i, i+1)
			l.reg.Models[model] = m
		}
	case 2, 3:
		l.reconfigure()
	case 4:
		if n := len(l.explicit); n > 0 && l.rnd.IntN(3) == 0 {
			i := l.rnd.IntN(n)
			name := l.explicit[i].Name
			l.explicit = slices.Delete(slices.Clone(l.explicit), i, i+1)
			for k := range l.records {
				if k.endpoint == name {
					delete(l.records, k)
				}
			}
		}
	case 5:
		if l.rnd.IntN(20) == 0 {
			l.restart()
		}
	default: // the manager works
		l.manage()
	}
	before, was := l.plan, l.readyNow()
	l.check(before, was, l.compute())
	l.unload()
}

func lastNumber(m gateway.Model) int {
	last := 0
	for _, v := range m.Versions {
		last = max(last, v.Number)
	}
	return last
}

func (l *life) reconfigure() {
	n := l.rnd.IntN(3) + 1
	weights := make([]gateway.Weight, n)
	for i := range weights {
		weights[i] = gateway.Weight(l.rnd.IntN(4) * l.rnd.IntN(500))
	}
	if weights = gateway.Distribute(weights); weights == nil {
		return
	}
	targets := []gateway.Selector{{Stage: "Production"}, {Stage: "Staging"}, {Version: 1 + l.rnd.IntN(6)}}
	var entities []gateway.ServedEntity
	for i := range n {
		entities = append(entities, gateway.ServedEntity{
			Name: string(rune('a' + i)), Model: someModels[l.rnd.IntN(2)], Target: targets[l.rnd.IntN(3)], Weight: weights[i],
		})
	}
	l.configure(someNames[l.rnd.IntN(4)], entities...)
}

// manage moves one aspired version to another state.
func (l *life) manage() {
	if l.plan == nil || len(l.plan.Aspired) == 0 {
		return
	}
	id := l.plan.Aspired[l.rnd.IntN(len(l.plan.Aspired))]
	switch l.status[id].State {
	case servable.Unknown, servable.Failed:
		l.status[id] = servable.Status{State: servable.Loading}
	case servable.Loading:
		l.status[id] = servable.Status{State: servable.Ready}
		if l.rnd.IntN(3) == 0 {
			l.status[id] = servable.Status{State: servable.Failed, Reason: "bad luck"}
		}
	}
}

// unload forgets what is not aspired, as the manager does.
func (l *life) unload() {
	for id := range l.status {
		if !l.plan.serves(id) {
			delete(l.status, id)
		}
	}
}

func (l *life) readyNow() map[string]bool {
	out := map[string]bool{}
	if l.plan != nil {
		for name, s := range l.plan.States {
			out[name] = s.Ready
		}
	}
	return out
}

func (l *life) check(before *Plan, was map[string]bool, now *Plan) {
	l.t.Helper()
	for _, e := range now.Table.Endpoints() {
		sum := 0
		for _, a := range e.Arms {
			sum += a.Weight
			if l.status[a.Servable].State != servable.Ready {
				l.t.Fatalf("%s routes to %v, which is %v", e.Name, a.Servable, l.status[a.Servable])
			}
			if !now.serves(a.Servable) {
				l.t.Fatalf("%s routes to %v, which is not aspired", e.Name, a.Servable)
			}
			if !l.reg.Models[a.Servable.Model].Has(a.Servable.Version) {
				l.t.Fatalf("%s routes to %v, which does not exist", e.Name, a.Servable)
			}
		}
		if state := now.States[e.Name]; sum != 10_000 && state.Ready || sum != 0 && !state.Ready {
			l.t.Fatalf("%s: weights sum to %d, ready %v", e.Name, sum, state.Ready)
		}
	}
	for _, e := range gateway.Effective(l.explicit, l.reg, nil) {
		state, ok := now.States[e.Name]
		if !ok || now.Table.Endpoint(e.Name) == nil || len(state.Arms) != len(e.Config.ServedEntities) {
			l.t.Fatalf("%s lost an arm: %+v", e.Name, state)
		}
		l.checkAnswering(before, was, now, e)
	}
}

// checkAnswering: an endpoint that answered goes on answering as long as anything with traffic in its previous table still can.
func (l *life) checkAnswering(before *Plan, was map[string]bool, now *Plan, e gateway.Endpoint) {
	l.t.Helper()
	if !was[e.Name] || now.States[e.Name].Ready {
		return
	}
	same := fmt.Sprint(before.served[e.Name].config) == fmt.Sprint(e.Config)
	for _, a := range before.served[e.Name].arms {
		id := a.Servable
		if a.Weight == 0 || !l.reg.Models[id.Model].Has(id.Version) || l.status[id].State != servable.Ready {
			continue
		}
		wanting := slices.ContainsFunc(now.States[e.Name].Arms, func(s gateway.ArmState) bool { return s.Want > 0 })
		if same || wanting && !zeroOnly(e, now.States[e.Name]) {
			l.t.Fatalf("%s stopped answering though %v is ready: %+v", e.Name, id, now.States[e.Name])
		}
	}
}

// zeroOnly says whether every arm that means a version has no traffic configured.
func zeroOnly(e gateway.Endpoint, s gateway.State) bool {
	for i, a := range s.Arms {
		if a.Want > 0 && e.Config.ServedEntities[i].Weight > 0 {
			return false
		}
	}
	return true
}

func BenchmarkCompute(b *testing.B) {
	reg := &gateway.Registered{Models: map[string]gateway.Model{}}
	for i := range 200 {
		reg.Models[fmt.Sprint("m", i)] = gateway.Model{Versions: []gateway.Version{{Number: 1, Stage: "Production"}, {Number: 2, Stage: "Staging"}}}
	}
	in := Input{Endpoints: gateway.Effective(nil, reg, nil), Registered: reg, Status: func(servable.ID) servable.Status { return servable.Status{State: servable.Ready} }}
	b.ReportAllocs()
	for b.Loop() {
		p, err := Compute(in)
		if err != nil {
			b.Fatal(err)
		}
		in.Previous = p
	}
}
