package plan

import (
	"sluice/gateway"
	"sluice/runtime/servable"
)

// previous is the version that the entity served before the one of now, if its endpoint wants it kept.
func (c *computation) previous(e gateway.Endpoint, entity gateway.ServedEntity) (gateway.ArmRecord, bool) {
	if !e.Config.KeepsPrevious(entity) {
		return gateway.ArmRecord{}, false
	}
	r, ok := c.records[armKey{e.Name, gateway.PreviousArm(entity.Name)}]
	return r, ok && r.Model == entity.Model && r.Target == entity.Target && c.in.Registered.Models[r.Model].Has(r.Version)
}

// warm is the arm that keeps an earlier version loaded. One that cannot be loaded is no failure of the configuration, which may not even have
// named it: the arm is empty then, and says why.
func (c *computation) warm(entity gateway.ServedEntity, r gateway.ArmRecord) arm {
	name := gateway.PreviousArm(entity.Name)
	a := arm{
		entity: gateway.ServedEntity{Name: name, Model: r.Model, Target: gateway.Selector{Version: r.Version}},
		res:    gateway.Resolution{Version: r.Version},
		state:  gateway.ArmState{Name: name, Model: r.Model, Want: r.Version, State: gateway.Serving},
	}
	id := c.form(entity, r.Version)
	c.aspired[id] = true
	switch status := c.in.Status(id); {
	case status.State.Routable():
		a.serve = id
	case status.State == servable.Failed:
		a.state.State, a.state.Reason = gateway.Empty, "the version could not be loaded: "+status.Reason
	default:
		a.state.State, a.state.Reason = gateway.Empty, "the version is being loaded"
	}
	return a
}
