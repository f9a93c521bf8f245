package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway/auth"
	"sluice/gateway/breaker"
	"sluice/gateway/invoke"
	"sluice/gateway/route"
	"sluice/registry"
	"sluice/runtime/mlmodel"
	"sluice/runtime/servable"
)

// scoring answers predictions of one model package, as MLflow's scoring server does: /ping, /health, /version and /invocations, nothing else. Make it
// with newScoring, end it with close.
type scoring struct {
	app       *App // the parts of a server that it stands on; never run
	servables *servable.Manager
	http      *fiber.App
	leaving   atomic.Bool
	dir       string // private, for workers
	converts  bool   // the model may be converted to ONNX, which takes longer than a few predictions in Python
}

// scoringPaths are the routes of the data plane that a scoring server has.
var scoringPaths = []string{"/ping", "/invocations"}

// newScoring loads the package in the folder model, whose environment is built first if it needs one, and waits until it can answer.
func newScoring(ctx context.Context, cfg Config, environ []string, log *slog.Logger, model string, converts bool) (s *scoring, err error) {
	s = &scoring{converts: converts}
	if s.dir, err = os.MkdirTemp("", "sluice-scoring-*"); err != nil {
		return nil, err
	}
	cfg.DataDir = s.dir
	s.app = &App{cfg: cfg, environ: environ, log: log}
	if err := s.load(ctx, model); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if err := s.mount(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *scoring) load(ctx context.Context, model string) error {
	a := s.app
	workers, err := a.openWorkers()
	if err != nil {
		return err
	}
	a.environments = newEnvironments(a.cfg.Python.Interpreter, &a.cfg.Environments, a.environ, a.log)
	l := &loader{runtime: a.openRuntime, environments: a.environments, workers: workers, log: a.log}
	local, done, err := s.conversions(ctx, l, model)
	if err != nil {
		return err
	}
	defer done()
	id := servable.ID{Model: "model", Version: 1}
	s.servables = servable.NewManager(func(ctx context.Context, id servable.ID) (*servable.Loaded, error) {
		return l.open(ctx, id, &registry.Version{Name: id.Model, Version: id.Version}, local)
	}, &servable.Options{Logger: a.log, MaxBytes: a.cfg.ModelMemory, Joining: a.joining(), Prepare: s.prepare(model)})
	s.servables.Aspire([]servable.ID{id})
	if err := s.servables.WaitReady(ctx, id); err != nil {
		return err
	}
	if status := s.servables.Status(id); status.By != "" {
		a.log.Info("model loaded", slog.String("served_by", status.By), slog.String("note", status.Note))
	}
	data := invoke.New(invoke.Deps{
		Acquire:  func(ctx context.Context, id servable.ID) (invoke.Handle, error) { return s.servables.Await(ctx, id) },
		Breakers: breaker.NewGroup(nil),
	}, &invoke.Options{MaxBodyBytes: a.cfg.MaxBodyBytes, Timeout: a.cfg.RequestTimeout, Logger: a.log, Version: version})
	table, err := route.NewTable(1, []route.Endpoint{{Name: id.Model, Arms: []route.Arm{{Name: id.Model, Servable: id, Weight: route.FullWeight}}}}, id.Model)
	if err != nil {
		return err
	}
	data.Publish(table)
	a.data.Store(data)
	return nil
}

// prepare builds the environment that the package needs, if Python runs it.
func (s *scoring) prepare(dir string) servable.Preparer {
	return func(ctx context.Context, _ servable.ID, _ func(string)) error {
		return prepareEnvironment(ctx, s.app.environments, s.app.log, dir)
	}
}

// prepareEnvironment builds the environment of the package in dir, if Python runs it, and logs how far it is.
func prepareEnvironment(ctx context.Context, environments *environments, log *slog.Logger, dir string) error {
	model, err := mlmodel.Load(dir)
	if err != nil {
		return err
	}
	if model.Flavors.Has("onnx") {
		return nil
	}
	return environments.prepare(ctx, &pack{model: model, dir: dir}, func(text string) { log.Info("environment", slog.String("progress", text)) })
}

func (s *scoring) mount() error {
	hosts := s.app.cfg.AllowedHosts
	if hosts == nil && !auth.Loopback(s.app.cfg.Host) {
		hosts = []string{"*"} // what it is called behind is not known, and there is nothing but predictions to be had
	}
	guard, err := auth.Guard(auth.GuardOptions{AllowedHosts: hosts, OwnHosts: []string{s.app.cfg.Host}, AllowedOrigins: s.app.cfg.CORSAllowedOrigins})
	if err != nil {
		return err
	}
	s.http = newFiber(s.app.log, guard, &s.leaving)
	for _, r := range s.app.data.Load().Routes() {
		if !slices.Contains(scoringPaths, r.Path) {
			continue
		}
		s.http.Add(r.Method, r.Path, r.Handler)
		if r.Path == "/ping" {
			s.http.Get("/health", r.Handler)
		}
	}
	s.http.Get("/version", func(c *fiber.Ctx) error { return c.SendString(mlflowVersion) })
	return nil
}

// run serves until ctx ends. announce is told where, when everything is ready.
func (s *scoring) run(ctx context.Context, announce func(url string)) error {
	listener, _, url, err := listen(&s.app.cfg, s.app.log)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- s.http.Listener(listener) }()
	announce(url)
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	s.leaving.Store(true)
	err = s.http.ShutdownWithTimeout(s.app.cfg.ShutdownGrace + time.Second)
	return errors.Join(err, <-served)
}

// predict answers one body without a port. An answer that is not 200 is an error with its message.
func (s *scoring) predict(body io.Reader, contentType string) ([]byte, error) {
	req, err := http.NewRequest(http.MethodPost, "http://localhost/invocations", body)
	if err != nil {
		return nil, err
	}
	req.Header.Set(fiber.HeaderContentType, contentType)
	answer, err := s.http.Test(req, -1)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("the model answered %d: %s", answer.StatusCode, text)
	}
	return text, err
}

func (s *scoring) close() error {
	var failed error
	if s.servables != nil {
		ctx, cancel := context.WithTimeout(context.Background(), s.app.cfg.ShutdownGrace+time.Second)
		defer cancel()
		failed = s.servables.Close(ctx)
	}
	if s.app.environments != nil {
		failed = errors.Join(failed, s.app.environments.close())
	}
	return errors.Join(failed, os.RemoveAll(s.dir))
}
