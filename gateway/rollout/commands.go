package rollout

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"sluice/gateway"
	"sluice/tracking/mlflow"
)

// StartRequest asks for a rollout.
type StartRequest struct {
	Endpoint string
	Arm      string               // the arm to take over; empty means the only one with traffic
	Version  gateway.Selector     // what takes over: a version, or the one that a stage or alias means now
	Plan     *gateway.RolloutPlan // nil means the endpoint's
	Creator  string
}

// Start begins a rollout. Returns INVALID_PARAMETER_VALUE for a plan or version that cannot be carried out, RESOURCE_DOES_NOT_EXIST for an
// unknown endpoint, arm or version, and RESOURCE_CONFLICT if one is active.
func (c *Controller) Start(ctx context.Context, q StartRequest) (gateway.Rollout, error) {
	e, err := c.deps.Endpoints.Get(ctx, q.Endpoint)
	if err != nil {
		return gateway.Rollout{}, err
	}
	arm, err := armFor(e, q.Arm)
	if err != nil {
		return gateway.Rollout{}, err
	}
	plan, err := c.planFor(e, q.Plan)
	if err != nil {
		return gateway.Rollout{}, err
	}
	asked := arm
	asked.Target = q.Version
	probe := gateway.Endpoint{Name: e.Name, Config: gateway.Config{ServedEntities: []gateway.ServedEntity{arm, asked}}}
	res, err := c.deps.Endpoints.Resolve(ctx, probe)
	if err != nil {
		return gateway.Rollout{}, err
	}
	stable, canary := res[e.Name][0].Version, res[e.Name][1]
	if state, ok := c.deps.Table.State(e.Name); ok {
		if now, ok := state.Arm(arm.Name); ok && now.Serving > 0 {
			stable = now.Serving
		}
	}
	switch {
	case canary.Version == 0 || canary.Stale:
		return gateway.Rollout{}, mlflow.Missingf("version: %s", canary.Reason)
	case stable == 0:
		return gateway.Rollout{}, mlflow.Invalidf("arm %q of endpoint %q serves no version that version %d could be compared with", arm.Name, e.Name, canary.Version)
	case stable == canary.Version:
		return gateway.Rollout{}, mlflow.Invalidf("version: arm %q of endpoint %q serves version %d already", arm.Name, e.Name, stable)
	}
	r := c.newRollout(e, arm, stable, canary.Version, *plan)
	r.Origin, r.Creator = gateway.OriginRequest, q.Creator
	return r, c.create(ctx, r)
}

// planFor returns the plan that was sent, or the endpoint's.
func (c *Controller) planFor(e gateway.Endpoint, sent *gateway.RolloutPlan) (*gateway.RolloutPlan, error) {
	plan := sent
	if plan == nil {
		plan = e.Config.Rollout
	}
	if plan == nil {
		return nil, mlflow.Invalidf("steps is missing, and endpoint %q has no plan for rollouts", e.Name)
	}
	if err := plan.Check("", c.feeds); err != nil {
		return nil, err
	}
	return plan, e.Config.Drift.CheckRollout("", plan)
}

func armFor(e gateway.Endpoint, name string) (gateway.ServedEntity, error) {
	var found []gateway.ServedEntity
	for _, s := range e.Config.ServedEntities {
		if s.Name == name || name == "" && s.Weight > 0 {
			found = append(found, s)
		}
	}
	switch {
	case len(found) == 0:
		return gateway.ServedEntity{}, mlflow.Missingf("served_entity_name: endpoint %q has no arm %q", e.Name, name)
	case len(found) > 1:
		return gateway.ServedEntity{}, mlflow.Invalidf("served_entity_name is missing: %d arms of endpoint %q have traffic", len(found), e.Name)
	case found[0].Weight == 0:
		return gateway.ServedEntity{}, mlflow.Invalidf("served_entity_name: arm %q of endpoint %q has no traffic to take over", found[0].Name, e.Name)
	case found[0].Target.Version == 0 && !found[0].RollsOut():
		return gateway.ServedEntity{}, mlflow.Invalidf("served_entity_name: arm %q follows %s, to which no version can be promoted: "+
			"Production, Staging, an alias or a version number can be", found[0].Name, found[0].Target.Words())
	}
	return found[0], nil
}

