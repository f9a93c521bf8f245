package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofiber/fiber/v2"

	"sluice/cmd/sluice/setup"
	"sluice/gateway"
	"sluice/gateway/admit"
	"sluice/gateway/auth"
	"sluice/gateway/breaker"
	"sluice/gateway/invoke"
	"sluice/gateway/monitor"
	"sluice/gateway/outcome"
	"sluice/gateway/plan"
	"sluice/gateway/predictions"
	"sluice/gateway/predictions/sqlindex"
	"sluice/gateway/predlog"
	"sluice/gateway/redact"
	gatewayrest "sluice/gateway/rest"
	"sluice/gateway/route"
	"sluice/gateway/shadow"
	gatewaystore "sluice/gateway/sqlstore"
	registryrest "sluice/registry/rest"
	"sluice/runtime/servable"
	trackingrest "sluice/tracking/rest"
	"sluice/tracking/wire"
)

// openServing builds the data plane and the loop that feeds it.
func (a *App) openServing(ctx context.Context) error {
	breakers := breaker.NewGroup(&breaker.Options{OnChange: func(key breaker.Key, from, to breaker.State) {
		a.log.Warn("circuit breaker changed", slog.String("endpoint", key.Endpoint), slog.String("servable", key.Servable.String()), slog.String("from", from.String()), slog.String("to", to.String()))
	}})
	admission := admit.New(&admit.Options{MaxInFlight: int64(a.cfg.MaxInFlight), MaxDelay: queueDelay(a.cfg.MaxQueueDelay)})
	answers, err := a.openAnswers(ctx)
	if err != nil {
		return err
	}
	if err := a.startTelemetry(ctx, breakers, admission, answers); err != nil {
		return err
	}
	deps := invoke.Deps{
		Acquire:  func(ctx context.Context, id servable.ID) (invoke.Handle, error) { return a.servables.Await(ctx, id) },
		Breakers: breakers,
		Shadows:  a.shadows,
		Answers:  a.answers,
		Behind:   func() bool { return a.syncer.Behind() },
		Caller:   a.authority.Name,
		Left:     left,
		May:      func(c *fiber.Ctx, p string) bool { return auth.May(c, wire.Permission(p)) },
	}
	if a.cfg.RequestMetrics {
		deps.Outcomes = a.outcomes
	}
	if a.cfg.OnDemandVersions > 0 {
		deps.Demand = func(ctx context.Context, id servable.ID) (invoke.Handle, error) { return a.servables.Demand(ctx, id) }
	}
	if a.predlog != nil {
		deps.Log = a.redactor
	}
	data := invoke.New(deps, &invoke.Options{
		Admission: admission, MaxBodyBytes: a.cfg.MaxBodyBytes, Timeout: a.cfg.RequestTimeout, Logger: a.log,
		Version: version, Ready: func() bool { ok, _ := live{a}.Ready(); return ok },
		Tracer: a.telemetry.Tracer(), Tracing: a.telemetry.Tracing(), SampleRatio: a.telemetry.Ratio(), HideTiming: !a.cfg.ServerTiming,
	})
	a.data.Store(data) // telemetry may be reading already
	a.onClose("shadows", data.Close)
	a.syncer = plan.NewSyncer(plan.Deps{
		Store: a.control, Registry: plan.FromRegistry(a.registry), Servables: a.servables,
		Publish: a.publish, Rollouts: a.activeRollouts, StartRollouts: a.startRollouts,
	}, &plan.Options{DefaultEndpoint: a.cfg.DefaultEndpoint, OnlyONNX: a.cfg.Conversion.OnlyONNX, Log: a.log})
	a.openRollouts()
	return nil
}

