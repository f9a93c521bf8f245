package tracking

import (
	"context"

	"sluice/tracking/page"
)

// Store keeps what tracking records. The Service in front of it has validated every argument and chosen ids and times; a driver
// checks only what must be checked inside its transaction, and says it with the errors of this package (UnknownRun, …).
//
// Every method is safe for concurrent use and, if it writes, atomic and durable when it returns nil. Two writers to one run
// both succeed unless their params contradict each other. Returned slices belong to the caller.
//
// A search returns one page: the rows behind a Place, which it made itself for the same search. Rows that come or go meanwhile make
// none of the others repeat or vanish. A Place that the store cannot have made is INVALID_PARAMETER_VALUE.
type Store interface {
	ExperimentStore
	RunStore
	MetricStore
	InputStore
	LoggedModelStore
	TraceStore
}

// ExperimentStore is the part of Store about experiments. Methods that take an id return UnknownExperiment for one that is
// not there, and an INVALID_PARAMETER_VALUE error for one that can't be an id in this store.
type ExperimentStore interface {
	ExperimentReader
	ExperimentWriter
}

// ExperimentReader reads experiments, deleted ones too.
type ExperimentReader interface {
	Experiment(ctx context.Context, id string) (Experiment, error)
	// ExperimentByName returns UnknownExperimentName if nobody has the name.
	ExperimentByName(ctx context.Context, name string) (Experiment, error)
	SearchExperiments(ctx context.Context, q ExperimentSearch) (page.Found[Experiment], error)
}

// ExperimentWriter changes experiments. at is the time of the change, Unix milliseconds.
type ExperimentWriter interface {
	// CreateExperiment stores e and returns its id. An empty e.ID lets the store choose; an empty e.ArtifactLocation becomes
	// location(id). Returns ExperimentExists if the name (also of a deleted experiment) or the id is taken.
	CreateExperiment(ctx context.Context, e Experiment, location func(id string) string) (id string, err error)
	// RenameExperiment returns INVALID_STATE for a deleted experiment and ExperimentNameTaken for a taken name.
	RenameExperiment(ctx context.Context, id, name string, at int64) error
	// DeleteExperiment soft-deletes an active experiment and all its runs, with one time for all; a deleted one is unknown.
	DeleteExperiment(ctx context.Context, id string, at int64) error
	// RestoreExperiment undoes DeleteExperiment, for all its runs too; an active one is unknown.
	RestoreExperiment(ctx context.Context, id string, at int64) error
	// SetExperimentTag writes or overwrites a tag of an active experiment (else ExperimentNotActive).
	SetExperimentTag(ctx context.Context, id string, tag Tag) error
	// DeleteExperimentTag returns RESOURCE_DOES_NOT_EXIST if the tag is not there.
	DeleteExperimentTag(ctx context.Context, id, key string) error
}

// RunStore is the part of Store about runs. Methods that take a run id return UnknownRun for one that is not there; writers
// but DeleteRun and RestoreRun return RunNotActive for a deleted one.
type RunStore interface {
	RunReader
	RunWriter
}

// RunReader reads runs, deleted ones too.
type RunReader interface {
	Run(ctx context.Context, id string) (Run, error)
	// SearchRuns fills everything but Inputs.Models. It costs a fixed number of reads, however many runs it returns.
	SearchRuns(ctx context.Context, q RunSearch) (page.Found[Run], error)
}

