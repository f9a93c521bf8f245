package tracking

import (
	"context"

	"sluice/tracking/mlflow"
	"sluice/tracking/page"
)

// MetricHistory returns one page of a metric's history by timestamp, step and value. An unknown run has none.
func (s *Service) MetricHistory(ctx context.Context, q HistoryQuery) (HistoryPage, error) {
	if q.MaxResults < 0 {
		return HistoryPage{}, mlflow.Invalidf("Invalid value %d for parameter 'max_results' supplied. It must be a positive integer.", q.MaxResults)
	}
	question := page.NewQuestion("history", q.RunID, q.Key)
	after, err := question.Read(q.PageToken)
	if err != nil {
		return HistoryPage{}, err
	}
	found, err := s.store.MetricHistory(ctx, q.RunID, q.Key, after, q.MaxResults)
	if err != nil {
		return HistoryPage{}, err
	}
	next, err := page.Next(question, found)
	return HistoryPage{found.Rows, next}, err
}

// MetricHistoryBulk returns the history of one metric in up to mlflow.MetricHistoryBulkRuns runs, by run id, timestamp, step and
// value; maxResults beyond mlflow.MetricHistoryBulkMax means that maximum.
func (s *Service) MetricHistoryBulk(ctx context.Context, runIDs []string, key string, maxResults int) ([]RunMetric, error) {
	switch {
	case len(runIDs) == 0:
		return nil, mlflow.Invalidf("GetMetricHistoryBulk request must specify at least one run_id.")
	case len(runIDs) > mlflow.MetricHistoryBulkRuns:
		return nil, mlflow.Invalidf("GetMetricHistoryBulk request cannot specify more than %d run_ids. Received %d run_ids.",
			mlflow.MetricHistoryBulkRuns, len(runIDs))
	case maxResults < 0:
		return nil, mlflow.Invalidf("Invalid value %d for parameter 'max_results' supplied. It must be a positive integer.", maxResults)
	case key == "" || maxResults == 0:
		return nil, nil // no metric has this name
	}
	maxResults = min(maxResults, mlflow.MetricHistoryBulkMax)
	return s.store.MetricHistories(ctx, runIDs, key, maxResults)
}

// MetricHistoryInterval returns an even sample of one metric in up to mlflow.MetricHistoryBulkRuns runs; MaxResults 0 means
// mlflow.MetricIntervalMaxSteps.
func (s *Service) MetricHistoryInterval(ctx context.Context, q IntervalQuery) ([]RunMetric, error) {
	if q.MaxResults == 0 {
		q.MaxResults = mlflow.MetricIntervalMaxSteps
	}
	switch {
	case len(q.RunIDs) == 0:
		return nil, mlflow.MissingValue("run_ids")
	case len(q.RunIDs) > mlflow.MetricHistoryBulkRuns:
		return nil, mlflow.Invalidf("GetMetricHistoryBulkInterval request must specify at most %d run_ids. Received %d run_ids. See the API docs for more information about request parameters.",
			mlflow.MetricHistoryBulkRuns, len(q.RunIDs))
	case q.Key == "":
		return nil, mlflow.MissingValue("metric_key")
	case q.MaxResults < 1 || q.MaxResults > mlflow.MetricIntervalMaxSteps:
		return nil, mlflow.Invalidf("max_results must be between 1 and %d.", mlflow.MetricIntervalMaxSteps)
	case (q.StartStep == nil) != (q.EndStep == nil):
		return nil, mlflow.Invalidf("If either start step or end step are specified, both must be specified.")
	case q.StartStep != nil && *q.StartStep > *q.EndStep:
		return nil, mlflow.Invalidf("end_step must be greater than start_step. Found start_step=%d and end_step=%d.", *q.StartStep, *q.EndStep)
	}
	return s.store.SampleMetricHistory(ctx, q)
}
