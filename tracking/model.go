package tracking

import (
	"sluice/tracking/filter"
	"sluice/tracking/page"
)

// ModelStatus is the state of a logged model in MLflow's spelling.
type ModelStatus string

// The states of a logged model.
const (
	ModelPending      ModelStatus = "LOGGED_MODEL_PENDING"
	ModelReady        ModelStatus = "LOGGED_MODEL_READY"
	ModelUploadFailed ModelStatus = "LOGGED_MODEL_UPLOAD_FAILED"
)

// Number returns the number that MLflow's database and filters use for the state; 0 means unspecified.
func (s ModelStatus) Number() int {
	switch s {
	case ModelPending:
		return 1
	case ModelReady:
		return 2
	case ModelUploadFailed:
		return 3
	}
	return 0
}

// ModelStatusOf is the inverse of ModelStatus.Number; an unknown number gives "LOGGED_MODEL_STATUS_UNSPECIFIED".
func ModelStatusOf(n int) ModelStatus {
	for _, s := range []ModelStatus{ModelPending, ModelReady, ModelUploadFailed} {
		if s.Number() == n {
			return s
		}
	}
	return "LOGGED_MODEL_STATUS_UNSPECIFIED"
}

// LoggedModel is a model that a run (or nobody) logged: its own artifact folder, params, tags and metrics.
type LoggedModel struct {
	ID           string // "m-" and 32 hexadecimal digits, chosen by the Service
	ExperimentID string
	Name         string
	// ArtifactLocation is <experiment's artifact location>/models/<id>/artifacts.
	ArtifactLocation string
	CreatedMS        int64 // Unix time, milliseconds
	UpdatedMS        int64 // Unix time, milliseconds; moved by finalize and delete
	Status           ModelStatus
	StatusMessage    string
	ModelType        string // "" means none
	SourceRunID      string // "" means none
	Lifecycle        Lifecycle
	Tags             []Tag    // sorted by key
	Params           []Param  // sorted by key
	Metrics          []Metric // every row, with RunID and the dataset's name and digest
}

// LoggedModelSpec is what CreateLoggedModel needs.
type LoggedModelSpec struct {
	ExperimentID string // required
	Name         string // "" means a random name
	ModelType    string
	SourceRunID  string
	Params       []Param
	Tags         []Tag
}

// DatasetFilter names the dataset whose metric rows count in a search; Digest "" means any.
type DatasetFilter struct{ Name, Digest string }

// ModelOrder is one order_by entry of a logged model search, unparsed: an attribute, or "metrics.<key>".
type ModelOrder struct {
	Field                      string
	Descending                 bool
	DatasetName, DatasetDigest string
}

// LoggedModelQuery asks for one page of logged models that are not deleted.
type LoggedModelQuery struct {
	ExperimentIDs []string
	Filter        string
	Datasets      []DatasetFilter
	OrderBy       []ModelOrder // creation_timestamp DESC, model_id is always added behind
	MaxResults    int          // 0 means mlflow.SearchLoggedModelsDef
	PageToken     string       // made for the same experiments, filter and order
}

// LoggedModelPage is one page of logged models; NextPageToken is "" on the last.
type LoggedModelPage struct {
	Models        []LoggedModel
	NextPageToken string
}

// LoggedModelSearch is a LoggedModelQuery as a Store gets it: parsed, with the place that the page before ended at.
type LoggedModelSearch struct {
	ExperimentIDs []string // never empty
	Filter        filter.Expr
	Datasets      []DatasetFilter
	Order         []filter.Order // stores add creation_timestamp DESC, model_id unless they are named
	After         page.Place     // nil: from the beginning
	Limit         int            // rows of the page, ≥ 1
}
