package onnx_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/runtime/batch"
	"sluice/runtime/onnx/onnxtest"
	"sluice/runtime/servable"
	"sluice/runtime/tensor"
)

// manager serves the models of testdata by their folder's name.
func manager(t testing.TB, opts *servable.Options) *servable.Manager {
	rt := onnxtest.Open(t, os.Getenv("ORT_LIB"))
	m := servable.NewManager(func(ctx context.Context, id servable.ID) (*servable.Loaded, error) {
		return rt.LoadDir(ctx, onnxtest.Model(t, id.Model))
	}, opts)
	t.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return m
}

func ids(names ...string) []servable.ID {
	out := make([]servable.ID, len(names))
	for i, n := range names {
		out[i] = servable.ID{Model: n, Version: 1}
	}
	return out
}

// Every model that can be loaded warms up with its example or with zeros; those that cannot say why and hurt nobody.
func TestEveryModelIsServed(t *testing.T) {
	good := ids("wine", "zipmap", "zipmap_text", "regression", "text", "multi", "half", "half_dynamic", "int64", "fixed", "dynamic", "nonzero",
		"lookup", "centred", "types", "slow", "external", "batch4", "batch4_centred", "sequence", "zipmap_columns", "zipmap_kept", "zipmap_unsorted", "slow_rows",
		"scalars", "scalar_types", "scalar_sum")
	bad := ids("not_onnx", "truncated", "external_escape")
	m := manager(t, nil)
	m.Aspire(append(append([]servable.ID{}, good...), bad...))
	if err := m.WaitReady(t.Context(), good...); err != nil {
		t.Error(err)
	}
	if err := m.WaitReady(t.Context(), bad...); !errors.Is(err, servable.ErrNotAvailable) || strings.Count(err.Error(), "not an ONNX model") != 3 {
		t.Errorf("got %v", err)
	}
	h, err := m.Acquire(good[13])
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release()
	if v := h.Batching(); h.Joins() || v.Join || v.Reason != "rows are not independent of each other" {
		t.Errorf("a model whose rows depend on each other is joined: %+v", v)
	}
}

// Joined predictions of a real model, with some that fail: each caller gets its own rows or its own failure.
func TestJoinedPredictions(t *testing.T) {
	m := manager(t, &servable.Options{Joining: servable.JoinAlways, Batch: batch.Options{MaxRows: 16}})
	id := ids("lookup")[0]
	m.Aspire([]servable.ID{id})
	if err := m.WaitReady(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	h, err := m.Acquire(id)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release()
	var wg sync.WaitGroup
	for g := range uint64(16) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(g, 0))
			var out tensor.Batch
			for range 100 {
				index := make([]int64, 1+r.IntN(4))
				poisoned := r.IntN(10) == 0
				for i := range index {
					index[i] = r.Int64N(4)
				}
				if poisoned {
					index[0] = 50
				}
				err := h.Predict(t.Context(), batchOf(tensor.Table, "i", index), nil, &out, nil)
				if poisoned != (err != nil) {
					t.Errorf("%v: %v", index, err)
				}
				if err != nil {
					continue
				}
				for i, x := range index {
					if got := out.Columns[0].Tensor.At(i); got != float64(10*(x+1)) {
						t.Errorf("%v: row %d is %v", index, i, got)
					}
				}
			}
		})
	}
	wg.Wait()
}

