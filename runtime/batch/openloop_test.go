package batch_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/runtime/batch"
	"sluice/runtime/tensor"
)

// arrivals is an open loop in the test's own time: calls come at random (Poisson) at a rate, whether or not earlier ones were answered.
type arrivals struct {
	rate     float64 // a second
	n        int
	deadline time.Duration // of each; 0: none
	rows     func(*rand.Rand) int
	model    predictor // nil: one row takes 105 µs, sixty-four 420 µs
}

// outcome is what an open loop came to.
type outcome struct {
	took     []time.Duration // of the answered, sorted
	expired  int
	rows     int64 // executed
	runs     int64
	largest  int64 // rows of a run
	tooLate  int64 // rows executed although their callers' time was over when the run began
	finished time.Duration
}

// fixedCost and rowCost are a model that gains from joining: one row takes 105 µs, sixty-four 420 µs.
const (
	fixedCost = 100 * time.Microsecond
	rowCost   = 5 * time.Microsecond
)

// play lets the calls arrive; every answer is compared with its question.
func (a arrivals) play(t *testing.T, opts *batch.Options) outcome {
	t.Helper()
	var o outcome
	start := time.Now()
	model := a.model
	if model == nil {
		model = costly(fixedCost, rowCost)
	}
	b := batch.New(predictor(func(ctx context.Context, in *tensor.Batch, p map[string]any, out *tensor.Batch) error {
		atomic.AddInt64(&o.runs, 1)
		atomic.AddInt64(&o.rows, int64(in.Rows))
		for old := atomic.LoadInt64(&o.largest); old < int64(in.Rows) && !atomic.CompareAndSwapInt64(&o.largest, old, int64(in.Rows)); {
			old = atomic.LoadInt64(&o.largest)
		}
		if ctx.Err() != nil {
			atomic.AddInt64(&o.tooLate, 1)
		}
		return model(ctx, in, p, out)
	}), opts)
	var mu sync.Mutex
	var wg sync.WaitGroup
	r := rand.New(rand.NewPCG(7, 11))
	for i := range a.n {
		time.Sleep(time.Duration(r.ExpFloat64() / a.rate * 1e9))
		values := make([]int64, 1)
		if a.rows != nil {
			values = make([]int64, a.rows(r))
		}
		for j := range values {
			values[j] = int64(i*1000 + j + 100)
		}
		wg.Go(func() {
			ctx, cancel := t.Context(), context.CancelFunc(func() {})
			if a.deadline > 0 {
				ctx, cancel = context.WithTimeout(ctx, a.deadline)
			}
			defer cancel()
			in, out, began := rows(values...), new(tensor.Batch), time.Now()
			err := b.Predict(ctx, in, nil, out, nil)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				check(t, in, out)
				o.took = append(o.took, time.Since(began))
			case errors.Is(err, context.DeadlineExceeded), errors.Is(err, batch.ErrQueueFull):
				o.expired++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	o.finished = time.Since(start)
	if e := b.Executions(); e.Runs != o.runs || e.Rows != o.rows {
		t.Errorf("counted %+v, run were %d with %d rows", e, o.runs, o.rows)
	}
	slices.Sort(o.took)
	return o
}

func (o *outcome) quantile(q float64) time.Duration { return o.took[int(q*float64(len(o.took)-1))] }

// Under an open loop joining carries what passing through cannot, and costs those who come seldom nothing.
func TestOpenLoop(t *testing.T) {
	for _, tc := range []struct {
		name     string
		rate     float64
		p50, p99 time.Duration // bounds
		batches  float64       // rows a run, at least
	}{
		{"a call now and then", 100, 105 * time.Microsecond, 300 * time.Microsecond, 1},
		{"a third of what one run after another carries", 3000, 200 * time.Microsecond, 800 * time.Microsecond, 1},
		{"nine tenths", 8500, 500 * time.Microsecond, time.Millisecond, 1.3},
		{"three times as much", 28_000, 600 * time.Microsecond, 1200 * time.Microsecond, 4},
		{"ten times as much", 95_000, 1200 * time.Microsecond, 2 * time.Millisecond, 25},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := arrivals{rate: tc.rate, n: 4000}.play(t, &batch.Options{Join: true, Slots: 1})
				if len(o.took) != 4000 {
					t.Fatalf("%d of 4000 answered", len(o.took))
				}
				size := float64(o.rows) / float64(o.runs)
				t.Logf("p50 %v, p99 %v, %.1f rows a run", o.quantile(0.5), o.quantile(0.99), size)
				if o.quantile(0.5) > tc.p50 || o.quantile(0.99) > tc.p99 || size < tc.batches {
					t.Errorf("p50 %v, want %v; p99 %v, want %v; %.1f rows a run, want %.1f",
						o.quantile(0.5), tc.p50, o.quantile(0.99), tc.p99, size, tc.batches)
				}
			})
		})
	}
}

