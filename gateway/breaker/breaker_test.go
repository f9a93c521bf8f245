package breaker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"sluice/runtime/batch"
	"sluice/runtime/servable"
)

var (
	errModel = errors.New("the model broke")
	wine1    = Key{"wine", servable.ID{Model: "wine", Version: 1}}
	wine2    = Key{"wine", servable.ID{Model: "wine", Version: 2}}
)

// call runs one execution that ends with err, and says whether it was executed.
func call(b *Breaker, err error) (ran bool, got error) {
	got = b.Do(time.Now(), func() (struct{}, error) {
		ran = true
		return struct{}{}, err
	})
	return ran, got
}

func one(opts *Options) *Breaker { return NewGroup(opts).Keep([]Key{wine1})[0] }

func TestOpensOnConsecutiveFailures(t *testing.T) {
	b := one(&Options{ConsecutiveFailures: 3})
	for i := range 3 {
		if ran, err := call(b, errModel); !ran || !errors.Is(err, errModel) {
			t.Fatalf("failure %d: ran %v, error %v", i, ran, err)
		}
	}
	if b.State() != Open {
		t.Fatalf("state %v after 3 failures, want open", b.State())
	}
	if ran, err := call(b, nil); ran || !errors.Is(err, ErrOpen) {
		t.Errorf("open breaker: ran %v, error %v", ran, err)
	}
}

func TestOpensOnFailureRatio(t *testing.T) {
	b := one(&Options{ConsecutiveFailures: 1000, FailureRatio: 0.5, MinRequests: 10})
	for i := range 9 {
		call(b, []error{errModel, nil}[i%2])
	}
	if b.State() != Closed {
		t.Fatalf("state %v below MinRequests, want closed", b.State())
	}
	call(b, errModel)
	if b.State() != Open {
		t.Errorf("state %v at 60 %% failures of 10, want open", b.State())
	}
}

func TestWhatDoesNotCount(t *testing.T) {
	cases := map[string]error{
		"bad input":      fmt.Errorf("column x: %w", servable.ErrBadInput),
		"not loaded":     fmt.Errorf("wine 1: %w", servable.ErrNotAvailable),
		"cut short":      fmt.Errorf("%w: %w", ErrCutShort, context.DeadlineExceeded),
		"never executed": fmt.Errorf("%w: %w", ErrNotExecuted, context.DeadlineExceeded),
		"cancelled":      context.Canceled,
		"queue full":     fmt.Errorf("wine 1: %w", batch.ErrQueueFull),
		"unloading":      batch.ErrClosed,
	}
	for name, err := range cases {
		t.Run(name, func(t *testing.T) {
			b := one(&Options{ConsecutiveFailures: 2, MinRequests: 4})
			for range 100 {
				if ran, _ := call(b, err); !ran {
					t.Fatal("the breaker opened")
				}
			}
		})
	}
}

func TestDeadlineDuringExecutionCounts(t *testing.T) {
	b := one(&Options{ConsecutiveFailures: 2})
	call(b, context.DeadlineExceeded)
	call(b, context.DeadlineExceeded)
	if b.State() != Open {
		t.Errorf("state %v, want open", b.State())
	}
}

func TestRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var changes []string
		b := one(&Options{ConsecutiveFailures: 1, OpenFor: 5 * time.Second, HalfOpenRequests: 2,
			OnChange: func(k Key, from, to State) {
				changes = append(changes, fmt.Sprintf("%v %v→%v", k.Endpoint, from, to))
			}})
		call(b, errModel)
		time.Sleep(4 * time.Second)
		if ran, _ := call(b, nil); ran {
			t.Fatal("ran before OpenFor passed")
		}
		time.Sleep(2 * time.Second)
		if b.State() != HalfOpen {
			t.Fatalf("state %v after OpenFor, want half-open", b.State())
		}
		call(b, errModel)
		if b.State() != Open {
			t.Fatalf("state %v after a failed trial, want open", b.State())
		}
		time.Sleep(6 * time.Second)
		call(b, nil)
		call(b, nil)
		if b.State() != Closed {
			t.Errorf("state %v after two good trials, want closed", b.State())
		}
		want := "[wine closed→open wine open→half-open wine half-open→open wine open→half-open wine half-open→closed]"
		if got := fmt.Sprint(changes); got != want {
			t.Errorf("changes %s, want %s", got, want)
		}
	})
}

func TestHalfOpenLetsOnlyTrialsThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := one(&Options{ConsecutiveFailures: 1, OpenFor: time.Second, HalfOpenRequests: 2})
		call(b, errModel)
		time.Sleep(2 * time.Second)
		release := make(chan struct{})
		for range 2 {
			go func() { _ = b.Do(time.Now(), func() (struct{}, error) { <-release; return struct{}{}, nil }) }()
		}
		synctest.Wait()
		if ran, err := call(b, nil); ran || !errors.Is(err, ErrOpen) {
			t.Errorf("a third trial: ran %v, error %v", ran, err)
		}
		close(release)
	})
}

func TestPanicCountsAndGoesOn(t *testing.T) {
	b := one(&Options{ConsecutiveFailures: 1})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = b.Do(time.Now(), func() (struct{}, error) { panic("model") })
	}()
	if b.State() != Open {
		t.Errorf("state %v, want open", b.State())
	}
}

func TestKeepKeepsStateAndForgets(t *testing.T) {
	g := NewGroup(&Options{ConsecutiveFailures: 1})
	bs := g.Keep([]Key{wine1, wine2, wine1})
	if bs[0] != bs[2] || bs[0] == bs[1] {
		t.Fatal("equal keys must share a breaker, different ones not")
	}
	call(bs[0], errModel)
	if again := g.Keep([]Key{wine1}); again[0] != bs[0] || again[0].State() != Open {
		t.Error("a kept key lost its state")
	}
	if s := g.States(); len(s) != 1 || s[0].Key != wine1 || s[0].State != Open {
		t.Errorf("states %v, want only version 1, open", s)
	}
	g.Keep(nil)
	if fresh := g.Keep([]Key{wine1}); fresh[0].State() != Closed {
		t.Error("a forgotten key came back with its old state")
	}
}

func BenchmarkDo(b *testing.B) {
	br := one(nil)
	f := func() (struct{}, error) { return struct{}{}, nil }
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if err := br.Do(now, f); err != nil {
			b.Fatal(err)
		}
	}
}
