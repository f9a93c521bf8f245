package batch_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/runtime/batch"
	"sluice/runtime/tensor"
)

// Whatever callers do to each other (poison, panics, giving up at any moment, running out of time, parameters, other shapes, more rows than a
// batch holds), each gets its own answer or its own failure. Run in real time, with the race detector.
func TestRowsAndAnswersAreNeverMixed(t *testing.T) {
	for name, opts := range map[string]*batch.Options{
		"one leader": {Join: true, MaxRows: 8, Slots: 1}, "leaders for each whole batch": {Join: true, MaxRows: 4, Slots: 4},
		"few bytes": {Join: true, MaxBytes: 100, Slots: 2}, "short queue": {Join: true, MaxQueue: 6}, "passing": {Slots: 2},
	} {
		t.Run(name, func(t *testing.T) {
			b := batch.New(predictor(doubleWith), opts)
			var wg sync.WaitGroup
			var answered atomic.Int64
			for g := range uint64(24) {
				wg.Go(func() {
					r := rand.New(rand.NewPCG(g, 99))
					for range 150 {
						if askAtRandom(t, b, r) {
							answered.Add(1)
						}
					}
				})
			}
			wg.Wait()
			if err := b.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if answered.Load() < 100 {
				t.Errorf("only %d answers", answered.Load())
			}
		})
	}
}

// doubleWith adds the parameter "plus" to each answer of double.
func doubleWith(ctx context.Context, in *tensor.Batch, params map[string]any, out *tensor.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := double(ctx, in, params, out); err != nil {
		return err
	}
	if plus, ok := params["plus"].(int64); ok {
		for i := range tensor.Of[int64](&out.Columns[0].Tensor) {
			tensor.Of[int64](&out.Columns[0].Tensor)[i] += plus
		}
	}
	return nil
}

// askAtRandom makes one call of a random kind and checks its outcome; it reports whether there was an answer.
func askAtRandom(t *testing.T, b *batch.Batcher, r *rand.Rand) bool {
	values := make([]int64, r.IntN(7))
	for i := range values {
		values[i] = 100 + r.Int64N(1_000_000)
	}
	poison := error(nil)
	if len(values) > 0 && r.IntN(12) == 0 {
		k := r.IntN(2)
		values[r.IntN(len(values))], poison = int64(13+k), []error{errPoison, batch.ErrPanic}[k]
	}
	in, out := rows(values...), new(tensor.Batch)
	if r.IntN(8) == 0 {
		in.Columns[0].Name = "other"
	}
	var params map[string]any
	plus := int64(0)
	if r.IntN(8) == 0 {
		plus = 1 + r.Int64N(1000)
		params = map[string]any{"plus": plus}
	}
	ctx, cancel := context.WithCancel(t.Context())
	switch r.IntN(6) {
	case 0:
		ctx, cancel = context.WithTimeout(t.Context(), time.Duration(r.IntN(300))*time.Microsecond)
	case 1:
		go cancel()
	}
	defer cancel()
	err := b.Predict(ctx, in, params, out, nil)
	switch {
	case err == nil && poison == nil:
		for i := range values {
			tensor.Of[int64](&out.Columns[0].Tensor)[i] -= plus
		}
		check(t, in, out)
		return true
	case err == nil:
		t.Errorf("%v was answered", values)
	case errors.Is(err, batch.ErrQueueFull):
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		if due, ok := ctx.Deadline(); ctx.Err() == nil && (!ok || time.Now().Before(due)) {
			t.Errorf("%v failed with another's %v", values, err)
		}
	case poison == nil || !errors.Is(err, poison):
		t.Errorf("%v failed with %v", values, err)
	}
	return false
}

// One bad call among n is found in at most 2·log₂(n)+1 runs, and however many are bad a row is run at most log₂(n)+1 times.
func TestBisectionIsBounded(t *testing.T) {
	for _, tc := range []struct{ callers, poisoned, runs int }{{32, 1, 11}, {64, 1, 13}, {33, 1, 13}, {32, 32, 63}, {32, 2, 21}} {
		t.Run(fmt.Sprintf("%d of %d", tc.poisoned, tc.callers), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				times := map[int64]int{}
				g := newGate(func(ctx context.Context, in *tensor.Batch, p map[string]any, out *tensor.Batch) error {
					mu.Lock()
					for _, v := range tensor.Of[int64](&in.Columns[0].Tensor) {
						times[v]++
					}
					mu.Unlock()
					for _, v := range tensor.Of[int64](&in.Columns[0].Tensor) {
						if v >= 1000 {
							return errPoison
						}
					}
					return double(ctx, in, p, out)
				})
				b := batch.New(g, &batch.Options{Join: true, MaxRows: 64, Slots: 1})
				var ins []*tensor.Batch
				for i := range tc.callers {
					v := int64(100 + i)
					if i*tc.poisoned/tc.callers != (i+1)*tc.poisoned/tc.callers {
						v += 1000
					}
					ins = append(ins, rows(v))
				}
				errs, outs, finish := queueBehind(t, b, g, ins, contexts(t, len(ins)))
				finish()
				bad := 0
				for i := range ins {
					if errs[i] == nil {
						check(t, ins[i], &outs[i])
						continue
					}
					bad++
				}
				if bad != tc.poisoned {
					t.Errorf("%d calls failed", bad)
				}
				if runs := int(g.calls.Load()) - 1; runs > tc.runs {
					t.Errorf("%d runs, want at most %d", runs, tc.runs)
				}
				for v, n := range times {
					if n > 7 {
						t.Errorf("row %d was run %d times", v, n)
					}
				}
			})
		})
	}
}

