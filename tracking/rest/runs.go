package rest

import (
	"context"

	"sluice/tracking"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

func (a *API) runRoutes() []wire.Route {
	return rows(
		post("/runs/create", "tracking.run.create", call(a, a.createRun)),
		get("/runs/get", "tracking.run.get", call(a, a.getRun)),
		post("/runs/update", "tracking.run.update", call(a, a.updateRun)),
		post("/runs/delete", "tracking.run.delete", call(a, a.deleteRun)),
		post("/runs/restore", "tracking.run.restore", call(a, a.restoreRun)),
		search("/runs/search", "tracking.run.search", call(a, a.searchRuns)),
		post("/runs/log-metric", "tracking.run.log", call(a, a.logMetric)),
		post("/runs/log-parameter", "tracking.run.log", call(a, a.logParam)),
		post("/runs/set-tag", "tracking.run.tag", call(a, a.setTag)),
		post("/runs/delete-tag", "tracking.run.untag", call(a, a.deleteTag)),
		post("/runs/log-batch", "tracking.run.log", call(a, a.logBatch)),
		post("/runs/log-model", "tracking.run.log", call(a, a.logModel)),
	)
}

type createRunRequest struct {
	ExperimentID string    `json:"experiment_id"`
	UserID       string    `json:"user_id"`
	Name         string    `json:"run_name"`
	StartTimeMS  int64     `json:"start_time"`
	Tags         []tagJSON `json:"tags"`
}

func (a *API) createRun(ctx context.Context, q *createRunRequest) (any, error) {
	run, err := a.tracking.CreateRun(ctx, tracking.RunSpec{
		ExperimentID: q.ExperimentID, UserID: q.UserID, Name: q.Name, StartTimeMS: q.StartTimeMS, Tags: toTags(q.Tags),
	})
	return runAnswer{run: run, unborn: true}, err
}

// runID is the id of a run under its two names.
type runID struct {
	RunID string `json:"run_id" wire:"required,alias=run_uuid"`
}

func (a *API) getRun(ctx context.Context, q *runID) (any, error) {
	run, err := a.tracking.Run(ctx, q.RunID)
	return runAnswer{run: run}, err
}

type updateRunRequest struct {
	RunID     string `json:"run_id" wire:"required,alias=run_uuid"`
	Status    string `json:"status" enum:"RUNNING,SCHEDULED,FINISHED,FAILED,KILLED"`
	EndTimeMS *int64 `json:"end_time"`
	Name      string `json:"run_name"`
}

func (a *API) updateRun(ctx context.Context, q *updateRunRequest) (any, error) {
	info, err := a.tracking.UpdateRun(ctx, q.RunID, tracking.RunUpdate{Status: tracking.RunStatus(q.Status), EndTimeMS: q.EndTimeMS, Name: q.Name})
	return struct {
		Info runInfoJSON `json:"run_info"`
	}{fromRunInfo(info)}, err
}

func (a *API) deleteRun(ctx context.Context, q *runID) (any, error) {
	return done(a.tracking.DeleteRun(ctx, q.RunID))
}

func (a *API) restoreRun(ctx context.Context, q *runID) (any, error) {
	return done(a.tracking.RestoreRun(ctx, q.RunID))
}

type searchRunsRequest struct {
	ExperimentIDs []string `json:"experiment_ids"`
	Filter        string   `json:"filter"`
	View          string   `json:"run_view_type" enum:"ACTIVE_ONLY,DELETED_ONLY,ALL"`
	MaxResults    *int32   `json:"max_results"`
	OrderBy       []string `json:"order_by"`
	PageToken     string   `json:"page_token"`
}

func (a *API) searchRuns(ctx context.Context, q *searchRunsRequest) (any, error) {
	page, err := a.runPage(ctx, q)
	return runsAnswer{page.Runs, page.NextPageToken}, err
}

func (a *API) runPage(ctx context.Context, q *searchRunsRequest) (tracking.RunPage, error) {
	limit := mlflow.SearchRunsDefault
	if q.MaxResults != nil {
		if limit = int(*q.MaxResults); limit > mlflow.SearchRunsMax {
			return tracking.RunPage{}, wire.Invalid("max_results", limit)
		}
	}
	return a.tracking.SearchRuns(ctx, tracking.RunQuery{
		ExperimentIDs: q.ExperimentIDs, Filter: q.Filter, OrderBy: q.OrderBy, View: viewOf(q.View), MaxResults: limit, PageToken: q.PageToken,
	})
}

type logMetricRequest struct {
	RunID string `json:"run_id" wire:"required,alias=run_uuid"`
	metricRequest
}

// metricRequest is one measurement of a request.
type metricRequest struct {
	Key           string  `json:"key" wire:"required"`
	Value         float64 `json:"value" wire:"required"`
	TimestampMS   int64   `json:"timestamp" wire:"required"`
	Step          int64   `json:"step"`
	ModelID       string  `json:"model_id"`
	DatasetName   string  `json:"dataset_name"`
	DatasetDigest string  `json:"dataset_digest"`
}

func (m *metricRequest) metric() tracking.Metric {
	return tracking.Metric{
		Key: m.Key, Value: m.Value, TimestampMS: m.TimestampMS, Step: m.Step,
		ModelID: m.ModelID, DatasetName: m.DatasetName, DatasetDigest: m.DatasetDigest,
	}
}

func (a *API) logMetric(ctx context.Context, q *logMetricRequest) (any, error) {
	return done(a.tracking.LogMetric(ctx, q.RunID, q.metric()))
}

// runTagRequest is a param or tag of a run.
type runTagRequest struct {
	RunID string `json:"run_id" wire:"required,alias=run_uuid"`
	Key   string `json:"key" wire:"required"`
	Value string `json:"value"`
}

func (a *API) logParam(ctx context.Context, q *runTagRequest) (any, error) {
	return done(a.tracking.LogParam(ctx, q.RunID, tracking.Param{Key: q.Key, Value: q.Value}))
}

func (a *API) setTag(ctx context.Context, q *runTagRequest) (any, error) {
	return done(a.tracking.SetTag(ctx, q.RunID, tracking.Tag{Key: q.Key, Value: q.Value}))
}

func (a *API) deleteTag(ctx context.Context, q *runTagRequest) (any, error) {
	return done(a.tracking.DeleteTag(ctx, q.RunID, q.Key))
}

type logBatchRequest struct {
	RunID   string       `json:"run_id" wire:"required"`
	Metrics metricList   `json:"metrics"`
	Params  []keyedValue `json:"params"`
	Tags    []keyedValue `json:"tags"`
}

// keyedValue is a param or tag of a batch, whose key must be there.
type keyedValue struct {
	Key   string `json:"key" wire:"required"`
	Value string `json:"value"`
}

func (a *API) logBatch(ctx context.Context, q *logBatchRequest) (any, error) {
	b := tracking.Batch{
		Metrics: make([]tracking.Metric, len(q.Metrics)), Params: make([]tracking.Param, len(q.Params)), Tags: make([]tracking.Tag, len(q.Tags)),
	}
	for i := range q.Metrics {
		b.Metrics[i] = q.Metrics[i].metric()
	}
	for i, p := range q.Params {
		b.Params[i] = tracking.Param(p)
	}
	for i, t := range q.Tags {
		b.Tags[i] = tracking.Tag(t)
	}
	return done(a.tracking.LogBatch(ctx, q.RunID, b))
}

type logModelRequest struct {
	RunID     string `json:"run_id" wire:"required"`
	ModelJSON string `json:"model_json" wire:"required"`
}

func (a *API) logModel(ctx context.Context, q *logModelRequest) (any, error) {
	return done(a.tracking.LogModel(ctx, q.RunID, q.ModelJSON))
}
