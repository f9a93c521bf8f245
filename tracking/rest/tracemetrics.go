package rest

import (
	"context"
	"time"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking"
	"sluice/tracking/wire"
)

func (a *API) traceMetricRoutes() []wire.Route {
	return wire.API("3.0", fiber.MethodPost, "/traces/metrics", wire.Read, "tracking.trace.metrics", call(a, a.traceMetrics))
}

type traceMetricsRequest struct {
	ExperimentIDs []string          `json:"experiment_ids" wire:"required"`
	View          string            `json:"view_type" wire:"required" enum:"TRACES,SPANS,ASSESSMENTS"`
	Metric        string            `json:"metric_name" wire:"required"`
	Aggregations  []aggregationJSON `json:"aggregations" wire:"required"`
	Dimensions    []string          `json:"dimensions"`
	Filters       []string          `json:"filters"`
	Bucket        int64             `json:"time_interval_seconds"`
	StartMS       *int64            `json:"start_time_ms"`
	EndMS         *int64            `json:"end_time_ms"`
	MaxResults    *int32            `json:"max_results"`
	PageToken     string            `json:"page_token"` // answers are never paged, so there is none to give
}

type aggregationJSON struct {
	Type       string   `json:"aggregation_type" enum:"COUNT,SUM,AVG,PERCENTILE,MIN,MAX"`
	Percentile *float64 `json:"percentile_value"`
}

// name is how the values of an aggregation are called in answers.
func (j aggregationJSON) name() string {
	if j.Percentile != nil {
		return "P" + wire.PythonFloat(*j.Percentile)
	}
	return j.Type
}

type traceMetricsAnswer struct {
	Points []pointJSON `json:"data_points,omitempty"`
}

type pointJSON struct {
	Metric     string                `json:"metric_name"`
	Dimensions map[string]string     `json:"dimensions,omitempty"`
	Values     map[string]wire.Float `json:"values"`
}

func (a *API) traceMetrics(ctx context.Context, q *traceMetricsRequest) (any, error) {
	query := tracking.TraceMetricQuery{
		ExperimentIDs: q.ExperimentIDs, View: tracking.MetricView(q.View), Metric: q.Metric, Dimensions: q.Dimensions, Filters: q.Filters,
		BucketSeconds: q.Bucket, StartMS: q.StartMS, EndMS: q.EndMS, MaxResults: tracking.MaxMetricPoints,
	}
	if q.MaxResults != nil {
		query.MaxResults = int(*q.MaxResults)
	}
	for _, j := range q.Aggregations {
		query.Aggregations = append(query.Aggregations, tracking.Aggregation(j))
	}
	points, err := a.tracking.TraceMetrics(ctx, query)
	var answer traceMetricsAnswer
	for _, p := range points {
		answer.Points = append(answer.Points, q.point(p))
	}
	return answer, err
}

// bucketLabel is the dimension that tells the start of a time bucket.
const bucketLabel = "time_bucket"

func (q *traceMetricsRequest) point(p tracking.TraceMetricPoint) pointJSON {
	j := pointJSON{Metric: q.Metric, Dimensions: map[string]string{}, Values: map[string]wire.Float{}}
	for i, d := range q.Dimensions {
		j.Dimensions[d] = p.Dimensions[i]
	}
	if q.Bucket > 0 {
		j.Dimensions[bucketLabel] = time.UnixMilli(p.BucketMS).UTC().Format("2006-01-02T15:04:05+00:00")
	}
	for i, a := range q.Aggregations {
		j.Values[a.name()] = wire.Float(p.Values[i])
	}
	return j
}
