package registry

import (
	"strings"

	"sluice/tracking/mlflow"
)

// Stage is the stage of a model version in canonical spelling.
type Stage string

// The stages (source: mlflow/entities/model_registry/model_version_stages.py, MLflow 3.17).
const (
	StageNone       Stage = "None"
	StageStaging    Stage = "Staging"
	StageProduction Stage = "Production"
	StageArchived   Stage = "Archived"
)

// Stages returns the stages in MLflow's order.
func Stages() []Stage { return []Stage{StageNone, StageStaging, StageProduction, StageArchived} }

// ParseStage returns the canonical stage for text in any letter case, INVALID_PARAMETER_VALUE for anything else.
func ParseStage(text string) (Stage, error) {
	for _, s := range Stages() {
		if strings.EqualFold(text, string(s)) {
			return s, nil
		}
	}
	return "", mlflow.Invalidf("Invalid Model Version stage: %s. Value must be one of None, Staging, Production, Archived.", text)
}

// Active says whether the stage is one that is served: Staging or Production.
func (s Stage) Active() bool { return s == StageStaging || s == StageProduction }

// Status says whether a version's files are there.
type Status string

// The statuses (source: MLflow's ModelVersionStatus). A version made here is READY at once.
const (
	StatusPending Status = "PENDING_REGISTRATION"
	StatusFailed  Status = "FAILED_REGISTRATION"
	StatusReady   Status = "READY"
)

// PromptTag marks a registered model, and each of its versions, as a prompt if its value is "true".
const PromptTag = "mlflow.prompt.is_prompt"

// Tag is a key with a value.
type Tag struct{ Key, Value string }

// isPrompt says whether tags mark a prompt; of two tags with one key the later counts.
func isPrompt(tags []Tag) bool {
	prompt := false
	for _, t := range tags {
		if t.Key == PromptTag {
			prompt = strings.EqualFold(t.Value, "true")
		}
	}
	return prompt
}

// Alias is a movable name of one version.
type Alias struct {
	Name    string
	Version int
}

// Model is a registered model.
type Model struct {
	Name        string
	CreatedMS   int64 // Unix time, milliseconds
	UpdatedMS   int64 // Unix time, milliseconds; moved by its versions' creations, transitions and deletions too
	Description string
	Tags        []Tag   // sorted by key
	Aliases     []Alias // sorted by name
	// Latest is the highest version of each stage that has one, without their aliases; the stage of the lowest version comes first.
	Latest []Version
}

// IsPrompt says whether the registered model is a prompt.
func (m Model) IsPrompt() bool { return isPrompt(m.Tags) }

// Version is a model version.
type Version struct {
	Name      string // of the registered model
	Version   int    // 1 for the first; never given again, not even after a deletion
	CreatedMS int64  // Unix time, milliseconds
	UpdatedMS int64  // Unix time, milliseconds
	// Description, UserID, RunID and RunLink are nil where the database has no value; clients see the difference.
	Description *string
	UserID      *string
	RunID       *string
	RunLink     *string
	Stage       Stage
	// Source is the URI that the version was made from; StorageLocation is where its files are ("" means at Source).
	Source          string
	StorageLocation string
	Status          Status
	StatusMessage   string
	Tags            []Tag    // sorted by key
	Aliases         []string // sorted; only filled where one version is asked for, as in MLflow
}

// DownloadURI returns where the version's files are.
func (v Version) DownloadURI() string {
	if v.StorageLocation != "" {
		return v.StorageLocation
	}
	return v.Source
}

// IsPrompt says whether the version belongs to a prompt.
func (v Version) IsPrompt() bool { return isPrompt(v.Tags) }

// ModelSpec is what CreateModel needs.
type ModelSpec struct {
	Name        string
	Description string
	Tags        []Tag // of two tags with one key the later counts
}

// VersionSpec is what CreateVersion needs.
type VersionSpec struct {
	Name   string
	Source string
	// RunID and ModelID name the run or logged model that the source belongs to; nil means not said, which differs from "" when
	// Source names another registered version.
	RunID, ModelID *string
	RunLink        string
	Description    string
	Tags           []Tag // of two tags with one key the later counts
}

// ModelSnapshot is one registered model as the router needs it.
type ModelSnapshot struct {
	Name     string
	Versions []VersionSnapshot // ascending by number
	Aliases  []Alias           // sorted by name
}

// VersionSnapshot is one version as the router needs it.
type VersionSnapshot struct {
	Version         int
	Stage           Stage
	Status          Status
	Source          string
	StorageLocation string // where the files are; never empty unless Source is
	RunID           string // "" means none
	// ModelID is the logged model that the version was made from, told by its source or storage location; "" means none.
	ModelID   string
	CreatedMS int64 // Unix time, milliseconds
	UpdatedMS int64 // Unix time, milliseconds
}

// NewVersionSnapshot returns what the router needs of a version.
func NewVersionSnapshot(v Version) VersionSnapshot {
	return VersionSnapshot{
		Version: v.Version, Stage: v.Stage, Status: v.Status, Source: v.Source, StorageLocation: v.DownloadURI(),
		RunID: deref(v.RunID), ModelID: modelIDOf(v.Source, v.DownloadURI()), CreatedMS: v.CreatedMS, UpdatedMS: v.UpdatedMS,
	}
}
