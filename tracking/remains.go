package tracking

import (
	"context"

	"sluice/tracking/mlflow"
)

// RemainsKind says what Remains are of.
type RemainsKind string

// The kinds, in the order in which they have to be purged.
const (
	RemainsOfRun         RemainsKind = "run"
	RemainsOfLoggedModel RemainsKind = "logged_model"
	RemainsOfExperiment  RemainsKind = "experiment"
)

// Remains is what is left of something that was soft-deleted; it can be ended for good.
type Remains struct {
	Kind         RemainsKind
	ID           string
	ExperimentID string
	Name         string
	ArtifactURI  string
	DeletedMS    int64 // Unix time, milliseconds; 0 if the database does not say
}

// MaxRemains is the most that one call of Remains returns.
const MaxRemains = 10_000

// Purger is the optional power of a Store to end for good what was soft-deleted.
type Purger interface {
	// Remains returns what was soft-deleted at before (Unix milliseconds) or earlier, with everything in experiments that were; runs
	// first, then logged models, then experiments. At most MaxRemains: purging some makes room for the rest.
	Remains(ctx context.Context, before int64) ([]Remains, error)
	// Purge removes the rows. Returns NotDeleted if it is active (again) or not there, and NotEmpty for an experiment that still has
	// runs or logged models; traces go with their experiment.
	Purge(ctx context.Context, d Remains) error
}

// NotDeleted is INVALID_STATE for something that cannot be purged because it was not deleted.
func NotDeleted(d Remains) error {
	return mlflow.Errorf(mlflow.InvalidState, "The %s %s is not deleted.", d.Kind, d.ID)
}

// NotEmpty is INVALID_STATE for an experiment that cannot be purged because something in it is kept.
func NotEmpty(id string) error {
	return mlflow.Errorf(mlflow.InvalidState, "The experiment %s still has runs or logged models.", id)
}
