package storetest

import (
	"fmt"
	"testing"

	"sluice/tracking"
)

// RunBenchmarks measures what clients do most, through the Service: a run with one metric, a batch of 1000 metrics, and a search
// over 1000 runs. newStore returns an empty store.
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
	b.Run("get run", func(b *testing.B) { benchGet(b, open(b)) })
	b.Run("search 100 of 1000", func(b *testing.B) { benchSearch(b, open(b)) })
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
