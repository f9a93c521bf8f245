package rest

import (
	"context"

	"sluice/tracking"
	"sluice/tracking/wire"
)

func (a *API) experimentRoutes() []wire.Route {
	return rows(
		post("/experiments/create", "tracking.experiment.create", call(a, a.createExperiment)),
		get("/experiments/get", "tracking.experiment.get", call(a, a.getExperiment)),
		get("/experiments/get-by-name", "tracking.experiment.get", call(a, a.getExperimentByName)),
		get("/experiments/search", "tracking.experiment.search", call(a, a.searchExperiments)),
		search("/experiments/search", "tracking.experiment.search", call(a, a.searchExperiments)),
		post("/experiments/update", "tracking.experiment.rename", call(a, a.renameExperiment)),
		post("/experiments/delete", "tracking.experiment.delete", call(a, a.deleteExperiment)),
		post("/experiments/restore", "tracking.experiment.restore", call(a, a.restoreExperiment)),
		post("/experiments/set-experiment-tag", "tracking.experiment.tag", call(a, a.setExperimentTag)),
		post("/experiments/delete-experiment-tag", "tracking.experiment.untag", call(a, a.deleteExperimentTag)),
	)
}

// experimentJSON is the message Experiment. Workspaces are off: everything is in the one named default.
type experimentJSON struct {
	ID               string             `json:"experiment_id"`
	Name             string             `json:"name"`
	ArtifactLocation string             `json:"artifact_location"`
	Lifecycle        tracking.Lifecycle `json:"lifecycle_stage"`
	UpdatedMS        int64              `json:"last_update_time"`
	CreatedMS        int64              `json:"creation_time"`
	Tags             []tagJSON          `json:"tags,omitempty"`
	Workspace        string             `json:"workspace"`
}

func fromExperiment(e tracking.Experiment) experimentJSON {
	return experimentJSON{e.ID, e.Name, e.ArtifactLocation, e.Lifecycle, e.UpdatedMS, e.CreatedMS, fromTags(e.Tags), "default"}
}

type experimentAnswer struct {
	Experiment experimentJSON `json:"experiment"`
}

type createExperimentRequest struct {
	Name             string    `json:"name" wire:"required"`
	ArtifactLocation string    `json:"artifact_location"`
	Tags             []tagJSON `json:"tags"`
}

func (a *API) createExperiment(ctx context.Context, q *createExperimentRequest) (any, error) {
	id, err := a.tracking.CreateExperiment(ctx, tracking.ExperimentSpec{Name: q.Name, ArtifactLocation: q.ArtifactLocation, Tags: toTags(q.Tags)})
	return struct {
		ID string `json:"experiment_id"`
	}{id}, err
}

type experimentID struct {
	ID string `json:"experiment_id" wire:"required"`
}

func (a *API) getExperiment(ctx context.Context, q *experimentID) (any, error) {
	e, err := a.tracking.Experiment(ctx, q.ID)
	return experimentAnswer{fromExperiment(e)}, err
}

type experimentName struct {
	Name string `json:"experiment_name" wire:"required"`
}

func (a *API) getExperimentByName(ctx context.Context, q *experimentName) (any, error) {
	e, err := a.tracking.ExperimentByName(ctx, q.Name)
	return experimentAnswer{fromExperiment(e)}, err
}

// searchExperimentsRequest has no default for MaxResults: the one of 1000 is the clients' own.
type searchExperimentsRequest struct {
	MaxResults int64    `json:"max_results"`
	PageToken  string   `json:"page_token"`
	Filter     string   `json:"filter"`
	OrderBy    []string `json:"order_by"`
	View       string   `json:"view_type" enum:"ACTIVE_ONLY,DELETED_ONLY,ALL"`
}

type searchExperimentsAnswer struct {
	Experiments   []experimentJSON `json:"experiments,omitempty"`
	NextPageToken string           `json:"next_page_token,omitempty"`
}

func (a *API) searchExperiments(ctx context.Context, q *searchExperimentsRequest) (any, error) {
	page, err := a.tracking.SearchExperiments(ctx, tracking.ExperimentQuery{
		Filter: q.Filter, OrderBy: q.OrderBy, View: viewOf(q.View), MaxResults: int(q.MaxResults), PageToken: q.PageToken,
	})
	answer := searchExperimentsAnswer{NextPageToken: page.NextPageToken}
	for _, e := range page.Experiments {
		answer.Experiments = append(answer.Experiments, fromExperiment(e))
	}
	return answer, err
}

type renameExperimentRequest struct {
	ID   string `json:"experiment_id" wire:"required"`
	Name string `json:"new_name" wire:"required"`
}

func (a *API) renameExperiment(ctx context.Context, q *renameExperimentRequest) (any, error) {
	return done(a.tracking.RenameExperiment(ctx, q.ID, q.Name))
}

func (a *API) deleteExperiment(ctx context.Context, q *experimentID) (any, error) {
	return done(a.tracking.DeleteExperiment(ctx, q.ID))
}

func (a *API) restoreExperiment(ctx context.Context, q *experimentID) (any, error) {
	return done(a.tracking.RestoreExperiment(ctx, q.ID))
}

type setExperimentTagRequest struct {
	ID    string `json:"experiment_id" wire:"required"`
	Key   string `json:"key" wire:"required"`
	Value string `json:"value"`
}

func (a *API) setExperimentTag(ctx context.Context, q *setExperimentTagRequest) (any, error) {
	return done(a.tracking.SetExperimentTag(ctx, q.ID, tracking.Tag{Key: q.Key, Value: q.Value}))
}

type deleteExperimentTagRequest struct {
	ID  string `json:"experiment_id" wire:"required"`
	Key string `json:"key" wire:"required"`
}

func (a *API) deleteExperimentTag(ctx context.Context, q *deleteExperimentTagRequest) (any, error) {
	return done(a.tracking.DeleteExperimentTag(ctx, q.ID, q.Key))
}
