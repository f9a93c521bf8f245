package batch_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"sluice/runtime/batch"
	"sluice/runtime/tensor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// predictor is a function as a Predictor.
type predictor func(ctx context.Context, in *tensor.Batch, params map[string]any, out *tensor.Batch) error

func (p predictor) Predict(ctx context.Context, in *tensor.Batch, params map[string]any, out *tensor.Batch) error {
	return p(ctx, in, params, out)
}

var errPoison = errors.New("poison")

// double answers 2x row by row, fails on a batch with a 13, and panics on one with a 14.
func double(_ context.Context, in *tensor.Batch, _ map[string]any, out *tensor.Batch) error {
	out.Reset(tensor.Table)
	t := out.AddColumn("y")
	t.Reset(tensor.Int64, 0)
	for _, v := range tensor.Of[int64](&in.Columns[0].Tensor) {
		switch v {
		case 13:
			return errPoison
		case 14:
			panic("fourteen")
		}
		tensor.Append(t, 2*v)
	}
	return out.CountRows()
}

func rows(values ...int64) *tensor.Batch {
	b := new(tensor.Batch)
	b.Reset(tensor.Table)
	t := b.AddColumn("x")
	t.Reset(tensor.Int64, 0)
	for _, v := range values {
		tensor.Append(t, v)
	}
	b.Rows = len(values)
	return b
}

// check says whether out is the doubled in.
func check(t *testing.T, in, out *tensor.Batch) {
	t.Helper()
	got := tensor.Of[int64](&out.Columns[0].Tensor)
	want := tensor.Of[int64](&in.Columns[0].Tensor)
	if out.Rows != in.Rows || len(got) != len(want) {
		t.Errorf("%d rows in, %d rows out", in.Rows, out.Rows)
		return
	}
	for i := range want {
		if got[i] != 2*want[i] {
			t.Errorf("row %d of %v: got %d", i, want, got[i])
		}
	}
}

func modes() map[string]*batch.Options {
	return map[string]*batch.Options{"passing": {Slots: 2}, "joining": {Join: true, MaxRows: 16}}
}

// Rows and answers are never mixed, closed loop and open loop, whatever the row counts.
func TestEveryCallerGetsItsOwnAnswer(t *testing.T) {
	for mode, opts := range modes() {
		for _, open := range []bool{false, true} {
			t.Run(mode+map[bool]string{false: " closed loop", true: " open loop"}[open], func(t *testing.T) {
				b := batch.New(predictor(double), opts)
				var wg sync.WaitGroup
				ask := func(seed uint64) {
					r := rand.New(rand.NewPCG(seed, 1))
					values := make([]int64, r.IntN(6))
					for i := range values {
						values[i] = 100 + r.Int64N(1000)
					}
					in := rows(values...)
					var out tensor.Batch
					if err := b.Predict(t.Context(), in, nil, &out, nil); err != nil {
						t.Error(err)
						return
					}
					check(t, in, &out)
				}
				for g := range uint64(20) {
					if open {
						for i := range uint64(20) {
							wg.Go(func() { ask(g*100 + i) })
						}
						continue
					}
					wg.Go(func() {
						for i := range uint64(20) {
							ask(g*100 + i)
						}
					})
				}
				wg.Wait()
				if err := b.Close(t.Context()); err != nil {
					t.Error(err)
				}
				if n := b.Waiting(); n != 0 {
					t.Errorf("%d calls left", n)
				}
			})
		}
	}
}

// gate lets a test hold the first prediction while others queue.
type gate struct {
	predictor
	first   sync.Once
	entered chan struct{}
	open    chan struct{}
	calls   atomic.Int64
	most    atomic.Int64 // rows of the largest batch
}

func newGate(p predictor) *gate {
	return &gate{predictor: p, entered: make(chan struct{}), open: make(chan struct{})}
}

func (g *gate) Predict(ctx context.Context, in *tensor.Batch, params map[string]any, out *tensor.Batch) error {
	g.calls.Add(1)
	g.most.Store(max(g.most.Load(), int64(in.Rows)))
	g.first.Do(func() {
		close(g.entered)
		<-g.open
	})
	return g.predictor(ctx, in, params, out)
}

