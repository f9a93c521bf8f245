package registry

import (
	"context"

	"sluice/tracking/filter"
	"sluice/tracking/mlflow"
	"sluice/tracking/page"
)

// SearchQuery asks for one page of registered models or model versions.
type SearchQuery struct {
	Filter  string   // "" means all
	OrderBy []string // "" means MLflow's default order
	// MaxResults is the most rows of the page; 0 means the default (mlflow.SearchModelsDefault, mlflow.SearchVersionsDefault).
	MaxResults int
	PageToken  string // of the page before; "" means the first page
}

// ModelPage is one page of registered models; NextPageToken is "" on the last.
type ModelPage struct {
	Models        []Model
	NextPageToken string
}

// CreateModel registers a name. Returns RESOURCE_ALREADY_EXISTS if it is taken.
func (s *Service) CreateModel(ctx context.Context, spec ModelSpec) (m Model, err error) {
	if err := checkFreshName(spec.Name); err != nil {
		return Model{}, err
	}
	if spec.Tags, err = checkTags(spec.Tags, checkTag); err != nil {
		return Model{}, err
	}
	err = s.change(ctx, func(at int64) (events []Event, err error) {
		m, events, err = s.store.CreateModel(ctx, spec, at)
		return events, err
	})
	return m, err
}

// Model returns a registered model. Returns RESOURCE_DOES_NOT_EXIST if nobody has the name.
func (s *Service) Model(ctx context.Context, name string) (Model, error) {
	if err := checkModelName(name); err != nil {
		return Model{}, err
	}
	return s.store.Model(ctx, name)
}

// SetModelDescription overwrites the description.
func (s *Service) SetModelDescription(ctx context.Context, name, description string) (m Model, err error) {
	if err := checkModelName(name); err != nil {
		return Model{}, err
	}
	err = s.change(ctx, func(at int64) (events []Event, err error) {
		m, events, err = s.store.SetModelDescription(ctx, name, description, at)
		return events, err
	})
	return m, err
}

// RenameModel renames the registered model; its versions, tags and aliases go along.
func (s *Service) RenameModel(ctx context.Context, name, newName string) (m Model, err error) {
	if err := checkNewName(newName); err != nil {
		return Model{}, err
	}
	if err := checkModelName(name); err != nil {
		return Model{}, err
	}
	err = s.change(ctx, func(at int64) (events []Event, err error) {
		m, events, err = s.store.RenameModel(ctx, name, newName, at)
		return events, err
	})
	return m, err
}

// DeleteModel deletes the registered model with all its versions. Unless force is set, Options.GuardDelete may refuse.
func (s *Service) DeleteModel(ctx context.Context, name string, force bool) error {
	if err := checkModelName(name); err != nil {
		return err
	}
	return s.change(ctx, func(at int64) ([]Event, error) {
		if err := s.guardDelete(ctx, name, 0, force); err != nil {
			return nil, err
		}
		return s.store.DeleteModel(ctx, name, at)
	})
}

// SetModelTag sets or overwrites a tag.
func (s *Service) SetModelTag(ctx context.Context, name string, tag Tag) error {
	if err := checkModelName(name); err != nil {
		return err
	}
	if err := checkTag(tag); err != nil {
		return err
	}
	return s.change(ctx, func(at int64) ([]Event, error) { return s.store.SetModelTag(ctx, name, tag, at) })
}

// DeleteModelTag deletes a tag; one that is not there is nothing.
func (s *Service) DeleteModelTag(ctx context.Context, name, key string) error {
	if err := checkModelName(name); err != nil {
		return err
	}
	if err := mlflow.CheckName("key", key); err != nil {
		return err
	}
	return s.change(ctx, func(at int64) ([]Event, error) { return s.store.DeleteModelTag(ctx, name, key, at) })
}

// SearchModels returns one page of registered models, by name unless OrderBy says otherwise; at most mlflow.SearchModelsMax.
func (s *Service) SearchModels(ctx context.Context, q SearchQuery) (ModelPage, error) {
	question := q.question("registered models")
	search, err := q.parse(filter.RegisteredModels(), question, mlflow.SearchModelsDefault, mlflow.SearchModelsMax)
	if err != nil {
		return ModelPage{}, err
	}
	found, err := s.store.SearchModels(ctx, search)
	if err != nil {
		return ModelPage{}, err
	}
	next, err := page.Next(question, found)
	return ModelPage{found.Rows, next}, err
}

// question is what the page tokens of the query belong to.
func (q SearchQuery) question(kind string) page.Question {
	return page.NewQuestion(kind, q.Filter, q.OrderBy)
}

func (q SearchQuery) parse(g *filter.Grammar, question page.Question, byDefault, most int) (Search, error) {
	if q.MaxResults == 0 {
		q.MaxResults = byDefault
	}
	if q.MaxResults < 1 {
		return Search{}, mlflow.Invalidf("Invalid value for max_results. It must be a positive integer, but got %d", q.MaxResults)
	}
	if q.MaxResults > most {
		return Search{}, mlflow.Invalidf("Invalid value for request parameter max_results. It must be at most %d, but got value %d", most, q.MaxResults)
	}
	expr, err := g.Parse(q.Filter)
	if err != nil {
		return Search{}, err
	}
	order, err := g.ParseOrder(q.OrderBy)
	if err != nil {
		return Search{}, err
	}
	after, err := question.Read(q.PageToken)
	if err != nil {
		return Search{}, err
	}
	return Search{Filter: expr, Order: order, After: after, Limit: q.MaxResults}, nil
}
