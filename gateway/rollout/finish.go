package rollout

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"sluice/gateway"
	"sluice/registry"
	"sluice/tracking/mlflow"
)

// VersionTag is the tag of the model version in which a rollout's end is told; webhooks hear of it as of every tag.
const VersionTag = "sluice.rollout"

const (
	maxTagValue = 1000 // bytes of VersionTag's value
	retryAfter  = time.Second
)

// finish makes stage, alias or configuration say what the rollout decided, tells it at the version, and ends the row. Every part of it looks
// first whether it was done already.
func (c *Controller) finish(ctx context.Context, w *watch) {
	now := c.opts.Now()
	if now.Before(w.retryAt) {
		return
	}
	if w.pending {
		if c.save(ctx, w, w.row, w.unsaved, nil) != nil {
			w.retryAt = now.Add(retryAfter)
		}
		return
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	phase, why, config, err := c.settle(ctx, &w.row)
	if mlflow.CodeOf(err) == mlflow.ResourceConflict { // moved by somebody between looking and moving
		phase, why, config, err = c.settle(ctx, &w.row)
	}
	if err == nil {
		err = c.tell(ctx, &w.row, phase, why)
	}
	if err != nil {
		w.retryAt = now.Add(retryAfter)
		c.opts.Log.Error("the end of a rollout cannot be carried out; trying again", slog.String("endpoint", w.row.Endpoint), slog.Any("error", err))
		return
	}
	d := end(w.row, phase, Hold, why, now)
	d.Rollout.Writer = c.opts.Name
	if phase == gateway.RolloutPromoted {
		d.Rollout.Weight = gateway.FullWeight
	}
	if err := c.save(ctx, w, d.Rollout, []gateway.Event{eventOf(&w.row, &d.Rollout, why)}, config); err != nil {
		w.retryAt = now.Add(retryAfter)
	}
}

// settle moves what the arm follows, unless it is there already or somebody moved it elsewhere. It returns how the rollout ends, why, and
// the configuration to write with the end.
func (c *Controller) settle(ctx context.Context, r *gateway.Rollout) (gateway.RolloutPhase, string, *gateway.Config, error) {
	e, means, err := c.means(ctx, r)
	if mlflow.CodeOf(err) == mlflow.ResourceDoesNotExist {
		return gateway.RolloutSuperseded, "the endpoint does not exist any more", nil, nil
	}
	if err != nil {
		return "", "", nil, err
	}
	if r.Phase == gateway.RolloutRollingBack {
		if means == r.Canary {
			err = c.move(ctx, r, r.Stable, means)
		}
		return r.Ending, r.Reason, nil, ignoreMissing(err)
	}
	if why := overtaken(*r, Facts{Known: true, Means: means}); why != "" {
		return gateway.RolloutSuperseded, why, nil, nil
	}
	switch {
	case means == r.Canary:
	case r.Target.Version > 0:
		return gateway.RolloutPromoted, "", retarget(e.Config, r), nil
	default:
		err = c.move(ctx, r, r.Canary, means)
	}
	return gateway.RolloutPromoted, "", nil, err
}

// means returns the endpoint and the version that the rollout's arm means now in the registry, 0 if none.
func (c *Controller) means(ctx context.Context, r *gateway.Rollout) (gateway.Endpoint, int, error) {
	e, err := c.deps.Endpoints.Get(ctx, r.Endpoint)
	if err != nil {
		return e, 0, err
	}
	res, err := c.deps.Endpoints.Resolve(ctx, e)
	if err != nil {
		return e, 0, err
	}
	for i, entity := range e.Config.ServedEntities {
		if entity.Name == r.Arm && entity.Model == r.Model {
			if got := res[e.Name][i]; !got.Stale {
				return e, got.Version, nil
			}
			return e, 0, nil
		}
	}
	return e, 0, mlflow.Missingf("endpoint %q has no arm %q", r.Endpoint, r.Arm)
}

// move makes the stage or alias mean the version, and nothing else: other versions of the stage are archived. It does so only while from is what
// the stage or alias means: who moves it in the same moment, or this process when it slept over the end of its lease, gets RESOURCE_CONFLICT,
// and settle looks again.
func (c *Controller) move(ctx context.Context, r *gateway.Rollout, version, from int) error {
	if r.Target.Alias != "" {
		return c.deps.Registry.SetAliasFrom(ctx, r.Model, r.Target.Alias, version, from)
	}
	if r.Target.Stage == "" {
		return nil
	}
	_, err := c.deps.Registry.SetStageFrom(ctx, r.Model, version, r.Target.Stage, true, from)
	return err
}

// retarget makes the arm's version number that of the canary.
func retarget(c gateway.Config, r *gateway.Rollout) *gateway.Config {
	entities := append([]gateway.ServedEntity(nil), c.ServedEntities...)
	for i := range entities {
		if entities[i].Name == r.Arm {
			entities[i].Target = gateway.Selector{Version: r.Canary}
		}
	}
	c.ServedEntities = entities
	return &c
}

// tell writes the end into the version's tag, unless it stands there.
func (c *Controller) tell(ctx context.Context, r *gateway.Rollout, phase gateway.RolloutPhase, why string) error {
	text := fmt.Sprintf("%s: endpoint %s, rollout %s, version %d after version %d", phase, r.Endpoint, r.ID, r.Canary, r.Stable)
	if why != "" {
		text += ": " + why
	}
	if len(text) > maxTagValue {
		text = strings.ToValidUTF8(text[:maxTagValue], "")
	}
	v, err := c.deps.Registry.Version(ctx, r.Model, r.Canary)
	if err != nil {
		return ignoreMissing(err)
	}
	for _, t := range v.Tags {
		if t.Key == VersionTag && t.Value == text {
			return nil
		}
	}
	return ignoreMissing(c.deps.Registry.SetVersionTag(ctx, r.Model, r.Canary, registry.Tag{Key: VersionTag, Value: text}))
}

// ignoreMissing takes a version that was deleted for one that needs nothing any more.
func ignoreMissing(err error) error {
	if mlflow.CodeOf(err) == mlflow.ResourceDoesNotExist {
		return nil
	}
	return err
}

// eventOf names a change of a rollout.
func eventOf(before, now *gateway.Rollout, why string) gateway.Event {
	e := gateway.Event{Endpoint: now.Endpoint, Kind: gateway.EventRolloutStep, Arm: now.CanaryArm, Version: now.Canary, TimeMS: now.UpdatedMS}
	what := fmt.Sprintf("version %d has %s %% of %s", now.Canary, now.Weight, now.Arm)
	switch now.Phase {
	case gateway.RolloutBaking:
		what = fmt.Sprintf("version %d answers everything and is watched for %s", now.Canary, now.Plan.BakeTime)
	case gateway.RolloutPromoting:
		e.Kind, what = gateway.EventRolloutDecided, fmt.Sprintf("version %d takes over from version %d", now.Canary, now.Stable)
	case gateway.RolloutRollingBack:
		e.Kind, what = gateway.EventRolloutDecided, fmt.Sprintf("version %d is taken back, version %d answers everything", now.Canary, now.Stable)
	case gateway.RolloutPromoted:
		e.Kind, what = gateway.EventRolloutPromoted, fmt.Sprintf("version %d took over from version %d", now.Canary, now.Stable)
	case gateway.RolloutRolledBack:
		e.Kind, what = gateway.EventRolloutRolledBack, fmt.Sprintf("version %d was taken back to version %d", now.Canary, now.Stable)
	case gateway.RolloutAborted:
		e.Kind, what = gateway.EventRolloutAborted, fmt.Sprintf("the rollout of version %d was aborted, version %d answers", now.Canary, now.Stable)
	case gateway.RolloutSuperseded:
		e.Kind, what = gateway.EventRolloutSuperseded, fmt.Sprintf("the rollout of version %d ended without a decision", now.Canary)
	case gateway.RolloutRunning:
		if before == nil {
			e.Kind, what = gateway.EventRolloutStarted, fmt.Sprintf("a rollout of version %d over version %d began", now.Canary, now.Stable)
		} else if now.Shadow > 0 {
			what = fmt.Sprintf("version %d gets copies of %s %% of the requests", now.Canary, now.Shadow)
		}
	}
	e.Reason = what
	if why != "" {
		e.Reason += ": " + why
	}
	return e
}