// queueBehind starts a call that is held in the gate, then one call per batch that waits behind it.
func queueBehind(t *testing.T, b *batch.Batcher, g *gate, ins []*tensor.Batch, ctxs []context.Context) (errs []error, outs []tensor.Batch, finish func()) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		var out tensor.Batch
		if err := b.Predict(t.Context(), rows(1), nil, &out, nil); err != nil {
			t.Error(err)
		}
	})
	<-g.entered
	errs, outs = make([]error, len(ins)), make([]tensor.Batch, len(ins))
	for i := range ins {
		wg.Go(func() { errs[i] = b.Predict(ctxs[i], ins[i], nil, &outs[i], nil) })
		synctest.Wait()
	}
	return errs, outs, func() {
		close(g.open)
		wg.Wait()
	}
}

func contexts(t *testing.T, n int) []context.Context {
	out := make([]context.Context, n)
	for i := range out {
		out[i] = t.Context()
	}
	return out
}

func TestQueuedCallsAreJoinedWithinMaxRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(double)
		b := batch.New(g, &batch.Options{Join: true, MaxRows: 4, Slots: 1})
		ins := []*tensor.Batch{rows(2), rows(3, 4), rows(5), rows(6, 7, 8, 9, 10, 11), rows(12)}
		errs, outs, finish := queueBehind(t, b, g, ins, contexts(t, len(ins)))
		finish()
		for i := range ins {
			if errs[i] != nil {
				t.Fatal(errs[i])
			}
			check(t, ins[i], &outs[i])
		}
		if got := g.calls.Load(); got != 4 { // the held one; 2+3,4+5; the large one alone; 12
			t.Errorf("%d executions", got)
		}
		if got := g.most.Load(); got != 6 {
			t.Errorf("largest batch %d", got)
		}
	})
}

func TestPoisonFailsItsCallerOnly(t *testing.T) {
	for name, poison := range map[string]int64{"error": 13, "panic": 14} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGate(double)
				b := batch.New(g, &batch.Options{Join: true, MaxRows: 64})
				var ins []*tensor.Batch
				for i := range int64(32) {
					ins = append(ins, rows(100+i))
				}
				ins[7] = rows(5, poison)
				errs, outs, finish := queueBehind(t, b, g, ins, contexts(t, len(ins)))
				finish()
				for i := range ins {
					if i == 7 {
						if !errors.Is(errs[i], map[string]error{"error": errPoison, "panic": batch.ErrPanic}[name]) {
							t.Errorf("poisoned caller got %v", errs[i])
						}
						continue
					}
					if errs[i] != nil {
						t.Errorf("caller %d: %v", i, errs[i])
						continue
					}
					check(t, ins[i], &outs[i])
				}
			})
		})
	}
}

func TestExpiredCallsAreNotExecuted(t *testing.T) {
	for mode, opts := range map[string]*batch.Options{"passing": {Slots: 1}, "joining": {Join: true}} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seen := atomic.Int64{}
				g := newGate(func(ctx context.Context, in *tensor.Batch, p map[string]any, out *tensor.Batch) error {
					seen.Add(int64(in.Rows))
					return double(ctx, in, p, out)
				})
				b := batch.New(g, opts)
				early, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				defer cancel()
				ins := []*tensor.Batch{rows(2), rows(3)}
				errs, _, finish := queueBehind(t, b, g, ins, []context.Context{early, t.Context()})
				time.Sleep(2 * time.Millisecond) // the synctest clock
				synctest.Wait()
				if b.Waiting() != 1 {
					t.Errorf("%d calls wait, the expired one should have left", b.Waiting())
				}
				finish()
				if !errors.Is(errs[0], context.DeadlineExceeded) || errs[1] != nil {
					t.Errorf("got %v", errs)
				}
				if seen.Load() != 2 { // the held one and the live one
					t.Errorf("%d rows executed", seen.Load())
				}
			})
		})
	}
}

func TestQueueIsBounded(t *testing.T) {
	for mode, opts := range map[string]*batch.Options{"passing": {Slots: 1, MaxQueue: 2}, "joining": {Join: true, MaxQueue: 2}} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGate(double)
				b := batch.New(g, opts)
				ins := []*tensor.Batch{rows(1), rows(2), rows(3)}
				errs, _, finish := queueBehind(t, b, g, ins, contexts(t, 3))
				if !errors.Is(errs[2], batch.ErrQueueFull) {
					t.Errorf("got %v", errs[2])
				}
				finish()
				if errs[0] != nil || errs[1] != nil {
					t.Errorf("got %v", errs)
				}
			})
		})
	}
}

