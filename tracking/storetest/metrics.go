package storetest

import (
	"fmt"
	"math"

	"sluice/tracking"
	"sluice/tracking/mlflow"
)

var metricCases = []testCase{
	{"steps, timestamps and values to the last bit", func(f *fixture) {
		id := f.run("r")
		want := []tracking.Metric{
			{Key: "m", Value: math.SmallestNonzeroFloat64, TimestampMS: 0, Step: math.MinInt64},
			{Key: "m", Value: 1.0 / 3, TimestampMS: 1<<53 + 1, Step: 1<<53 + 1},
			{Key: "m", Value: -math.MaxFloat64, TimestampMS: math.MaxInt64, Step: math.MaxInt64},
		}
		f.must(f.svc.LogBatch(f.ctx, id, tracking.Batch{Metrics: want}))
		equal(f, f.history(id, "m"), want, "history")
		m, _ := f.latest(id, "m")
		equal(f, m, want[2], "latest")
	}},
	{"the latest is by step, timestamp, value", func(f *fixture) {
		for i, c := range []struct {
			second [3]int64 // value, timestamp, step after {5, 5, 5}
			wins   bool
		}{
			{[3]int64{1, 1, 6}, true}, {[3]int64{9, 9, 4}, false}, {[3]int64{1, 6, 5}, true}, {[3]int64{9, 4, 5}, false},
			{[3]int64{6, 5, 5}, true}, {[3]int64{4, 5, 5}, false}, {[3]int64{9, 9, -1}, false},
		} {
			id, key := f.run("r"), fmt.Sprint("m", i)
			f.metric(id, key, 5, 5, 5)
			f.metric(id, key, float64(c.second[0]), c.second[1], c.second[2])
			m, _ := f.latest(id, key)
			equal(f, m.Value == float64(c.second[0]), c.wins, fmt.Sprint("latest is the second of ", c.second))
			both := f.run("r")
			f.must(f.svc.LogBatch(f.ctx, both, tracking.Batch{Metrics: []tracking.Metric{
				{Key: key, Value: 5, TimestampMS: 5, Step: 5}, {Key: key, Value: float64(c.second[0]), TimestampMS: c.second[1], Step: c.second[2]},
			}}))
			n, _ := f.latest(both, key)
			equal(f, n, m, "in one batch")
		}
	}},
	{"NaN and infinities", func(f *fixture) {
		id := f.run("r")
		for i, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64, -0.0, 1e-300} {
			key := fmt.Sprint("m", i)
			f.metric(id, key, v, 1, 0)
			m, _ := f.latest(id, key)
			if h := f.history(id, key); !sameValue(m.Value, v) || len(h) != 1 || !sameValue(h[0].Value, v) {
				f.Fatalf("%v came back as %v, history %v", v, m.Value, h)
			}
		}
	}},
	{"a NaN counts as 0 for the latest", func(f *fixture) {
		id := f.run("r")
		f.metric(id, "m", math.NaN(), 1, 1)
		f.metric(id, "m", -1, 1, 1)
		m, _ := f.latest(id, "m")
		equal(f, math.IsNaN(m.Value), true, "still NaN")
		f.metric(id, "m", 1, 1, 1)
		m, _ = f.latest(id, "m")
		equal(f, m.Value, 1.0, "latest")
	}},
	{"equal metrics are stored once", func(f *fixture) {
		id := f.run("r")
		for range 3 {
			f.metric(id, "m", 1, 2, 3)
			f.metric(id, "m", math.NaN(), 2, 3)
		}
		equal(f, len(f.history(id, "m")), 2, "history")
	}},
	{"history is by timestamp, step, value and pages", func(f *fixture) {
		id := f.run("r")
		for _, m := range [][3]int64{{3, 2, 0}, {1, 1, 5}, {2, 1, 4}, {1, 2, 0}, {0, 0, 9}} {
			f.metric(id, "m", float64(m[0]), m[1], m[2])
		}
		f.metric(id, "other", 1, 1, 1)
		var values []float64
		q := tracking.HistoryQuery{RunID: id, Key: "m", MaxResults: 2}
		for {
			page, err := f.svc.MetricHistory(f.ctx, q)
			f.must(err)
			for _, m := range page.Metrics {
				values = append(values, m.Value)
			}
			if q.PageToken = page.NextPageToken; q.PageToken == "" {
				break
			}
		}
		equal(f, values, []float64{0, 2, 1, 1, 3}, "values")
		equal(f, len(f.history(id, "m")), 5, "without paging")
		equal(f, len(f.history("nobody", "m")), 0, "of an unknown run")
		q.PageToken = "nonsense"
		_, err := f.svc.MetricHistory(f.ctx, q)
		f.refused(err, mlflow.InvalidParameterValue)
	}},
	{"histories of several runs", func(f *fixture) {
		a, b := f.run("a"), f.run("b")
		if a > b {
			a, b = b, a
		}
		for i := range int64(3) {
			f.metric(b, "m", float64(10+i), i, i)
			f.metric(a, "m", float64(i), 3-i, i)
		}
		got, err := f.svc.MetricHistoryBulk(f.ctx, []string{b, a, b, "nobody"}, "m", 5)
		f.must(err)
		var values []float64
		for _, m := range got {
			values = append(values, m.Value)
		}
		equal(f, values, []float64{2, 1, 0, 10, 11}, "values")
		equal(f, []string{got[0].RunID, got[4].RunID}, []string{a, b}, "runs")
		_, err = f.svc.MetricHistoryBulk(f.ctx, nil, "m", 5)
		f.refused(err, mlflow.InvalidParameterValue)
	}},
	{"samples are even and keep both ends", func(f *fixture) {
		id, few := f.run("many"), f.run("few")
		f.must(f.svc.LogBatch(f.ctx, id, tracking.Batch{Metrics: many(1000, func(i int) tracking.Metric { return tracking.Metric{Key: "m", Value: float64(i), Step: int64(i)} })}))
		f.metric(few, "m", 7, 1, 1)
		got, err := f.svc.MetricHistoryInterval(f.ctx, tracking.IntervalQuery{RunIDs: []string{id, few}, Key: "m", MaxResults: 11})
		f.must(err)
		equal(f, len(got), 12, "points")
		equal(f, []int64{got[0].Step, got[10].Step, got[11].Step}, []int64{0, 999, 1}, "ends")
		for i := range 9 {
			if gap := got[i+1].Step - got[i].Step; gap < 80 || gap > 100 {
				f.Fatalf("gap %d between points %d and %d", gap, i, i+1)
			}
		}
		from, to := int64(100), int64(102)
		got, err = f.svc.MetricHistoryInterval(f.ctx, tracking.IntervalQuery{RunIDs: []string{id, few}, Key: "m", StartStep: &from, EndStep: &to, MaxResults: 10})
		f.must(err)
		equal(f, len(got), 3, "points between bounds")
		got, err = f.svc.MetricHistoryInterval(f.ctx, tracking.IntervalQuery{RunIDs: []string{id}, Key: "m", MaxResults: 1})
		f.must(err)
		equal(f, []int64{int64(len(got)), got[0].Step}, []int64{1, 999}, "single point")
		_, err = f.svc.MetricHistoryInterval(f.ctx, tracking.IntervalQuery{RunIDs: []string{id}, Key: "m", StartStep: &to, EndStep: &from})
		f.refused(err, mlflow.InvalidParameterValue)
		_, err = f.svc.MetricHistoryInterval(f.ctx, tracking.IntervalQuery{RunIDs: []string{id}, Key: "m", StartStep: &to})
		f.refused(err, mlflow.InvalidParameterValue)
	}},
	{"many values on one step are sampled too", func(f *fixture) {
		id := f.run("r")
		f.must(f.svc.LogBatch(f.ctx, id, tracking.Batch{Metrics: many(500, func(i int) tracking.Metric {
			return tracking.Metric{Key: "m", Value: float64(i), TimestampMS: int64(i)}
		})}))
		got, err := f.svc.MetricHistoryInterval(f.ctx, tracking.IntervalQuery{RunIDs: []string{id}, Key: "m", MaxResults: 10})
		f.must(err)
		equal(f, len(got), 10, "points")
	}},
}
