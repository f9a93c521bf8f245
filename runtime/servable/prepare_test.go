package servable_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/runtime/servable"
)

func TestPreparationTakesNoLoadsPlaceAndTellsItsProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, built := newWorld(), make(chan struct{})
		opts := &servable.Options{MaxConcurrentLoads: 1, LoadTimeout: time.Minute}
		opts.Prepare = func(ctx context.Context, id servable.ID, progress func(string)) error {
			if id != v1 {
				return nil
			}
			progress("installing")
			select {
			case <-built:
			case <-ctx.Done():
				return ctx.Err()
			}
			return nil
		}
		m := start(t, w, opts)
		m.Aspire([]servable.ID{v1, v2})
		ready(t, m, v2)
		time.Sleep(time.Hour) // of the bubble: much longer than a load may take
		if s := m.Status(v1); s.State != servable.Loading || s.Progress != "installing" || s.Reason != "" {
			t.Errorf("while it is prepared: %+v", s)
		}
		close(built)
		ready(t, m, v1)
		if s := m.Status(v1); s.Progress != "" {
			t.Errorf("ready, and still %q", s.Progress)
		}
	})
}

func TestAPreparationThatFailsIsAFailedLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, tries := newWorld(), 0
		m := start(t, w, &servable.Options{Prepare: func(context.Context, servable.ID, func(string)) error {
			if tries++; tries == 1 {
				return errors.New("no such package")
			}
			return nil
		}})
		m.Aspire([]servable.ID{v1})
		if err := m.WaitReady(t.Context(), v1); err == nil || m.Status(v1).Reason == "" {
			t.Errorf("got %v, %+v", err, m.Status(v1))
		}
		time.Sleep(2 * time.Second)
		ready(t, m, v1)
		if n := w.count(v1); n != 1 {
			t.Errorf("loaded %d times", n)
		}
	})
}

func TestNobodyHangsOnAPreparation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		m := start(t, w, &servable.Options{Prepare: func(ctx context.Context, _ servable.ID, progress func(string)) error {
			progress("resolving")
			<-ctx.Done()
			progress("too late") // is not heard
			return ctx.Err()
		}})
		for range 2 {
			if _, err := m.Demand(t.Context(), v1); !errors.Is(err, servable.ErrNotAvailable) || !errors.Is(err, servable.ErrPreparing) {
				t.Errorf("got %v", err)
			}
		}
		m.Forget("wine", 1)
		synctest.Wait()
	})
}

// A version is rehearsed once, before it is ready for the first time; one that fails at it is loaded again later.
func TestARehearsalComesBeforeReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, rehearsals := newWorld(), 0
		m := start(t, w, &servable.Options{Rehearse: func(_ context.Context, id servable.ID, l *servable.Loaded) error {
			if rehearsals++; id != v1 || l.Backend == nil {
				t.Errorf("rehearsed %v", id)
			}
			switch rehearsals {
			case 1:
				return errors.New("it fails on a request of yesterday")
			case 2:
				panic("out of range")
			}
			return nil
		}})
		m.Aspire([]servable.ID{v1})
		for _, want := range []string{"yesterday", "out of range"} {
			if err := m.WaitReady(t.Context(), v1); err == nil || !strings.Contains(m.Status(v1).Reason, want) {
				t.Errorf("got %v, %+v, want %s", err, m.Status(v1), want)
			}
			time.Sleep(1200 * time.Millisecond) // of the bubble: more than the first pause, less than the second
		}
		time.Sleep(2 * time.Second)
		ready(t, m, v1)
		if rehearsals != 3 {
			t.Errorf("%d rehearsals", rehearsals)
		}
	})
}

// What was found out of a version's files holds when it is aspired again, for those very files.
func TestFilesAreRehearsedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, rehearsals, digest := newWorld(), 0, "a"
		load := func(ctx context.Context, id servable.ID) (*servable.Loaded, error) {
			l, err := w.load(ctx, id)
			if err == nil {
				l.Digest = digest
			}
			return l, err
		}
		m := servable.NewManager(load, &servable.Options{Rehearse: func(context.Context, servable.ID, *servable.Loaded) error {
			rehearsals++
			return nil
		}})
		defer m.Close(t.Context())
		for _, step := range []struct {
			digest string
			want   int
		}{{"a", 1}, {"a", 1}, {"b", 2}, {"a", 2}, {"", 3}, {"", 4}} {
			digest = step.digest
			m.Aspire([]servable.ID{v1})
			ready(t, m, v1)
			m.Aspire(nil)
			synctest.Wait()
			if rehearsals != step.want {
				t.Fatalf("%d rehearsals after files %q, want %d", rehearsals, step.digest, step.want)
			}
		}
		if w.count(v1) != 6 {
			t.Errorf("%d loads", w.count(v1))
		}
	})
}
