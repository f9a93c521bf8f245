package storetest

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"sluice/tracking"
)

// RunBenchmarks measures what clients do most, through the Service: a run with one metric, a batch of 1000 metrics by one writer and by
// eight, searches over 1000 runs and over runs of 200 metrics, and a page of a history. newStore returns an empty store.
func RunBenchmarks(b *testing.B, newStore func(b *testing.B) tracking.Store) {
	open := func(b *testing.B) *tracking.Service {
		svc, err := tracking.New(newStore(b), nil)
		if err == nil {
			err = svc.EnsureDefaultExperiment(b.Context())
		}
		if err != nil {
			b.Fatal(err)
		}
		return svc
	}
	b.Run("create run and log metric", func(b *testing.B) { benchRun(b, open(b)) })
	b.Run("log batch of 1000", func(b *testing.B) { benchBatch(b, open(b)) })
	b.Run("log batch of 1000 by 8 writers", func(b *testing.B) { benchWriters(b, open(b)) })
	b.Run("get run", func(b *testing.B) { benchGet(b, open(b)) })
	b.Run("search 100 of 1000", func(b *testing.B) { benchSearch(b, open(b)) })
	b.Run("search 100 of 200 metrics", func(b *testing.B) { benchWide(b, open(b)) })
	b.Run("history page of 25000", func(b *testing.B) { benchHistory(b, open(b)) })
}

func benchRun(b *testing.B, svc *tracking.Service) {
	b.ReportAllocs()
	for b.Loop() {
		r, err := svc.CreateRun(b.Context(), tracking.RunSpec{ExperimentID: "0", Name: "bench"})
		if err == nil {
			err = svc.LogMetric(b.Context(), r.Info.ID, tracking.Metric{Key: "m", Value: 1})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func benchBatch(b *testing.B, svc *tracking.Service) {
	r, err := svc.CreateRun(b.Context(), tracking.RunSpec{ExperimentID: "0"})
	if err != nil {
		b.Fatal(err)
	}
	metrics := make([]tracking.Metric, 1000)
	step := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		for i := range metrics {
			step++
			metrics[i] = tracking.Metric{Key: fmt.Sprint("m", i%20), Value: float64(step), TimestampMS: step, Step: step}
		}
		if err := svc.LogBatch(b.Context(), r.Info.ID, tracking.Batch{Metrics: metrics}); err != nil {
			b.Fatal(err)
		}
	}
}

// fill makes n runs of ten metrics, ten params and five tags and returns the last id.
func fill(b *testing.B, svc *tracking.Service, n int) string {
	var id string
	for i := range n {
		r, err := svc.CreateRun(b.Context(), tracking.RunSpec{ExperimentID: "0", StartTimeMS: int64(i)})
		if err != nil {
			b.Fatal(err)
		}
		id = r.Info.ID
		var batch tracking.Batch
		for j := range 10 {
			batch.Metrics = append(batch.Metrics, tracking.Metric{Key: fmt.Sprint("m", j), Value: float64(i)})
			batch.Params = append(batch.Params, tracking.Param{Key: fmt.Sprint("p", j), Value: fmt.Sprint(i)})
		}
		for j := range 5 {
			batch.Tags = append(batch.Tags, tracking.Tag{Key: fmt.Sprint("t", j), Value: fmt.Sprint(i)})
		}
		if err := svc.LogBatch(b.Context(), id, batch); err != nil {
			b.Fatal(err)
		}
	}
	return id
}

func benchGet(b *testing.B, svc *tracking.Service) {
	id := fill(b, svc, 100)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := svc.Run(b.Context(), id); err != nil {
			b.Fatal(err)
		}
	}
}

func benchSearch(b *testing.B, svc *tracking.Service) {
	fill(b, svc, 1000)
	q := tracking.RunQuery{ExperimentIDs: []string{"0"}, Filter: "metrics.m1 > 10 AND params.p2 != '77'", OrderBy: []string{"metrics.m3 DESC"}, MaxResults: 100}
	b.ReportAllocs()
	for b.Loop() {
		page, err := svc.SearchRuns(b.Context(), q)
		if err != nil || len(page.Runs) != 100 {
			b.Fatal(len(page.Runs), err)
		}
	}
}

// benchWriters has eight writers at once, each batch a run of its own with the times of one second, as training loops do.
func benchWriters(b *testing.B, svc *tracking.Service) {
	var n atomic.Int64
	b.SetParallelism(max(1, 8/runtime.GOMAXPROCS(0)))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		metrics := make([]tracking.Metric, 1000)
		for pb.Next() {
			at := n.Add(1) * 10
			for i := range metrics {
				metrics[i] = tracking.Metric{Key: "loss", Value: float64(i), TimestampMS: at + int64(i), Step: int64(i)}
			}
			r, err := svc.CreateRun(b.Context(), tracking.RunSpec{ExperimentID: "0"})
			if err == nil {
				err = svc.LogBatch(b.Context(), r.Info.ID, tracking.Batch{Metrics: metrics})
			}
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// benchWide reads a page of 100 runs with 200 metrics each.
func benchWide(b *testing.B, svc *tracking.Service) {
	metrics := make([]tracking.Metric, 200)
	for i := range 100 {
		r, err := svc.CreateRun(b.Context(), tracking.RunSpec{ExperimentID: "0"})
		for k := range metrics {
			metrics[k] = tracking.Metric{Key: fmt.Sprintf("metric_%03d", k), Value: float64(i*k) / 7, TimestampMS: int64(1_700_000_000_000 + i), Step: int64(i)}
		}
		if err == nil {
			err = svc.LogBatch(b.Context(), r.Info.ID, tracking.Batch{Metrics: metrics})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		page, err := svc.SearchRuns(b.Context(), tracking.RunQuery{ExperimentIDs: []string{"0"}, OrderBy: []string{"metrics.metric_150 DESC"}, MaxResults: 100})
		if err != nil || len(page.Runs) != 100 {
			b.Fatal(len(page.Runs), err)
		}
	}
}

func benchHistory(b *testing.B, svc *tracking.Service) {
	r, err := svc.CreateRun(b.Context(), tracking.RunSpec{ExperimentID: "0"})
	if err != nil {
		b.Fatal(err)
	}
	metrics := make([]tracking.Metric, 1000)
	for batch := range 25 {
		for i := range metrics {
			step := int64(batch*len(metrics) + i)
			metrics[i] = tracking.Metric{Key: "loss", Value: float64(step) / 1000, TimestampMS: 1_700_000_000_000 + step, Step: step}
		}
		if err := svc.LogBatch(b.Context(), r.Info.ID, tracking.Batch{Metrics: metrics}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		page, err := svc.MetricHistory(b.Context(), tracking.HistoryQuery{RunID: r.Info.ID, Key: "loss", MaxResults: 25_000})
		if err != nil || len(page.Metrics) != 25_000 {
			b.Fatal(len(page.Metrics), err)
		}
	}
}
