package tracking

import (
	"fmt"

	"sluice/tracking/mlflow"
)

// UnknownExperiment is RESOURCE_DOES_NOT_EXIST for an experiment id.
func UnknownExperiment(id string) error {
	return mlflow.Missingf("No Experiment with id=%s exists", id)
}

// UnknownExperimentName is RESOURCE_DOES_NOT_EXIST for an experiment name.
func UnknownExperimentName(name string) error {
	return mlflow.Missingf("Could not find experiment with name '%s'", name)
}

// ExperimentExists is RESOURCE_ALREADY_EXISTS for an experiment name.
func ExperimentExists(name string) error {
	return mlflow.Errorf(mlflow.ResourceAlreadyExists, "Experiment(name=%s) already exists.", name)
}

// ExperimentNameTaken is BAD_REQUEST for a rename to a name that another experiment has; MLflow keeps RESOURCE_ALREADY_EXISTS for
// creation.
func ExperimentNameTaken(name string) error {
	return mlflow.Errorf(mlflow.BadRequest, "Experiment(name=%s) already exists.", name)
}

// ExperimentNotActive is INVALID_PARAMETER_VALUE for a write below a deleted experiment.
func ExperimentNotActive(id string, stage Lifecycle) error {
	return mlflow.Invalidf("The experiment %s must be in the 'active' state. Current state is %s.", id, stage)
}

// InvalidExperimentID is INVALID_PARAMETER_VALUE for an id that is not a number, for stores whose ids are numbers.
func InvalidExperimentID(id string) error {
	return mlflow.Invalidf("Invalid experiment ID '%s'. Experiment ID must be a valid integer.", id)
}

// UnknownRun is RESOURCE_DOES_NOT_EXIST for a run id.
func UnknownRun(id string) error { return mlflow.Missingf("Run with id=%s not found", id) }

// RunNotActive is INVALID_PARAMETER_VALUE for a write to a deleted run.
func RunNotActive(id string, stage Lifecycle) error {
	return mlflow.Invalidf("The run %s must be in the 'active' state. Current state is %s.", id, stage)
}

// UnknownLoggedModel is RESOURCE_DOES_NOT_EXIST for a logged model id.
func UnknownLoggedModel(id string) error {
	return mlflow.Missingf("Logged model with ID '%s' not found.", id)
}

// MetricOfUnknownModel is BAD_REQUEST for a metric that names a logged model which is not there.
func MetricOfUnknownModel(id string) error {
	return mlflow.Errorf(mlflow.BadRequest, "Logged model with ID '%s' not found.", id)
}

// UnknownTrace is RESOURCE_DOES_NOT_EXIST for a trace id.
func UnknownTrace(id string) error { return mlflow.Missingf("Trace with ID '%s' not found.", id) }

// UnknownAssessment is RESOURCE_DOES_NOT_EXIST for an assessment of a trace that exists.
func UnknownAssessment(traceID, id string) error {
	return mlflow.Missingf("Assessment with ID '%s' not found for trace '%s'", id, traceID)
}

// ParamConflict is a param that was logged with one value and then with another.
type ParamConflict struct{ Key, Old, New string }

// ParamConflictError is what a Store returns when params would change; the Service turns it into MLflow's sentences.
type ParamConflictError struct{ Conflicts []ParamConflict }

func (e *ParamConflictError) Error() string {
	if len(e.Conflicts) == 0 {
		return "params are immutable"
	}
	return fmt.Sprintf("params are immutable: %d would change, first %q", len(e.Conflicts), e.Conflicts[0].Key)
}
