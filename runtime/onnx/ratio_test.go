package onnx_test

import (
	"context"
	"math"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"sluice/runtime/batch"
	"sluice/runtime/servable"
	"sluice/runtime/tensor"
)

// BenchmarkOverRaw reports what a single-row prediction costs over the bound session's own run. The three are interleaved in blocks of
// 100 and the fastest block of each counts, so that a busy machine disturbs them alike: ns/raw, and predict/raw, handle/raw as ratios.
func BenchmarkOverRaw(b *testing.B) {
	m := manager(b, nil)
	id := ids("wine")[0]
	m.Aspire(ids("wine"))
	if err := m.WaitReady(b.Context(), id); err != nil {
		b.Fatal(err)
	}
	h, err := m.Acquire(id)
	if err != nil {
		b.Fatal(err)
	}
	defer h.Release()
	backend := load(b, "wine")
	raw, err := backend.Raw(1)
	if err != nil {
		b.Fatal(err)
	}
	defer raw.Close()
	all, _, _ := wineRows(b)
	var in, out tensor.Batch
	if err := in.CopyRows(all, 0, 1); err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	ways := []func() error{
		raw.Once,
		func() error { return backend.Predict(ctx, &in, nil, &out) },
		func() error { return h.Predict(ctx, &in, nil, &out, nil) },
	}
	best := []float64{math.Inf(1), math.Inf(1), math.Inf(1)}
	b.ReportAllocs()
	for b.Loop() {
		for i, way := range ways {
			start := time.Now()
			for range 100 {
				if err := way(); err != nil {
					b.Fatal(err)
				}
			}
			best[i] = min(best[i], float64(time.Since(start))/100)
		}
	}
	b.ReportMetric(best[0], "ns/raw")
	b.ReportMetric(best[1]/best[0], "predict/raw")
	b.ReportMetric(best[2]/best[0], "handle/raw")
}

// BenchmarkJoining compares 64 concurrent callers of a model that gains from batching, joined and passed through.
func BenchmarkJoining(b *testing.B) {
	for name, mode := range map[string]servable.Joining{"joined": servable.JoinAlways, "passed": servable.JoinNever, "measured": servable.JoinMeasured} {
		b.Run(name, func(b *testing.B) {
			m := manager(b, &servable.Options{Joining: mode})
			id := ids("mlp")[0]
			m.Aspire(ids("mlp"))
			if err := m.WaitReady(b.Context(), id); err != nil {
				b.Fatal(err)
			}
			h, err := m.Acquire(id)
			if err != nil {
				b.Fatal(err)
			}
			defer h.Release()
			b.ReportAllocs()
			var rows, calls atomic.Int64
			b.SetParallelism(64 / runtime.GOMAXPROCS(0))
			b.RunParallel(func(pb *testing.PB) {
				in, out := batchOf(tensor.Bare, "", shaped(tensor.Float32, make([]float32, 784), 1, 784)), new(tensor.Batch)
				var timing batch.Timing
				for pb.Next() {
					if err := h.Predict(context.Background(), in, nil, out, &timing); err != nil {
						b.Error(err)
						return
					}
					rows.Add(int64(timing.BatchRows))
					calls.Add(1)
				}
			})
			b.ReportMetric(float64(rows.Load())/float64(max(calls.Load(), 1)), "rows/batch")
			b.ReportMetric(map[bool]float64{true: 1}[h.Joins()], "joins")
		})
	}
}
