package rest

import (
	"context"
	"net/url"
	"slices"

	"sluice/tracking/artifact"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// maxPresignedSeconds is the longest life that a cloud gives a signed URL.
const maxPresignedSeconds = 604_800

// presignedRoutes are the calls for URLs that lead past this server into an artifact store. None of the stores here has such URLs, so
// what is asked for is checked as in MLflow, and then refused in MLflow's words.
func (a *API) presignedRoutes() []wire.Route {
	return rows(
		post("/artifacts/presigned-upload-url", "tracking.artifact.write", call(a, a.presignUpload)),
		search("/artifacts/presigned-download-url", "tracking.artifact.read", call(a, a.presignDownload)),
	)
}

type presignUploadRequest struct {
	RunID      string `json:"run_id"`
	ModelID    string `json:"model_id"`
	Path       string `json:"path" wire:"required"`
	Expiration *int64 `json:"expiration"` // seconds
}

type presignDownloadRequest struct {
	RunID      string `json:"run_id" wire:"required"`
	Path       string `json:"path" wire:"required"`
	Expiration *int64 `json:"expiration"` // seconds
}

func (a *API) presignUpload(ctx context.Context, q *presignUploadRequest) (any, error) {
	if (q.RunID == "") == (q.ModelID == "") {
		return nil, mlflow.Invalidf("Exactly one of run_id and model_id must be provided.")
	}
	if _, err := artifact.CleanPath(q.Path); err != nil {
		return nil, err
	}
	root, err := a.artifactRoot(ctx, q.RunID, q.ModelID)
	if err != nil {
		return nil, err
	}
	if scheme := proxied(root); scheme != "" {
		return nil, mlflow.Invalidf("Presigned upload is not supported for proxied artifact storage (artifact URI scheme: %s). "+
			"This endpoint requires a direct cloud storage artifact URI.", scheme)
	}
	return nil, mlflow.Errorf(mlflow.NotImplemented, "Presigned upload is not supported for the current artifact repository")
}

func (a *API) presignDownload(ctx context.Context, q *presignDownloadRequest) (any, error) {
	if _, err := artifact.CleanPath(q.Path); err != nil {
		return nil, err
	}
	if n := q.Expiration; n != nil && (*n < 1 || *n > maxPresignedSeconds) {
		return nil, mlflow.Invalidf("expiration must be between 1 and %d seconds (got %d).", maxPresignedSeconds, *n)
	}
	root, err := a.artifactRoot(ctx, q.RunID, "")
	if err != nil {
		return nil, err
	}
	if scheme := proxied(root); scheme != "" {
		return nil, mlflow.Invalidf("Presigned download is not supported for runs with proxied artifact storage (artifact URI scheme: %s). "+
			"This endpoint requires a run with a direct cloud storage artifact URI.", scheme)
	}
	return nil, mlflow.Errorf(mlflow.NotImplemented, "Presigned download is not supported for the current artifact repository")
}

// artifactRoot returns the artifact URI of a run, or else of a logged model.
func (a *API) artifactRoot(ctx context.Context, runID, modelID string) (string, error) {
	if runID != "" {
		run, err := a.tracking.Run(ctx, runID)
		return run.Info.ArtifactURI, err
	}
	m, err := a.tracking.LoggedModel(ctx, modelID, false)
	return m.ArtifactLocation, err
}

// proxied returns the scheme of an artifact URI that a server stands in front of, "" for another.
func proxied(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || !slices.Contains([]string{"http", "https", "mlflow-artifacts"}, u.Scheme) {
		return ""
	}
	return u.Scheme
}