// Calls of a model whose run is short are joined where they and what is around them leave the processors little to spare, and elsewhere are run as
// they come.
func TestOpenLoopOfACheapModel(t *testing.T) {
	for _, tc := range []struct {
		name       string
		rate       float64
		processors int
		p50        time.Duration // at most
		low, high  float64       // rows a run
	}{
		{"seldom", 1000, 2, 4 * time.Microsecond, 1, 1.1},
		{"a third of two processors", 12_000, 2, 4 * time.Microsecond, 1, 1.1},
		{"all of two processors", 45_000, 2, 500 * time.Microsecond, 2.5, 64},
		{"all of two processors, of sixteen", 45_000, 16, 4 * time.Microsecond, 1, 1.3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := arrivals{rate: tc.rate, n: 4000, model: costly(2900*time.Nanosecond, 100*time.Nanosecond)}.play(t, &batch.Options{Join: true, Slots: tc.processors})
				size := float64(o.rows) / float64(o.runs)
				t.Logf("p50 %v, p99 %v, %.1f rows a run", o.quantile(0.5), o.quantile(0.99), size)
				if len(o.took) != 4000 || o.quantile(0.5) > tc.p50 || size < tc.low || size > tc.high {
					t.Errorf("%d answered, p50 %v, want %v; %.1f rows a run, want %.1f to %.1f", len(o.took), o.quantile(0.5), tc.p50, size, tc.low, tc.high)
				}
			})
		})
	}
}

// Batches keep to their bounds on rows and bytes whatever arrives, and calls larger than a batch are run alone.
func TestOpenLoopBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := arrivals{rate: 30_000, n: 3000, rows: func(r *rand.Rand) int { return 1 + r.IntN(12) }}.play(t, &batch.Options{Join: true, MaxRows: 40})
		if len(o.took) != 3000 || o.largest > 40 || o.largest < 35 {
			t.Errorf("%d answered, largest batch %d", len(o.took), o.largest)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		one := rows(1).Bytes()
		o := arrivals{rate: 60_000, n: 3000}.play(t, &batch.Options{Join: true, MaxBytes: 10 * one})
		if len(o.took) != 3000 || o.largest > 10 || o.largest < 9 {
			t.Errorf("%d answered, largest batch %d", len(o.took), o.largest)
		}
	})
}

// At twice what the model carries with whole batches, calls expire in the queue and cost the model nothing; those answered are answered in time, and
// the model is never idle.
func TestOpenLoopOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const deadline = 5 * time.Millisecond
		o := arrivals{rate: 300_000, n: 40_000, deadline: deadline}.play(t, &batch.Options{Join: true, Slots: 1, MaxQueue: 4000})
		if o.tooLate > 0 {
			t.Errorf("%d runs began after their callers' time", o.tooLate)
		}
		if worst := o.quantile(1); worst > deadline+fixedCost+64*rowCost {
			t.Errorf("an answer after %v", worst)
		}
		capacity := 64 / (fixedCost + 64*rowCost).Seconds()
		if goodput := float64(len(o.took)) / o.finished.Seconds(); goodput < 0.85*capacity {
			t.Errorf("%.0f answers a second in time, the model carries %.0f", goodput, capacity)
		}
	})
}
