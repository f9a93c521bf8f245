package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking"
	"sluice/tracking/mlflow"
	"sluice/tracking/rest/graphql"
	"sluice/tracking/wire"
)

// ModelVersion is what the web UI shows of a model version on the page of the run that it came from.
type ModelVersion struct {
	RunID, Name, Version, Status, Source string
	CreatedMS                            int64 // Unix time, milliseconds
}

// graphqlRoutes serve MLflow 3.17.2's queries on tracking: one run, a search for runs, a sampled metric, an experiment, files, datasets.
func (a *API) graphqlRoutes() []wire.Route {
	return []wire.Route{
		{Method: fiber.MethodPost, Path: "/graphql", Permission: wire.Read, Audit: "tracking.graphql.query", Handler: a.graphql},
		{Method: fiber.MethodGet, Path: "/graphql", Permission: wire.Read, Audit: "tracking.graphql.query", Handler: a.graphql},
	}
}

type graphqlRequest struct {
	Query     string                     `json:"query" wire:"required"`
	Variables map[string]json.RawMessage `json:"variables"`
	Operation string                     `json:"operationName"`
}

// graphqlAnswer has both fields always; errors are plain sentences, as MLflow sends them.
type graphqlAnswer struct {
	Data   map[string]any `json:"data"`
	Errors []string       `json:"errors"`
}

func (a *API) graphql(c *fiber.Ctx) error {
	var q graphqlRequest
	if err := wire.Bind(c, &q); err != nil {
		return err
	}
	return a.answer(c, func(ctx context.Context) (any, error) { return a.runGraphQL(ctx, &q) })
}

// runGraphQL answers mistakes and refusals inside the answer, as GraphQL wants it; failures of the server leave as errors.
func (a *API) runGraphQL(ctx context.Context, q *graphqlRequest) (any, error) {
	op, err := graphql.Parse(q.Query, q.Operation)
	if err != nil {
		return graphqlAnswer{Errors: []string{err.Error()}}, nil
	}
	answer := graphqlAnswer{Data: map[string]any{}}
	for _, f := range op.Select {
		value, err := a.rootField(ctx, f, q.Variables)
		var known *mlflow.Error
		switch {
		case err == nil:
		case errors.As(err, &known) && known.HTTPStatus() < 500:
			answer.Errors = append(answer.Errors, known.Message)
		case errors.As(err, new(queryError)):
			return graphqlAnswer{Errors: []string{err.Error()}}, nil
		default:
			return nil, err
		}
		answer.Data[f.Key] = value
	}
	return answer, nil
}

// queryError is a mistake in a query.
type queryError struct{ error }

func (a *API) rootField(ctx context.Context, f graphql.Field, variables map[string]json.RawMessage) (any, error) {
	input, err := f.Argument("input", variables)
	if err != nil {
		return nil, queryError{err}
	}
	var found graphql.Object
	switch f.Name {
	case "__typename":
		return "Query", nil
	case "mlflowGetRun":
		found, err = resolve(ctx, input, a.graphRun)
	case "mlflowSearchRuns":
		found, err = resolve(ctx, input, a.graphSearchRuns)
	case "mlflowGetMetricHistoryBulkInterval":
		found, err = resolve(ctx, input, a.graphHistory)
	case "mlflowGetExperiment":
		found, err = resolve(ctx, input, a.graphExperiment)
	case "mlflowListArtifacts":
		found, err = resolve(ctx, input, a.graphFiles)
	case "mlflowSearchDatasets":
		found, err = resolve(ctx, input, a.graphDatasets)
	default:
		return nil, queryError{fmt.Errorf("Cannot query field '%s' on type 'Query'.", f.Name)} //nolint:staticcheck // GraphQL's own sentence
	}
	if err != nil {
		return nil, err
	}
	value, err := graphql.Project(ctx, found, f.Select)
	if err != nil && mlflow.CodeOf(err) == mlflow.InternalError && !errors.As(err, new(*mlflow.Error)) {
		err = queryError{err}
	}
	return value, err
}

func resolve[Q any](ctx context.Context, input []byte, f func(context.Context, *Q) (graphql.Object, error)) (graphql.Object, error) {
	var q Q
	if err := wire.Decode(input, &q); err != nil {
		return nil, err
	}
	return f(ctx, &q)
}

