package rest

import (
	"context"
	"path"
	"strings"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking/artifact"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// maxUIUpload bounds uploads of the web UI (source: mlflow/server/handlers.py, upload_artifact_handler).
const maxUIUpload = 10 << 20 // bytes

func (a *API) artifactRoutes() []wire.Route {
	return rows(
		get("/artifacts/list", "tracking.artifact.list", call(a, a.listRunArtifacts)),
		get("/logged-models/:id/artifacts/directories", "tracking.artifact.list", callID(a, "id", a.listModelArtifacts)),
		[]wire.Route{
			{Method: fiber.MethodGet, Path: "/get-artifact", Permission: wire.Read, Audit: "tracking.artifact.read", Handler: a.downloadRunArtifact},
			{Method: fiber.MethodGet, Path: "/model-versions/get-artifact", Permission: wire.Read, Audit: "tracking.artifact.read", Handler: a.downloadVersionArtifact},
			{Method: fiber.MethodGet, Path: "/ajax-api/2.0/mlflow/logged-models/:id/artifacts/files", Permission: wire.Read, Audit: "tracking.artifact.read", Handler: a.downloadModelArtifact},
			{Method: fiber.MethodPost, Path: "/ajax-api/2.0/mlflow/upload-artifact", Permission: wire.Write, Audit: "tracking.artifact.write", Handler: a.uploadRunArtifact},
		},
	)
}

// fileJSON is the message FileInfo; folders and empty files have no size.
type fileJSON struct {
	Path  string `json:"path"`
	IsDir bool   `json:"is_dir"`
	Size  *int64 `json:"file_size,omitempty"`
}

type filesAnswer struct {
	RootURI string     `json:"root_uri,omitempty"`
	Files   []fileJSON `json:"files,omitempty"`
}

func fromInfos(list []artifact.Info) []fileJSON {
	out := make([]fileJSON, len(list))
	for i, info := range list {
		out[i] = fileJSON{Path: info.Path, IsDir: info.IsDir}
		if !info.IsDir && info.Size > 0 { // MLflow leaves a size of 0 out
			out[i].Size = &list[i].Size
		}
	}
	return out
}

type listArtifactsRequest struct {
	RunID     string `json:"run_id" wire:"required,alias=run_uuid"`
	Path      string `json:"path"`
	PageToken string `json:"page_token"` // answers are never paged, so there is none to give
}

func (a *API) listRunArtifacts(ctx context.Context, q *listArtifactsRequest) (any, error) {
	return a.runFiles(ctx, q)
}

func (a *API) runFiles(ctx context.Context, q *listArtifactsRequest) (filesAnswer, error) {
	if _, err := artifact.CleanPath(q.Path); err != nil {
		return filesAnswer{}, err
	}
	run, err := a.tracking.Run(ctx, q.RunID)
	if err != nil {
		return filesAnswer{}, err
	}
	return a.list(ctx, run.Info.ArtifactURI, q.Path)
}

type listModelArtifactsRequest struct {
	Dir string `json:"artifact_directory_path"`
}

func (a *API) listModelArtifacts(ctx context.Context, id string, q *listModelArtifactsRequest) (any, error) {
	if _, err := artifact.CleanPath(q.Dir); err != nil {
		return nil, err
	}
	m, err := a.tracking.LoggedModel(ctx, id, false)
	if err != nil {
		return nil, err
	}
	return a.list(ctx, m.ArtifactLocation, q.Dir)
}

func (a *API) list(ctx context.Context, uri, dir string) (filesAnswer, error) {
	repo, err := a.files.Resolve(uri)
	if err != nil {
		return filesAnswer{}, err
	}
	found, err := repo.List(ctx, dir)
	return filesAnswer{uri, fromInfos(found)}, err
}

// downloadRunArtifact serves /get-artifact?run_id&path.
func (a *API) downloadRunArtifact(c *fiber.Ctx) error {
	var q struct {
		RunID string `json:"run_id" wire:"alias=run_uuid"`
		Path  string `json:"path" wire:"required"`
	}
	if err := bindDownload(c, &q, &q.Path); err != nil {
		return err
	}
	run, err := a.tracking.Run(c.UserContext(), q.RunID)
	if err != nil {
		return err
	}
	return a.download(c, run.Info.ArtifactURI, q.Path)
}

// downloadVersionArtifact serves /model-versions/get-artifact?name&version&path.
func (a *API) downloadVersionArtifact(c *fiber.Ctx) error {
	var q struct {
		Name    string `json:"name" wire:"required"`
		Version string `json:"version" wire:"required"`
		Path    string `json:"path" wire:"required"`
	}
	if err := bindDownload(c, &q, &q.Path); err != nil {
		return err
	}
	if a.opts.Versions == nil {
		return mlflow.Errorf(mlflow.NotImplemented, "This server has no model registry.")
	}
	uri, err := a.opts.Versions(c.UserContext(), q.Name, q.Version)
	if err != nil {
		return err
	}
	return a.download(c, uri, q.Path)
}

// downloadModelArtifact serves logged-models/{id}/artifacts/files?artifact_file_path.
func (a *API) downloadModelArtifact(c *fiber.Ctx) error {
	id, err := wire.Param(c, "id")
	if err != nil {
		return err
	}
	var q struct {
		Path string `json:"artifact_file_path"`
	}
	if err := bindDownload(c, &q, &q.Path); err != nil {
		return err
	}
	if q.Path == "" {
		return mlflow.Errorf(mlflow.BadRequest, `Request must include the "artifact_file_path" query parameter.`)
	}
	m, err := a.tracking.LoggedModel(c.UserContext(), id, false)
	if err != nil {
		return err
	}
	return a.download(c, m.ArtifactLocation, q.Path)
}

// bindDownload binds a query and checks its path before anything is looked up.
func bindDownload(c *fiber.Ctx, q any, p *string) error {
	if err := wire.Bind(c, q); err != nil {
		return err
	}
	_, err := artifact.CleanPath(*p)
	return err
}

func (a *API) download(c *fiber.Ctx, uri, p string) error {
	repo, err := a.files.Resolve(uri)
	if err != nil {
		return err
	}
	return sendFile(c, repo, p)
}

// uploadRunArtifact stores one small file that the web UI sends into a run.
func (a *API) uploadRunArtifact(c *fiber.Ctx) error {
	runID, p := strings.Clone(c.Query("run_uuid")), strings.Clone(c.Query("path"))
	switch {
	case runID == "":
		return mlflow.Invalidf("Request must specify run_uuid.")
	case p == "":
		return mlflow.Invalidf("Request must specify path.")
	}
	if _, err := artifact.CleanPath(p); err != nil {
		return err
	}
	body, err := wire.BodyReader(c, maxUIUpload)
	if err != nil {
		return err
	}
	if c.Request().Header.ContentLength() == 0 {
		return mlflow.Invalidf("Request must specify data.")
	}
	run, err := a.tracking.Run(c.UserContext(), runID)
	if err != nil {
		return err
	}
	repo, err := a.files.Resolve(run.Info.ArtifactURI)
	if err != nil {
		return err
	}
	_, err = repo.Write(c.UserContext(), p, body)
	return err // the answer of a success has no body, as MLflow's
}

// names makes paths relative to the listed folder, as the proxy answers them.
func names(list []fileJSON) []fileJSON {
	for i := range list {
		list[i].Path = path.Base(list[i].Path)
	}
	return list
}
