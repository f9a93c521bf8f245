package servable_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/runtime/servable"
)

// want demands a version and gives it back at once.
func want(t *testing.T, m *servable.Manager, id servable.ID) {
	t.Helper()
	h, err := m.Demand(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if h.ID() != id {
		t.Errorf("got %v, want %v", h.ID(), id)
	}
	h.Release()
}

func TestDemandLoadsOnceForAllWhoAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.hold = make(chan struct{})
		m := start(t, w, nil)
		var asking sync.WaitGroup
		for range 16 {
			asking.Go(func() { want(t, m, v1) })
		}
		synctest.Wait()
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := m.Demand(impatient, v1); !errors.Is(err, servable.ErrNotAvailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("whose time ends before the load: %v", err)
		}
		close(w.hold)
		asking.Wait()
		want(t, m, v1)
		if n := w.count(v1); n != 1 {
			t.Errorf("loaded %d times", n)
		}
		if s := m.Status(v1); s.State != servable.Unknown {
			t.Errorf("what may go at any time must not be routed to: %v", s.State)
		}
		if s := m.Statuses()[v1]; s.State != servable.Ready {
			t.Errorf("%v in the list", s.State)
		}
	})
}

func TestDemandedVersionsGoWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := start(t, w, &servable.Options{OnDemandIdle: time.Minute})
		want(t, m, v1)
		held, err := m.Demand(t.Context(), v2)
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			time.Sleep(30 * time.Second)
			want(t, m, v1)
		}
		if n := w.count(v1); n != 1 {
			t.Errorf("asked for every half a minute, loaded %d times", n)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := m.Statuses(); len(got) != 1 || got[v2].State != servable.Ready {
			t.Errorf("idle ones go, used ones stay: %v", got)
		}
		held.Release()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := m.Statuses(); len(got) != 0 {
			t.Errorf("left: %v", got)
		}
		want(t, m, v1)
		if n := w.count(v1); n != 2 {
			t.Errorf("loaded %d times", n)
		}
	})
}

func TestDemandIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := start(t, w, &servable.Options{MaxOnDemand: 2})
		m.Aspire([]servable.ID{v3})
		want(t, m, v1)
		time.Sleep(time.Second)
		held, err := m.Demand(t.Context(), v2)
		if err != nil {
			t.Fatal(err)
		}
		four, five := servable.ID{Model: "wine", Version: 4}, servable.ID{Model: "wine", Version: 5}
		holding, err := m.Demand(t.Context(), four) // in v1's place
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Demand(t.Context(), five); !errors.Is(err, servable.ErrNotAvailable) {
			t.Errorf("beyond the bound, all in use: %v", err)
		}
		want(t, m, v3) // aspired ones do not count
		holding.Release()
		want(t, m, five)
		held.Release()
		synctest.Wait()
		got := m.Statuses()
		if len(got) != 3 || got[v2].State != servable.Ready || got[v3].State != servable.Ready || got[five].State != servable.Ready {
			t.Errorf("kept: %v", got)
		}
	})
}

func TestDemandThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.broken[v1], w.broken[v2] = errors.New("no model here"), fmt.Errorf("version 2: %w", servable.ErrUnknown)
		m := start(t, w, nil)
		for range 3 {
			if _, err := m.Demand(t.Context(), v1); !errors.Is(err, servable.ErrNotAvailable) {
				t.Errorf("failed to load: %v", err)
			}
			if _, err := m.Demand(t.Context(), v2); !errors.Is(err, servable.ErrUnknown) || errors.Is(err, servable.ErrNotAvailable) {
				t.Errorf("unknown: %v", err)
			}
		}
		if n := w.count(v1); n != 1 {
			t.Errorf("one that fails is tried %d times at once", n)
		}
		if got := m.Statuses(); len(got) != 1 {
			t.Errorf("what is unknown leaves nothing: %v", got)
		}
		w.mu.Lock()
		delete(w.broken, v1)
		w.mu.Unlock()
		time.Sleep(time.Minute)
		want(t, m, v1)
	})
}

func TestADemandedVersionBecomesAspired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.broken[v2] = errors.New("no model here")
		m := start(t, w, nil)
		want(t, m, v1)
		if _, err := m.Demand(t.Context(), v2); err == nil {
			t.Error("no error")
		}
		w.mu.Lock()
		delete(w.broken, v2)
		w.mu.Unlock()
		m.Aspire([]servable.ID{v1, v2})
		if err := m.WaitReady(t.Context(), v1, v2); err != nil {
			t.Fatal(err)
		}
		if n := w.count(v1); n != 1 {
			t.Errorf("loaded %d times", n)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if s := m.Status(v1); s.State != servable.Ready {
			t.Errorf("an aspired one never goes: %v", s.State)
		}
		m.Aspire(nil)
		synctest.Wait()
		if got := m.Statuses(); len(got) != 0 {
			t.Errorf("left: %v", got)
		}
	})
}

func TestForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := start(t, w, nil)
		other := servable.ID{Model: "beer", Version: 1}
		m.Aspire([]servable.ID{v3})
		for _, id := range []servable.ID{v1, v2, v3, other} {
			want(t, m, id)
		}
		m.Forget("wine", 1)
		synctest.Wait()
		if got := m.Statuses(); len(got) != 3 || got[v1].State != servable.Unknown {
			t.Errorf("after one was deleted: %v", got)
		}
		m.Forget("wine", 0)
		synctest.Wait()
		if got := m.Statuses(); len(got) != 2 || got[v3].State != servable.Ready || got[other].State != servable.Ready {
			t.Errorf("after all were deleted: %v", got)
		}
	})
}

func TestDemandedVersionsShareTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		one := (&echo{}).Bytes()
		m := start(t, w, &servable.Options{MaxBytes: 2 * one})
		m.Aspire([]servable.ID{v3})
		if err := m.WaitReady(t.Context(), v3); err != nil {
			t.Fatal(err)
		}
		want(t, m, v1)
		want(t, m, v2)
		synctest.Wait()
		if n := m.Bytes(); n > 2*one {
			t.Errorf("%d bytes loaded, the budget is %d", n, 2*one)
		}
		for range 3 {
			want(t, m, v1)
			want(t, m, v2)
		}
		h, err := m.Await(t.Context(), v3)
		if err != nil {
			t.Fatal(err)
		}
		h.Release()
		evictions, reloads := m.Churn()
		if evictions == 0 || reloads == 0 {
			t.Errorf("%d evictions, %d reloads", evictions, reloads)
		}
	})
}

func TestCloseEndsDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := start(t, w, nil)
		want(t, m, v1)
		w.mu.Lock()
		w.hold = make(chan struct{})
		w.mu.Unlock()
		failed := make(chan error, 1)
		go func() { _, err := m.Demand(context.Background(), v2); failed <- err }()
		synctest.Wait()
		if err := m.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; !errors.Is(err, servable.ErrNotAvailable) {
			t.Errorf("who waited: %v", err)
		}
		if _, err := m.Demand(t.Context(), v1); !errors.Is(err, servable.ErrNotAvailable) {
			t.Errorf("afterwards: %v", err)
		}
	})
}
