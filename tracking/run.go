package tracking

import (
	"sluice/tracking/filter"
	"sluice/tracking/page"
)

// RunNameTag is the tag that mirrors a run's name (source: mlflow/utils/mlflow_tags.py).
const RunNameTag = "mlflow.runName"

// LogModelHistoryTag holds the JSON list that log-model appends to.
const LogModelHistoryTag = "mlflow.log-model.history"

// DatasetContextTag is the input tag that says what a dataset was used for, such as "training".
const DatasetContextTag = "mlflow.data.context"

// RunStatus is the state of a run in MLflow's spelling.
type RunStatus string

// The states of a run.
const (
	Running   RunStatus = "RUNNING"
	Scheduled RunStatus = "SCHEDULED"
	Finished  RunStatus = "FINISHED"
	Failed    RunStatus = "FAILED"
	Killed    RunStatus = "KILLED"
)

// Valid reports whether s is one of the states.
func (s RunStatus) Valid() bool {
	switch s {
	case Running, Scheduled, Finished, Failed, Killed:
		return true
	}
	return false
}

// Run is one execution: its head, what it logged, what it read and what it made.
type Run struct {
	Info    RunInfo
	Data    RunData
	Inputs  RunInputs
	Outputs []ModelOutput
}

// RunInfo is the head of a run.
type RunInfo struct {
	ID           string // 32 hexadecimal digits, chosen by the Service
	Name         string // mirrored in the tag RunNameTag
	ExperimentID string
	UserID       string
	Status       RunStatus
	StartTimeMS  int64  // Unix time, milliseconds; 0 means never told
	EndTimeMS    int64  // Unix time, milliseconds; 0 means not ended
	ArtifactURI  string // <experiment's artifact location>/<run id>/artifacts
	Lifecycle    Lifecycle
}

// RunData is what a run logged: for each metric key the latest value, all params, all tags; each sorted by key.
type RunData struct {
	Metrics []Metric
	Params  []Param
	Tags    []Tag
}

// RunInputs is what a run read.
type RunInputs struct {
	Datasets []DatasetInput
	Models   []ModelInput // filled by Run only, not by SearchRuns, as in MLflow
}

// Param is a key and value that never changes once logged.
type Param struct{ Key, Value string }

// Metric is one measurement.
type Metric struct {
	Key string
	// Value may be NaN. Stores may clip ±Inf to ±math.MaxFloat64, as MLflow's does.
	Value       float64
	TimestampMS int64 // Unix time, milliseconds; ≥ 0
	Step        int64 // may be negative
	// ModelID is the logged model that the metric belongs to as well; "" means none.
	ModelID string
	// DatasetName and DatasetDigest name the dataset that a model was measured on; "" means none.
	DatasetName, DatasetDigest string
	// RunID is the run that measured; set on the metrics of a logged model only.
	RunID string
}

// Batch is what LogBatch writes in one transaction.
type Batch struct {
	Metrics []Metric
	Params  []Param
	Tags    []Tag
}

// RunMetric is a metric and the run that it came from.
type RunMetric struct {
	RunID string
	Metric
}

// RunSpec is what CreateRun needs.
type RunSpec struct {
	ExperimentID string // required
	UserID       string
	Name         string // "" means the tag RunNameTag, else a random name
	StartTimeMS  int64  // Unix time, milliseconds
	Tags         []Tag
}

// RunUpdate is a partial change of a run's head; zero fields stay as they are.
type RunUpdate struct {
	Status    RunStatus // "" keeps it
	EndTimeMS *int64    // Unix time, milliseconds; nil keeps it
	Name      string    // "" keeps it
}

// RunQuery asks for one page of runs.
type RunQuery struct {
	ExperimentIDs []string // empty finds nothing
	Filter        string
	OrderBy       []string // start_time DESC, run_id is always added behind
	View          ViewType
	MaxResults    int    // 1 … mlflow.SearchRunsMax
	PageToken     string // "" means the first page
}

// RunPage is one page of runs; NextPageToken is "" on the last.
type RunPage struct {
	Runs          []Run
	NextPageToken string
}

// RunSearch is a RunQuery as a Store gets it: parsed, with the place that the page before ended at.
type RunSearch struct {
	ExperimentIDs []string // never empty
	Filter        filter.Expr
	Order         []filter.Order // each field at most once; stores add start_time DESC, run_id
	View          ViewType
	After         page.Place // nil: from the beginning
	Limit         int        // rows of the page, ≥ 1
}

// HistoryQuery asks for one page of the history of a metric.
type HistoryQuery struct {
	RunID, Key string
	MaxResults int    // 0 means everything, without paging
	PageToken  string // "" means the first page
}

// HistoryPage is one page of a history, by timestamp, step and value; NextPageToken is "" on the last.
type HistoryPage struct {
	Metrics       []Metric
	NextPageToken string
}

// IntervalQuery asks for an even sample of the history of one metric in several runs.
type IntervalQuery struct {
	RunIDs []string // 1 … mlflow.MetricHistoryBulkRuns
	Key    string
	// StartStep and EndStep are inclusive bounds; nil both, or set both.
	StartStep, EndStep *int64
	MaxResults         int // points for each run, 1 … mlflow.MetricIntervalMaxSteps
}
