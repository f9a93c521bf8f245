package rest

import (
	"context"
	"strings"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// proxyRoutes are the calls under /api/2.0/mlflow-artifacts: the server's own artifact store, addressed by path.
func (a *API) proxyRoutes() []wire.Route {
	var all []wire.Route
	for _, root := range []string{"/api/2.0/mlflow-artifacts", "/ajax-api/2.0/mlflow-artifacts"} {
		all = append(all,
			wire.Route{Method: fiber.MethodGet, Path: root + "/artifacts", Permission: wire.Read, Audit: "tracking.artifact.list", Handler: call(a, a.proxyList)},
			wire.Route{Method: fiber.MethodGet, Path: root + "/artifacts/*", Permission: wire.Read, Audit: "tracking.artifact.read", Handler: a.proxyDownload},
			wire.Route{Method: fiber.MethodPut, Path: root + "/artifacts/*", Permission: wire.Write, Audit: "tracking.artifact.write", Handler: a.proxyUpload},
			wire.Route{Method: fiber.MethodDelete, Path: root + "/artifacts/*", Permission: wire.Write, Audit: "tracking.artifact.delete", Handler: a.proxyDelete},
			wire.Route{Method: fiber.MethodPost, Path: root + "/mpu/create/*", Permission: wire.Write, Audit: "tracking.artifact.write", Handler: noMultipartUpload},
			wire.Route{Method: fiber.MethodPost, Path: root + "/mpu/complete/*", Permission: wire.Write, Audit: "tracking.artifact.write", Handler: noMultipartUpload},
			wire.Route{Method: fiber.MethodPost, Path: root + "/mpu/abort/*", Permission: wire.Write, Audit: "tracking.artifact.write", Handler: noMultipartUpload},
			wire.Route{Method: fiber.MethodGet, Path: root + "/presigned/*", Permission: wire.Read, Audit: "tracking.artifact.read", Handler: noMultipartDownload},
		)
	}
	return all
}

type proxyListRequest struct {
	Path string `json:"path"`
}

func (a *API) proxyList(ctx context.Context, q *proxyListRequest) (any, error) {
	repo, err := a.files.Proxied()
	if err != nil {
		return nil, err
	}
	found, err := repo.List(ctx, q.Path)
	return filesAnswer{Files: names(fromInfos(found))}, err
}

func (a *API) proxyDownload(c *fiber.Ctx) error {
	p, err := wire.Param(c, "*")
	if err != nil {
		return err
	}
	if strings.HasSuffix(p, "/") {
		return mlflow.Invalidf("Artifact path refers to a directory, not a file: '%s'", p)
	}
	repo, err := a.files.Proxied()
	if err != nil {
		return err
	}
	return sendFile(c, repo, p)
}

// proxyUpload streams the body into a file: whatever its size, nothing but one buffer is held in memory.
func (a *API) proxyUpload(c *fiber.Ctx) error {
	p, err := wire.Param(c, "*")
	if err != nil {
		return err
	}
	if strings.HasSuffix(p, "/") {
		return mlflow.Invalidf("Artifact path must include a filename (cannot end with '/').")
	}
	repo, err := a.files.Proxied()
	if err != nil {
		return err
	}
	body, err := wire.Upload(c, a.opts.MaxUploadBytes, transfer)
	if err != nil {
		return err
	}
	_, err = repo.Write(c.UserContext(), p, body)
	return err // the answer of a success has no body, as MLflow's
}

// proxyDelete removes a file or a tree; what is not there is as good as deleted, as in MLflow.
func (a *API) proxyDelete(c *fiber.Ctx) error {
	p, err := wire.Param(c, "*")
	if err != nil {
		return err
	}
	repo, err := a.files.Proxied()
	if err != nil {
		return err
	}
	if err := repo.Delete(c.UserContext(), p); err != nil && mlflow.CodeOf(err) != mlflow.ResourceDoesNotExist {
		return err
	}
	return wire.Empty(c)
}

// multipartRequest is what MLflow checks of a multipart call before it asks the store.
type multipartRequest struct {
	Path     string `json:"path" wire:"required"`
	NumParts int64  `json:"num_parts"`
	UploadID string `json:"upload_id"`
}

func noMultipartUpload(c *fiber.Ctx) error {
	if err := wire.Bind(c, &multipartRequest{}); err != nil {
		return err
	}
	return mlflow.Errorf(mlflow.NotImplemented, "Multipart upload is not supported for the current artifact repository")
}

func noMultipartDownload(*fiber.Ctx) error {
	return mlflow.Errorf(mlflow.NotImplemented, "Multipart download is not supported for the current artifact repository")
}
