package tracking

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"sluice/tracking/filter"
	"sluice/tracking/mlflow"
	"sluice/tracking/page"
)

// CreateRun creates a RUNNING run in an active experiment. Its name comes from spec.Name, else from the tag RunNameTag, else it
// is random; the tag always mirrors it. Returns BAD_REQUEST without an experiment id, RESOURCE_DOES_NOT_EXIST for an unknown
// experiment, INVALID_PARAMETER_VALUE for a deleted one or for two different names.
func (s *Service) CreateRun(ctx context.Context, spec RunSpec) (Run, error) {
	if spec.ExperimentID == "" {
		return Run{}, mlflow.Errorf(mlflow.BadRequest, "Missing value for required parameter 'experiment_id'.")
	}
	name, tags, err := s.runName(spec)
	if err != nil {
		return Run{}, err
	}
	e, err := s.store.Experiment(ctx, spec.ExperimentID)
	if err != nil {
		return Run{}, err
	}
	id := s.opts.NewID()
	run := Run{
		Info: RunInfo{
			ID: id, Name: name, ExperimentID: e.ID, UserID: spec.UserID, Status: Running, StartTimeMS: spec.StartTimeMS,
			ArtifactURI: RunLocation(e.ArtifactLocation, id), Lifecycle: Active,
		},
		Data: RunData{Tags: tags},
	}
	return run, s.store.CreateRun(ctx, run)
}

// runName settles the name of a new run and returns its tags with the mirror.
func (s *Service) runName(spec RunSpec) (string, []Tag, error) {
	tags := lastOfEachKey(spec.Tags)
	if len(tags) != len(spec.Tags) {
		return "", nil, mlflow.Errorf(mlflow.BadRequest, "Duplicate tag keys have been submitted.")
	}
	for i, t := range tags {
		if err := mlflow.CheckLength("key", t.Key, mlflow.MaxKeyLength); err != nil {
			return "", nil, err
		}
		var err error
		if tags[i].Value, err = s.fit("value", t.Value, mlflow.MaxTagValueLength); err != nil {
			return "", nil, err
		}
	}
	tagged, _ := tagValue(tags, RunNameTag)
	switch {
	case spec.Name != "" && tagged != "" && spec.Name != tagged:
		return "", nil, mlflow.Invalidf("Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "+
			"(run_name='%s', mlflow.runName='%s').", spec.Name, tagged)
	case tagged != "":
		return tagged, tags, nil
	}
	name := spec.Name
	if name == "" {
		name = s.opts.NewName()
	}
	return name, lastOfEachKey(append(tags, Tag{RunNameTag, name})), nil
}

// Run returns a run, a deleted one too, with its inputs and outputs. Returns RESOURCE_DOES_NOT_EXIST if the id is unknown.
func (s *Service) Run(ctx context.Context, id string) (Run, error) {
	return s.store.Run(ctx, id)
}

// UpdateRun changes the head of an active run and returns it. A new name is written to the tag RunNameTag as well.
func (s *Service) UpdateRun(ctx context.Context, id string, u RunUpdate) (RunInfo, error) {
	if u.Status != "" && !u.Status.Valid() {
		return RunInfo{}, mlflow.InvalidValue("status", string(u.Status), "")
	}
	return s.store.UpdateRun(ctx, id, u)
}

// DeleteRun soft-deletes a run; deleting a deleted one is fine.
func (s *Service) DeleteRun(ctx context.Context, id string) error {
	return s.store.DeleteRun(ctx, id, s.nowMS())
}

// RestoreRun undoes DeleteRun; restoring an active run is fine.
func (s *Service) RestoreRun(ctx context.Context, id string) error {
	return s.store.RestoreRun(ctx, id)
}

// LogMetric logs one metric of an active run, under its logged model too if it names one.
func (s *Service) LogMetric(ctx context.Context, runID string, m Metric) error {
	if err := checkMetric(m, ""); err != nil {
		return err
	}
	return s.store.LogBatch(ctx, runID, Batch{Metrics: []Metric{m}})
}