func (a *API) graphRun(ctx context.Context, q *runID) (graphql.Object, error) {
	run, err := a.tracking.Run(ctx, q.RunID)
	if err != nil {
		return nil, err
	}
	return graphql.Object{"__typename": "MlflowGetRunResponse", "apiError": nil, "run": a.graphRuns([]tracking.Run{run})[0]}, nil
}

func (a *API) graphSearchRuns(ctx context.Context, q *searchRunsRequest) (graphql.Object, error) {
	page, err := a.runPage(ctx, q)
	if err != nil {
		return nil, err
	}
	return graphql.Object{
		"__typename": "MlflowSearchRunsResponse", "apiError": nil, "runs": a.graphRuns(page.Runs), "nextPageToken": page.NextPageToken,
	}, nil
}

func (a *API) graphHistory(ctx context.Context, q *metricIntervalRequest) (graphql.Object, error) {
	found, err := a.sampledHistory(ctx, q)
	if err != nil {
		return nil, err
	}
	list := make([]graphql.Object, len(found))
	for i, m := range found {
		list[i] = graphMetric(m.Key, float64(m.Value), m.TimestampMS, m.Step)
		list[i]["runId"] = m.RunID
	}
	return graphql.Object{"__typename": "MlflowGetMetricHistoryBulkIntervalResponse", "apiError": nil, "metrics": list}, nil
}

func (a *API) graphExperiment(ctx context.Context, q *experimentID) (graphql.Object, error) {
	e, err := a.tracking.Experiment(ctx, q.ID)
	if err != nil {
		return nil, err
	}
	return graphql.Object{"__typename": "MlflowGetExperimentResponse", "apiError": nil, "experiment": graphExperimentOf(e)}, nil
}

func (a *API) graphFiles(ctx context.Context, q *listArtifactsRequest) (graphql.Object, error) {
	found, err := a.runFiles(ctx, q)
	if err != nil {
		return nil, err
	}
	list := make([]graphql.Object, len(found.Files))
	for i, f := range found.Files {
		list[i] = graphql.Object{"__typename": "MlflowFileInfo", "path": f.Path, "isDir": f.IsDir, "fileSize": "0"}
		if f.Size != nil {
			list[i]["fileSize"] = long(*f.Size)
		}
	}
	return graphql.Object{
		"__typename": "MlflowListArtifactsResponse", "apiError": nil, "rootUri": found.RootURI, "files": list, "nextPageToken": "",
	}, nil
}

func (a *API) graphDatasets(ctx context.Context, q *searchDatasetsRequest) (graphql.Object, error) {
	found, err := a.tracking.SearchDatasets(ctx, q.ExperimentIDs)
	if err != nil {
		return nil, err
	}
	list := make([]graphql.Object, len(found))
	for i, d := range found {
		list[i] = graphql.Object{
			"__typename": "MlflowDatasetSummary", "experimentId": d.ExperimentID, "name": d.Name, "digest": d.Digest, "context": d.Context,
		}
	}
	return graphql.Object{"__typename": "MlflowSearchDatasetsResponse", "apiError": nil, "datasetSummaries": list}, nil
}

func graphExperimentOf(e tracking.Experiment) graphql.Object {
	return graphql.Object{
		"__typename": "MlflowExperiment", "experimentId": e.ID, "name": e.Name, "artifactLocation": e.ArtifactLocation,
		"lifecycleStage": e.Lifecycle, "lastUpdateTime": long(e.UpdatedMS), "creationTime": long(e.CreatedMS),
		"effectiveTraceArchivalRetention": "", "workspace": "default", "tags": graphPairs("MlflowExperimentTag", e.Tags),
	}
}

// long is GraphQL's LongString: a 64-bit integer as text, which JavaScript can't round.
func long(n int64) string { return fmt.Sprint(n) }

// graphPairs makes objects of the type from keys and values.
func graphPairs[T ~struct{ Key, Value string }](typename string, tags []T) []graphql.Object {
	list := make([]graphql.Object, len(tags))
	for i, t := range tags {
		kv := struct{ Key, Value string }(t)
		list[i] = graphql.Object{"__typename": typename, "key": kv.Key, "value": kv.Value}
	}
	return list
}

// graphMetric has null for values that GraphQL's Float can't hold.
func graphMetric(key string, value float64, timestampMS, step int64) graphql.Object {
	o := graphql.Object{"__typename": "MlflowMetric", "key": key, "value": value, "timestamp": long(timestampMS), "step": long(step)}
	if math.IsNaN(value) || math.IsInf(value, 0) {
		o["value"] = nil
	}
	return o
}
