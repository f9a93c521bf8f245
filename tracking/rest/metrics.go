package rest

import (
	"context"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

func (a *API) metricRoutes() []wire.Route {
	const bulk, sample = "/ajax-api/2.0/mlflow/metrics/get-history-bulk", "/metrics/get-history-bulk-interval"
	return rows(
		get("/metrics/get-history", "tracking.metric.history", call(a, a.metricHistory)),
		[]wire.Route{{Method: fiber.MethodGet, Path: bulk, Permission: wire.Read, Audit: "tracking.metric.history", Handler: call(a, a.metricHistoryBulk)}},
		get(sample, "tracking.metric.history", call(a, a.metricHistoryInterval)),
	)
}

type metricsAnswer struct {
	Metrics       []metricJSON `json:"metrics,omitempty"`
	NextPageToken string       `json:"next_page_token,omitempty"`
}

type metricHistoryRequest struct {
	RunID      string `json:"run_id" wire:"required,alias=run_uuid"`
	Key        string `json:"metric_key" wire:"required"`
	PageToken  string `json:"page_token"`
	MaxResults *int32 `json:"max_results"`
}

func (a *API) metricHistory(ctx context.Context, q *metricHistoryRequest) (any, error) {
	limit := 0
	if q.MaxResults != nil {
		limit = int(*q.MaxResults)
		if limit <= 0 {
			return nil, mlflow.Invalidf("Invalid value %d for parameter 'max_results' supplied. It must be a positive integer.", limit)
		}
	}
	page, err := a.tracking.MetricHistory(ctx, tracking.HistoryQuery{RunID: q.RunID, Key: q.Key, MaxResults: limit, PageToken: q.PageToken})
	return historyAnswer{page.Metrics, page.NextPageToken}, err
}

type metricHistoryBulkRequest struct {
	RunIDs     []string `json:"run_id"`
	Key        *string  `json:"metric_key"`
	MaxResults *int64   `json:"max_results"`
}

// bulkMetricJSON is the plain object that this one call answers instead of a message.
type bulkMetricJSON struct {
	Key         string     `json:"key"`
	Value       wire.Float `json:"value"`
	TimestampMS int64      `json:"timestamp"`
	Step        int64      `json:"step"`
	RunID       string     `json:"run_id"`
}

func (a *API) metricHistoryBulk(ctx context.Context, q *metricHistoryBulkRequest) (any, error) {
	limit := mlflow.MetricHistoryBulkMax
	switch {
	case len(q.RunIDs) > 0 && len(q.RunIDs) <= mlflow.MetricHistoryBulkRuns && q.Key == nil:
		return nil, mlflow.Invalidf("GetMetricHistoryBulk request must specify a metric_key.")
	case q.Key == nil:
		q.Key = new(string)
	}
	if q.MaxResults != nil {
		limit = int(*q.MaxResults)
	}
	found, err := a.tracking.MetricHistoryBulk(ctx, q.RunIDs, *q.Key, limit)
	metrics := make([]bulkMetricJSON, len(found))
	for i, m := range found {
		metrics[i] = bulkMetricJSON{m.Key, wire.Float(m.Value), m.TimestampMS, m.Step, m.RunID}
	}
	return struct {
		Metrics []bulkMetricJSON `json:"metrics"`
	}{metrics}, err
}

type metricIntervalRequest struct {
	RunIDs     []string `json:"run_ids" wire:"required"`
	Key        string   `json:"metric_key" wire:"required"`
	StartStep  *int64   `json:"start_step"`
	EndStep    *int64   `json:"end_step"`
	MaxResults *int32   `json:"max_results"`
}

func (a *API) metricHistoryInterval(ctx context.Context, q *metricIntervalRequest) (any, error) {
	metrics, err := a.sampledHistory(ctx, q)
	return metricsAnswer{Metrics: metrics}, err
}

func (a *API) sampledHistory(ctx context.Context, q *metricIntervalRequest) ([]metricJSON, error) {
	limit := mlflow.MetricIntervalMaxSteps
	if q.MaxResults != nil {
		limit = int(*q.MaxResults)
		if limit < 1 || limit > mlflow.MetricIntervalMaxSteps {
			return nil, mlflow.Invalidf("max_results must be between 1 and %d. See the API docs for more information about request parameters.", mlflow.MetricIntervalMaxSteps)
		}
	}
	found, err := a.tracking.MetricHistoryInterval(ctx, tracking.IntervalQuery{
		RunIDs: q.RunIDs, Key: q.Key, StartStep: q.StartStep, EndStep: q.EndStep, MaxResults: limit,
	})
	if err != nil {
		return nil, err
	}
	out := make([]metricJSON, len(found))
	for i, m := range found {
		out[i] = metricJSON{Key: m.Key, Value: wire.Float(m.Value), TimestampMS: m.TimestampMS, Step: m.Step, RunID: m.RunID}
	}
	return out, nil
}
