package servable_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"sluice/runtime/mlmodel"
	"sluice/runtime/servable"
	"sluice/runtime/tensor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo answers its input and knows whether it was closed under a prediction.
type echo struct {
	failing atomic.Bool
	down    atomic.Bool
	closed  atomic.Bool
	running atomic.Int64
	abused  *atomic.Int64
}

func (e *echo) Predict(_ context.Context, in *tensor.Batch, _ map[string]any, out *tensor.Batch) error {
	e.running.Add(1)
	defer e.running.Add(-1)
	if e.closed.Load() {
		e.abused.Add(1)
	}
	if e.failing.Load() {
		return errors.New("no weights")
	}
	out.CopyFrom(in)
	return nil
}

func (e *echo) Bytes() int64  { return 10 }
func (e *echo) RowWise() bool { return true }

func (e *echo) Down() error {
	if e.down.Load() {
		return errors.New("its process was lost")
	}
	return nil
}

func (e *echo) Close() error {
	if e.closed.Swap(true) || e.running.Load() > 0 {
		e.abused.Add(1)
	}
	return nil
}

// world is a loader with its knobs.
type world struct {
	mu      sync.Mutex
	loads   map[servable.ID]int
	broken  map[servable.ID]error
	made    []*echo
	hold    chan struct{} // if not nil, loads wait for it or their context
	abused  atomic.Int64
	loading atomic.Int64
	most    atomic.Int64
	badWarm bool
}

func newWorld() *world {
	return &world{loads: map[servable.ID]int{}, broken: map[servable.ID]error{}}
}

func (w *world) load(ctx context.Context, id servable.ID) (*servable.Loaded, error) {
	w.most.Store(max(w.most.Load(), w.loading.Add(1)))
	defer w.loading.Add(-1)
	w.mu.Lock()
	w.loads[id]++
	err, hold := w.broken[id], w.hold
	w.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err != nil {
		return nil, err
	}
	e := &echo{abused: &w.abused}
	e.failing.Store(w.badWarm)
	w.mu.Lock()
	w.made = append(w.made, e)
	w.mu.Unlock()
	return &servable.Loaded{Backend: e, Model: signature()}, nil
}

func signature() *mlmodel.Model {
	return &mlmodel.Model{Signature: &mlmodel.Signature{Inputs: &mlmodel.Schema{Columns: []mlmodel.ColumnSpec{{Name: "x", Kind: mlmodel.Double}}}}}
}

func (w *world) count(id servable.ID) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.loads[id]
}

var v1, v2, v3 = servable.ID{Model: "wine", Version: 1}, servable.ID{Model: "wine", Version: 2}, servable.ID{Model: "wine", Version: 3}

func start(t *testing.T, w *world, opts *servable.Options) *servable.Manager {
	t.Helper()
	if opts == nil {
		opts = &servable.Options{}
	}
	opts.Joining = servable.JoinNever
	m := servable.NewManager(w.load, opts)
	t.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
		for _, e := range w.made {
			if !e.closed.Load() {
				t.Error("a backend was left open")
			}
		}
		if n := w.abused.Load(); n > 0 {
			t.Errorf("%d backends were used after, or closed during, a prediction", n)
		}
	})
	return m
}

func ready(t *testing.T, m *servable.Manager, ids ...servable.ID) {
	t.Helper()
	if err := m.WaitReady(t.Context(), ids...); err != nil {
		t.Fatal(err)
	}
}