// RunWriter changes runs.
type RunWriter interface {
	// CreateRun stores the head and the tags of r. Returns ExperimentNotActive or UnknownExperiment.
	CreateRun(ctx context.Context, r Run) error
	// UpdateRun changes the head and returns it; a new name is written to the tag RunNameTag as well.
	UpdateRun(ctx context.Context, id string, u RunUpdate) (RunInfo, error)
	// DeleteRun soft-deletes; deleting again moves the time. at is Unix milliseconds.
	DeleteRun(ctx context.Context, id string, at int64) error
	// RestoreRun undoes DeleteRun; restoring an active run is nothing.
	RestoreRun(ctx context.Context, id string) error
	// LogBatch writes metrics, params and tags, all or nothing. Params that stand with the same value are left alone, with another
	// one it returns *ParamConflictError. A metric equal in key, timestamp, step and value is stored once. The latest value of
	// a key is the greatest by step, timestamp and value (NaN counts as 0). The tag RunNameTag renames the run; of two tags with
	// one key the later wins. A metric with a ModelID is stored under that model too; an unknown model is MetricOfUnknownModel.
	LogBatch(ctx context.Context, runID string, b Batch) error
	// DeleteTag returns RESOURCE_DOES_NOT_EXIST if the tag is not there.
	DeleteTag(ctx context.Context, runID, key string) error
	// EditTag replaces a tag's value by edit(old) inside one transaction; old is "" if the tag is not there. An error of edit
	// is returned as it is and nothing is written.
	EditTag(ctx context.Context, runID, key string, edit func(old string) (string, error)) error
}

// MetricStore reads the histories of metrics. An unknown run has no history.
type MetricStore interface {
	// MetricHistory returns rows behind a place by timestamp, step, value ascending; limit 0 means all.
	MetricHistory(ctx context.Context, runID, key string, after page.Place, limit int) (page.Found[Metric], error)
	// MetricHistories returns rows by run id, timestamp, step, value ascending.
	MetricHistories(ctx context.Context, runIDs []string, key string, limit int) ([]RunMetric, error)
	// SampleMetricHistory returns, for each run, at most q.MaxResults rows spread evenly over its history by step, timestamp,
	// value; the first and the last are always among them (the last alone if MaxResults is 1).
	SampleMetricHistory(ctx context.Context, q IntervalQuery) ([]RunMetric, error)
}

// InputStore keeps what runs read and made.
type InputStore interface {
	// LogInputs adds datasets and models to a run. A dataset that the experiment knows keeps its first description; tags of an
	// input that the run already has are not changed.
	LogInputs(ctx context.Context, runID string, datasets []DatasetInput, models []ModelInput) error
	// LogOutputs adds models to a run; the same model twice keeps its first step.
	LogOutputs(ctx context.Context, runID string, models []ModelOutput) error
	// SearchDatasets returns distinct summaries of the datasets that runs of the experiments used.
	SearchDatasets(ctx context.Context, experimentIDs []string, limit int) ([]DatasetSummary, error)
}

// LoggedModelStore is the part of Store about logged models. Methods that take an id return UnknownLoggedModel for one that is
// not there. at is Unix milliseconds.
type LoggedModelStore interface {
	LoggedModelReader
	LoggedModelWriter
}

// LoggedModelReader reads logged models.
type LoggedModelReader interface {
	// LoggedModel takes a deleted model for unknown unless allowDeleted.
	LoggedModel(ctx context.Context, id string, allowDeleted bool) (LoggedModel, error)
	// SearchLoggedModels never returns deleted ones.
	SearchLoggedModels(ctx context.Context, q LoggedModelSearch) (page.Found[LoggedModel], error)
}

// LoggedModelWriter changes logged models.
type LoggedModelWriter interface {
	// CreateLoggedModel stores m with its params and tags; its experiment must be active.
	CreateLoggedModel(ctx context.Context, m LoggedModel) error
	FinalizeLoggedModel(ctx context.Context, id string, status ModelStatus, at int64) (LoggedModel, error)
	// DeleteLoggedModel soft-deletes.
	DeleteLoggedModel(ctx context.Context, id string, at int64) error
	SetLoggedModelTags(ctx context.Context, id string, tags []Tag) error
	// DeleteLoggedModelTag returns RESOURCE_DOES_NOT_EXIST if the tag is not there.
	DeleteLoggedModelTag(ctx context.Context, id, key string) error
	// LogLoggedModelParams adds params; one that stands with another value is *ParamConflictError.
	LogLoggedModelParams(ctx context.Context, id string, params []Param) error
}