// queueDelay is the setting as admit takes it: 0, which switches off, is negative there.
func queueDelay(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// publish hands a new table to the data plane and tells the monitor what is served now.
func (a *App) publish(t *route.Table) {
	if a.redactor != nil {
		a.redactor.Set(redaction(t)) // before the first record of the new table
	}
	a.data.Load().Publish(t)
	a.monitor.Routed(context.Background(), served(t))
	if a.drift != nil {
		a.drift.Routed(series(t))
	}
}

// inFlight counts the predictions being answered now.
func (a *App) inFlight() int64 {
	if data := a.data.Load(); data != nil {
		return data.InFlight()
	}
	return 0
}

// replayed counts the recorded requests that were asked once more.
func (a *App) replayed() int64 {
	if data := a.data.Load(); data != nil {
		return data.Replayed()
	}
	return 0
}

// served lists what a table routes to.
func served(t *route.Table) []monitor.Served {
	var out []monitor.Served
	for _, e := range t.Endpoints() {
		for _, arm := range e.Arms {
			out = append(out, monitor.Served{Endpoint: e.Name, Model: arm.Servable.Model, Version: arm.Servable.Version, Stage: arm.Stage, Arm: arm.Name})
		}
	}
	return out
}

// openPredictionLog opens the log and the monitor that delivers its segments into tracking.
func (a *App) openPredictionLog(ctx context.Context) error {
	a.outcomes, a.shadows = outcome.NewBook(nil), shadow.NewBook(nil)
	index, err := sqlindex.New(ctx, a.db)
	if err != nil {
		return err
	}
	totals, err := gatewaystore.NewTotals(ctx, a.db)
	if err != nil {
		return err
	}
	keeper := a.keeper(index)
	a.onClose("prediction segments", keeper.Close)
	defer keeper.Start()
	a.monitor, err = monitor.New(monitor.Sources{
		Tracking: a.tracking, Versions: a.registry, Artifacts: a.artifacts, Index: index, Outcomes: a.outcomes.Snapshot, Dropped: a.dropped, SampledOut: a.sampledOut, Observed: a.observations,
		Rollouts: a.rolledOut, Gap: a.tellGap, Totals: totals,
	}, &monitor.Options{Interval: a.cfg.ServingMetricsEvery, Logger: a.log})
	if err != nil {
		return err
	}
	a.onClose("serving runs", a.monitor.Close)
	if !a.cfg.PredictionLog {
		a.predictions = predictions.New(index, a.artifacts, nil, a.log)
		return nil
	}
	key, err := redactionKey(a.cfg.DataDir)
	if err != nil {
		return fmt.Errorf("key of redaction: %w", err)
	}
	log, err := predlog.Open(filepath.Join(a.cfg.DataDir, "predictions"), a.monitor, &predlog.Options{
		MaxBodyBytes: a.cfg.PredictionLogBodyMax, MaxDiskBytes: a.cfg.PredictionLogMaxBytes, SpoolAge: a.cfg.ServingMetricsEvery, Logger: a.log,
		Sync: predlog.SyncPolicies()[a.cfg.Spool.Sync], SyncInterval: a.cfg.Spool.Every,
	})
	if err != nil {
		return err
	}
	a.predlog, a.redactor = log, redact.New(log, key)
	a.predictions = predictions.New(index, a.artifacts, log, a.log)
	a.onClose("prediction log", func(ctx context.Context) error {
		lost, err := log.Close(ctx)
		if lost > 0 {
			err = errors.Join(err, &lostRecordsError{lost: lost})
		}
		return err
	})
	return nil
}

// startMonitor starts writing serving runs, once there is all that they tell of.
func (a *App) startMonitor(context.Context) error {
	a.monitor.Start()
	return nil
}

// dropped is what the prediction log had to drop; nothing when it is switched off.
func (a *App) dropped() map[predlog.Series]predlog.Drops {
	if a.predlog == nil {
		return nil
	}
	return a.predlog.DroppedBySeries()
}

// sampledOut is what sampling left out of the prediction log; nothing when it is switched off.
func (a *App) sampledOut() map[predlog.Series]int64 {
	if a.predlog == nil {
		return nil
	}
	return a.predlog.SampledOutBySeries()
}

func (a *App) fillDemo(ctx context.Context) error {
	if !a.cfg.Demo {
		return nil
	}
	d := demo{tracking: a.tracking, registry: a.registry, endpoints: a.endpoints, artifacts: a.artifacts, log: a.log}
	return d.fill(ctx)
}

// batching is the verdict on joining a version's predictions.
func (a *App) batching(model string, version int, mode string) (gateway.Batching, bool) {
	b, ok := servable.Batching{}, false
	for _, form := range []string{"", formONNX, formPython} { // whichever of its forms is there
		if !ok {
			b, ok = a.servables.Batching(servable.ID{Model: model, Version: version, Backend: form, Joining: plan.Joining(mode)})
		}
	}
	return gateway.Batching{Joined: b.Join, Reason: b.Reason, MaxRows: b.MaxRows, One: b.One, Eight: b.Eight, Many: b.Many}, ok
}

// live is what endpoints do now; a server that is shutting down is no longer ready.
type live struct{ app *App }

func (l live) State(endpoint string) (gateway.State, bool) { return l.app.syncer.State(endpoint) }

func (l live) Degraded() []string { return l.app.syncer.Degraded() }

func (l live) Ready() (bool, []string) {
	if l.app.draining.Load() {
		return false, []string{"the server is shutting down"}
	}
	return l.app.syncer.Ready()
}

// openHTTP collects the endpoint table, mounts it and opens the port.
func (a *App) openHTTP(context.Context) error {
	guard, err := auth.Guard(auth.GuardOptions{AllowedHosts: a.cfg.AllowedHosts, OwnHosts: []string{a.cfg.Host}, AllowedOrigins: a.cfg.CORSAllowedOrigins})
	if err != nil {
		return err
	}
	served, refused, err := a.collectRoutes()
	if err != nil {
		return err
	}
	a.http = newFiber(a.log, guard, &a.draining)
	if err := mount(a.http, served, refused, a.authority); err != nil {
		return err
	}
	a.http.Use(mergeSlashes)
	a.routes, a.refused = served, refused
	a.listener, a.connections, a.url, err = listen(&a.cfg, a.log)
	if err != nil {
		return err
	}
	a.onClose("port", func(context.Context) error { _ = a.listener.Close(); return nil })
	return nil
}

// collectRoutes is the endpoint table: every row of every room, and apart from it the calls of MLflow's that are refused.
func (a *App) collectRoutes() (served, refused []wire.Route, err error) {
	ui, err := setup.FindWebUI(setupOptions(&a.cfg, a.environ))
	if err != nil {
		a.log.Warn("MLflow's web UI is not served", slog.String("reason", err.Error()))
	}
	track, err := trackingrest.New(a.tracking, a.artifacts, &trackingrest.Options{UIDir: ui, Versions: a.versionSource, RunVersions: a.runVersions, Presence: a.store})
	if err != nil {
		return nil, nil, err
	}
	a.onClose("web UI", func(context.Context) error { return track.Close() })
	control := gatewayrest.Deps{
		BuildLog: a.environments.buildLog,
		Service:  a.endpoints, Live: live{a}, Metrics: a.telemetry.WriteEndpoint, Batching: a.batching, Leaving: a.draining.Load, Signature: a.signature, Rollouts: a.rollouts.Load(), Who: auth.Who,
	}
	if a.truth != nil {
		control.Truth, control.Drift = a.truth, a.drift.Reports
	}
	served = slices.Concat(
		a.data.Load().Routes(),
		track.Routes(),
		registryrest.Routes(a.registry),
		registryrest.WebhookRoutes(a.webhooks),
		trackingrest.PurgeRoutes(a.purger()),
		trackingrest.BundleRoutes(a.bundles()),
		gatewayrest.New(control).Routes(),
		a.predictionRoutes(),
		[]wire.Route{{Method: fiber.MethodGet, Path: "/metrics", Permission: wire.Read, Audit: "telemetry.metrics", Handler: a.telemetry.MetricsHandler()}},
	)
	return append(served, describeAPI(served)), track.Refused(), nil
}
