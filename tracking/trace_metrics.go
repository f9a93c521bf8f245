package tracking

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sluice/tracking/filter"
	"sluice/tracking/mlflow"
)

// MetricView says over what sums are made.
type MetricView string

// The views.
const (
	TraceView      MetricView = "TRACES"
	SpanView       MetricView = "SPANS"
	AssessmentView MetricView = "ASSESSMENTS"
)

// Aggregation is one way to sum up a metric.
type Aggregation struct {
	Type       string   // COUNT, SUM, AVG, MIN, MAX or PERCENTILE
	Percentile *float64 // 0 … 100, with PERCENTILE only
}

// TraceMetricQuery asks for sums over traces, spans or assessments (source: query_trace_metrics in
// mlflow/store/tracking/utils/sql_trace_metrics_utils.py, MLflow 3.17).
type TraceMetricQuery struct {
	ExperimentIDs []string
	View          MetricView
	Metric        string // such as trace_count or latency
	Aggregations  []Aggregation
	Dimensions    []string // by which the sums are told apart
	Filters       []string // all of them hold; see filter.ParseEquality
	BucketSeconds int64    // > 0 tells the sums apart by time, too; then both ends must be given
	StartMS       *int64   // Unix milliseconds, inclusive; nil means no bound
	EndMS         *int64   // Unix milliseconds, inclusive; nil means no bound
	MaxResults    int      // 1 … MaxMetricPoints
}

// MaxMetricPoints is how many points one answer can have.
const MaxMetricPoints = 1000

// TraceMetricSearch is a TraceMetricQuery as a Store gets it: valid, its filters parsed.
type TraceMetricSearch struct {
	TraceMetricQuery
	Where []filter.Equality
}

// TraceMetricPoint is the sums for one combination of dimensions, by time bucket first and then by dimensions.
type TraceMetricPoint struct {
	BucketMS   int64     // start of the time bucket, Unix milliseconds; counts if the query asked for buckets
	Dimensions []string  // in the query's order
	Values     []float64 // in the order of the query's aggregations
}

// TraceMetricStore sums up traces.
type TraceMetricStore interface {
	// TraceMetrics returns points, none for what has no value. Percentiles are interpolated.
	TraceMetrics(ctx context.Context, q TraceMetricSearch) ([]TraceMetricPoint, error)
	// CountMatches counts the traces of experiments that match base, and those of them that match first, second and both.
	CountMatches(ctx context.Context, experimentIDs []string, base, first, second filter.Expr) (MatchCounts, error)
}

// metricRule is what a metric can be summed up by and told apart by.
type metricRule struct{ aggregations, dimensions string }

const (
	countOnly   = "COUNT"
	spread      = "AVG MAX MIN PERCENTILE"
	sumOrSpread = "AVG MAX MIN PERCENTILE SUM"
	models      = "span_model_name span_model_provider"
)

var metricRules = map[MetricView]map[string]metricRule{
	TraceView: {
		"trace_count": {countOnly, "trace_name trace_status"}, "session_count": {countOnly, ""}, "latency": {spread, "trace_name"},
		"input_tokens": {sumOrSpread, "trace_name"}, "output_tokens": {sumOrSpread, "trace_name"}, "total_tokens": {sumOrSpread, "trace_name"},
		"cache_read_input_tokens": {sumOrSpread, "trace_name"}, "cache_creation_input_tokens": {sumOrSpread, "trace_name"},
	},
	SpanView: {
		"span_count": {countOnly, models + " span_name span_status span_type"}, "latency": {spread, "span_name span_status"},
		"input_cost": {sumOrSpread, models}, "output_cost": {sumOrSpread, models}, "total_cost": {sumOrSpread, models},
	},
	AssessmentView: {
		"assessment_count": {countOnly, "assessment_name assessment_value"}, "assessment_value": {spread, "assessment_name"},
	},
}

// metricNames are the names of metricRules in MLflow's order.
var metricNames = map[MetricView]string{
	TraceView:      "trace_count session_count latency input_tokens output_tokens total_tokens cache_read_input_tokens cache_creation_input_tokens",
	SpanView:       "span_count latency input_cost output_cost total_cost",
	AssessmentView: "assessment_count assessment_value",
}

