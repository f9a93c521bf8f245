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

// crowd keeps that many callers asking b until the context ends, and counts the answers.
func crowd(ctx context.Context, wg *sync.WaitGroup, b *batch.Batcher, callers int, answers *atomic.Int64) {
	for range callers {
		wg.Go(func() {
			in, out := rows(1), new(tensor.Batch)
			for b.Predict(ctx, in, nil, out, nil) == nil {
				answers.Add(1)
			}
		})
	}
}

// A light model beside a heavy one under full load answers nearly as fast as alone, however long the heavy one's runs are. The clock is the
// test's: it counts waiting for tokens, and nothing else.
func TestAHeavyModelDoesNotStarveALightOne(t *testing.T) {
	for mode, join := range map[string]bool{"passing": false, "joining": true} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tokens := batch.NewTokens(2)
				heavy := batch.New(costly(50*time.Millisecond, 0), &batch.Options{Tokens: tokens, Slots: 2, Join: join, MaxRows: 1})
				light := batch.New(costly(time.Millisecond, 0), &batch.Options{Tokens: tokens, Slots: 2})
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				var answers atomic.Int64
				crowd(ctx, &wg, heavy, 16, &answers)
				time.Sleep(time.Second)
				var took []time.Duration
				for range 200 {
					start := time.Now()
					var out tensor.Batch
					if err := light.Predict(t.Context(), rows(1), nil, &out, nil); err != nil {
						t.Fatal(err)
					}
					took = append(took, time.Since(start))
					time.Sleep(7 * time.Millisecond)
				}
				slices.Sort(took)
				if p50, p99 := took[len(took)/2], took[len(took)*99/100]; p50 > time.Millisecond || p99 > 2*time.Millisecond {
					t.Errorf("p50 %v and p99 %v beside a heavy model, 1 ms alone", p50, p99)
				}
				if n := answers.Load(); n < 2*20+40 { // two processors' worth in the second alone, and at least one afterwards
					t.Errorf("the heavy model had %d answers", n)
				}
				cancel()
				wg.Wait()
			})
		})
	}
}

// Models under full load have equal shares of the processors, whatever their runs cost, and a model alone has all.
func TestTokensAreDividedEvenly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens := batch.NewTokens(4)
		costs := []time.Duration{time.Millisecond, 3 * time.Millisecond, 10 * time.Millisecond, 30 * time.Millisecond}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		answers := make([]atomic.Int64, len(costs))
		var running, most atomic.Int64
		for i, cost := range costs {
			b := batch.New(predictor(func(ctx context.Context, in *tensor.Batch, p map[string]any, out *tensor.Batch) error {
				most.Store(max(most.Load(), running.Add(1)))
				defer running.Add(-1)
				return costly(cost, 0)(ctx, in, p, out)
			}), &batch.Options{Tokens: tokens, Slots: 4})
			crowd(ctx, &wg, b, 8, &answers[i])
		}
		wg.Wait()
		for i, cost := range costs {
			if busy := time.Duration(answers[i].Load()) * cost; busy < 8*time.Second {
				t.Errorf("the model with runs of %v had %v of 10 s", cost, busy)
			}
		}
		if most.Load() > 8 {
			t.Errorf("%d runs at once with 4 tokens", most.Load())
		}
		alone, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var n atomic.Int64
		crowd(alone, &wg, batch.New(costly(10*time.Millisecond, 0), &batch.Options{Tokens: tokens, Slots: 4}), 8, &n)
		wg.Wait()
		if n.Load() < 390 {
			t.Errorf("a model alone had %d runs of 10 ms in a second on 4 processors", n.Load())
		}
	})
}

// More models than processors: runs at once stay bounded by twice the tokens, and nobody is left out.
func TestManyModelsShareFewTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens := batch.NewTokens(2)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		answers := make([]atomic.Int64, 20)
		for i := range answers {
			b := batch.New(costly(time.Millisecond, 0), &batch.Options{Tokens: tokens, Slots: 2, Threads: 1 + i%3})
			crowd(ctx, &wg, b, 4, &answers[i])
		}
		for range 50 {
			time.Sleep(100 * time.Millisecond)
			if n := tokens.Out(); n > 4 {
				t.Errorf("%d tokens out", n)
			}
		}
		wg.Wait()
		least, most := answers[0].Load(), answers[0].Load()
		for i := range answers {
			least, most = min(least, answers[i].Load()), max(most, answers[i].Load())
		}
		if least < most*8/10 {
			t.Errorf("%d to %d answers", least, most)
		}
		if n := tokens.Out(); n != 0 {
			t.Errorf("%d tokens lost", n)
		}
	})
}

// Callers come and go, give up and are refused, and models close under them: no token is lost and nobody hangs.
func TestTokensAreNeverLost(t *testing.T) {
	tokens := batch.NewTokens(2)
	for round := range 5 {
		var wg sync.WaitGroup
		var all []*batch.Batcher
		for g := range uint64(6) {
			b := batch.New(predictor(double), &batch.Options{Tokens: tokens, Slots: 2, Join: g%2 == 0, MaxRows: 4, MaxQueue: 8, Threads: 1 + int(g)%2})
			all = append(all, b)
			for c := range uint64(8) {
				wg.Go(func() {
					r := rand.New(rand.NewPCG(g, c+uint64(round)))
					for range 50 {
						ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(200))*time.Microsecond)
						in, out := rows(100+r.Int64N(50)), new(tensor.Batch)
						err := b.Predict(ctx, in, nil, out, nil)
						cancel()
						if err == nil {
							check(t, in, out)
						} else if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, batch.ErrQueueFull) && !errors.Is(err, batch.ErrClosed) {
							t.Error(err)
						}
					}
				})
			}
		}
		for _, b := range all[:3] {
			if err := b.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		wg.Wait()
		if n := tokens.Out(); n != 0 {
			t.Fatalf("%d tokens lost", n)
		}
	}
}

func BenchmarkTokens(b *testing.B) {
	tokens := batch.NewTokens(2)
	p := predictor(func(context.Context, *tensor.Batch, map[string]any, *tensor.Batch) error { return nil })
	one := batch.New(p, &batch.Options{Tokens: tokens})
	in, out := rows(1), new(tensor.Batch)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		_ = one.Predict(ctx, in, nil, out, nil)
	}
}
