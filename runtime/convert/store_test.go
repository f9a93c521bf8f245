package convert_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"sluice/runtime/convert"
	"sluice/runtime/onnx/onnxtest"
)

// counting is an environment whose interpreter says no to every model, and counts how often it was asked for.
func counting(t *testing.T, reason, missing string) (environment func(context.Context) (string, error), calls func() int) {
	t.Helper()
	var mu sync.Mutex
	n := 0
	interpreter := fake(t, fmt.Sprintf(`echo '{"event": "none", "reason": "%s", "missing": [%s]}'`, reason, missing))
	return func(context.Context) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			n++
			return interpreter, nil
		}, func() int {
			mu.Lock()
			defer mu.Unlock()
			return n
		}
}

func TestAVerdictIsFoundOnce(t *testing.T) {
	rt := onnxtest.Open(t, os.Getenv("ORT_LIB"))
	dir, model := t.TempDir(), emptyModel(t)
	environment, calls := counting(t, "no converter", "")
	s, err := convert.NewStore(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if r, _, err := s.Of(t.Context(), rt, "digest", model, environment); err != nil || r.Reason != "no converter" {
				t.Errorf("got %+v, %v", r, err)
			}
		})
	}
	all.Wait()
	if s, err = convert.NewStore(dir, nil); err != nil { // another process
		t.Fatal(err)
	}
	if _, _, err := s.Of(t.Context(), rt, "digest", model, environment); err != nil || calls() != 1 {
		t.Errorf("%v after %d conversions, want one", err, calls())
	}
	if _, _, err := s.Of(t.Context(), rt, "another", model, environment); err != nil || calls() != 2 {
		t.Errorf("%v after %d conversions, want another for other files", err, calls())
	}
}

func TestAVerdictForWantOfPackagesIsNotKept(t *testing.T) {
	rt := onnxtest.Open(t, os.Getenv("ORT_LIB"))
	environment, calls := counting(t, "no skl2onnx", `"skl2onnx"`)
	s, err := convert.NewStore(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	model := emptyModel(t)
	for want := range 2 {
		if r, _, err := s.Of(t.Context(), rt, "digest", model, environment); err != nil || r.Verdict != convert.Fail || calls() != want+1 {
			t.Errorf("got %+v, %v after %d conversions", r, err, calls())
		}
	}
}

// A conversion that ended at a bound is tried again when there is more room, and not before.
func TestAVerdictOfABoundLastsAsLongAsTheBound(t *testing.T) {
	rt := onnxtest.Open(t, os.Getenv("ORT_LIB"))
	environment, calls := counting(t, "MemoryError", "")
	dir, model := t.TempDir(), emptyModel(t)
	for _, c := range []struct {
		memory int64
		calls  int
	}{{1 << 40, 1}, {1 << 40, 1}, {1 << 39, 1}, {1 << 41, 2}, {0, 3}} {
		s, err := convert.NewStore(dir, &convert.StoreOptions{Options: convert.Options{MemoryBytes: c.memory}})
		if err != nil {
			t.Fatal(err)
		}
		if r, _, err := s.Of(t.Context(), rt, "digest", model, environment); err != nil || r.Exhausted == nil || calls() != c.calls {
			t.Errorf("with %d bytes: %+v, %v after %d conversions, want %d", c.memory, r, err, calls(), c.calls)
		}
	}
}

func TestStoreKeepsToItsBudgetAndCleansUp(t *testing.T) {
	rt := onnxtest.Open(t, os.Getenv("ORT_LIB"))
	dir, model := t.TempDir(), emptyModel(t)
	if err := os.Mkdir(filepath.Join(dir, "work-left"), 0o700); err != nil {
		t.Fatal(err)
	}
	environment, _ := counting(t, "no converter", "")
	s, err := convert.NewStore(dir, &convert.StoreOptions{MaxBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		_, place, err := s.Of(t.Context(), rt, fmt.Sprint("digest", i), model, environment)
		if err != nil {
			t.Fatal(err)
		}
		left, _ := filepath.Glob(filepath.Join(dir, "*"))
		if len(left) != 1 || left[0] != place {
			t.Errorf("after %d: %v, want the newest only", i, left)
		}
	}
}

func TestWhoGivesUpWaitsNoLonger(t *testing.T) {
	rt := onnxtest.Open(t, os.Getenv("ORT_LIB"))
	s, err := convert.NewStore(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	entered, leave := make(chan struct{}), make(chan struct{})
	var first sync.WaitGroup
	model := emptyModel(t)
	first.Go(func() {
		_, _, err := s.Of(t.Context(), rt, "digest", model, func(context.Context) (string, error) {
			close(entered)
			<-leave
			return "", errors.New("no environment")
		})
		if err == nil {
			t.Error("no error of the environment's")
		}
	})
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.Of(ctx, rt, "digest", model, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(leave)
	first.Wait()
}