func TestCallsWithParametersOrOtherShapesRunAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(func(ctx context.Context, in *tensor.Batch, p map[string]any, out *tensor.Batch) error {
			if (p != nil) != (in.Columns[0].Tensor.At(0) == 50) {
				t.Errorf("parameters %v with %v", p, in.Columns[0].Tensor.At(0))
			}
			return double(ctx, in, p, out)
		})
		b := batch.New(g, &batch.Options{Join: true})
		other := rows(4)
		other.Columns[0].Name = "z"
		ins := []*tensor.Batch{rows(2), other, rows(3)}
		var wg sync.WaitGroup
		errs, _, finish := queueBehind(t, b, g, ins, contexts(t, 3))
		wg.Go(func() {
			var out tensor.Batch
			if err := b.Predict(t.Context(), rows(50), map[string]any{"k": 1}, &out, nil); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		finish()
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
		if got := g.calls.Load(); got != 4 { // held; 2 with 3; z; the one with parameters
			t.Errorf("%d executions", got)
		}
	})
}

// A model that mixes rows, or answers another number of them, is not joined any more once that shows; nobody gets a wrong answer.
func TestModelThatIsNotRowWise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(func(_ context.Context, in *tensor.Batch, _ map[string]any, out *tensor.Batch) error {
			out.CopyFrom(rows(int64(in.Rows)))
			return nil
		})
		b := batch.New(g, &batch.Options{Join: true})
		ins := []*tensor.Batch{rows(2), rows(3), rows(4)}
		errs, outs, finish := queueBehind(t, b, g, ins, contexts(t, 3))
		finish()
		for i := range ins {
			if errs[i] != nil || outs[i].Columns[0].Tensor.At(0) != 1 {
				t.Errorf("caller %d: %v, %v", i, errs[i], outs[i].Columns[0].Tensor.At(0))
			}
		}
		if b.Joins() {
			t.Error("still joins")
		}
	})
}

func TestALoneCallerNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batch.New(predictor(double), &batch.Options{Join: true, MaxDelay: time.Hour})
		start := time.Now()
		for i := range int64(20) {
			var out tensor.Batch
			if err := b.Predict(t.Context(), rows(100+i), nil, &out, nil); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("waited %v", took)
		}
	})
}

// After a crowd has gone, a lone caller waits at most once for those who do not come.
func TestExpectationFallsWhenTheCrowdIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(double)
		b := batch.New(g, &batch.Options{Join: true, MaxDelay: time.Second})
		var ins []*tensor.Batch
		for i := range int64(32) {
			ins = append(ins, rows(100+i))
		}
		_, _, finish := queueBehind(t, b, g, ins, contexts(t, len(ins)))
		finish()
		start := time.Now()
		for i := range int64(10) {
			var out tensor.Batch
			if err := b.Predict(t.Context(), rows(i), nil, &out, nil); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("waited %v", took)
		}
	})
}

func TestTiming(t *testing.T) {
	for mode, opts := range map[string]*batch.Options{"passing": {Slots: 1}, "joining": {Join: true}} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := batch.New(predictor(func(ctx context.Context, in *tensor.Batch, p map[string]any, out *tensor.Batch) error {
					time.Sleep(time.Second)
					return double(ctx, in, p, out)
				}), opts)
				var wg sync.WaitGroup
				var timings [2]batch.Timing
				for i := range timings {
					wg.Go(func() {
						var out tensor.Batch
						if err := b.Predict(t.Context(), rows(1, 2), nil, &out, &timings[i]); err != nil {
							t.Error(err)
						}
					})
					synctest.Wait()
				}
				wg.Wait()
				if want := (batch.Timing{Execute: time.Second, BatchRows: 2}); timings[0] != want {
					t.Errorf("first: %+v", timings[0])
				}
				if want := (batch.Timing{Queue: time.Second, Execute: time.Second, BatchRows: 2}); timings[1] != want {
					t.Errorf("second: %+v", timings[1])
				}
			})
		})
	}
}

