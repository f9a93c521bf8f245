package plan

import (
	"fmt"
	"slices"

	"sluice/gateway"
	"sluice/gateway/route"
	"sluice/runtime/servable"
)

// Compute decides what to serve. It is pure: equal inputs give equal plans. It returns an error only if the table that it made breaks
// a rule of route.NewTable, for example because there are more endpoints than a table holds; the previous table then stays.
func Compute(in Input) (*Plan, error) {
	c := &computation{
		in: in, prev: in.Previous, aspired: map[servable.ID]bool{},
		records: make(map[armKey]gateway.ArmRecord, len(in.Arms)),
		plan:    &Plan{States: make(map[string]gateway.State, len(in.Endpoints)), served: make(map[string]served, len(in.Endpoints))},
	}
	if c.prev == nil {
		c.prev = &Plan{}
	}
	for _, r := range in.Arms {
		c.records[armKey{r.Endpoint, r.Arm}] = r
	}
	c.indexRollouts()
	for _, e := range in.Endpoints {
		c.endpoint(c.split(e))
	}
	c.addDefault()
	c.findObsolete()
	c.collectAspired()
	slices.Sort(c.plan.Waiting)
	slices.Sort(c.plan.Degraded)
	return c.plan, c.makeTable()
}

type armKey struct{ endpoint, arm string }

type computation struct {
	in      Input
	prev    *Plan // never nil
	plan    *Plan
	records map[armKey]gateway.ArmRecord
	aspired map[servable.ID]bool
	// rollouts are the active ones, by endpoint.
	rollouts map[string]*gateway.Rollout
	// replaced are the promoted ones that keep a version loaded, by endpoint.
	replaced map[string][]*gateway.Rollout
}

// arm is one served entity on its way into the table.
type arm struct {
	entity gateway.ServedEntity
	res    gateway.Resolution
	serve  servable.ID // what answers; version 0 when nothing can
	state  gateway.ArmState
}

// endpoint plans one endpoint.
func (c *computation) endpoint(e gateway.Endpoint) {
	arms := make([]arm, 0, len(e.Config.ServedEntities))
	for _, entity := range e.Config.ServedEntities {
		arms = append(arms, c.arm(e, entity))
	}
	for _, entity := range e.Config.Kept() {
		arms = append(arms, c.arm(e, entity))
	}
	for i, entity := range e.Config.ServedEntities {
		if earlier, ok := c.previous(e, entity); ok && earlier.Version != arms[i].res.Version {
			arms = append(arms, c.warm(entity, earlier))
		}
	}
	state := gateway.State{ConfigVersion: e.ConfigVersion, CreatedMS: e.CreatedMS}
	next := served{config: e.Config, version: e.ConfigVersion, arms: c.routeArms(arms)}
	if held, ok := c.hold(e, arms, next.arms); ok {
		next, state.Held = held, true
		for i := range arms {
			arms[i].state.Weight, arms[i].state.Serving = 0, 0
		}
		for _, a := range held.arms {
			c.aspired[a.Servable] = true
		}
	}
	for i := range arms {
		for _, r := range next.arms {
			if r.Name == arms[i].entity.Name && r.Servable.Model == arms[i].entity.Model {
				arms[i].state.Weight, arms[i].state.Serving = gateway.Weight(r.Weight), r.Servable.Version
				status := c.in.Status(r.Servable)
				arms[i].state.ServedBy, arms[i].state.ServedNote, arms[i].state.Down = status.By, status.Note, status.Down
			}
		}
		state.Arms = append(state.Arms, arms[i].state)
	}
	c.finish(e, arms, state, next)
}

// arm decides which version one served entity answers with.
func (c *computation) arm(e gateway.Endpoint, entity gateway.ServedEntity) arm {
	a := arm{entity: entity, state: gateway.ArmState{Name: entity.Name, Model: entity.Model}}
	record, known := c.records[armKey{e.Name, entity.Name}]
	if known {
		a.res = gateway.Resolve(entity, c.in.Registered, &record)
	} else {
		a.res = gateway.Resolve(entity, c.in.Registered, nil)
	}
	meant := 0
	if !a.res.Stale {
		meant = a.res.Version
	}
	a.res = c.pin(e, entity, a.res, record)
	a.state.Means = meant
	a.state.Want, a.state.Stale, a.state.Reason = a.res.Version, a.res.Stale, a.res.Reason
	if a.res.Version == 0 {
		a.state.State = gateway.Empty
		return a
	}
	want := c.form(entity, a.res.Version)
	c.aspired[want] = true
	status := c.in.Status(want)
	if status.State.Routable() {
		a.serve, a.state.State = want, gateway.Serving
		c.remember(e, entity, want.Version)
		return a
	}
	fallback := c.fallback(e.Name, entity, record, want)
	failed, why := c.failure(e.Name, entity.Name, want, status)
	if fallback.Version > 0 && c.ready(fallback) {
		a.serve = fallback
	}
	if a.serve.Version > 0 || failed && fallback.Version > 0 {
		c.aspired[fallback] = true
	}
	a.state.State, a.state.Reason, a.state.Progress = gateway.Creating, fmt.Sprintf("version %d is being loaded", want.Version), status.Progress
	if failed {
		a.state.State, a.state.Reason, a.state.Progress = gateway.LoadFailed, why, ""
	}
	if a.serve.Version > 0 {
		a.state.Reason += fmt.Sprintf("; version %d keeps serving", a.serve.Version)
	}
	return a
}

