package tracking

import (
	"context"

	"sluice/tracking/mlflow"
)

// LogInputs adds datasets and logged models to what an active run read. Of two datasets with one name and digest the first
// counts; a dataset that the experiment already knows keeps its first description.
func (s *Service) LogInputs(ctx context.Context, runID string, datasets []DatasetInput, models []ModelInput) error {
	if err := checkRunID(runID); err != nil {
		return err
	}
	type key struct{ name, digest string }
	seen := make(map[key]bool, len(datasets))
	var distinct []DatasetInput
	for _, d := range datasets {
		if err := checkDatasetInput(d); err != nil {
			return err
		}
		k := key{d.Dataset.Name, d.Dataset.Digest}
		if !seen[k] {
			d.Tags = lastOfEachKey(d.Tags)
			distinct = append(distinct, d)
		}
		seen[k] = true
	}
	for _, m := range models {
		if err := checkModelID(m.ModelID); err != nil {
			return err
		}
	}
	return s.store.LogInputs(ctx, runID, distinct, models)
}

// LogOutputs adds logged models to what an active run made; a model that stands keeps its step.
func (s *Service) LogOutputs(ctx context.Context, runID string, models []ModelOutput) error {
	for _, m := range models {
		if err := checkModelID(m.ModelID); err != nil {
			return err
		}
	}
	return s.store.LogOutputs(ctx, runID, models)
}

// SearchDatasets returns what datasets the runs of up to mlflow.SearchDatasetsExps experiments used, at most
// mlflow.SearchDatasetsMax.
func (s *Service) SearchDatasets(ctx context.Context, experimentIDs []string) ([]DatasetSummary, error) {
	if len(experimentIDs) == 0 {
		return nil, mlflow.Invalidf("SearchDatasets request must specify at least one experiment_id.")
	}
	if len(experimentIDs) > mlflow.SearchDatasetsExps {
		return nil, mlflow.Invalidf("SearchDatasets request cannot specify more than %d experiment_ids. Received %d experiment_ids.",
			mlflow.SearchDatasetsExps, len(experimentIDs))
	}
	return s.store.SearchDatasets(ctx, experimentIDs, mlflow.SearchDatasetsMax)
}

// maxModelID is the width of the columns that hold a logged model's id.
const maxModelID = 36

func checkModelID(id string) error {
	if id == "" {
		return mlflow.MissingValue("model_id")
	}
	return mlflow.CheckLength("model_id", id, maxModelID)
}
