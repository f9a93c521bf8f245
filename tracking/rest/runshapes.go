package rest

import (
	"sluice/tracking"
	"sluice/tracking/wire"
)

// runInfoJSON is the message RunInfo, with the run's id under both of its names.
type runInfoJSON struct {
	RunUUID      string             `json:"run_uuid"`
	ExperimentID string             `json:"experiment_id"`
	Name         string             `json:"run_name"`
	UserID       string             `json:"user_id"`
	Status       tracking.RunStatus `json:"status"`
	StartTimeMS  int64              `json:"start_time"`
	EndTimeMS    int64              `json:"end_time,omitempty"`
	ArtifactURI  string             `json:"artifact_uri"`
	Lifecycle    tracking.Lifecycle `json:"lifecycle_stage"`
	RunID        string             `json:"run_id"`
}

// metricJSON is the message Metric. The run's id is sent only where metrics of several runs meet.
type metricJSON struct {
	Key           string     `json:"key"`
	Value         wire.Float `json:"value"`
	TimestampMS   int64      `json:"timestamp"`
	Step          int64      `json:"step"`
	DatasetName   string     `json:"dataset_name,omitempty"`
	DatasetDigest string     `json:"dataset_digest,omitempty"`
	ModelID       string     `json:"model_id,omitempty"`
	RunID         string     `json:"run_id,omitempty"`
}

type runInputsJSON struct {
	Datasets []datasetInputJSON `json:"dataset_inputs,omitempty"`
	Models   []modelInputJSON   `json:"model_inputs,omitempty"`
}

type runOutputsJSON struct {
	Models []modelOutputJSON `json:"model_outputs,omitempty"`
}

type datasetInputJSON struct {
	Tags    []tagJSON   `json:"tags,omitempty"`
	Dataset datasetJSON `json:"dataset"`
}

type datasetJSON struct {
	Name       string `json:"name"`
	Digest     string `json:"digest"`
	SourceType string `json:"source_type"`
	Source     string `json:"source"`
	Schema     string `json:"schema,omitempty"`
	Profile    string `json:"profile,omitempty"`
}

type modelInputJSON struct {
	ModelID string `json:"model_id"`
}

type modelOutputJSON struct {
	ModelID string `json:"model_id"`
	Step    int64  `json:"step"`
}

func fromRunInputs(in tracking.RunInputs) runInputsJSON {
	var j runInputsJSON
	for _, d := range in.Datasets {
		j.Datasets = append(j.Datasets, datasetInputJSON{fromTags(d.Tags), datasetJSON(d.Dataset)})
	}
	for _, m := range in.Models {
		j.Models = append(j.Models, modelInputJSON(m))
	}
	return j
}

func fromRunOutputs(list []tracking.ModelOutput) runOutputsJSON {
	var j runOutputsJSON
	for _, m := range list {
		j.Models = append(j.Models, modelOutputJSON(m))
	}
	return j
}

func fromRunInfo(i tracking.RunInfo) runInfoJSON {
	return runInfoJSON{
		RunUUID: i.ID, ExperimentID: i.ExperimentID, Name: i.Name, UserID: i.UserID, Status: i.Status, StartTimeMS: i.StartTimeMS,
		EndTimeMS: i.EndTimeMS, ArtifactURI: i.ArtifactURI, Lifecycle: i.Lifecycle, RunID: i.ID,
	}
}

func fromMetric(m tracking.Metric) metricJSON {
	return metricJSON{
		Key: m.Key, Value: wire.Float(m.Value), TimestampMS: m.TimestampMS, Step: m.Step,
		DatasetName: m.DatasetName, DatasetDigest: m.DatasetDigest, ModelID: m.ModelID, RunID: m.RunID,
	}
}
