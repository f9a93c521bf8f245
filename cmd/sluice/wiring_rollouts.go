package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"sluice/gateway"
	"sluice/gateway/predlog"
	"sluice/gateway/rollout"
	"sluice/gateway/shadow"
)

// openRollouts makes the loop that carries rollouts out; Run starts it.
func (a *App) openRollouts() {
	deps := rollout.Deps{
		Store: a.control, Endpoints: a.endpoints, Registry: a.registry, Table: a.syncer, Outcomes: a.outcomes, Feeds: a.feeds, Shadowed: a.shadowed, NewID: uuid.NewString,
	}
	if a.truth != nil {
		deps.Truth, deps.Drifted = a.judged, a.drifted
	}
	a.rollouts.Store(rollout.New(deps, &rollout.Options{Name: a.instance(), Log: a.log})) // telemetry may be reading already
}

// runRollouts starts the loop; it ends before the plan's.
func (a *App) runRollouts(ctx context.Context) {
	loop := a.rollouts.Load()
	a.onClose("rollouts", func(context.Context) error { return loop.Close() })
	go func() {
		if err := loop.Run(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("rollouts are not carried out", slog.Any("error", err))
		}
	}()
}

// shadowed counts what a version executed as a shadow.
func (a *App) shadowed(endpoint, arm, model string, version int) (executed, failed uint64) {
	for _, s := range a.shadows.Snapshot() {
		if s.Endpoint == endpoint && s.Arm == arm && s.Servable.Model == model && s.Servable.Version == version {
			executed += s.Executed()
			failed += s.Results[shadow.Failed]
		}
	}
	return executed, failed
}

// feeds says whether something counts what a metric of rollouts compares: ground truth and baselines are joined with the prediction log, and without
// request metrics nothing is counted at all.
func (a *App) feeds(m gateway.MetricName) bool {
	return a.cfg.RequestMetrics && (m != gateway.MetricAccuracy && m != gateway.MetricBaselineDrift || a.cfg.PredictionLog)
}

// drifted is what rollouts know of a version's drift: the windows that are over or under way since then.
func (a *App) drifted(endpoint, model string, version int, since time.Time, alpha float64) (rollout.Drifted, bool) {
	for _, r := range a.drift.Reports(endpoint) {
		length := r.WindowEndMS - r.WindowStartMS
		if r.Model != model || r.Version != version || r.WindowRows == 0 || length <= 0 || r.WindowEndMS <= since.UnixMilli() {
			continue
		}
		windows := 1 + max(r.WindowEndMS-since.UnixMilli()-1, 0)/length // the one in which the rollout began is the first
		d := r.Distance(alpha, int(windows))
		return rollout.Drifted{Rows: r.WindowRows, BaselineRows: r.BaselineRows, Column: d.Column, Distance: d.Observed, AtLeast: d.AtLeast, PSI: d.PSI}, true
	}
	return rollout.Drifted{}, false
}

// activeRollouts reads the rows that the table follows.
func (a *App) activeRollouts(ctx context.Context) ([]gateway.Rollout, error) {
	return a.control.Rollouts(ctx, time.Now().UnixMilli())
}

// rolledOut are the ids of active rollouts, by the version that takes over.
func (a *App) rolledOut(ctx context.Context) (map[predlog.Series]string, error) {
	rows, err := a.activeRollouts(ctx)
	out := map[predlog.Series]string{}
	for _, r := range rows {
		out[predlog.Series{Endpoint: r.Endpoint, Model: r.Model, Version: r.Canary}] = r.ID
	}
	return out, err
}

// startRollouts hands over what the plan found.
func (a *App) startRollouts(starts []gateway.RolloutStart) { a.rollouts.Load().Wanted(starts) }

// runningRollouts and rolloutVerdicts are what the metrics show.
func (a *App) runningRollouts() []rollout.Running {
	if loop := a.rollouts.Load(); loop != nil {
		return loop.Running()
	}
	return nil
}

func (a *App) rolloutVerdicts() []rollout.VerdictCount {
	if loop := a.rollouts.Load(); loop != nil {
		return loop.Counts()
	}
	return nil
}
