package storetest

import (
	"fmt"
	"strings"

	"sluice/tracking"
	"sluice/tracking/mlflow"
)

// sums asks for sums over the default experiment and writes the points as "dimensions: values".
func (f *fixture) sums(q tracking.TraceMetricQuery) string {
	f.Helper()
	q.ExperimentIDs, q.MaxResults = []string{"0"}, max(q.MaxResults, 10)
	points, err := f.svc.TraceMetrics(f.ctx, q)
	if err != nil {
		f.Fatalf("%+v: %v", q, err)
	}
	var out []string
	for _, p := range points {
		out = append(out, strings.TrimSpace(fmt.Sprint(p.BucketMS, p.Dimensions, p.Values)))
	}
	return strings.Join(out, "; ")
}

var traceMetricCases = []testCase{
	{"counts, sums and percentiles", func(f *fixture) {
		searchTraces(f)
		count := []tracking.Aggregation{{Type: "COUNT"}}
		percentile := func(p float64) tracking.Aggregation { return tracking.Aggregation{Type: "PERCENTILE", Percentile: &p} }
		start, end := int64(0), int64(2500)
		for _, c := range []struct {
			q    tracking.TraceMetricQuery
			want string
		}{
			{tracking.TraceMetricQuery{View: "TRACES", Metric: "trace_count", Aggregations: count}, "0 [] [3]"},
			{tracking.TraceMetricQuery{View: "TRACES", Metric: "trace_count", Aggregations: count, Dimensions: []string{"trace_status"}}, "0 [ERROR] [1]; 0 [OK] [2]"},
			{tracking.TraceMetricQuery{View: "TRACES", Metric: "trace_count", Aggregations: count, BucketSeconds: 2, StartMS: &start, EndMS: &end}, "0 [] [1]; 2000 [] [1]"},
			{tracking.TraceMetricQuery{View: "TRACES", Metric: "trace_count", Aggregations: count, Filters: []string{"trace.status = 'none'"}}, "0 [] [0]"},
			{tracking.TraceMetricQuery{View: "TRACES", Metric: "session_count", Aggregations: count}, "0 [] [1]"},
			{
				tracking.TraceMetricQuery{View: "TRACES", Metric: "latency", Aggregations: []tracking.Aggregation{{Type: "MIN"}, {Type: "MAX"}, percentile(50), percentile(75)}},
				"0 [] [100 8000 200 4100]",
			},
			{tracking.TraceMetricQuery{View: "TRACES", Metric: "total_tokens", Aggregations: []tracking.Aggregation{{Type: "SUM"}}}, ""},
			{
				tracking.TraceMetricQuery{View: "SPANS", Metric: "latency", Aggregations: []tracking.Aggregation{percentile(100)}, Dimensions: []string{"span_status"}, BucketSeconds: 1, StartMS: &start, EndMS: &end},
				"1000 [ERROR] [8000]; 2000 [OK] [100]",
			},
			{tracking.TraceMetricQuery{View: "SPANS", Metric: "span_count", Aggregations: count, Dimensions: []string{"span_type"}, Filters: []string{"trace.status = 'ERROR'"}}, "0 [CHAIN] [1]; 0 [RETRIEVER] [1]"},
			{tracking.TraceMetricQuery{View: "ASSESSMENTS", Metric: "assessment_value", Aggregations: []tracking.Aggregation{{Type: "AVG"}}, Dimensions: []string{"assessment_name"}}, "0 [polite] [1]; 0 [quality] [0.9]; 0 [session] [1]"},
			{tracking.TraceMetricQuery{View: "ASSESSMENTS", Metric: "assessment_count", Aggregations: count, Filters: []string{"assessment.type = 'expectation'", "assessment.name = 'want'"}}, "0 [] [1]"},
		} {
			equal(f, f.sums(c.q), c.want, fmt.Sprintf("%+v", c.q))
		}
	}},
	{"filters that match together", func(f *fixture) {
		searchTraces(f)
		for _, c := range []struct{ first, second, base, want string }{
			{"trace.status = 'OK'", "span.type = 'RETRIEVER'", "", "{3 2 1 0} -1"},
			{"trace.status = 'ERROR'", "span.type = 'RETRIEVER'", "", "{3 1 1 1} 1"},
			{"trace.status = 'OK'", "timestamp_ms >= 0", "", "{3 2 3 2} 0"},
			{"trace.status = 'OK'", "timestamp_ms >= 0", "trace.status = 'OK'", "{2 2 2 2} 1"},
			{"trace.status = 'OK'", "tag.none = 'x'", "", "{3 2 0 0} NaN"},
			{"trace.status = 'OK'", "timestamp_ms >= 0", "tag.none = 'x'", "{0 0 0 0} NaN"},
		} {
			got, err := f.svc.CorrelateTraces(f.ctx, tracking.TraceCorrelationQuery{ExperimentIDs: []string{"0"}, First: c.first, Second: c.second, Base: c.base})
			if err != nil {
				f.Fatalf("%+v: %v", c, err)
			}
			equal(f, fmt.Sprint(got.MatchCounts, " ", got.NPMI), c.want, fmt.Sprintf("%+v", c))
		}
		_, err := f.svc.CorrelateTraces(f.ctx, tracking.TraceCorrelationQuery{ExperimentIDs: []string{"0"}, First: "trace.status", Second: "trace.status = 'OK'"})
		f.refused(err, mlflow.InvalidParameterValue)
	}},
	{"questions that are refused", func(f *fixture) {
		count, over := []tracking.Aggregation{{Type: "COUNT"}}, 101.0
		for _, q := range []tracking.TraceMetricQuery{
			{View: "NONE", Metric: "trace_count", Aggregations: count}, {View: "TRACES", Metric: "span_count", Aggregations: count}, {View: "TRACES", Metric: "trace_count"},
			{View: "TRACES", Metric: "latency", Aggregations: count}, {View: "TRACES", Metric: "latency", Aggregations: []tracking.Aggregation{{Type: "PERCENTILE"}}},
			{View: "TRACES", Metric: "latency", Aggregations: []tracking.Aggregation{{Type: "PERCENTILE", Percentile: &over}}},
			{View: "TRACES", Metric: "trace_count", Aggregations: count, Dimensions: []string{"span_name"}},
			{View: "TRACES", Metric: "trace_count", Aggregations: count, Filters: []string{"span.name = 'x'"}},
			{View: "TRACES", Metric: "trace_count", Aggregations: count, Filters: []string{"trace.status != 'x'"}},
			{View: "TRACES", Metric: "trace_count", Aggregations: count, Filters: []string{"trace.tag = 'x'"}},
			{View: "TRACES", Metric: "trace_count", Aggregations: count, Filters: []string{"status = 'x'"}},
			{View: "TRACES", Metric: "trace_count", Aggregations: count, BucketSeconds: 5},
		} {
			q.ExperimentIDs, q.MaxResults = []string{"0"}, 10
			_, err := f.svc.TraceMetrics(f.ctx, q)
			f.refused(err, mlflow.InvalidParameterValue)
		}
		_, err := f.svc.TraceMetrics(f.ctx, tracking.TraceMetricQuery{View: "TRACES", Metric: "trace_count", Aggregations: []tracking.Aggregation{{Type: "MIN"}, {Type: "AVG"}, {Type: "MIN"}}})
		equal(f, err.Error(), "INVALID_PARAMETER_VALUE: Found invalid aggregation_type(s): ['AVG', 'MIN']. Supported aggregation types: ['COUNT']", "all that are wrong")
	}},
}