func (c *Controller) newRollout(e gateway.Endpoint, arm gateway.ServedEntity, stable, canary int, plan gateway.RolloutPlan) gateway.Rollout {
	now := c.opts.Now().UnixMilli()
	return gateway.Rollout{
		ID: c.deps.NewID(), Endpoint: e.Name, Arm: arm.Name, CanaryArm: freeName(e.Config), Model: arm.Model, Target: arm.Target,
		Stable: stable, Canary: canary, Plan: plan, Phase: gateway.RolloutRunning, Writer: c.opts.Name, Driver: c.opts.Name,
		StartedMS: now, StepSinceMS: now, UpdatedMS: now, Revision: 1,
	}
}

// freeName is "canary", or with a number where an arm is called so.
func freeName(config gateway.Config) string {
	name := "canary"
	for n := 2; ; n++ {
		if _, taken := config.Entity(name); !taken {
			return name
		}
		name = fmt.Sprintf("canary-%d", n)
	}
}

func (c *Controller) create(ctx context.Context, r gateway.Rollout) error {
	why := "asked for"
	if r.Origin == gateway.OriginTransition {
		why = fmt.Sprintf("%s moved to version %d", r.Target.Words(), r.Canary)
	}
	if err := c.deps.Store.CreateRollout(ctx, r, []gateway.Event{eventOf(nil, &r, why)}); err != nil {
		return err
	}
	c.opts.Log.Info("rollout began", slog.String("endpoint", r.Endpoint), slog.Int("version", r.Canary), slog.Int("stable", r.Stable))
	c.deps.Table.Poke()
	c.changed()
	return nil
}

// begin creates the rollouts that transitions asked for. Those that cannot be created are asked for again.
func (c *Controller) begin(ctx context.Context) {
	c.mu.Lock()
	wanted := c.wanted
	c.wanted = map[string]gateway.RolloutStart{}
	c.mu.Unlock()
	for _, s := range wanted {
		ctx, cancel := context.WithTimeout(ctx, writeTimeout)
		err := c.beginOne(ctx, s)
		cancel()
		if err != nil && mlflow.CodeOf(err) != mlflow.ResourceConflict {
			c.opts.Log.Error("a rollout cannot begin", slog.String("endpoint", s.Endpoint), slog.Any("error", err))
		}
	}
}

func (c *Controller) beginOne(ctx context.Context, s gateway.RolloutStart) error {
	e, err := c.deps.Endpoints.Get(ctx, s.Endpoint)
	if err != nil {
		return err
	}
	arm, ok := e.Config.Entity(s.Arm)
	if !ok || arm.Target != s.Target || arm.Model != s.Model || e.Config.Rollout == nil {
		return nil // configured anew meanwhile
	}
	r := c.newRollout(e, arm, s.Stable, s.Canary, *e.Config.Rollout)
	if _, means, err := c.means(ctx, &r); err != nil || means != s.Canary {
		return err // moved on
	}
	r.Origin = gateway.OriginTransition
	return c.create(ctx, r)
}

// newest returns the endpoint's active rollout, or its last one. Returns RESOURCE_DOES_NOT_EXIST if it never had one, or does not exist.
func (c *Controller) newest(ctx context.Context, endpoint string) (gateway.Rollout, error) {
	found, err := c.deps.Store.RolloutHistory(ctx, endpoint, 1)
	if err != nil {
		return gateway.Rollout{}, err
	}
	if len(found) > 0 {
		return found[0], nil
	}
	if _, err := c.deps.Endpoints.Get(ctx, endpoint); err != nil {
		return gateway.Rollout{}, err
	}
	return gateway.Rollout{}, mlflow.Missingf("endpoint %q never had a rollout", endpoint)
}

// PromoteRequest asks a rollout to go on.
type PromoteRequest struct {
	Endpoint string
	// Full promotes at once; false ends the present step alone, whatever it waits for.
	Full bool
	// Step is the step that the caller saw, so that an order that is sent twice is carried out once; nil means any.
	Step *int
	Who  string
}

// Promote ends the present step, or the bake, or promotes at once. A promoted rollout stays as it is. Returns RESOURCE_CONFLICT for a rollout
// that went back or was superseded, for one at another step, and for one whose version is not loaded.
func (c *Controller) Promote(ctx context.Context, q PromoteRequest) (gateway.Rollout, error) {
	return ordered(func() (gateway.Rollout, error) { return c.promote(ctx, q) })
}

