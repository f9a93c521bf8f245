package rest

import (
	"context"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

func (a *API) serverRoutes() []wire.Route {
	info := call(a, a.serverInfo)
	return []wire.Route{
		{Method: fiber.MethodGet, Path: "/health", Permission: wire.Public, Audit: "tracking.server.health", Handler: text("OK")},
		{Method: fiber.MethodGet, Path: "/version", Permission: wire.Public, Audit: "tracking.server.version", Handler: text(mlflow.Version)},
		{Method: fiber.MethodGet, Path: "/api/3.0/mlflow/server-info", Permission: wire.Public, Audit: "tracking.server.info", Handler: info},
		{Method: fiber.MethodGet, Path: "/ajax-api/3.0/mlflow/server-info", Permission: wire.Public, Audit: "tracking.server.info", Handler: info},
	}
}

func text(s string) fiber.Handler {
	return func(c *fiber.Ctx) error { return c.SendString(s) }
}

// serverInfo tells clients what this server can do, without a login; it must never tell more.
type serverInfo struct {
	StoreType             string          `json:"store_type"`
	Workspaces            bool            `json:"workspaces_enabled"`
	TraceArchival         bool            `json:"trace_archival_enabled"`
	MultipartUploads      bool            `json:"multipart_uploads_enabled"`
	MultipartDownloads    bool            `json:"multipart_downloads_enabled"`
	PresignedUploadRunID  bool            `json:"presigned_upload_run_id_supported"`
	PresignedUploadModels bool            `json:"presigned_upload_model_id_supported"`
	Features              map[string]bool `json:"features_enabled"`
}

func (a *API) serverInfo(context.Context, *struct{}) (any, error) {
	return serverInfo{StoreType: a.opts.StoreType, Features: map[string]bool{"gateway": false}}, nil
}