func TestAspiredVersionsBecomeReadyAndOthersGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := start(t, w, nil)
		if _, err := m.Acquire(v1); !errors.Is(err, servable.ErrNotAvailable) {
			t.Fatalf("got %v", err)
		}
		m.Aspire([]servable.ID{v1, v2})
		m.Aspire([]servable.ID{v1, v2})
		ready(t, m, v1, v2)
		h, err := m.Acquire(v1)
		if err != nil {
			t.Fatal(err)
		}
		if h.ID() != v1 || h.Model().Signature == nil || m.Bytes() != 20 || h.Bytes() != 10 {
			t.Errorf("handle %v, %d bytes", h.ID(), m.Bytes())
		}
		var in, out tensor.Batch
		in.AddColumn("x").Reset(tensor.Float64, 1)
		in.Rows = 1
		if err := h.Predict(t.Context(), &in, nil, &out, nil); err != nil || out.Rows != 1 {
			t.Errorf("%d rows, %v", out.Rows, err)
		}
		m.Aspire([]servable.ID{v2})
		if _, err := m.Acquire(v1); !errors.Is(err, servable.ErrNotAvailable) {
			t.Errorf("acquired an unaspired version: %v", err)
		}
		synctest.Wait()
		if s := m.Status(v1); s.State != servable.Unloading {
			t.Errorf("held: %v", s)
		}
		if err := h.Predict(t.Context(), &in, nil, &out, nil); err != nil {
			t.Errorf("a held version must still answer: %v", err)
		}
		h.Release()
		synctest.Wait()
		if s := m.Status(v1); s.State != servable.Unknown {
			t.Errorf("released: %v", s)
		}
		if w.count(v1) != 1 || w.count(v2) != 1 {
			t.Errorf("loads %v", w.loads)
		}
	})
}

func TestVersionComesBackWhileItsFormerSelfDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := start(t, w, nil)
		m.Aspire([]servable.ID{v1})
		ready(t, m, v1)
		old, err := m.Acquire(v1)
		if err != nil {
			t.Fatal(err)
		}
		m.Aspire(nil)
		m.Aspire([]servable.ID{v1})
		ready(t, m, v1)
		fresh, err := m.Acquire(v1)
		if err != nil || fresh == old {
			t.Fatalf("same handle, %v", err)
		}
		old.Release()
		fresh.Release()
	})
}

func TestFailedLoadsAreRetriedWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.broken[v1] = errors.New("no such file")
		m := start(t, w, &servable.Options{MinBackoff: time.Second, MaxBackoff: 4 * time.Second})
		m.Aspire([]servable.ID{v1})
		if err := m.WaitReady(t.Context(), v1); !errors.Is(err, servable.ErrNotAvailable) || !strings.Contains(err.Error(), "no such file") {
			t.Fatalf("got %v", err)
		}
		for _, at := range []struct {
			after time.Duration
			loads int
		}{{0, 1}, {1500 * time.Millisecond, 2}, {2 * time.Second, 3}, {4 * time.Second, 4}, {4 * time.Second, 5}} {
			time.Sleep(at.after)
			synctest.Wait()
			if got := w.count(v1); got != at.loads {
				t.Errorf("%d loads, want %d", got, at.loads)
			}
			if s := m.Status(v1); s.State != servable.Failed || s.Reason != "no such file" {
				t.Errorf("got %+v", s)
			}
		}
		w.mu.Lock()
		delete(w.broken, v1)
		w.mu.Unlock()
		time.Sleep(4 * time.Second)
		ready(t, m, v1)
		if s := m.Status(v1); s.Reason != "" {
			t.Errorf("got %+v", s)
		}
	})
}

func TestOneBrokenVersionDoesNotHurtAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.broken[v2] = errors.New("broken")
		m := start(t, w, nil)
		m.Aspire([]servable.ID{v1, v2})
		ready(t, m, v1)
		synctest.Wait()
		if got := m.Statuses(); got[v1].State != servable.Ready || got[v2].State != servable.Failed {
			t.Errorf("got %v", got)
		}
	})
}

func TestFailingWarmUpIsAFailedLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.badWarm = true
		m := start(t, w, nil)
		m.Aspire([]servable.ID{v1})
		if err := m.WaitReady(t.Context(), v1); err == nil || !strings.Contains(err.Error(), "warm-up: no weights") {
			t.Errorf("got %v", err)
		}
	})
}

func TestPanickingLoaderIsAFailedLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := servable.NewManager(func(context.Context, servable.ID) (*servable.Loaded, error) { panic("boom") }, nil)
		m.Aspire([]servable.ID{v1})
		if err := m.WaitReady(t.Context(), v1); err == nil || !strings.Contains(err.Error(), "boom") {
			t.Errorf("got %v", err)
		}
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestLoadsAreBoundedAndCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.hold = make(chan struct{})
		m := start(t, w, &servable.Options{MaxConcurrentLoads: 2})
		m.Aspire([]servable.ID{v1, v2, v3})
		synctest.Wait()
		if got := w.loading.Load(); got != 2 {
			t.Errorf("%d loads at once", got)
		}
		m.Aspire(nil) // ends the held ones
		synctest.Wait()
		if got := w.loading.Load(); got != 0 || len(m.Statuses()) != 0 {
			t.Errorf("%d loads go on, %v", got, m.Statuses())
		}
	})
}

