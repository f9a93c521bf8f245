// Package backendtest is the suite that every servable.Backend passes.
//
// It owns the promises of servable.Backend as tests, one subtest each. It is called by the backends' own tests; it must not know which
// backend it tests, nor import one.
package backendtest

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"

	"sluice/runtime/servable"
	"sluice/runtime/tensor"
)

// Case is one loaded model with what it answers.
type Case struct {
	// Backend is loaded anew for every call, so that a subtest may close it.
	Backend func(t testing.TB) servable.Backend
	// Good is a Table of at least three rows that the model answers with as many rows. It is only read.
	Good *tensor.Batch
	// Bad is a batch that the caller got wrong.
	Bad *tensor.Batch
	// Failing is a batch on which the model fails through no fault of the form of its input; nil if there is none.
	Failing *tensor.Batch
}

// Run runs the suite.
func Run(t *testing.T, c Case) {
	t.Run("answers row by row", func(t *testing.T) { rowByRow(t, c) })
	t.Run("the same input has the same answer", func(t *testing.T) { deterministic(t, c) })
	t.Run("reads its input only", func(t *testing.T) { readsOnly(t, c) })
	t.Run("resets what out held", func(t *testing.T) { resetsOut(t, c) })
	t.Run("an answer outlives the next prediction", func(t *testing.T) { ownsAnswer(t, c) })
	t.Run("bad input is the caller's", func(t *testing.T) { badInput(t, c) })
	t.Run("a failure is the model's, and passes", func(t *testing.T) { failing(t, c) })
	t.Run("an ended context is not executed", func(t *testing.T) { ended(t, c) })
	t.Run("no rows in, no rows out", func(t *testing.T) { noRows(t, c) })
	t.Run("concurrent predictions do not mix", func(t *testing.T) { concurrent(t, c) })
	t.Run("costs memory", func(t *testing.T) {
		if n := open(t, c).Bytes(); n <= 0 {
			t.Errorf("%d bytes", n)
		}
	})
	t.Run("a sample is answered", func(t *testing.T) { sample(t, c) })
}

