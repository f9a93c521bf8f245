package plan

import (
	"slices"

	"sluice/gateway"
	"sluice/runtime/servable"
)

// indexRollouts finds each endpoint's active rollout, and the promoted ones that keep a version loaded.
func (c *computation) indexRollouts() {
	c.rollouts = make(map[string]*gateway.Rollout, len(c.in.Rollouts))
	c.replaced = map[string][]*gateway.Rollout{}
	for i := range c.in.Rollouts {
		r := &c.in.Rollouts[i]
		if r.Phase.Active() {
			c.rollouts[r.Endpoint] = r
		} else if r.WarmUntilMS() > c.in.NowMS {
			c.replaced[r.Endpoint] = append(c.replaced[r.Endpoint], r)
		}
	}
}

func (c *computation) has(id servable.ID) bool {
	return c.in.Registered.Models[id.Model].Has(id.Version)
}

// armOf returns the index of the arm that the rollout takes over; negative if the endpoint has it no longer.
func armOf(e gateway.Endpoint, r *gateway.Rollout) int {
	return slices.IndexFunc(e.Config.ServedEntities, func(s gateway.ServedEntity) bool { return s.Name == r.Arm && s.Model == r.Model })
}

// split gives the endpoint the canary of its rollout, beside the arm that it takes over. A canary that cannot answer yet leaves its share to
// that arm. Versions that were replaced lately stay loaded.
func (c *computation) split(e gateway.Endpoint) gateway.Endpoint {
	for _, r := range c.replaced[e.Name] {
		if i := armOf(e, r); i >= 0 {
			if id := c.form(e.Config.ServedEntities[i], r.Stable); c.has(id) {
				c.aspired[id] = true
			}
		}
	}
	r := c.rollouts[e.Name]
	if r == nil {
		return e
	}
	i := armOf(e, r)
	if i < 0 {
		return e
	}
	arm, canary, ok := r.Split(e.Config.ServedEntities[i])
	if !ok {
		return e
	}
	id := c.form(arm, r.Canary) // as it will be once it is promoted
	canary.Backend, canary.Batching = id.Backend, arm.Batching
	if !c.ready(id) {
		arm.Weight += canary.Weight
		canary.Weight = 0
	}
	entities := slices.Clone(e.Config.ServedEntities)
	entities[i] = arm
	e.Config.ServedEntities = append(entities, canary)
	if r.Shadow > 0 {
		e.Config.Shadows = append(slices.Clone(e.Config.Shadows), gateway.Shadow{Arm: canary.Name, Share: r.Shadow})
	}
	return e
}

// pin decides which version the entity means while a rollout acts on it, or one must begin: where the endpoint has a plan, and the stage or
// alias moved away from what the arm served, the arm stays and the rollout is asked for.
func (c *computation) pin(e gateway.Endpoint, entity gateway.ServedEntity, res gateway.Resolution, record gateway.ArmRecord) gateway.Resolution {
	if r := c.rollouts[e.Name]; r != nil && r.Arm == entity.Name && r.Model == entity.Model {
		if v, ok := r.Pinned(); ok && c.has(c.form(entity, v)) {
			return gateway.Resolution{Version: v}
		}
		return res
	}
	served := c.form(entity, record.Version)
	moved := record.Model == entity.Model && record.Target == entity.Target && res.Version > 0 && !res.Stale && res.Version != record.Version
	if e.Config.Rollout == nil || !entity.RollsOut() || !moved || !c.has(served) || c.in.Status(served).State == servable.Failed {
		return res
	}
	c.plan.Starts = append(c.plan.Starts, gateway.RolloutStart{
		Endpoint: e.Name, Arm: entity.Name, Model: entity.Model, Target: entity.Target, Stable: record.Version, Canary: res.Version,
	})
	return gateway.Resolution{Version: record.Version}
}

// isCanary says whether the entity is the arm that a rollout added.
func (c *computation) isCanary(endpoint, arm string) bool {
	r := c.rollouts[endpoint]
	return r != nil && r.CanaryArm == arm
}

// Override makes the table follow r before the row can be read, and until one as new can. It is for decisions that cannot wait for a
// database: taking a canary back. When it returns the table is published, whatever a read of the database waits for at the time; before the
// first table it is the first one that follows r.
func (s *Syncer) Override(r gateway.Rollout) {
	s.overrideMu.Lock()
	if old, ok := s.overrides[r.ID]; !ok || old.Revision < r.Revision {
		s.overrides[r.ID] = r
	}
	s.overrideMu.Unlock()
	s.applyMu.Lock()
	if s.input != nil {
		s.apply()
	}
	s.applyMu.Unlock()
	s.PokeStatus() // versions that left the table are let go in time
}

// overridden returns the rows with the overrides that are newer; the others are forgotten, and those of rows that are gone.
func (s *Syncer) overridden(rows []gateway.Rollout) []gateway.Rollout {
	s.overrideMu.Lock()
	defer s.overrideMu.Unlock()
	if len(s.overrides) == 0 {
		return rows
	}
	rows = slices.Clone(rows)
	newer := make(map[string]gateway.Rollout, len(s.overrides))
	for i, r := range rows {
		if o, ok := s.overrides[r.ID]; ok && o.Revision > r.Revision {
			rows[i], newer[r.ID] = o, o
		}
	}
	s.overrides = newer
	return rows
}