// pythonList writes names, with blanks between, as Python writes a list.
func pythonList(names string) string {
	return "['" + strings.Join(strings.Fields(names), "', '") + "']"
}

// TraceMetrics returns sums over the traces of experiments. Returns INVALID_PARAMETER_VALUE for a metric, an aggregation, a
// dimension or a filter that do not go together.
func (s *Service) TraceMetrics(ctx context.Context, q TraceMetricQuery) ([]TraceMetricPoint, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	search := TraceMetricSearch{TraceMetricQuery: q}
	for _, text := range q.Filters {
		e, err := filter.ParseEquality(text)
		if err != nil {
			return nil, err
		}
		if want := map[string]MetricView{"span": SpanView, "assessment": AssessmentView}[e.View]; want != "" && want != q.View {
			return nil, mlflow.Invalidf("Filtering by %s is only supported for %s view type, got %s", e.View, want, q.View)
		}
		search.Where = append(search.Where, e)
	}
	if len(q.ExperimentIDs) == 0 {
		return nil, nil
	}
	return s.store.TraceMetrics(ctx, search)
}

func (q TraceMetricQuery) check() error {
	rule, ok := metricRules[q.View][q.Metric]
	if !ok {
		return mlflow.Invalidf("metric_name must be one of %s, got '%s'", pythonList(metricNames[q.View]), mlflow.Truncate(q.Metric, 100))
	}
	types := make([]string, len(q.Aggregations))
	for i, a := range q.Aggregations {
		types[i] = a.Type
	}
	slices.Sort(types)
	if wrong := namesBeside(slices.Compact(types), rule.aggregations); wrong != "" {
		return mlflow.Invalidf("Found invalid aggregation_type(s): %s. Supported aggregation types: %s", wrong, pythonList(rule.aggregations))
	}
	for _, a := range q.Aggregations {
		if err := a.check(); err != nil {
			return err
		}
	}
	if wrong := namesBeside(q.Dimensions, rule.dimensions); wrong != "" {
		return mlflow.Invalidf("Found invalid dimension(s): %s. Supported dimensions: %s", wrong, pythonList(rule.dimensions))
	}
	switch {
	case len(q.Aggregations) == 0:
		return mlflow.MissingValue("aggregations")
	case len(q.Aggregations) > 100 || len(q.Filters) > 100:
		return mlflow.Invalidf("A request can have at most 100 aggregations and 100 filters.")
	case q.BucketSeconds < 0 || q.BucketSeconds > 1<<32:
		return mlflow.InvalidValue("time_interval_seconds", q.BucketSeconds, "")
	case q.BucketSeconds > 0 && (q.StartMS == nil || q.EndMS == nil):
		return mlflow.Invalidf("start_time_ms and end_time_ms are required if time_interval_seconds is set")
	case q.MaxResults < 1 || q.MaxResults > MaxMetricPoints:
		return mlflow.InvalidValue("max_results", q.MaxResults, "")
	}
	return checkExperimentCount(q.ExperimentIDs)
}

// namesBeside lists in Python's words, sorted, which names are not among the allowed ones, or are there twice; "" if none.
func namesBeside(names []string, allowed string) string {
	left, wrong := strings.Fields(allowed), []string{}
	for _, name := range names {
		if at := slices.Index(left, name); at >= 0 {
			left = slices.Delete(left, at, at+1)
		} else {
			wrong = append(wrong, mlflow.Truncate(name, 100))
		}
	}
	if len(wrong) == 0 {
		return ""
	}
	slices.Sort(wrong)
	return "['" + strings.Join(slices.Compact(wrong), "', '") + "']"
}

func (a Aggregation) check() error {
	switch {
	case a.Type != "PERCENTILE" && a.Percentile != nil:
		return mlflow.Invalidf("Percentile value is only allowed for PERCENTILE aggregation type, got %s", a.Type)
	case a.Type != "PERCENTILE":
		return nil
	case a.Percentile == nil:
		return mlflow.Invalidf("Percentile value is required for PERCENTILE aggregation")
	case !(*a.Percentile >= 0 && *a.Percentile <= 100):
		return mlflow.Invalidf("Percentile value must be between 0 and 100, got %s", fmt.Sprint(*a.Percentile))
	}
	return nil
}