func (c *Controller) promote(ctx context.Context, q PromoteRequest) (gateway.Rollout, error) {
	r, err := c.newest(ctx, q.Endpoint)
	if err != nil {
		return r, err
	}
	switch {
	case r.Phase == gateway.RolloutPromoting || r.Phase == gateway.RolloutPromoted:
		return r, nil
	case !r.Phase.Undecided():
		return r, conflict(r, "it is "+string(r.Phase))
	case q.Step != nil && *q.Step != r.Step:
		return r, conflict(r, fmt.Sprintf("it is at step %d, not %d", r.Step, *q.Step))
	}
	if f := c.facts(ctx, &r); !f.Loaded {
		return r, conflict(r, fmt.Sprintf("version %d is not loaded", r.Canary))
	}
	now := c.opts.Now()
	next := r
	switch {
	case q.Full || r.Phase == gateway.RolloutBaking:
		next = full(next, now)
		next.Phase = gateway.RolloutPromoting
	default:
		if r.Plan.Steps[r.Step].Kind == gateway.StepSetWeight {
			next.Weight = r.Plan.Steps[r.Step].Weight
		}
		next = advance(next, Evidence{Canary: Totals{Requests: c.requests(&r)}}, now)
	}
	return c.order(ctx, r, next, "by order"+by(q.Who))
}

// requests is what the canary answered so far, as far as it is known here.
func (c *Controller) requests(r *gateway.Rollout) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.reports[r.ID]; ok {
		return known.evidence.Canary.Requests
	}
	return ParseEvidence(r.Evidence).Canary.Requests
}

// Abort takes the canary back. A rollout that went back, was aborted or was superseded stays as it is. Returns RESOURCE_CONFLICT for one that is
// promoted.
func (c *Controller) Abort(ctx context.Context, endpoint, who string) (gateway.Rollout, error) {
	return ordered(func() (gateway.Rollout, error) { return c.abort(ctx, endpoint, who) })
}

func (c *Controller) abort(ctx context.Context, endpoint, who string) (gateway.Rollout, error) {
	r, err := c.newest(ctx, endpoint)
	if err != nil {
		return r, err
	}
	switch {
	case r.Phase == gateway.RolloutPromoting || r.Phase == gateway.RolloutPromoted:
		return r, conflict(r, "it is promoted: move the version before back into its place")
	case !r.Phase.Undecided():
		return r, nil
	}
	d := back(r, gateway.RolloutAborted, Rollback, "aborted by order"+by(who), c.opts.Now())
	ahead := d.Rollout
	ahead.Revision++
	c.deps.Table.Override(ahead)
	return c.order(ctx, r, d.Rollout, "")
}

// ordered gives an order again, to the row of now, when the driver wrote the row in the same moment.
func ordered(give func() (gateway.Rollout, error)) (r gateway.Rollout, err error) {
	const times = 5
	for range times {
		if r, err = give(); !changedMeanwhile(err) {
			break
		}
	}
	return r, err
}

// changedMeanwhile says whether the store refused a write over a row of another revision.
func changedMeanwhile(err error) bool {
	var known *mlflow.Error
	if !errors.As(err, &known) || known.Code != mlflow.ResourceConflict {
		return false
	}
	_, ok := known.Details["revision"]
	return ok
}

// order writes what somebody asked for.
func (c *Controller) order(ctx context.Context, before, next gateway.Rollout, why string) (gateway.Rollout, error) {
	next.Writer, next.UpdatedMS = c.opts.Name, c.opts.Now().UnixMilli()
	if why == "" {
		why = next.Reason
	}
	c.mu.Lock()
	if known, ok := c.reports[next.ID]; ok {
		next.Evidence = known.evidence.String()
	}
	c.mu.Unlock()
	revision, err := c.deps.Store.SaveRollout(ctx, next, []gateway.Event{eventOf(&before, &next, why)}, nil)
	c.deps.Table.Poke()
	c.changed()
	if err != nil {
		return before, err
	}
	next.Revision = revision
	return next, nil
}

func by(who string) string {
	if who == "" {
		return ""
	}
	return " of " + who
}

func conflict(r gateway.Rollout, why string) error {
	return &mlflow.Error{
		Code: mlflow.ResourceConflict, Message: fmt.Sprintf("rollout %s of endpoint %q: %s", r.ID, r.Endpoint, why),
		Details: map[string]any{"rollout_id": r.ID, "phase": string(r.Phase), "step": r.Step},
	}
}
