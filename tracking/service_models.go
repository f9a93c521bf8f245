package tracking

import (
	"context"
	"errors"
	"strings"

	"sluice/tracking/filter"
	"sluice/tracking/mlflow"
	"sluice/tracking/page"
)

// CreateLoggedModel creates a PENDING logged model in an active experiment and returns it.
func (s *Service) CreateLoggedModel(ctx context.Context, spec LoggedModelSpec) (LoggedModel, error) {
	if err := checkModelName(spec.Name); err != nil {
		return LoggedModel{}, err
	}
	if spec.ExperimentID == "" {
		return LoggedModel{}, mlflow.MissingValue("experiment_id")
	}
	params, err := s.modelParams(spec.Params)
	if err != nil {
		return LoggedModel{}, err
	}
	if err := checkModelTags(spec.Tags); err != nil {
		return LoggedModel{}, err
	}
	e, err := s.store.Experiment(ctx, spec.ExperimentID)
	if err != nil {
		return LoggedModel{}, err
	}
	name := spec.Name
	if name == "" {
		name = s.opts.NewName()
	}
	now, id := s.nowMS(), "m-"+s.opts.NewID()
	m := LoggedModel{
		ID: id, ExperimentID: e.ID, Name: name, ArtifactLocation: ModelLocation(e.ArtifactLocation, id),
		CreatedMS: now, UpdatedMS: now, Status: ModelPending, ModelType: spec.ModelType, SourceRunID: spec.SourceRunID,
		Lifecycle: Active, Tags: lastOfEachKey(spec.Tags), Params: params,
	}
	return m, s.store.CreateLoggedModel(ctx, m)
}

// modelParams checks params of a logged model; of two with one key the values must agree.
func (s *Service) modelParams(params []Param) ([]Param, error) {
	seen := make(map[string]string, len(params))
	var out []Param
	for _, p := range params {
		if err := mlflow.CheckLength("Param key", p.Key, mlflow.MaxLoggedModelParamKey); err != nil {
			return nil, err
		}
		var err error
		if p.Value, err = s.fit("Param value", p.Value, mlflow.MaxLoggedModelParamValue); err != nil {
			return nil, err
		}
		if old, ok := seen[p.Key]; ok {
			if old != p.Value {
				return nil, modelParamChanged(ParamConflict{p.Key, old, p.Value})
			}
			continue
		}
		seen[p.Key] = p.Value
		out = append(out, p)
	}
	return out, nil
}

func modelParamChanged(c ParamConflict) error {
	return mlflow.Errorf(mlflow.BadRequest, "Changing param values is not allowed. Param with key='%s' was already logged with value='%s'. "+
		"Attempted logging new value '%s'.", c.Key, c.Old, c.New)
}

func checkModelTags(tags []Tag) error {
	for _, t := range tags {
		if err := mlflow.CheckLength("key", t.Key, mlflow.MaxLoggedModelParamKey); err != nil {
			return err
		}
	}
	return nil
}

// LoggedModel returns a logged model. Returns RESOURCE_DOES_NOT_EXIST if it is unknown, or deleted and not allowDeleted.
func (s *Service) LoggedModel(ctx context.Context, id string, allowDeleted bool) (LoggedModel, error) {
	return s.store.LoggedModel(ctx, id, allowDeleted)
}

// FinalizeLoggedModel moves a logged model to ModelReady or ModelUploadFailed and returns it.
func (s *Service) FinalizeLoggedModel(ctx context.Context, id string, status ModelStatus) (LoggedModel, error) {
	if status.Number() == 0 {
		return LoggedModel{}, mlflow.InvalidValue("status", string(status), "")
	}
	return s.store.FinalizeLoggedModel(ctx, id, status, s.nowMS())
}

// DeleteLoggedModel soft-deletes a logged model.
func (s *Service) DeleteLoggedModel(ctx context.Context, id string) error {
	return s.store.DeleteLoggedModel(ctx, id, s.nowMS())
}

// SetLoggedModelTags writes or overwrites tags; of two with one key the last wins.
func (s *Service) SetLoggedModelTags(ctx context.Context, id string, tags []Tag) error {
	if err := checkModelTags(tags); err != nil {
		return err
	}
	return s.store.SetLoggedModelTags(ctx, id, lastOfEachKey(tags))
}