func open(t testing.TB, c Case) servable.Backend {
	t.Helper()
	b := c.Backend(t)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

func predict(t testing.TB, b servable.Backend, in *tensor.Batch) *tensor.Batch {
	t.Helper()
	out := new(tensor.Batch)
	if err := b.Predict(t.Context(), in, nil, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// Same reports whether two batches hold equal names, types, shapes and values.
func Same(a, b *tensor.Batch) bool {
	if a.Form != b.Form || a.Rows != b.Rows || len(a.Columns) != len(b.Columns) {
		return false
	}
	for i := range a.Columns {
		x, y := &a.Columns[i], &b.Columns[i]
		if x.Name != y.Name || !reflect.DeepEqual(x.Keys, y.Keys) || x.Tensor.Type != y.Tensor.Type ||
			!reflect.DeepEqual(x.Tensor.Shape, y.Tensor.Shape) || string(x.Tensor.Raw()) != string(y.Tensor.Raw()) ||
			!reflect.DeepEqual(x.Tensor.Strings(), y.Tensor.Strings()) {
			return false
		}
	}
	return true
}

func rowsOf(t testing.TB, src *tensor.Batch, from, to int) *tensor.Batch {
	t.Helper()
	b := new(tensor.Batch)
	if err := b.CopyRows(src, from, to); err != nil {
		t.Fatal(err)
	}
	return b
}

func rowByRow(t *testing.T, c Case) {
	b := open(t, c)
	all := predict(t, b, c.Good)
	if all.Form != tensor.Table || all.Rows != c.Good.Rows {
		t.Fatalf("form %v, %d rows for %d", all.Form, all.Rows, c.Good.Rows)
	}
	var joined tensor.Batch
	for i := range c.Good.Rows {
		one := predict(t, b, rowsOf(t, c.Good, i, i+1))
		if i == 0 {
			joined.CopyFrom(one)
			continue
		}
		if err := joined.AppendRows(one); err != nil {
			t.Fatal(err)
		}
	}
	for i := range all.Columns {
		x, y := &all.Columns[i].Tensor, &joined.Columns[i].Tensor
		for j := range x.Len() {
			if d := x.At(j) - y.At(j); !x.Type.Text() && (d > 1e-4 || d < -1e-4) || x.Type.Text() && x.Strings()[j] != y.Strings()[j] {
				t.Errorf("column %s, element %d: together %v, alone %v", all.Columns[i].Name, j, x.At(j), y.At(j))
			}
		}
	}
}

func deterministic(t *testing.T, c Case) {
	b := open(t, c)
	first := predict(t, b, c.Good)
	for range 3 {
		if again := predict(t, b, c.Good); !Same(first, again) {
			t.Fatal("another answer")
		}
	}
}

func readsOnly(t *testing.T, c Case) {
	var before tensor.Batch
	before.CopyFrom(c.Good)
	predict(t, open(t, c), c.Good)
	if !Same(&before, c.Good) {
		t.Error("the input was changed")
	}
}

func resetsOut(t *testing.T, c Case) {
	b := open(t, c)
	want := predict(t, b, c.Good)
	out := new(tensor.Batch)
	out.Reset(tensor.Bare)
	for range 5 {
		out.AddColumn("old").Reset(tensor.String, 9)
	}
	if err := b.Predict(t.Context(), c.Good, nil, out); err != nil {
		t.Fatal(err)
	}
	if !Same(want, out) {
		t.Error("old content shows")
	}
}

func ownsAnswer(t *testing.T, c Case) {
	b := open(t, c)
	first := predict(t, b, rowsOf(t, c.Good, 0, 1))
	var kept tensor.Batch
	kept.CopyFrom(first)
	predict(t, b, rowsOf(t, c.Good, 1, 2))
	if !Same(&kept, first) {
		t.Error("a later prediction wrote into an earlier answer")
	}
}

func badInput(t *testing.T, c Case) {
	b := open(t, c)
	var out tensor.Batch
	if err := b.Predict(t.Context(), c.Bad, nil, &out); !errors.Is(err, servable.ErrBadInput) {
		t.Errorf("got %v", err)
	}
	predict(t, b, c.Good)
}

func failing(t *testing.T, c Case) {
	if c.Failing == nil {
		return
	}
	b := open(t, c)
	var out tensor.Batch
	err := b.Predict(t.Context(), c.Failing, nil, &out)
	if err == nil || errors.Is(err, servable.ErrBadInput) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	predict(t, b, c.Good)
}

func ended(t *testing.T, c Case) {
	b := open(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out tensor.Batch
	if err := b.Predict(ctx, c.Good, nil, &out); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func noRows(t *testing.T, c Case) {
	b := open(t, c)
	out := predict(t, b, rowsOf(t, c.Good, 0, 0))
	full := predict(t, b, c.Good)
	if out.Rows != 0 || len(out.Columns) != len(full.Columns) {
		t.Fatalf("%d rows, %d columns", out.Rows, len(out.Columns))
	}
	for i := range out.Columns {
		if out.Columns[i].Tensor.Type != full.Columns[i].Tensor.Type {
			t.Errorf("column %s is %s, with rows it is %s", out.Columns[i].Name, out.Columns[i].Tensor.Type, full.Columns[i].Tensor.Type)
		}
	}
}

func concurrent(t *testing.T, c Case) {
	b := open(t, c)
	want := make([]*tensor.Batch, c.Good.Rows)
	ins := make([]*tensor.Batch, c.Good.Rows)
	for i := range want {
		ins[i] = rowsOf(t, c.Good, i, i+1)
		want[i] = predict(t, b, ins[i])
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			out := new(tensor.Batch)
			for i := range 50 {
				k := (g + i) % len(ins)
				if err := b.Predict(t.Context(), ins[k], nil, out); err != nil {
					t.Error(err)
					return
				}
				if !Same(want[k], out) {
					t.Errorf("row %d got another's answer", k)
				}
			}
		})
	}
	wg.Wait()
}

// sample checks the optional powers: what a Sampler makes up, its own backend takes.
func sample(t *testing.T, c Case) {
	b := open(t, c)
	s, ok := b.(servable.Sampler)
	if !ok {
		return
	}
	var in, out tensor.Batch
	guessed, err := s.Sample(&in, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Predict(t.Context(), &in, nil, &out); err != nil && !guessed {
		t.Errorf("its own sample: %v", err)
	}
}