// onnx is the form of a version that ONNX Runtime executes.
const onnx = "onnx"

// Joining is what a served entity's word on batching (gateway.ServedEntity.Batching) means for its servable.
func Joining(word string) servable.Joining {
	switch word {
	case "always":
		return servable.JoinAlways
	case "never":
		return servable.JoinNever
	}
	return servable.JoinMeasured
}

// form is the version in the form that the entity wants it in. A stage that accepts ONNX only overrules an entity that wants another.
func (c *computation) form(entity gateway.ServedEntity, version int) servable.ID {
	id := servable.ID{Model: entity.Model, Version: version, Backend: entity.Backend, Joining: Joining(entity.Batching)}
	if c.onlyONNX(entity) {
		id.Backend = onnx
	}
	return id
}

// onlyONNX says whether the entity follows a stage that accepts no model that Python would execute.
func (c *computation) onlyONNX(entity gateway.ServedEntity) bool {
	return entity.Target.Stage != "" && slices.Contains(c.in.OnlyONNX, entity.Target.Stage)
}

// fallback is the version that the arm served before: the one in the table, or after a restart the one on record. Version 0 means none.
func (c *computation) fallback(endpoint string, entity gateway.ServedEntity, record gateway.ArmRecord, want servable.ID) servable.ID {
	id := c.form(entity, 0)
	if record.Model == entity.Model && record.Target == entity.Target {
		id.Version = record.Version
	}
	for _, a := range c.prev.served[endpoint].arms {
		if a.Name == entity.Name && a.Servable.Model == entity.Model {
			id = a.Servable
		}
	}
	if id == want || c.onlyONNX(entity) && id.Backend != onnx || !c.in.Registered.Models[id.Model].Has(id.Version) {
		return servable.ID{}
	}
	return id
}

// failure says whether the version could not be loaded, and why. A retry does not hide an earlier failure until it succeeds.
func (c *computation) failure(endpoint, armName string, want servable.ID, now servable.Status) (bool, string) {
	if now.State == servable.Failed {
		return true, fmt.Sprintf("version %d could not be loaded: %s", want.Version, now.Reason)
	}
	before, ok := c.prev.States[endpoint].Arm(armName)
	if ok && before.State == gateway.LoadFailed && before.Want == want.Version && now.State == servable.Loading {
		return true, trimKeeps(before)
	}
	return false, ""
}

// trimKeeps returns the reason of a failed arm without what was said about the version that keeps serving.
func trimKeeps(s gateway.ArmState) string {
	suffix := fmt.Sprintf("; version %d keeps serving", s.Serving)
	if n := len(s.Reason) - len(suffix); n > 0 && s.Reason[n:] == suffix {
		return s.Reason[:n]
	}
	return s.Reason
}

// remember notes what the arm serves, if that is news.
func (c *computation) remember(e gateway.Endpoint, entity gateway.ServedEntity, version int) {
	if c.isCanary(e.Name, entity.Name) {
		return // it ends with its rollout
	}
	r := gateway.ArmRecord{Endpoint: e.Name, Arm: entity.Name, Model: entity.Model, Target: entity.Target, Version: version}
	if _, configured := e.Config.Entity(entity.Name); !configured {
		return // a kept arm names its version: there is nothing to remember
	}
	old := c.records[armKey{e.Name, entity.Name}]
	r.UpdatedMS = old.UpdatedMS
	if r == old {
		return
	}
	r.UpdatedMS = c.in.NowMS
	c.note(r)
	if old.Version > 0 && old.Version != version && old.Model == r.Model && old.Target == r.Target {
		old.Arm, old.UpdatedMS = gateway.PreviousArm(entity.Name), r.UpdatedMS
		c.note(old)
	}
}

// note keeps a record that is news.
func (c *computation) note(r gateway.ArmRecord) {
	c.records[armKey{r.Endpoint, r.Arm}] = r
	c.plan.Records = append(c.plan.Records, r)
}

func (c *computation) ready(id servable.ID) bool {
	return c.in.Registered.Models[id.Model].Has(id.Version) && c.in.Status(id).State.Routable()
}

// routeArms returns the arms that can answer, the stable one first, their weights distributed; all weights are 0 if nothing with traffic
// can answer.
func (c *computation) routeArms(arms []arm) []route.Arm {
	var out []route.Arm
	var weights []gateway.Weight
	for _, a := range stableFirst(arms) {
		if a.serve.Version == 0 {
			continue
		}
		r := c.describe(a.entity, a.serve)
		if a.state.Stale && a.serve.Version == a.res.Version {
			r.Stale, r.Reason = true, a.res.Reason
		}
		out = append(out, r)
		weights = append(weights, a.entity.Weight)
	}
	return withWeights(out, gateway.Distribute(weights))
}