func TestCloseWaitsAndRefuses(t *testing.T) {
	for mode, opts := range map[string]*batch.Options{"passing": {Slots: 2}, "joining": {Join: true}} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGate(double)
				b := batch.New(g, opts)
				_, _, finish := queueBehind(t, b, g, nil, nil)
				short, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := b.Close(short); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("closed over a running call: %v", err)
				}
				var out tensor.Batch
				if err := b.Predict(t.Context(), rows(1), nil, &out, nil); !errors.Is(err, batch.ErrClosed) {
					t.Errorf("got %v", err)
				}
				finish()
				if err := b.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// costly answers double after a time that grows with a fixed and a per-row part.
func costly(fixed, perRow time.Duration) predictor {
	return func(ctx context.Context, in *tensor.Batch, p map[string]any, out *tensor.Batch) error {
		time.Sleep(fixed + time.Duration(in.Rows)*perRow)
		return double(ctx, in, p, out)
	}
}

// heldUp is p, but the first runs stand still for long, as on a busy machine.
func heldUp(p predictor) predictor {
	runs := 0
	return func(ctx context.Context, in *tensor.Batch, params map[string]any, out *tensor.Batch) error {
		if runs++; runs < 4 {
			time.Sleep(400 * time.Millisecond)
		}
		return p(ctx, in, params, out)
	}
}

func TestCalibrate(t *testing.T) {
	mix := func(_ context.Context, in *tensor.Batch, _ map[string]any, out *tensor.Batch) error {
		out.CopyFrom(in)
		v := tensor.Of[float64](&out.Columns[0].Tensor)
		v[0] += v[len(v)-1]
		time.Sleep(time.Millisecond)
		return nil
	}
	floats := new(tensor.Batch)
	floats.Reset(tensor.Table)
	floats.AddColumn("x").Reset(tensor.Float64, 1)
	floats.Rows = 1
	for _, tc := range []struct {
		name   string
		p      predictor
		sample *tensor.Batch
		join   bool
		reason string
	}{
		{"gains", costly(100*time.Microsecond, time.Microsecond), rows(1, 2), true, ""},
		{"cheap, and gains", costly(4*time.Microsecond, time.Microsecond), rows(1), true, ""},
		{"gains too little", costly(40*time.Microsecond, 100*time.Microsecond), rows(1), false, "32 rows cost"},
		{"linear", costly(0, 100*time.Microsecond), rows(1), false, "32 rows cost"},
		{"slow", costly(time.Second, 0), rows(1), false, "too much to measure"},
		{"gains, but was held up at first", heldUp(costly(100*time.Microsecond, time.Microsecond)), rows(1), true, ""},
		{"mixes rows", mix, floats, false, "not independent"},
		{"no rows", costly(0, 0), rows(), false, "no row axis"},
		{"one row at a time", func(ctx context.Context, in *tensor.Batch, p map[string]any, out *tensor.Batch) error {
			if in.Rows > 1 {
				return errors.New("too many")
			}
			return double(ctx, in, p, out)
		}, rows(1), false, "too many"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, err := batch.Calibrate(t.Context(), tc.p, tc.sample, nil, time.Second)
				if err != nil || c.Join != tc.join || !strings.Contains(c.Reason, tc.reason) {
					t.Errorf("got %+v, %v", c, err)
				}
			})
		})
	}
	if _, err := batch.Calibrate(t.Context(), predictor(double), rows(13), nil, time.Second); !errors.Is(err, errPoison) {
		t.Errorf("got %v", err)
	}
}

func TestPassingAllocatesNothing(t *testing.T) {
	b := batch.New(predictor(func(context.Context, *tensor.Batch, map[string]any, *tensor.Batch) error { return nil }), nil)
	in, out := rows(1), new(tensor.Batch)
	ctx := context.Background()
	var timing batch.Timing
	if n := testing.AllocsPerRun(200, func() { _ = b.Predict(ctx, in, nil, out, &timing) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkBatcher(b *testing.B) {
	for name, opts := range map[string]*batch.Options{"passing": nil, "joining": {Join: true}} {
		b.Run(name, func(b *testing.B) {
			p := batch.New(predictor(func(_ context.Context, in *tensor.Batch, _ map[string]any, out *tensor.Batch) error {
				return out.CopyRows(in, 0, in.Rows)
			}), opts)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				in, out := rows(1), new(tensor.Batch)
				for pb.Next() {
					if err := p.Predict(context.Background(), in, nil, out, nil); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
