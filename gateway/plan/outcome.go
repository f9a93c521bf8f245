package plan

import (
	"fmt"
	"strings"

	"sluice/gateway"
	"sluice/gateway/route"
)

// finish completes the endpoint's state, tells what happened to it, and puts it into the plan.
func (c *computation) finish(e gateway.Endpoint, arms []arm, state gateway.State, next served) {
	state.Ready = answers(next.arms) && !down(state)
	state.Update, state.Reason = progress(state)
	c.wait(e, state)
	c.events(e.Name, state)
	c.plan.States[e.Name] = state
	c.plan.served[e.Name] = next
	entry := route.Endpoint{Name: e.Name, ConfigVersion: next.version, Arms: next.arms, Coming: c.coming(arms, state)}
	addSettings(&entry, &next.config)
	if !state.Ready {
		entry.Reason = state.Reason
	}
	c.plan.endpoints = append(c.plan.endpoints, entry)
}

// down says whether arms with traffic can execute nothing at present, and no other has any.
func down(s gateway.State) bool {
	lost := false
	for _, a := range s.Arms {
		if a.Weight > 0 && a.Down == "" {
			return false
		}
		lost = lost || a.Weight > 0
	}
	return lost
}

// coming lists the versions that arms mean and that do not answer yet, so that who asks for one is told to come again. Progress is left out: a
// table for every word of it would be too many.
func (c *computation) coming(arms []arm, s gateway.State) []route.Arm {
	var out []route.Arm
	for i, a := range s.Arms {
		if a.Want > 0 && a.Serving != a.Want {
			arm := c.describe(arms[i].entity, c.form(arms[i].entity, a.Want))
			arm.Reason = a.Reason
			out = append(out, arm)
		}
	}
	return out
}

// progress sums the arms up.
func progress(s gateway.State) (gateway.Update, string) {
	update := gateway.NotUpdating
	var reasons []string
	for _, a := range s.Arms {
		switch {
		case a.State == gateway.LoadFailed:
			update = gateway.UpdateFailed
		case a.State == gateway.Creating && update == gateway.NotUpdating:
			update = gateway.InProgress
		}
		if text := a.Message(); text != "" {
			reasons = append(reasons, a.Name+": "+text)
		}
	}
	if s.Held {
		reasons = append(reasons, "the previous configuration keeps serving")
	}
	return update, strings.Join(reasons, "; ")
}

// waitingFor leaves out why a version failed: readiness is public, and the reason may name paths.
func waitingFor(a gateway.ArmState) string {
	if a.State == gateway.LoadFailed {
		return "could not be loaded"
	}
	return "is being loaded"
}

// insteadOf says which version answers while the one that is wanted does not.
func insteadOf(a gateway.ArmState) string {
	if a.Serving > 0 {
		return fmt.Sprintf("; version %d keeps serving", a.Serving)
	}
	return ""
}

// wait notes arms with traffic that mean a version and have none to answer with: they are waited for. Those that could not be loaded while
// something else answers in their place are listed, not waited for.
func (c *computation) wait(e gateway.Endpoint, s gateway.State) {
	for i, a := range s.Arms {
		if a.Down != "" && a.Weight > 0 {
			c.plan.Waiting = append(c.plan.Waiting, fmt.Sprintf("endpoint %s, %s: version %d executes nothing at present", e.Name, a.Name, a.Serving))
		}
		configured := i < len(e.Config.ServedEntities)
		if a.State == gateway.LoadFailed && (a.Serving > 0 || s.Held || !configured || e.Config.ServedEntities[i].Weight == 0) {
			c.plan.Degraded = append(c.plan.Degraded, fmt.Sprintf("endpoint %s, %s: version %d could not be loaded%s", e.Name, a.Name, a.Want, insteadOf(a)))
			continue
		}
		if s.Held {
			continue
		}
		if configured && a.Want > 0 && a.Serving == 0 && e.Config.ServedEntities[i].Weight > 0 {
			c.plan.Waiting = append(c.plan.Waiting, fmt.Sprintf("endpoint %s, %s: version %d %s", e.Name, a.Name, a.Want, waitingFor(a)))
		}
	}
}

// events compares the endpoint's state with the one before.
func (c *computation) events(endpoint string, now gateway.State) {
	before, known := c.prev.States[endpoint]
	for _, a := range now.Arms {
		old, ok := before.Arm(a.Name)
		if !ok {
			old = gateway.ArmState{State: gateway.Creating}
		}
		if kind, reason := armEvent(old, a); kind != "" {
			c.add(gateway.Event{Endpoint: endpoint, Kind: kind, Arm: a.Name, Version: max(a.Serving, a.Want), Reason: reason})
		}
	}
	switch {
	case now.Ready && !before.Ready:
		c.add(gateway.Event{Endpoint: endpoint, Kind: gateway.EventReady, Reason: "the endpoint answers"})
	case !now.Ready && known && before.Ready:
		c.add(gateway.Event{Endpoint: endpoint, Kind: gateway.EventNotReady, Reason: now.Reason})
	}
	pending := before.Update != gateway.NotUpdating || before.ConfigVersion != now.ConfigVersion
	if known && pending && now.Update == gateway.NotUpdating && now.ConfigVersion > 0 {
		c.add(gateway.Event{Endpoint: endpoint, Kind: gateway.EventUpdateApplied, Reason: fmt.Sprintf("configuration %d serves", now.ConfigVersion)})
	}
}

// armEvent names the change of one arm that is worth a line; empty if there is none.
func armEvent(old, now gateway.ArmState) (gateway.EventKind, string) {
	switch {
	case now.Stale && !old.Stale:
		return gateway.EventStale, now.Reason
	case now.State == gateway.LoadFailed && (old.State != gateway.LoadFailed || old.Want != now.Want):
		return gateway.EventLoadFailed, now.Reason
	case now.State == gateway.Empty && old.State != gateway.Empty:
		return gateway.EventEmpty, now.Reason + "; its traffic goes to the other arms"
	case now.State == gateway.Serving && now.Serving != old.Serving && now.Serving == now.Want:
		return gateway.EventServing, servingReason(old, now)
	}
	return "", ""
}

func servingReason(old, now gateway.ArmState) string {
	if old.Serving > 0 {
		return fmt.Sprintf("version %d took over from version %d", now.Serving, old.Serving)
	}
	return fmt.Sprintf("version %d serves", now.Serving)
}

func (c *computation) add(e gateway.Event) {
	e.TimeMS = c.in.NowMS
	c.plan.Events = append(c.plan.Events, e)
}
