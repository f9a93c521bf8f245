package rest

import (
	"context"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking"
	"sluice/tracking/wire"
)

func (a *API) inputRoutes() []wire.Route {
	datasets := call(a, a.searchDatasets)
	return rows(
		post("/runs/log-inputs", "tracking.run.log", call(a, a.logInputs)),
		post("/runs/outputs", "tracking.run.log", call(a, a.logOutputs)),
		search("/experiments/search-datasets", "tracking.dataset.search", datasets),
		[]wire.Route{ // MLflow registers this spelling by mistake
			{Method: fiber.MethodPost, Path: "/api/2.0mlflow/experiments/search-datasets", Permission: wire.Read, Audit: "tracking.dataset.search", Handler: datasets},
			{Method: fiber.MethodPost, Path: "/ajax-api/2.0mlflow/experiments/search-datasets", Permission: wire.Read, Audit: "tracking.dataset.search", Handler: datasets},
		},
	)
}

type logInputsRequest struct {
	RunID    string             `json:"run_id" wire:"required"`
	Datasets []datasetInputJSON `json:"datasets"`
	Models   []modelInputJSON   `json:"models"`
}

func (a *API) logInputs(ctx context.Context, q *logInputsRequest) (any, error) {
	datasets, models := make([]tracking.DatasetInput, len(q.Datasets)), make([]tracking.ModelInput, len(q.Models))
	for i, d := range q.Datasets {
		datasets[i] = tracking.DatasetInput{Dataset: tracking.Dataset(d.Dataset), Tags: toTags(d.Tags)}
	}
	for i, m := range q.Models {
		models[i] = tracking.ModelInput(m)
	}
	return done(a.tracking.LogInputs(ctx, q.RunID, datasets, models))
}

type logOutputsRequest struct {
	RunID  string            `json:"run_id" wire:"required"`
	Models []modelOutputJSON `json:"models" wire:"required"`
}

func (a *API) logOutputs(ctx context.Context, q *logOutputsRequest) (any, error) {
	models := make([]tracking.ModelOutput, len(q.Models))
	for i, m := range q.Models {
		models[i] = tracking.ModelOutput(m)
	}
	return done(a.tracking.LogOutputs(ctx, q.RunID, models))
}

type searchDatasetsRequest struct {
	ExperimentIDs []string `json:"experiment_ids"`
}

type datasetSummaryJSON struct {
	ExperimentID string  `json:"experiment_id"`
	Name         string  `json:"name"`
	Digest       string  `json:"digest"`
	Context      *string `json:"context,omitempty"`
}

func (a *API) searchDatasets(ctx context.Context, q *searchDatasetsRequest) (any, error) {
	found, err := a.tracking.SearchDatasets(ctx, q.ExperimentIDs)
	var list []datasetSummaryJSON
	for _, d := range found {
		j := datasetSummaryJSON{ExperimentID: d.ExperimentID, Name: d.Name, Digest: d.Digest}
		if d.HasContext {
			j.Context = &d.Context
		}
		list = append(list, j)
	}
	return struct {
		Summaries []datasetSummaryJSON `json:"dataset_summaries,omitempty"`
	}{list}, err
}