// LogParam logs one param of an active run. The same value again is fine, another is INVALID_PARAMETER_VALUE.
func (s *Service) LogParam(ctx context.Context, runID string, p Param) error {
	p, err := s.checkParam(p, "")
	if err != nil {
		return err
	}
	err = s.store.LogBatch(ctx, runID, Batch{Params: []Param{p}})
	var conflict *ParamConflictError
	if errors.As(err, &conflict) && len(conflict.Conflicts) > 0 {
		c := conflict.Conflicts[0]
		return mlflow.Invalidf("Changing param values is not allowed. Param with key='%s' was already logged with value='%s' for run ID='%s'. "+
			"Attempted logging new value '%s'.", c.Key, c.Old, runID, c.New)
	}
	return err
}

// SetTag writes or overwrites one tag of an active run; the tag RunNameTag renames the run.
func (s *Service) SetTag(ctx context.Context, runID string, t Tag) error {
	t, err := s.checkTag(t, "")
	if err != nil {
		return err
	}
	return s.store.LogBatch(ctx, runID, Batch{Tags: []Tag{t}})
}

// DeleteTag deletes one tag of an active run. Returns RESOURCE_DOES_NOT_EXIST if the tag is not there.
func (s *Service) DeleteTag(ctx context.Context, runID, key string) error {
	return s.store.DeleteTag(ctx, runID, key)
}

// LogBatch logs metrics, params and tags of an active run, all or nothing, within MLflow's limits (mlflow.MaxMetricsPerBatch, …).
// Returns INVALID_PARAMETER_VALUE for anything beyond them, for a param that would change and for one key twice.
func (s *Service) LogBatch(ctx context.Context, runID string, b Batch) error {
	if err := checkRunID(runID); err != nil {
		return err
	}
	b, err := s.checkBatch(b)
	if err != nil {
		return err
	}
	err = s.store.LogBatch(ctx, runID, b)
	var conflict *ParamConflictError
	if errors.As(err, &conflict) {
		return mlflow.Invalidf("Changing param values is not allowed. Params were already logged='%s' for run ID='%s'.", conflictList(conflict), runID)
	}
	return err
}

func conflictList(e *ParamConflictError) string {
	parts := make([]string, len(e.Conflicts))
	for i, c := range e.Conflicts {
		parts[i] = fmt.Sprintf("{'key': %s, 'old_value': %s, 'new_value': %s}", mlflow.Repr(c.Key), mlflow.Repr(c.Old), mlflow.Repr(c.New))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// SearchRuns returns one page of runs. Returns INVALID_PARAMETER_VALUE for a bad filter, order, size or token, and for the same
// field twice in the order.
func (s *Service) SearchRuns(ctx context.Context, q RunQuery) (RunPage, error) {
	if err := checkMaxResults(q.MaxResults, mlflow.SearchRunsMax); err != nil {
		return RunPage{}, err
	}
	if err := checkExperimentCount(q.ExperimentIDs); err != nil {
		return RunPage{}, err
	}
	where, err := filter.Runs().Parse(q.Filter)
	if err != nil {
		return RunPage{}, err
	}
	by, err := filter.Runs().ParseOrder(q.OrderBy)
	if err != nil {
		return RunPage{}, err
	}
	question := page.NewQuestion("runs", q.ExperimentIDs, q.Filter, q.OrderBy, q.View)
	after, err := question.Read(q.PageToken)
	if err != nil || len(q.ExperimentIDs) == 0 {
		return RunPage{}, err
	}
	found, err := s.store.SearchRuns(ctx, RunSearch{q.ExperimentIDs, where, by, q.View, after, q.MaxResults})
	if err != nil {
		return RunPage{}, err
	}
	next, err := page.Next(question, found)
	return RunPage{found.Rows, next}, err
}
