package main

import (
	"context"

	"sluice/gateway/admit"
	"sluice/gateway/breaker"
	"sluice/gateway/telemetry"
)

// openLog makes the log go to a collector, too, if there is one. It is the first room, so that it hears of all others' ends.
func (a *App) openLog(ctx context.Context) (err error) {
	if a.push, err = telemetry.FromEnvironment(func(name string) string { return lookup(a.environ, name) }); err != nil {
		return err
	}
	log, stop, err := telemetry.StartLogs(ctx, telemetry.Options{Version: version, ServiceName: a.push.ServiceName, Push: a.push, Logger: a.log})
	if err != nil {
		return err
	}
	a.log = log
	a.onClose("log", stop)
	return nil
}

func (a *App) startTelemetry(ctx context.Context, breakers *breaker.Group, admission *admit.Controller, answers []telemetry.Metric) error {
	metrics := []telemetry.Metric{
		telemetry.Breakers(breakers.States),
		telemetry.Servables(a.servables.Statuses),
		telemetry.InFlight(a.inFlight),
		telemetry.Replays(a.replayed),
	}
	metrics = append(metrics, telemetry.Admission(admission)...)
	metrics = append(metrics, telemetry.Rollouts(a.runningRollouts, a.rolloutVerdicts)...)
	metrics = append(metrics, telemetry.Batches(a.servables.Executions)...)
	metrics = append(metrics, telemetry.Shadows(a.shadows.Snapshot)...)
	metrics = append(metrics, telemetry.Workers(a.restarts))
	metrics = append(metrics, answers...)
	metrics = append(metrics, telemetry.ServableMemory(a.servables.Bytes, a.servables.Churn)...)
	if a.predlog != nil {
		metrics = append(metrics, telemetry.PredictionLog(a.predlog.Stats, a.cfg.PredictionLogMaxBytes)...)
		metrics = append(metrics, telemetry.Truth(a.truth.Counts, a.truth.Quality)...)
		metrics = append(metrics, telemetry.Drift(a.drift.Reports)...)
	}
	var err error
	a.telemetry, err = telemetry.Start(ctx, telemetry.Options{
		Version: version, ServiceName: a.push.ServiceName, Book: a.outcomes, Metrics: metrics, Push: a.push, Logger: a.log,
	})
	if err != nil {
		return err
	}
	a.onClose("telemetry", a.telemetry.Close)
	return nil
}