func TestStatusTellsWhetherSomethingExecutes(t *testing.T) {
	w := newWorld()
	m := start(t, w, nil)
	m.Aspire([]servable.ID{v1})
	ready(t, m, v1)
	for _, want := range []string{"", "its process was lost", ""} {
		w.made[0].down.Store(want != "")
		if one, all := m.Status(v1), m.Statuses()[v1]; one.Down != want || all != one || one.State != servable.Ready {
			t.Errorf("got %+v and %+v, want down %q", one, all, want)
		}
	}
}

func TestWaitReadyEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.hold = make(chan struct{})
		m := start(t, w, nil)
		m.Aspire([]servable.ID{v1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := m.WaitReady(ctx, v1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if err := m.WaitReady(t.Context(), v3); !errors.Is(err, servable.ErrNotAvailable) {
			t.Errorf("not aspired: %v", err)
		}
	})
}

func TestLoadTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.hold = make(chan struct{})
		m := start(t, w, &servable.Options{LoadTimeout: time.Minute})
		m.Aspire([]servable.ID{v1})
		if err := m.WaitReady(t.Context(), v1); err == nil || !strings.Contains(err.Error(), "deadline") {
			t.Errorf("got %v", err)
		}
	})
}

func TestOnChangeTellsTheNewestState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		last := map[servable.ID]servable.Status{}
		w := newWorld()
		m := start(t, w, &servable.Options{OnChange: func(id servable.ID, s servable.Status) {
			mu.Lock()
			defer mu.Unlock()
			last[id] = s
		}})
		m.Aspire([]servable.ID{v1, v2})
		synctest.Wait()
		m.Aspire([]servable.ID{v2})
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if last[v1].State != servable.Unknown || last[v2].State != servable.Ready {
			t.Errorf("got %v", last)
		}
	})
}

func TestCloseWaitsForHandles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := start(t, w, nil)
		m.Aspire([]servable.ID{v1})
		ready(t, m, v1)
		h, err := m.Acquire(v1)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := m.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		m.Aspire([]servable.ID{v2}) // does nothing any more
		if _, err := m.Acquire(v2); !errors.Is(err, servable.ErrNotAvailable) {
			t.Errorf("got %v", err)
		}
		h.Release()
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Versions come and go under traffic: nobody ever meets a closed backend, and a version that stays aspired is always there.
func TestSwapsUnderTraffic(t *testing.T) {
	w := newWorld()
	m := start(t, w, nil)
	m.Aspire([]servable.ID{v1, v2})
	ready(t, m, v1, v2)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			var in, out tensor.Batch
			in.AddColumn("x").Reset(tensor.Float64, 1)
			in.Rows = 1
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				id := []servable.ID{v1, v2, v3}[(g+i)%3]
				h, err := m.Acquire(id)
				if err != nil {
					if id == v1 {
						t.Error("the version that stays was not there")
					}
					continue
				}
				if err := h.Predict(t.Context(), &in, nil, &out, nil); err != nil {
					t.Error(err)
				}
				h.Release()
			}
		})
	}
	for i := range 50 {
		next := []servable.ID{v1, v2}
		if i%2 == 0 {
			next[1] = v3
		}
		m.Aspire(next)
		ready(t, m, next...)
	}
	close(stop)
	wg.Wait()
}

func TestAcquireAllocatesNothing(t *testing.T) {
	w := newWorld()
	m := start(t, w, nil)
	m.Aspire([]servable.ID{v1})
	ready(t, m, v1)
	if n := testing.AllocsPerRun(100, func() {
		h, err := m.Acquire(v1)
		if err != nil {
			t.Fatal(err)
		}
		h.Release()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAcquire(b *testing.B) {
	w := newWorld()
	m := servable.NewManager(w.load, nil)
	defer m.Close(context.Background())
	m.Aspire([]servable.ID{v1})
	if err := m.WaitReady(b.Context(), v1); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			h, err := m.Acquire(v1)
			if err != nil {
				b.Error(err)
				return
			}
			h.Release()
		}
	})
}
