package main

import (
	"context"
	"strings"

	"sluice/tracking"
	"sluice/tracking/mlflow"
)

// runModels finds the files that a model version's source names relative to a run: runs:/<run id>/<path>. Clients write such sources as they are
// (MlflowClient.create_model_version), and MLflow resolves them when it reads (source: mlflow/store/artifact/runs_artifact_repo.py).
type runModels interface {
	Run(ctx context.Context, id string) (tracking.Run, error)
	SearchLoggedModels(ctx context.Context, q tracking.LoggedModelQuery) (tracking.LoggedModelPage, error)
}

// locate is the artifact URI that uri stands for: uri itself unless it is relative to a run. The first part of such a path is the name of a model
// that the run logged, or a folder among the run's artifacts.
// Returns INVALID_PARAMETER_VALUE for a malformed URI, RESOURCE_DOES_NOT_EXIST for a run that is not there.
func locate(ctx context.Context, runs runModels, uri string) (string, error) {
	rest, ok := strings.CutPrefix(uri, "runs:")
	if !ok {
		return uri, nil
	}
	rest, slash := strings.CutPrefix(rest, "/")
	id, path, _ := strings.Cut(rest, "/")
	if !slash || id == "" {
		return "", mlflow.Invalidf("Not a proper runs:/ URI: '%s'. It must be of the form 'runs:/<run_id>/run-relative/path/to/artifact'.", uri)
	}
	run, err := runs.Run(ctx, id)
	if err != nil {
		return "", err
	}
	path = strings.Trim(path, "/")
	name, inside, _ := strings.Cut(path, "/")
	if location, err := loggedModel(ctx, runs, run.Info, name); err != nil || location != "" {
		return within(location, inside), err
	}
	return within(run.Info.ArtifactURI, path), nil
}

// loggedModel is where the newest model of that name lies that the run logged; "" if there is none.
func loggedModel(ctx context.Context, runs runModels, run tracking.RunInfo, name string) (string, error) {
	if name == "" || strings.ContainsAny(name, `'"\`) { // no such name can be written in a filter, and none is allowed for a model
		return "", nil
	}
	page, err := runs.SearchLoggedModels(ctx, tracking.LoggedModelQuery{
		ExperimentIDs: []string{run.ExperimentID}, Filter: "name = '" + name + "' AND source_run_id = '" + run.ID + "'", MaxResults: 1,
	})
	if err != nil || len(page.Models) == 0 {
		return "", err
	}
	return page.Models[0].ArtifactLocation, nil
}

func within(location, path string) string {
	if path == "" || location == "" {
		return location
	}
	return strings.TrimRight(location, "/") + "/" + path
}
