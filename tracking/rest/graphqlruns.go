package rest

import (
	"context"

	"sluice/tracking"
	"sluice/tracking/rest/graphql"
)

// graphRuns makes the objects of runs. Experiments and model versions are looked up only if they are selected: each experiment
// once, the versions of all runs together.
func (a *API) graphRuns(runs []tracking.Run) []graphql.Object {
	ids := make([]string, len(runs))
	for i, r := range runs {
		ids[i] = r.Info.ID
	}
	experiments := map[string]graphql.Object{}
	var versions map[string][]graphql.Object
	list := make([]graphql.Object, len(runs))
	for i, r := range runs {
		list[i] = graphRunOf(r)
		list[i]["experiment"] = graphql.Lazy(func(ctx context.Context) (any, error) {
			return a.graphExperimentOnce(ctx, experiments, r.Info.ExperimentID)
		})
		list[i]["modelVersions"] = graphql.Lazy(func(ctx context.Context) (any, error) {
			var err error
			if versions == nil {
				versions, err = a.graphVersions(ctx, ids)
			}
			return append([]graphql.Object{}, versions[r.Info.ID]...), err
		})
	}
	return list
}

func (a *API) graphExperimentOnce(ctx context.Context, known map[string]graphql.Object, id string) (any, error) {
	if e, ok := known[id]; ok {
		return e, nil
	}
	e, err := a.tracking.Experiment(ctx, id)
	if err != nil {
		return nil, err
	}
	known[id] = graphExperimentOf(e)
	return known[id], nil
}

func (a *API) graphVersions(ctx context.Context, runIDs []string) (map[string][]graphql.Object, error) {
	byRun := map[string][]graphql.Object{}
	if a.opts.RunVersions == nil {
		return byRun, nil
	}
	found, err := a.opts.RunVersions(ctx, runIDs)
	if err != nil {
		return nil, err
	}
	for _, v := range found {
		byRun[v.RunID] = append(byRun[v.RunID], graphql.Object{
			"__typename": "MlflowModelVersion", "name": v.Name, "version": v.Version, "status": v.Status, "source": v.Source,
			"creationTimestamp": long(v.CreatedMS), "runId": v.RunID,
		})
	}
	return byRun, nil
}

func graphRunOf(r tracking.Run) graphql.Object {
	metrics := make([]graphql.Object, len(r.Data.Metrics))
	for i, m := range r.Data.Metrics {
		metrics[i] = graphMetric(m.Key, m.Value, m.TimestampMS, m.Step)
		metrics[i]["datasetName"], metrics[i]["datasetDigest"] = m.DatasetName, m.DatasetDigest
		metrics[i]["modelId"], metrics[i]["runId"] = m.ModelID, m.RunID
	}
	return graphql.Object{
		"__typename": "MlflowRunExtension",
		"info":       graphInfo(r.Info),
		"data":       graphql.Object{"__typename": "MlflowRunData", "metrics": metrics, "params": graphPairs("MlflowParam", r.Data.Params), "tags": graphPairs("MlflowRunTag", r.Data.Tags)},
		"inputs":     graphInputs(r.Inputs),
		"outputs":    graphOutputs(r.Outputs),
	}
}

func graphInfo(i tracking.RunInfo) graphql.Object {
	return graphql.Object{
		"__typename": "MlflowRunInfo", "runId": i.ID, "runUuid": i.ID, "runName": i.Name, "experimentId": i.ExperimentID, "userId": i.UserID,
		"status": i.Status, "startTime": long(i.StartTimeMS), "endTime": long(i.EndTimeMS), "artifactUri": i.ArtifactURI, "lifecycleStage": i.Lifecycle,
	}
}

func graphInputs(in tracking.RunInputs) graphql.Object {
	datasets, models := make([]graphql.Object, len(in.Datasets)), make([]graphql.Object, len(in.Models))
	for i, d := range in.Datasets {
		datasets[i] = graphql.Object{"__typename": "MlflowDatasetInput", "tags": graphPairs("MlflowInputTag", d.Tags), "dataset": graphql.Object{
			"__typename": "MlflowDataset",
			"name":       d.Dataset.Name, "digest": d.Dataset.Digest, "sourceType": d.Dataset.SourceType, "source": d.Dataset.Source,
			"schema": d.Dataset.Schema, "profile": d.Dataset.Profile,
		}}
	}
	for i, m := range in.Models {
		models[i] = graphql.Object{"__typename": "MlflowModelInput", "modelId": m.ModelID}
	}
	return graphql.Object{"__typename": "MlflowRunInputs", "datasetInputs": datasets, "modelInputs": models}
}

func graphOutputs(out []tracking.ModelOutput) graphql.Object {
	models := make([]graphql.Object, len(out))
	for i, m := range out {
		models[i] = graphql.Object{"__typename": "MlflowModelOutput", "modelId": m.ModelID, "step": long(m.Step)}
	}
	return graphql.Object{"__typename": "MlflowRunOutputs", "modelOutputs": models}
}

// RunVersions returns the model versions that came from the given runs, in any order.
type RunVersions func(ctx context.Context, runIDs []string) ([]ModelVersion, error)