// DeleteLoggedModelTag deletes one tag. Returns RESOURCE_DOES_NOT_EXIST if the tag is not there.
func (s *Service) DeleteLoggedModelTag(ctx context.Context, id, key string) error {
	return s.store.DeleteLoggedModelTag(ctx, id, key)
}

// LogLoggedModelParams adds params. The same value again is fine, another is BAD_REQUEST.
func (s *Service) LogLoggedModelParams(ctx context.Context, id string, params []Param) error {
	distinct, err := s.modelParams(params)
	if err != nil {
		return err
	}
	err = s.store.LogLoggedModelParams(ctx, id, distinct)
	var conflict *ParamConflictError
	if errors.As(err, &conflict) && len(conflict.Conflicts) > 0 {
		return modelParamChanged(conflict.Conflicts[0])
	}
	return err
}

// SearchLoggedModels returns one page of logged models. Returns INVALID_PARAMETER_VALUE for a bad filter, order, dataset or
// size, and for a page token of another search.
func (s *Service) SearchLoggedModels(ctx context.Context, q LoggedModelQuery) (LoggedModelPage, error) {
	if q.MaxResults == 0 {
		q.MaxResults = mlflow.SearchLoggedModelsDef
	}
	if err := checkMaxResults(q.MaxResults, mlflow.SearchLoggedModelsMax); err != nil {
		return LoggedModelPage{}, err
	}
	if err := checkExperimentCount(q.ExperimentIDs); err != nil {
		return LoggedModelPage{}, err
	}
	for _, d := range q.Datasets {
		if d.Name == "" {
			return LoggedModelPage{}, mlflow.Invalidf("`dataset_name` in the `datasets` clause must be specified.")
		}
	}
	question := modelQuestion(q)
	search, err := parseModelSearch(q, question)
	if err != nil || len(q.ExperimentIDs) == 0 {
		return LoggedModelPage{}, err
	}
	found, err := s.store.SearchLoggedModels(ctx, search)
	if err != nil {
		return LoggedModelPage{}, err
	}
	next, err := page.Next(question, found)
	return LoggedModelPage{found.Rows, next}, err
}

// modelQuestion refuses tokens of other searches as MLflow does (source: mlflow/utils/search_utils.py, SearchLoggedModelsPaginationToken).
func modelQuestion(q LoggedModelQuery) page.Question {
	return page.NewQuestion("logged models", q.Datasets,
		page.Part{Value: q.ExperimentIDs, Refusal: "Experiment IDs in the page token do not match the requested experiment IDs."},
		page.Part{Value: q.Filter, Refusal: "Filter string in the page token does not match the requested filter string."},
		page.Part{Value: q.OrderBy, Refusal: "Order by in the page token does not match the requested order by."})
}

func parseModelSearch(q LoggedModelQuery, question page.Question) (LoggedModelSearch, error) {
	after, err := question.Read(q.PageToken)
	if err != nil {
		return LoggedModelSearch{}, err
	}
	where, err := filter.LoggedModels().Parse(q.Filter)
	if err != nil {
		return LoggedModelSearch{}, err
	}
	by := make([]filter.Order, len(q.OrderBy))
	for i, o := range q.OrderBy {
		if by[i], err = modelOrder(o); err != nil {
			return LoggedModelSearch{}, err
		}
	}
	return LoggedModelSearch{q.ExperimentIDs, where, q.Datasets, by, after, q.MaxResults}, nil
}

// modelOrder reads one order_by entry, which is not text but a field name with a direction.
func modelOrder(o ModelOrder) (filter.Order, error) {
	entity, key, dotted := strings.Cut(o.Field, ".")
	if !dotted {
		name, ok := filter.LoggedModels().OrderKey(o.Field)
		if !ok {
			return filter.Order{}, mlflow.Invalidf("Invalid order by field name: %s", o.Field)
		}
		return filter.Order{Entity: filter.Attribute, Key: name, Descending: o.Descending}, nil
	}
	if entity != "metrics" {
		return filter.Order{}, mlflow.Invalidf("Invalid order by field name: %s. Only metrics are supported.", o.Field)
	}
	return filter.Order{Entity: filter.Metric, Key: key, Descending: o.Descending, DatasetName: o.DatasetName, DatasetDigest: o.DatasetDigest}, nil
}
