package tracking

import (
	"context"
	"errors"
	"strings"

	"sluice/tracking/filter"
	"sluice/tracking/mlflow"
	"sluice/tracking/page"
)

// customViewPrefix marks the tags in which MLflow's UI keeps custom views, at most maxCustomViews on an experiment
// (source: mlflow/utils/mlflow_tags.py, mlflow/utils/validation.py, MLflow 3.17).
const (
	customViewPrefix = "mlflow.customView.view"
	maxCustomViews   = 50
)

// EnsureDefaultExperiment creates the experiment DefaultExperimentID if the store has none; call it once before serving. It is
// idempotent, also between processes.
func (s *Service) EnsureDefaultExperiment(ctx context.Context) error {
	_, err := s.store.Experiment(ctx, DefaultExperimentID)
	if mlflow.CodeOf(err) != mlflow.ResourceDoesNotExist {
		return err
	}
	now := s.nowMS()
	e := Experiment{ID: DefaultExperimentID, Name: "Default", Lifecycle: Active, CreatedMS: now, UpdatedMS: now}
	if _, err = s.store.CreateExperiment(ctx, e, s.defaultLocation); mlflow.CodeOf(err) == mlflow.ResourceAlreadyExists {
		return nil
	}
	return err
}

// CreateExperiment creates an experiment and returns its id. Returns RESOURCE_ALREADY_EXISTS for a name that is taken, by a
// deleted experiment too, and INVALID_PARAMETER_VALUE for a bad name, tag or artifact location.
func (s *Service) CreateExperiment(ctx context.Context, spec ExperimentSpec) (string, error) {
	if err := checkExperimentName(spec.Name); err != nil {
		return "", err
	}
	for _, t := range spec.Tags {
		if err := checkExperimentTag(t); err != nil {
			return "", err
		}
	}
	if countCustomViews(spec.Tags) > maxCustomViews {
		return "", tooManyCustomViews("")
	}
	location := spec.ArtifactLocation
	if location != "" {
		var err error
		if location, err = resolveLocation(location, s.opts.WorkDir); err != nil {
			return "", err
		}
		if err := s.checkHost(location); err != nil {
			return "", err
		}
	}
	now := s.nowMS()
	e := Experiment{Name: spec.Name, ArtifactLocation: location, Lifecycle: Active, CreatedMS: now, UpdatedMS: now, Tags: lastOfEachKey(spec.Tags)}
	return s.store.CreateExperiment(ctx, e, s.defaultLocation)
}

func (s *Service) defaultLocation(id string) string { return joinURI(s.opts.ArtifactRoot, id) }

// Experiment returns an experiment, a deleted one too. Returns RESOURCE_DOES_NOT_EXIST if the id is unknown.
func (s *Service) Experiment(ctx context.Context, id string) (Experiment, error) {
	return s.store.Experiment(ctx, id)
}

// ExperimentByName returns the experiment of that name, a deleted one too. Returns RESOURCE_DOES_NOT_EXIST if nobody has it.
func (s *Service) ExperimentByName(ctx context.Context, name string) (Experiment, error) {
	return s.store.ExperimentByName(ctx, name)
}

// SearchExperiments returns one page of experiments. Returns INVALID_PARAMETER_VALUE for a bad filter, order, size or token.
func (s *Service) SearchExperiments(ctx context.Context, q ExperimentQuery) (ExperimentPage, error) {
	if err := checkMaxResults(q.MaxResults, mlflow.SearchExperimentsMax); err != nil {
		return ExperimentPage{}, err
	}
	where, err := filter.Experiments().Parse(q.Filter)
	if err != nil {
		return ExperimentPage{}, err
	}
	order := q.OrderBy
	if len(order) == 0 {
		order = []string{"creation_time DESC", "experiment_id ASC"}
	}
	by, err := filter.Experiments().ParseOrder(order)
	if err != nil {
		return ExperimentPage{}, err
	}
	question := page.NewQuestion("experiments", q.Filter, order, q.View)
	after, err := question.Read(q.PageToken)
	if err != nil {
		return ExperimentPage{}, err
	}
	found, err := s.store.SearchExperiments(ctx, ExperimentSearch{where, by, q.View, after, q.MaxResults})
	if err != nil {
		return ExperimentPage{}, err
	}
	next, err := page.Next(question, found)
	return ExperimentPage{found.Rows, next}, err
}

// RenameExperiment changes the name. Returns RESOURCE_DOES_NOT_EXIST for an unknown experiment, INVALID_STATE for a deleted one,
// BAD_REQUEST for a name that is taken.
func (s *Service) RenameExperiment(ctx context.Context, id, name string) error {
	if err := checkExperimentName(name); err != nil {
		return err
	}
	return s.store.RenameExperiment(ctx, id, name, s.nowMS())
}

// DeleteExperiment soft-deletes an active experiment and its runs. Returns RESOURCE_DOES_NOT_EXIST if there is no active one.
func (s *Service) DeleteExperiment(ctx context.Context, id string) error {
	return s.store.DeleteExperiment(ctx, id, s.nowMS())
}

// RestoreExperiment undoes DeleteExperiment. Returns RESOURCE_DOES_NOT_EXIST if there is no deleted one.
func (s *Service) RestoreExperiment(ctx context.Context, id string) error {
	return s.store.RestoreExperiment(ctx, id, s.nowMS())
}

// SetExperimentTag writes or overwrites one tag of an active experiment.
func (s *Service) SetExperimentTag(ctx context.Context, id string, tag Tag) error {
	if err := checkExperimentTag(tag); err != nil {
		return err
	}
	if strings.HasPrefix(tag.Key, customViewPrefix) {
		e, err := s.store.Experiment(ctx, id)
		if err != nil {
			return err
		}
		if !hasKey(e.Tags, tag.Key) && countCustomViews(e.Tags) >= maxCustomViews {
			return tooManyCustomViews(id)
		}
	}
	return s.store.SetExperimentTag(ctx, id, tag)
}

// DeleteExperimentTag deletes one tag. Returns RESOURCE_DOES_NOT_EXIST if the tag is not there.
func (s *Service) DeleteExperimentTag(ctx context.Context, id, key string) error {
	return s.store.DeleteExperimentTag(ctx, id, key)
}

func countCustomViews(tags []Tag) int {
	n := 0
	for _, t := range tags {
		if strings.HasPrefix(t.Key, customViewPrefix) {
			n++
		}
	}
	return n
}

func tooManyCustomViews(id string) error {
	of := ""
	if id != "" {
		of = " for experiment " + id
	}
	return mlflow.Invalidf("Unable to create another custom view%s; the maximum number of custom views per experiment is %d. "+
		"Delete an existing custom view before creating a new one.", of, maxCustomViews)
}

func checkMaxResults(n, most int) error {
	if n < 1 {
		return mlflow.Invalidf("Invalid value %d for parameter 'max_results' supplied. It must be a positive integer", n)
	}
	if n > most {
		return mlflow.Invalidf("Invalid value %d for parameter 'max_results' supplied. It must be at most %d", n, most)
	}
	return nil
}

// checkExperimentCount bounds the experiments of one search.
func checkExperimentCount(ids []string) error {
	if len(ids) > mlflow.SearchExperimentIDsMax {
		return mlflow.Invalidf("Invalid value for parameter 'experiment_ids' supplied. A search can name at most %d experiments, got %d.",
			mlflow.SearchExperimentIDsMax, len(ids))
	}
	return nil
}

// clientText returns the sentence of an *mlflow.Error, else the error's text.
func clientText(err error) string {
	var e *mlflow.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}
