package rest

import (
	"context"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

func (a *API) modelRoutes() []wire.Route {
	return rows(
		post("/logged-models", "tracking.model.create", call(a, a.createModel)),
		search("/logged-models/search", "tracking.model.search", call(a, a.searchModels)),
		get("/logged-models/:id", "tracking.model.get", callID(a, "id", a.getModel)),
		patch("/logged-models/:id", "tracking.model.finalize", callID(a, "id", a.finalizeModel)),
		remove("/logged-models/:id", "tracking.model.delete", callID(a, "id", a.deleteModel)),
		post("/logged-models/:id/params", "tracking.model.log", callID(a, "id", a.logModelParams)),
		patch("/logged-models/:id/tags", "tracking.model.tag", callID(a, "id", a.setModelTags)),
		remove("/logged-models/:id/tags/:key", "tracking.model.untag", a.deleteModelTag),
	)
}

type modelAnswer struct {
	Model modelJSON `json:"model"`
}

// modelJSON is the message LoggedModel.
type modelJSON struct {
	Info modelInfoJSON `json:"info"`
	Data modelDataJSON `json:"data"`
}

type modelInfoJSON struct {
	ID            string               `json:"model_id"`
	ExperimentID  string               `json:"experiment_id"`
	Name          string               `json:"name"`
	CreatedMS     int64                `json:"creation_timestamp_ms"`
	UpdatedMS     int64                `json:"last_updated_timestamp_ms"`
	ArtifactURI   string               `json:"artifact_uri"`
	Status        tracking.ModelStatus `json:"status"`
	ModelType     string               `json:"model_type"`
	SourceRunID   string               `json:"source_run_id"`
	StatusMessage string               `json:"status_message,omitempty"`
	Tags          []tagJSON            `json:"tags,omitempty"`
}

type modelDataJSON struct {
	Params  []tagJSON    `json:"params,omitempty"`
	Metrics []metricJSON `json:"metrics,omitempty"`
}

func fromModel(m tracking.LoggedModel) modelJSON {
	j := modelJSON{
		Info: modelInfoJSON{
			ID: m.ID, ExperimentID: m.ExperimentID, Name: m.Name, CreatedMS: m.CreatedMS, UpdatedMS: m.UpdatedMS,
			ArtifactURI: m.ArtifactLocation, Status: m.Status, ModelType: m.ModelType, SourceRunID: m.SourceRunID,
			StatusMessage: m.StatusMessage, Tags: fromTags(m.Tags),
		},
		Data: modelDataJSON{Params: fromParams(m.Params)},
	}
	for _, metric := range m.Metrics {
		j.Data.Metrics = append(j.Data.Metrics, fromMetric(metric))
	}
	return j
}

type createModelRequest struct {
	ExperimentID string    `json:"experiment_id" wire:"required"`
	Name         string    `json:"name"`
	ModelType    string    `json:"model_type"`
	SourceRunID  string    `json:"source_run_id"`
	Params       []tagJSON `json:"params"`
	Tags         []tagJSON `json:"tags"`
}

func (a *API) createModel(ctx context.Context, q *createModelRequest) (any, error) {
	m, err := a.tracking.CreateLoggedModel(ctx, tracking.LoggedModelSpec{
		ExperimentID: q.ExperimentID, Name: q.Name, ModelType: q.ModelType, SourceRunID: q.SourceRunID, Params: toParams(q.Params), Tags: toTags(q.Tags),
	})
	return modelAnswer{fromModel(m)}, err
}

type getModelRequest struct {
	AllowDeleted bool `json:"allow_deleted"`
}

func (a *API) getModel(ctx context.Context, id string, q *getModelRequest) (any, error) {
	m, err := a.tracking.LoggedModel(ctx, id, q.AllowDeleted)
	return modelAnswer{fromModel(m)}, err
}

// finalizeModelRequest repeats the id of the path in its body, where MLflow's own clients send it; the path decides.
type finalizeModelRequest struct {
	Status string `json:"status" wire:"required" enum:"LOGGED_MODEL_PENDING,LOGGED_MODEL_READY,LOGGED_MODEL_UPLOAD_FAILED"`
	bodyModelID
}

type bodyModelID struct {
	ModelID string `json:"model_id"`
}

// same refuses a body that names another model than the path.
func (b bodyModelID) same(id string) error {
	if b.ModelID != "" && b.ModelID != id {
		return mlflow.Invalidf("The model_id of the body is not that of the path.")
	}
	return nil
}

func (a *API) finalizeModel(ctx context.Context, id string, q *finalizeModelRequest) (any, error) {
	if err := q.same(id); err != nil {
		return nil, err
	}
	m, err := a.tracking.FinalizeLoggedModel(ctx, id, tracking.ModelStatus(q.Status))
	return modelAnswer{fromModel(m)}, err
}

func (a *API) deleteModel(ctx context.Context, id string, _ *struct{}) (any, error) {
	return done(a.tracking.DeleteLoggedModel(ctx, id))
}

type modelParamsRequest struct {
	Params []tagJSON `json:"params"`
	bodyModelID
}

func (a *API) logModelParams(ctx context.Context, id string, q *modelParamsRequest) (any, error) {
	if err := q.same(id); err != nil {
		return nil, err
	}
	return done(a.tracking.LogLoggedModelParams(ctx, id, toParams(q.Params)))
}

type modelTagsRequest struct {
	Tags []tagJSON `json:"tags"`
	bodyModelID
}

func (a *API) setModelTags(ctx context.Context, id string, q *modelTagsRequest) (any, error) {
	if err := q.same(id); err != nil {
		return nil, err
	}
	return done(a.tracking.SetLoggedModelTags(ctx, id, toTags(q.Tags)))
}

type searchModelsRequest struct {
	ExperimentIDs []string       `json:"experiment_ids" wire:"required"`
	Filter        string         `json:"filter"`
	Datasets      []modelDataset `json:"datasets"`
	MaxResults    *int32         `json:"max_results"`
	OrderBy       []modelOrder   `json:"order_by"`
	PageToken     string         `json:"page_token"`
}

type modelDataset struct {
	Name   string `json:"dataset_name"`
	Digest string `json:"dataset_digest"`
}

// searchModelsDefault is how many logged models a page has if the request does not say (source: mlflow/protos/service.proto).
const searchModelsDefault = 50

// modelOrder sorts ascending unless it says otherwise (source: mlflow/protos/service.proto).
type modelOrder struct {
	Field         string `json:"field_name"`
	Ascending     *bool  `json:"ascending"`
	DatasetName   string `json:"dataset_name"`
	DatasetDigest string `json:"dataset_digest"`
}

type searchModelsAnswer struct {
	Models        []modelJSON `json:"models,omitempty"`
	NextPageToken string      `json:"next_page_token,omitempty"`
}

func (a *API) searchModels(ctx context.Context, q *searchModelsRequest) (any, error) {
	query := tracking.LoggedModelQuery{ExperimentIDs: q.ExperimentIDs, Filter: q.Filter, MaxResults: searchModelsDefault, PageToken: q.PageToken}
	if q.MaxResults != nil {
		query.MaxResults = int(*q.MaxResults)
	}
	for _, d := range q.Datasets {
		query.Datasets = append(query.Datasets, tracking.DatasetFilter(d))
	}
	for _, o := range q.OrderBy {
		query.OrderBy = append(query.OrderBy, tracking.ModelOrder{
			Field: o.Field, Descending: o.Ascending != nil && !*o.Ascending, DatasetName: o.DatasetName, DatasetDigest: o.DatasetDigest,
		})
	}
	page, err := a.tracking.SearchLoggedModels(ctx, query)
	answer := searchModelsAnswer{NextPageToken: page.NextPageToken}
	for _, m := range page.Models {
		answer.Models = append(answer.Models, fromModel(m))
	}
	return answer, err
}

func (a *API) deleteModelTag(c *fiber.Ctx) error {
	id, err := wire.Param(c, "id")
	if err != nil {
		return err
	}
	key, err := wire.Param(c, "key")
	if err != nil {
		return err
	}
	return a.answer(c, func(ctx context.Context) (any, error) { return done(a.tracking.DeleteLoggedModelTag(ctx, id, key)) })
}
