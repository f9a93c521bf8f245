package plan_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/gateway"
	"sluice/gateway/plan"
	"sluice/gateway/route"
	"sluice/gateway/sqlstore"
	"sluice/registry"
	registrystore "sluice/registry/sqlstore"
	"sluice/runtime/mlmodel"
	"sluice/runtime/servable"
	"sluice/runtime/tensor"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb/sqldbtest"
)

// quickBackend predicts nothing, at once; after Close it fails.
type quickBackend struct{ closed atomic.Bool }

func (b *quickBackend) Predict(context.Context, *tensor.Batch, map[string]any, *tensor.Batch) error {
	if b.closed.Load() {
		return errors.New("predicted after Close")
	}
	return nil
}
func (*quickBackend) Bytes() int64   { return 1 }
func (b *quickBackend) Close() error { b.closed.Store(true); return nil }

// wired is the control circle with its real parts: registry, stores on SQLite, servable manager, syncer. Only the models are not real.
type wired struct {
	registry *registry.Service
	gateway  *gateway.Service
	manager  *servable.Manager
	syncer   *plan.Syncer
	table    atomic.Pointer[route.Table]
}

func newWired(t *testing.T) *wired {
	t.Helper()
	db := sqldbtest.Open(t, nil)
	own, err := sqlstore.New(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	models, err := registrystore.New(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	w := &wired{}
	w.registry = registry.New(models, &registry.Options{
		GuardDelete: func(ctx context.Context, name string, v int) error { return w.syncer.GuardDelete(ctx, name, v) },
	})
	w.manager = servable.NewManager(func(context.Context, servable.ID) (*servable.Loaded, error) {
		return &servable.Loaded{Model: &mlmodel.Model{}, Backend: &quickBackend{}}, nil
	}, &servable.Options{OnChange: func(servable.ID, servable.Status) { w.syncer.PokeStatus() }})
	source := plan.FromRegistry(w.registry)
	w.syncer = plan.NewSyncer(plan.Deps{
		Store: own, Registry: source, Servables: w.manager, Publish: func(t *route.Table) { w.table.Store(t) },
	}, nil)
	w.gateway = gateway.NewService(own, source, &gateway.Options{Changed: w.syncer.Poke})
	cancel := w.registry.Subscribe(func(e registry.Event) {
		if plan.MovesRoutes(e) {
			w.syncer.Poke()
		}
	})
	done := make(chan error, 1)
	go func() { done <- w.syncer.Run(context.WithoutCancel(t.Context())) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(w.syncer.Close(), <-done, w.manager.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	return w
}

// register makes n versions of the model.
func (w *wired) register(t *testing.T, model string, n int) {
	t.Helper()
	if _, err := w.registry.CreateModel(t.Context(), registry.ModelSpec{Name: model}); err != nil {
		t.Fatal(err)
	}
	for range n {
		if _, err := w.registry.CreateVersion(t.Context(), registry.VersionSpec{Name: model, Source: "s3://bucket/model"}); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *wired) promote(t *testing.T, model string, version int) {
	t.Helper()
	if _, err := w.registry.SetStage(t.Context(), model, version, "Production", true); err != nil {
		t.Fatal(err)
	}
}

// answer picks and acquires as the data plane does and returns the version.
func (w *wired) answer(endpoint string) (int, error) {
	t := w.table.Load()
	if t == nil {
		return 0, errors.New("no table")
	}
	d, err := t.Pick(endpoint, "", rand.Uint64())
	if err != nil {
		return 0, err
	}
	h, err := w.manager.Acquire(d.Arm.Servable)
	if err != nil {
		return 0, err
	}
	defer h.Release()
	return d.Arm.Servable.Version, nil
}

func (w *wired) until(t *testing.T, endpoint string, version int) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		v, err := w.answer(endpoint)
		if err == nil && v == version {
			return time.Since(began)
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("version %d does not serve: %d, %v", version, v, err)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestNoRequestFailsDuringStageChanges: readers pick and acquire without pause while Production moves back and forth.
func TestNoRequestFailsDuringStageChanges(t *testing.T) {
	w := newWired(t)
	w.register(t, "wine", 2)
	w.promote(t, "wine", 1)
	w.until(t, "wine", 1)

	stop := make(chan struct{})
	var wg sync.WaitGroup
	var answers, failures atomic.Int64
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := w.answer("wine"); err != nil {
					failures.Add(1)
					t.Errorf("a request failed: %v", err)
					return
				}
				answers.Add(1)
			}
		})
	}
	var slowest time.Duration
	for i := range 40 {
		version := 2 - i%2
		w.promote(t, "wine", version)
		slowest = max(slowest, w.until(t, "wine", version))
	}
	close(stop)
	wg.Wait()
	t.Logf("%d answers, %d failures over 40 stage changes; slowest change to the first answer %v", answers.Load(), failures.Load(), slowest)
}

func TestRoutedVersionsAreGuarded(t *testing.T) {
	w := newWired(t)
	w.register(t, "wine", 3)
	w.promote(t, "wine", 2)
	w.until(t, "wine", 2)
	err := w.registry.DeleteVersion(t.Context(), "wine", 2, false)
	if mlflow.CodeOf(err) != mlflow.ResourceConflict {
		t.Errorf("got %v, want a conflict", err)
	}
	if err := w.registry.DeleteModel(t.Context(), "wine", false); mlflow.CodeOf(err) != mlflow.ResourceConflict {
		t.Errorf("the model: got %v, want a conflict", err)
	}
	if err := w.registry.DeleteVersion(t.Context(), "wine", 1, false); err != nil {
		t.Errorf("a version that nobody routes: %v", err)
	}
	if !w.syncer.RoutedVersion("wine", 2) || w.syncer.RoutedVersion("wine", 3) {
		t.Error("RoutedVersion disagrees")
	}
	if err := w.registry.DeleteVersion(t.Context(), "wine", 2, true); err != nil {
		t.Errorf("forced: %v", err)
	}
}