// Predictions of a model for four rows at a time are joined into fours, whatever their row counts; one for a single row at a time, or whose
// rows depend on each other, is never joined.
func TestModelsOfAFixedRowCount(t *testing.T) {
	m := manager(t, &servable.Options{Joining: servable.JoinAlways})
	all := ids("batch4", "batch4_centred", "batch4_shifted", "fixed")
	m.Aspire(all)
	if err := m.WaitReady(t.Context(), all...); err != nil {
		t.Fatal(err)
	}
	for i, id := range all {
		h, err := m.Acquire(id)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Release()
		if h.Joins() != (i == 0) {
			t.Errorf("%s: joins is %v", id, h.Joins())
		}
	}
	h, err := m.Acquire(all[0])
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release()
	var wg sync.WaitGroup
	for g := range uint64(8) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(g, 5))
			var out tensor.Batch
			for range 200 {
				p := make([]float64, 1+r.IntN(9))
				for i := range p {
					p[i] = float64(r.IntN(1000))
				}
				var timing batch.Timing
				if err := h.Predict(t.Context(), batchOf(tensor.Table, "p", p, "q", make([]float64, len(p))), nil, &out, &timing); err != nil {
					t.Error(err)
					return
				}
				y := tensor.Of[float32](&out.Columns[0].Tensor)
				for i, x := range p {
					if len(y) != 3*len(p) || float64(y[3*i]) != x || float64(y[3*i+2]) != 2*x {
						t.Errorf("%v: %s", p, show(&out))
						return
					}
				}
				if timing.BatchRows > max(4, len(p)) {
					t.Errorf("%d rows in a batch", timing.BatchRows)
				}
			}
		})
	}
	wg.Wait()
}

// ONNX Runtime is stopped in the middle of a joined run when the last of its callers' deadlines has passed, and not before.
func TestJoinedRunIsInterrupted(t *testing.T) {
	tokens := batch.NewTokens(1)
	m := manager(t, &servable.Options{Joining: servable.JoinAlways, Batch: batch.Options{Slots: 1, Tokens: tokens}})
	id := ids("slow_rows")[0]
	m.Aspire([]servable.ID{id})
	if err := m.WaitReady(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	h, err := m.Acquire(id)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release()
	endless := batchOf(tensor.Table, "rounds", []int64{1 << 40}, "x", []float32{1})
	var wg sync.WaitGroup
	ask := func(ctx context.Context, timing *batch.Timing) {
		wg.Go(func() {
			if err := h.Predict(ctx, endless, nil, new(tensor.Batch), timing); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
	}
	first, stop := context.WithCancel(t.Context())
	ask(first, nil)
	for tokens.Out() == 0 { // until it runs
		runtime.Gosched()
	}
	start := time.Now()
	var timings [2]batch.Timing
	for i, d := range []time.Duration{time.Second, 1500 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		ask(ctx, &timings[i])
	}
	for h.Waiting() < 2 && time.Since(start) < time.Second {
		runtime.Gosched()
	}
	stop()
	wg.Wait()
	if took := time.Since(start); took < 1500*time.Millisecond || timings[0].BatchRows != 2 || timings[1].BatchRows != 2 {
		t.Errorf("ended after %v: %+v", took, timings)
	}
	var out tensor.Batch
	if err := h.Predict(t.Context(), batchOf(tensor.Table, "rounds", []int64{1}, "x", []float32{0}), nil, &out, nil); err != nil || out.Columns[0].Tensor.At(0) != 0 {
		t.Errorf("after an interruption: %v", err)
	}
}

// A joined row answers what scikit-learn answers for it.
func TestJoinedRowsAreTheSame(t *testing.T) {
	m := manager(t, &servable.Options{Joining: servable.JoinAlways})
	id := ids("wine")[0]
	m.Aspire([]servable.ID{id})
	if err := m.WaitReady(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	h, err := m.Acquire(id)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release()
	all, labels, probabilities := wineRows(t)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			var in, out tensor.Batch
			for i := range 60 {
				r := (g*7 + i) % all.Rows
				if err := in.CopyRows(all, r, r+1); err != nil {
					t.Error(err)
				}
				if err := h.Predict(t.Context(), &in, nil, &out, nil); err != nil {
					t.Error(err)
					return
				}
				if out.Columns[0].Tensor.At(0) != float64(labels[r]) {
					t.Errorf("row %d: label %v", r, out.Columns[0].Tensor.At(0))
				}
				for k, want := range probabilities[r] {
					near(t, "probability", want, out.Columns[1].Tensor.At(k))
				}
			}
		})
	}
	wg.Wait()
}
