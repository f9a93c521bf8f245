package tracking

// Dataset is data that a run read. Inside an experiment it is known by name and digest; the first description stays.
type Dataset struct {
	Name       string // required
	Digest     string // required
	SourceType string // required
	Source     string // required
	Schema     string // "" means unknown
	Profile    string // "" means unknown
}

// DatasetInput is a dataset as a run used it.
type DatasetInput struct {
	Dataset Dataset
	Tags    []Tag // for example DatasetContextTag
}

// ModelInput is a logged model that a run read.
type ModelInput struct{ ModelID string }

// ModelOutput is a logged model that a run made.
type ModelOutput struct {
	ModelID string
	Step    int64
}

// DatasetSummary is a dataset that runs of an experiment used; Context is the input's DatasetContextTag, "" if it has none.
type DatasetSummary struct {
	ExperimentID, Name, Digest, Context string
	// HasContext tells an empty context from none.
	HasContext bool
}
