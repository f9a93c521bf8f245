package servable_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/runtime/servable"
)

// await acquires through Await and releases at once.
func await(t *testing.T, m *servable.Manager, id servable.ID) {
	t.Helper()
	h, err := m.Await(t.Context(), id)
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	h.Release()
	synctest.Wait()
}

// inState lists the ids in a state.
func inState(m *servable.Manager, s servable.State, ids ...servable.ID) (out []servable.ID) {
	for _, id := range ids {
		if m.Status(id).State == s {
			out = append(out, id)
		}
	}
	return out
}

// firstEvicted is a manager with room for one version, in which v2 is Ready and v1 was evicted for it.
func firstEvicted(t *testing.T, w *world) *servable.Manager {
	t.Helper()
	m := start(t, w, &servable.Options{MaxBytes: 10, MaxConcurrentLoads: 1})
	m.Aspire([]servable.ID{v1})
	ready(t, m, v1)
	m.Aspire([]servable.ID{v1, v2})
	ready(t, m, v1, v2)
	if got := inState(m, servable.Evicted, v1, v2); len(got) != 1 || got[0] != v1 {
		t.Fatalf("states %v", m.Statuses())
	}
	return m
}

func TestBudgetEvictsAndAwaitBringsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := start(t, w, &servable.Options{MaxBytes: 20, MaxConcurrentLoads: 1})
		all := []servable.ID{v1, v2, v3}
		m.Aspire(all)
		ready(t, m, all...)
		synctest.Wait()
		evicted := inState(m, servable.Evicted, all...)
		if len(evicted) != 1 || len(inState(m, servable.Ready, all...)) != 2 || m.Bytes() != 20 {
			t.Fatalf("states %v, %d bytes", m.Statuses(), m.Bytes())
		}
		if _, err := m.Acquire(evicted[0]); !errors.Is(err, servable.ErrNotAvailable) {
			t.Errorf("acquired an evicted version: %v", err)
		}
		for range 3 {
			for _, id := range all {
				await(t, m, id)
				if m.Bytes() > 20 {
					t.Errorf("%d bytes", m.Bytes())
				}
			}
		}
		if evictions, reloads := m.Churn(); reloads == 0 || evictions != reloads+1 {
			t.Errorf("%d evictions, %d reloads", evictions, reloads)
		}
	})
}

func TestWhatIsAskedForOftenStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := start(t, w, &servable.Options{MaxBytes: 20, MaxConcurrentLoads: 1})
		m.Aspire([]servable.ID{v1})
		ready(t, m, v1)
		m.Aspire([]servable.ID{v1, v2, v3})
		ready(t, m, v1, v2, v3)
		for range 20 {
			await(t, m, v1)
			await(t, m, v2)
			await(t, m, v1)
			await(t, m, v3)
		}
		if w.count(v1) > 2 || w.count(v2) < 10 || w.count(v3) < 10 {
			t.Errorf("loads %v", w.loads)
		}
	})
}

func TestVersionsInUseAreNotEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := start(t, w, &servable.Options{MaxBytes: 10})
		m.Aspire([]servable.ID{v1})
		ready(t, m, v1)
		h, err := m.Acquire(v1)
		if err != nil {
			t.Fatal(err)
		}
		m.Aspire([]servable.ID{v1, v2})
		ready(t, m, v1, v2)
		synctest.Wait()
		if len(inState(m, servable.Ready, v1, v2)) != 2 {
			t.Errorf("states %v", m.Statuses())
		}
		h.Release()
		m.Aspire([]servable.ID{v1, v2, v3}) // the next to become ready makes room
		ready(t, m, v3)
		synctest.Wait()
		if got := inState(m, servable.Ready, v1, v2, v3); len(got) != 1 || got[0] != v3 || m.Bytes() != 10 {
			t.Errorf("states %v, %d bytes", m.Statuses(), m.Bytes())
		}
	})
}

func TestReloadIsSharedAndBoundedByTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := firstEvicted(t, w)
		hold := make(chan struct{})
		w.mu.Lock()
		w.hold = hold
		w.mu.Unlock()

		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := m.Await(short, v1); !errors.Is(err, servable.ErrNotAvailable) || !strings.Contains(err.Error(), "wine/1") {
			t.Errorf("got %v", err)
		}
		if s := m.Status(v1); s.State != servable.Evicted {
			t.Errorf("while it is loaded again: %v", s)
		}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				h, err := m.Await(t.Context(), v1)
				if err != nil {
					t.Error(err)
					return
				}
				h.Release()
			})
		}
		synctest.Wait()
		close(hold)
		wg.Wait()
		if w.count(v1) != 2 {
			t.Errorf("%d loads, want the first and one for everybody", w.count(v1))
		}
	})
}

func TestVersionAboveTheBudgetFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := start(t, newWorld(), &servable.Options{MaxBytes: 9})
		m.Aspire([]servable.ID{v1})
		synctest.Wait()
		if s := m.Status(v1); s.State != servable.Failed || !strings.Contains(s.Reason, "needs 10 bytes") || !strings.Contains(s.Reason, "budget for all versions is 9") {
			t.Errorf("got %+v", s)
		}
	})
}

func TestFailedReloadSaysWhyAndHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := firstEvicted(t, w)
		w.mu.Lock()
		w.broken[v1] = errors.New("the disk is gone")
		w.mu.Unlock()
		if _, err := m.Await(t.Context(), v1); !errors.Is(err, servable.ErrNotAvailable) || !strings.Contains(err.Error(), "the disk is gone") {
			t.Errorf("got %v", err)
		}
		w.mu.Lock()
		delete(w.broken, v1)
		w.mu.Unlock()
		time.Sleep(2 * time.Second) // the back-off, in the test's time
		synctest.Wait()
		await(t, m, v1)
	})
}

func TestEvictedVersionsGoWhenNoLongerAspired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := firstEvicted(t, w)
		m.Aspire([]servable.ID{v2})
		if s := m.Status(v1); s.State == servable.Evicted {
			t.Errorf("got %v", s)
		}
		if _, err := m.Await(t.Context(), v1); !errors.Is(err, servable.ErrNotAvailable) {
			t.Errorf("got %v", err)
		}
		await(t, m, v2)
	})
}

func TestEvictionUnderTraffic(t *testing.T) {
	w := newWorld()
	m := start(t, w, &servable.Options{MaxBytes: 50})
	ids := make([]servable.ID, 20)
	for i := range ids {
		ids[i] = servable.ID{Model: "wine", Version: i + 1}
	}
	m.Aspire(ids)
	ready(t, m, ids...)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(worker)))
			for range 500 {
				h, err := m.Await(t.Context(), ids[min(rng.IntN(20), rng.IntN(20))])
				if err != nil {
					t.Error(err)
					return
				}
				h.Release()
			}
		})
	}
	wg.Wait()
	evictions, reloads := m.Churn()
	if evictions == 0 || reloads == 0 {
		t.Errorf("%d evictions, %d reloads", evictions, reloads)
	}
}

// The verdict on joining is known as long as a version is routable, and outlives its eviction.
func TestVerdictOnBatchingStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := start(t, newWorld(), &servable.Options{MaxBytes: 10})
		if _, ok := m.Batching(v1); ok {
			t.Error("a verdict on what was never loaded")
		}
		m.Aspire([]servable.ID{v1, v2})
		ready(t, m, v1, v2)
		synctest.Wait()
		if m.Status(v1).State == m.Status(v2).State {
			t.Fatalf("both are %v", m.Status(v1).State)
		}
		for _, id := range []servable.ID{v1, v2} {
			if b, ok := m.Batching(id); !ok || b.Join || b.Reason != "batching is switched off" || b.MaxRows != 64 {
				t.Errorf("%s: %+v, %v", id, b, ok)
			}
		}
	})
}
