package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway"
	"sluice/gateway/auth"
	"sluice/gateway/drift"
	"sluice/gateway/invoke"
	"sluice/gateway/monitor"
	"sluice/gateway/outcome"
	"sluice/gateway/plan"
	"sluice/gateway/predictions"
	"sluice/gateway/predlog"
	"sluice/gateway/redact"
	"sluice/gateway/respcache"
	"sluice/gateway/rollout"
	"sluice/gateway/shadow"
	gatewaystore "sluice/gateway/sqlstore"
	"sluice/gateway/telemetry"
	"sluice/gateway/truth"
	"sluice/registry"
	"sluice/registry/modelcache"
	registrystore "sluice/registry/sqlstore"
	"sluice/runtime/pyworker"
	"sluice/runtime/servable"
	"sluice/tracking"
	"sluice/tracking/artifact"
	"sluice/tracking/sqldb"
	trackingstore "sluice/tracking/sqlstore"
	"sluice/tracking/wire"
)

// App is one server: everything that main starts and the tests boot. Make it with New, let it serve with Run, end it with Close.
type App struct {
	cfg     Config
	environ []string
	log     *slog.Logger

	db *sqldb.DB
	// registryStore is what the registry and its webhooks keep their rows in.
	registryStore *registrystore.Store
	store         *trackingstore.Store
	tracking      *tracking.Service
	registry      *registry.Service
	webhooks      *registry.Webhooks
	artifacts     *artifact.Resolver
	cache         *modelcache.Cache
	control       *gatewaystore.Store
	endpoints     *gateway.Service
	loader        *loader
	restarts      *pyworker.Restarts
	environments  *environments
	servables     *servable.Manager
	outcomes      *outcome.Book
	shadows       *shadow.Book
	answers       *respcache.Cache
	monitor       *monitor.Monitor
	predlog       *predlog.Log // nil when switched off
	predictions   *predictions.Reader
	redactor      *redact.Recorder // in front of predlog
	push          telemetry.Push
	truth         *truth.Service // nil when the prediction log is switched off
	drift         *drift.Service // likewise
	telemetry     *telemetry.Telemetry
	data          atomic.Pointer[invoke.Handler]
	syncer        *plan.Syncer
	rollouts      atomic.Pointer[rollout.Controller]
	authority     *auth.Authority
	http          *fiber.App
	routes        []wire.Route
	refused       []wire.Route
	listener      net.Listener // what Accept gives is watched by connections
	connections   *connections
	url           string
	grpc          *grpcPort // nil: switched off, or its port is taken

	draining atomic.Bool
	syncing  chan error // the result of the plan loop, once
	closers  []closer
	closed   bool
}

// closer ends one room; Close runs them in reverse order of their making within one budget.
type closer struct {
	name  string
	close func(ctx context.Context) error
}

func (a *App) onClose(name string, f func(ctx context.Context) error) {
	a.closers = append(a.closers, closer{name, f})
}

// New builds and wires every room, in the order of DESIGN's life cycle, and opens the port. Nothing answers before Run. On error
// everything that was made is closed again.
func New(ctx context.Context, cfg Config, environ []string, log *slog.Logger) (*App, error) {
	a := &App{cfg: cfg, environ: environ, log: log}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"log", a.openLog},
		{"data directory", a.openDataDir},
		{"database", a.openDatabase},
		{"artifacts", a.openArtifacts},
		{"tracking", a.openTracking},
		{"registry", a.openRegistry},
		{"webhooks", a.openWebhooks},
		{"authentication", a.openAuth},
		{"models", a.openModels},
		{"prediction log", a.openPredictionLog},
		{"ground truth", a.openTruth},
		{"drift", a.openDrift},
		{"serving runs", a.startMonitor},
		{"serving", a.openServing},
		{"example model", a.fillDemo},
		{"HTTP", a.openHTTP},
		{"gRPC", a.openGRPC},
	} {
		if err := step.do(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", step.name, err), a.Close())
		}
	}
	return a, nil
}

// Run serves until ctx ends or a part fails. Close must follow.
func (a *App) Run(ctx context.Context) error {
	a.syncing = make(chan error, 1)
	planning, stop := context.WithCancel(context.WithoutCancel(ctx))
	a.onClose("plan", func(context.Context) error { stop(); return a.syncer.Close() })
	go func() { a.syncing <- a.syncer.Run(planning) }()
	a.runRollouts(planning)
	a.runTruth(planning)
	a.runDrift(planning)
	serving := make(chan error, 1)
	go func() { serving <- a.http.Listener(a.listener) }()
	inferring := a.grpc.serve()
	a.settle()
	a.onClose("ports", func(ctx context.Context) error { return a.leave(ctx, serving) })
	select {
	case <-ctx.Done():
		return nil
	case err := <-serving:
		serving <- nil
		return fmt.Errorf("HTTP: %w", err)
	case err := <-inferring:
		return fmt.Errorf("gRPC: %w", err)
	case err := <-a.syncing:
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("plan: %w", err)
	}
}

// Close ends every room in reverse order within the shutdown grace: readiness off, requests finished, the prediction log flushed into
// tracking, stores closed. The error says what failed and, as *lostRecordsError, if prediction records were lost.
func (a *App) Close() error {
	if a.closed {
		return nil
	}
	a.closed = true
	a.draining.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), a.cfg.ShutdownGrace+time.Second)
	defer cancel()
	var failed []error
	for i := len(a.closers) - 1; i >= 0; i-- {
		c := a.closers[i]
		if err := c.close(ctx); err != nil {
			failed = append(failed, fmt.Errorf("close %s: %w", c.name, err))
		}
	}
	return errors.Join(failed...)
}

// URL is where the server listens.
func (a *App) URL() string { return a.url }
