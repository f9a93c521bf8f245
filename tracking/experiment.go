package tracking

import (
	"sluice/tracking/filter"
	"sluice/tracking/page"
)

// DefaultExperimentID is the experiment that every fresh store has, named "Default".
const DefaultExperimentID = "0"

// Lifecycle says whether a record was soft-deleted.
type Lifecycle string

// The two lifecycle stages.
const (
	Active  Lifecycle = "active"
	Deleted Lifecycle = "deleted"
)

// ViewType chooses records by lifecycle stage. The zero value is ActiveOnly.
type ViewType uint8

// The views of search.
const (
	ActiveOnly ViewType = iota
	DeletedOnly
	All
)

// Stages returns the lifecycle stages that the view shows.
func (v ViewType) Stages() []Lifecycle {
	switch v {
	case DeletedOnly:
		return []Lifecycle{Deleted}
	case All:
		return []Lifecycle{Active, Deleted}
	default:
		return []Lifecycle{Active}
	}
}

// Tag is a mutable key and value on an experiment, run or logged model.
type Tag struct{ Key, Value string }

// Experiment groups runs and gives them an artifact location.
type Experiment struct {
	ID   string // decimal digits in SQL stores
	Name string
	// ArtifactLocation is the URI below which the artifacts of its runs lie; it never changes.
	ArtifactLocation string
	Lifecycle        Lifecycle
	CreatedMS        int64 // Unix time, milliseconds
	UpdatedMS        int64 // Unix time, milliseconds; moved by rename, delete, restore
	Tags             []Tag // sorted by key
}

// ExperimentSpec is what CreateExperiment needs.
type ExperimentSpec struct {
	Name string // required
	// ArtifactLocation is a URI or a path; "" means <artifact root>/<experiment id>.
	ArtifactLocation string
	Tags             []Tag
}

// ExperimentQuery asks for one page of experiments.
type ExperimentQuery struct {
	Filter     string   // "" means all
	OrderBy    []string // empty means creation_time DESC, experiment_id ASC
	View       ViewType
	MaxResults int    // 1 … mlflow.SearchExperimentsMax
	PageToken  string // "" means the first page
}

// ExperimentPage is one page of experiments; NextPageToken is "" on the last.
type ExperimentPage struct {
	Experiments   []Experiment
	NextPageToken string
}

// ExperimentSearch is an ExperimentQuery as a Store gets it: parsed, with the place that the page before ended at.
type ExperimentSearch struct {
	Filter filter.Expr
	Order  []filter.Order // never empty; stores add experiment_id DESC as tie-break unless it is named
	View   ViewType
	After  page.Place // nil: from the beginning
	Limit  int        // rows of the page, ≥ 1
}