// stableFirst puts the arm that follows Production first, so that it keeps its place when weights change; else the order stays.
func stableFirst(arms []arm) []arm {
	i := slices.IndexFunc(arms, func(a arm) bool { return a.entity.Target.Stage == gateway.Production })
	if i <= 0 {
		return arms
	}
	return slices.Concat(arms[i:i+1], arms[:i], arms[i+1:])
}

func withWeights(arms []route.Arm, shares []gateway.Weight) []route.Arm {
	for i := range arms {
		arms[i].Weight = 0
		if shares != nil {
			arms[i].Weight = int(shares[i])
		}
	}
	return arms
}

// describe returns the arm of the table for a version that answers. It carries the stage and alias that the entity follows, so that the
// addresses by stage and alias reach it while a newer version is being loaded.
func (c *computation) describe(entity gateway.ServedEntity, id servable.ID) route.Arm {
	model := c.in.Registered.Models[entity.Model]
	r := route.Arm{
		Name: entity.Name, Servable: id,
		Stage: model.StageOf(id.Version), Aliases: model.AliasesOf(id.Version),
	}
	if entity.Target.Stage != "" {
		r.Stage = entity.Target.Stage
	}
	if a := entity.Target.Alias; a != "" && !slices.Contains(r.Aliases, a) {
		r.Aliases = append(r.Aliases, a)
	}
	return r
}

// hold decides whether the previous configuration's arms stay in the table. next is what the new configuration could have at once.
func (c *computation) hold(e gateway.Endpoint, arms []arm, next []route.Arm) (served, bool) {
	before, ok := c.prev.served[e.Name]
	if !ok || slices.Equal(before.config.ServedEntities, e.Config.ServedEntities) {
		return served{}, false
	}
	waiting := slices.ContainsFunc(arms, func(a arm) bool { return a.entity.Weight > 0 && a.res.Version > 0 && a.serve.Version == 0 })
	if !waiting {
		return served{}, false
	}
	kept := served{config: before.config, version: before.version}
	var weights []gateway.Weight
	lost := false
	for _, a := range before.arms {
		if !c.ready(a.Servable) {
			lost = lost || a.Weight > 0
			continue
		}
		if old, ok := before.config.Entity(a.Name); ok {
			fresh := c.describe(old, a.Servable)
			a.Stage, a.Aliases = fresh.Stage, fresh.Aliases
		}
		kept.arms = append(kept.arms, a)
		weights = append(weights, gateway.Weight(a.Weight))
	}
	shares := gateway.Distribute(weights)
	if shares == nil || lost && answers(next) {
		return served{}, false
	}
	kept.arms = withWeights(kept.arms, shares)
	return kept, true
}

// answers says whether any arm has traffic.
func answers(arms []route.Arm) bool {
	return slices.ContainsFunc(arms, func(a route.Arm) bool { return a.Weight > 0 })
}

// addDefault puts the default endpoint into the table when it does not exist, so that requests without a name are told so.
func (c *computation) addDefault() {
	name := c.in.DefaultEndpoint
	if _, ok := c.plan.States[name]; ok || name == "" {
		return
	}
	c.plan.endpoints = append(c.plan.endpoints, route.Endpoint{Name: name, Reason: "the default endpoint does not exist yet"})
}

// findObsolete lists the endpoints of records that no endpoint claims.
func (c *computation) findObsolete() {
	for _, r := range c.in.Arms {
		if _, ok := c.plan.States[r.Endpoint]; !ok && !slices.Contains(c.plan.Obsolete, r.Endpoint) {
			c.plan.Obsolete = append(c.plan.Obsolete, r.Endpoint)
		}
	}
	slices.Sort(c.plan.Obsolete)
}

func (c *computation) collectAspired() {
	for id := range c.aspired {
		c.plan.Aspired = append(c.plan.Aspired, id)
	}
	slices.SortFunc(c.plan.Aspired, compareIDs)
}

// makeTable compiles the endpoints, or keeps the previous table if they are the same.
func (c *computation) makeTable() error {
	c.plan.Revision = c.prev.Revision
	if c.prev.Table != nil && slices.EqualFunc(c.prev.endpoints, c.plan.endpoints, sameRoutes) {
		c.plan.Table = c.prev.Table
		return nil
	}
	c.plan.Revision++
	var err error
	c.plan.Table, err = route.NewTable(c.plan.Revision, c.plan.endpoints, c.in.DefaultEndpoint)
	return err
}

// sameRoutes says whether two endpoints would make the same entry of a table.
func sameRoutes(a, b route.Endpoint) bool {
	return a.Name == b.Name && a.ConfigVersion == b.ConfigVersion && a.Reason == b.Reason && sameSettings(&a, &b) && slices.EqualFunc(a.Arms, b.Arms, sameArm) &&
		slices.EqualFunc(a.Coming, b.Coming, sameArm)
}

func sameArm(a, b route.Arm) bool {
	return a.Name == b.Name && a.Servable == b.Servable && a.Stage == b.Stage && a.Weight == b.Weight &&
		a.Stale == b.Stale && a.Reason == b.Reason && slices.Equal(a.Aliases, b.Aliases)
}
