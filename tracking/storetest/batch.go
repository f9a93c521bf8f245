package storetest

import (
	"fmt"
	"strings"
	"sync"

	"sluice/tracking"
	"sluice/tracking/mlflow"
)

var batchCases = []testCase{
	{"everything in one go", func(f *fixture) {
		id := f.run("r")
		f.must(f.svc.LogBatch(f.ctx, id, tracking.Batch{
			Metrics: []tracking.Metric{{Key: "m", Value: 1, TimestampMS: 1, Step: 1}, {Key: "m", Value: 2, TimestampMS: 2, Step: 2}, {Key: "n", Value: 3}},
			Params:  []tracking.Param{{Key: "q", Value: "2"}, {Key: "p", Value: "1"}},
			Tags:    []tracking.Tag{{Key: "t", Value: "early"}, {Key: "t", Value: "late"}},
		}))
		r := f.get(id)
		equal(f, r.Data.Metrics, []tracking.Metric{{Key: "m", Value: 2, TimestampMS: 2, Step: 2}, {Key: "n", Value: 3}}, "latest")
		equal(f, r.Data.Params, []tracking.Param{{Key: "p", Value: "1"}, {Key: "q", Value: "2"}}, "params")
		equal(f, r.Data.Tags[1], tracking.Tag{Key: "t", Value: "late"}, "tag")
		equal(f, len(f.history(id, "m")), 2, "history")
	}},
	{"an empty batch is fine", func(f *fixture) { f.must(f.svc.LogBatch(f.ctx, f.run("r"), tracking.Batch{})) }},
	{"nothing of a refused batch stays", func(f *fixture) {
		id := f.run("r")
		f.must(f.svc.LogParam(f.ctx, id, tracking.Param{Key: "p", Value: "1"}))
		err := f.svc.LogBatch(f.ctx, id, tracking.Batch{
			Metrics: []tracking.Metric{{Key: "m", Value: 1}}, Params: []tracking.Param{{Key: "new", Value: "x"}, {Key: "p", Value: "2"}}, Tags: []tracking.Tag{{Key: "t"}},
		})
		f.refused(err, mlflow.InvalidParameterValue)
		if want := "Params were already logged='[{'key': 'p', 'old_value': '1', 'new_value': '2'}]' for run ID='" + id + "'."; !strings.Contains(err.Error(), want) {
			f.Fatalf("error = %v, want %q", err, want)
		}
		r := f.get(id)
		equal(f, []int{len(r.Data.Metrics), len(r.Data.Params), len(r.Data.Tags), len(f.history(id, "m"))}, []int{0, 1, 1, 0}, "what stands")
	}},
	{"params that stand are left alone", func(f *fixture) {
		id := f.run("r")
		b := tracking.Batch{Params: []tracking.Param{{Key: "a", Value: "1"}, {Key: "b", Value: ""}}}
		f.must(f.svc.LogBatch(f.ctx, id, b))
		b.Params = append(b.Params, tracking.Param{Key: "c", Value: "3"})
		f.must(f.svc.LogBatch(f.ctx, id, b))
		equal(f, len(f.get(id).Data.Params), 3, "params")
	}},
	{"a thousand metrics", func(f *fixture) {
		id := f.run("r")
		var b tracking.Batch
		for i := range mlflow.MaxMetricsPerBatch {
			b.Metrics = append(b.Metrics, tracking.Metric{Key: fmt.Sprintf("m%d", i%10), Value: float64(i), Step: int64(i)})
		}
		f.must(f.svc.LogBatch(f.ctx, id, b))
		f.must(f.svc.LogBatch(f.ctx, id, b)) // a retry is harmless
		equal(f, len(f.history(id, "m3")), 100, "history")
		m, _ := f.latest(id, "m3")
		equal(f, m.Value, 993.0, "latest")
	}},
	{"limits", func(f *fixture) {
		id := f.run("r")
		for _, b := range []tracking.Batch{
			{Metrics: make([]tracking.Metric, 1)},
			{Metrics: many(1001, func(i int) tracking.Metric { return tracking.Metric{Key: "m", Step: int64(i)} })},
			{Params: many(101, func(i int) tracking.Param { return tracking.Param{Key: fmt.Sprint(i)} })},
			{Tags: many(101, func(i int) tracking.Tag { return tracking.Tag{Key: fmt.Sprint(i)} })},
			{
				Metrics: many(950, func(i int) tracking.Metric { return tracking.Metric{Key: "m", Step: int64(i)} }),
				Tags:    many(51, func(i int) tracking.Tag { return tracking.Tag{Key: fmt.Sprint(i)} }),
			},
			{Params: []tracking.Param{{Key: "a", Value: "1"}, {Key: "a", Value: "1"}}},
			{Params: []tracking.Param{{Key: strings.Repeat("k", 251)}}},
		} {
			f.refused(f.svc.LogBatch(f.ctx, id, b), mlflow.InvalidParameterValue)
		}
		f.must(f.svc.LogBatch(f.ctx, id, tracking.Batch{
			Params: []tracking.Param{{Key: strings.Repeat("k", 250), Value: strings.Repeat("é", 7000)}}, Tags: []tracking.Tag{{Key: "t", Value: strings.Repeat("x", 9000)}},
		}))
		r := f.get(id)
		equal(f, []int{len([]rune(r.Data.Params[0].Value)), len(r.Data.Tags[1].Value)}, []int{6000, 8000}, "cut lengths")
	}},
	{"writers to one run all succeed", func(f *fixture) {
		id := f.run("r")
		const writers, each = 8, 5
		var wg sync.WaitGroup
		errs := make([]error, writers)
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					step := int64(w*each + i)
					err := f.svc.LogBatch(f.ctx, id, tracking.Batch{
						Metrics: []tracking.Metric{{Key: "a", Value: float64(step), TimestampMS: 1, Step: step}, {Key: fmt.Sprint("w", w), Value: 1, Step: step}},
						Params:  []tracking.Param{{Key: "shared", Value: "same"}},
						Tags:    []tracking.Tag{{Key: "last", Value: fmt.Sprint(w)}},
					})
					if err != nil {
						errs[w] = err
					}
				}
			})
		}
		wg.Wait()
		for _, err := range errs {
			f.must(err)
		}
		m, _ := f.latest(id, "a")
		equal(f, m.Step, int64(writers*each-1), "latest step")
		equal(f, len(f.history(id, "a")), writers*each, "history")
	}},
	{"sixty-four writers with permuted keys all succeed", func(f *fixture) {
		id := f.run("r")
		const writers, keys = 64, 20
		var wg sync.WaitGroup
		errs := make([]error, writers)
		for w := range writers {
			wg.Go(func() { errs[w] = f.svc.LogBatch(f.ctx, id, permuted(w, keys)) })
		}
		wg.Wait()
		for _, err := range errs {
			f.must(err)
		}
		r := f.get(id)
		equal(f, []int{len(r.Data.Metrics), len(r.Data.Params)}, []int{keys, keys}, "metrics and params")
		for _, m := range r.Data.Metrics {
			equal(f, []float64{m.Value, float64(m.Step)}, []float64{writers - 1, writers - 1}, "latest "+m.Key)
			equal(f, len(f.history(id, m.Key)), writers, "history of "+m.Key)
		}
	}},
	{"of two writers of one param one is told", func(f *fixture) {
		id := f.run("r")
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for i := range errs {
			wg.Go(func() { errs[i] = f.svc.LogParam(f.ctx, id, tracking.Param{Key: "p", Value: fmt.Sprint(i)}) })
		}
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			f.Fatalf("errors: %v", errs)
		}
	}},
}

// permuted is the batch of writer w: the same keys as every other's, from another one on and every second one backwards.
func permuted(w, keys int) tracking.Batch {
	var b tracking.Batch
	for i := range keys {
		k := (w*7 + i) % keys
		if w%2 == 1 {
			k = keys - 1 - k
		}
		b.Metrics = append(b.Metrics, tracking.Metric{Key: fmt.Sprint("m", k), Value: float64(w), TimestampMS: 1, Step: int64(w)})
		b.Params = append(b.Params, tracking.Param{Key: fmt.Sprint("p", k), Value: "same"})
		b.Tags = append(b.Tags, tracking.Tag{Key: fmt.Sprint("t", k), Value: fmt.Sprint(w)})
	}
	return b
}

func many[T any](n int, make func(i int) T) []T {
	out := []T{}
	for i := range n {
		out = append(out, make(i))
	}
	return out
}