// A joined run goes on as long as somebody waits for it, and is cut off when the last deadline has passed.
func TestAJoinedRunEndsWithTheLastDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(func(ctx context.Context, in *tensor.Batch, p map[string]any, out *tensor.Batch) error {
			if in.Rows == 1 {
				return double(ctx, in, p, out)
			}
			<-ctx.Done() // as ONNX Runtime under Terminate
			return ctx.Err()
		})
		b := batch.New(g, &batch.Options{Join: true, MaxRows: 64, Slots: 1})
		var ctxs []context.Context
		var ins []*tensor.Batch
		for i, d := range []time.Duration{10, 30, 20} {
			ctx, cancel := context.WithTimeout(t.Context(), d*time.Millisecond)
			defer cancel()
			ctxs, ins = append(ctxs, ctx), append(ins, rows(int64(200+i)))
		}
		start := time.Now()
		errs, _, finish := queueBehind(t, b, g, ins, ctxs)
		finish()
		if took := time.Since(start); took != 30*time.Millisecond {
			t.Errorf("the run lasted %v", took)
		}
		for i, err := range errs {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("caller %d: %v", i, err)
			}
		}
		if n := g.calls.Load(); n != 2 {
			t.Errorf("%d runs", n)
		}
	})
}

// A leader does not wait for others beyond what the calls in the queue, its own included, can afford.
func TestGatheringKeepsToDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(costly(time.Millisecond, 0))
		b := batch.New(g, &batch.Options{Join: true, MaxRows: 64, MaxDelay: time.Second, Slots: 1})
		var ins []*tensor.Batch
		for i := range int64(8) {
			ins = append(ins, rows(100+i))
		}
		_, _, finish := queueBehind(t, b, g, ins, contexts(t, len(ins)))
		finish() // eight were here: the next leader expects as many
		for _, patience := range []time.Duration{5 * time.Millisecond, 1500 * time.Microsecond} {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			var wg sync.WaitGroup
			var out tensor.Batch
			wg.Go(func() { // one that could wait for ever
				if err := b.Predict(t.Context(), rows(1), nil, new(tensor.Batch), nil); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
			if err := b.Predict(ctx, rows(2), nil, &out, nil); err != nil {
				t.Errorf("with %v: %v", patience, err)
			}
			wg.Wait()
		}
	})
}

// A call in a hurry is not made to wait for rows that would take its time.
func TestBatchesKeepToDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(costly(0, time.Millisecond)) // a row a millisecond
		b := batch.New(g, &batch.Options{Join: true, MaxRows: 64, Slots: 1})
		var ins []*tensor.Batch
		for i := range int64(40) {
			ins = append(ins, rows(100+i))
		}
		_, _, finish := queueBehind(t, b, g, ins, contexts(t, len(ins)))
		finish() // now it is known what forty rows take
		var wg sync.WaitGroup
		wg.Go(func() { // keeps the model busy while the others queue
			if err := b.Predict(t.Context(), rows(make([]int64, 64)...), nil, new(tensor.Batch), nil); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 64*time.Millisecond+20*time.Millisecond)
		defer cancel()
		wg.Go(func() {
			err := b.Predict(ctx, rows(7), nil, new(tensor.Batch), nil)
			if err != nil || ctx.Err() != nil {
				t.Errorf("the call in a hurry: %v, %v", err, ctx.Err())
			}
		})
		synctest.Wait()
		for range 40 {
			wg.Go(func() {
				if err := b.Predict(t.Context(), rows(8), nil, new(tensor.Batch), nil); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

// asked is a context that counts how often its channel is asked for.
type asked struct {
	context.Context
	times *atomic.Int64
}

func (a asked) Done() <-chan struct{} {
	a.times.Add(1)
	return a.Context.Done()
}

// Calls that wait for a short while only, joined or passed through, allocate nothing, and do not make their contexts do so.
func TestWaitingAllocatesNothing(t *testing.T) {
	for mode, opts := range map[string]*batch.Options{"joining": {Join: true, Slots: 1}, "passing": {Slots: 1}} {
		t.Run(mode, func(t *testing.T) {
			b := batch.New(predictor(func(_ context.Context, in *tensor.Batch, _ map[string]any, out *tensor.Batch) error {
				runtime.Gosched() // lets the others queue
				out.CopyFrom(in)
				return nil
			}), opts)
			base, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			var times atomic.Int64
			var ctx context.Context = asked{base, &times}
			const callers, calls = 8, 400
			var before, after runtime.MemStats
			ask := func(n int) {
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() {
						in, out := rows(1), new(tensor.Batch)
						for range n {
							if err := b.Predict(ctx, in, nil, out, nil); err != nil {
								t.Error(err)
							}
						}
					})
				}
				wg.Wait()
			}
			ask(calls)
			runtime.ReadMemStats(&before)
			ask(calls)
			runtime.ReadMemStats(&after)
			if each := float64(after.Mallocs-before.Mallocs) / (callers * calls); each > 0.3 && !raceEnabled { // the race detector makes pools forget
				t.Errorf("%.2f allocations a call", each)
			}
			if n := times.Load(); n > callers*calls/4 { // some wait long on a busy machine
				t.Errorf("Done was asked for %d times by %d calls", n, 2*callers*calls)
			}
		})
	}
}
