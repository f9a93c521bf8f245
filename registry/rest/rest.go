// Package rest answers MLflow's REST calls about registered models, model versions, stages, aliases and tags.
//
// It owns the JSON shapes of section "model registry" of MLflow 3.17's API (source: mlflow/protos/model_registry.proto) and the
// rows of the endpoint table. It is called by cmd, which mounts Routes; it must not know how the registry decides or stores.
//
// One field is ours: force (in the body or the query of a delete) deletes a version or registered model although an endpoint
// routes to it.
package rest

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"sluice/registry"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// Routes returns the rows of the endpoint table for the registry, each under /api and /ajax-api.
func Routes(service *registry.Service) []wire.Route {
	h := &handlers{service}
	var out []wire.Route
	add := func(method, path string, perm wire.Permission, audit string, handler fiber.Handler) {
		out = append(out, wire.API("2.0", method, path, perm, "registry."+audit, handler)...)
	}
	add("POST", "/registered-models/create", wire.Write, "model.create", h.createModel)
	add("POST", "/registered-models/rename", wire.Write, "model.rename", h.renameModel)
	add("PATCH", "/registered-models/update", wire.Write, "model.update", h.updateModel)
	add("DELETE", "/registered-models/delete", wire.Write, "model.delete", h.deleteModel)
	add("GET", "/registered-models/get", wire.Read, "model.get", h.getModel)
	add("GET", "/registered-models/search", wire.Read, "model.search", h.searchModels)
	add("GET", "/registered-models/get-latest-versions", wire.Read, "version.latest", h.latestVersions)
	add("POST", "/registered-models/get-latest-versions", wire.Read, "version.latest", h.latestVersions)
	add("POST", "/registered-models/set-tag", wire.Write, "model.tag.set", h.setModelTag)
	add("DELETE", "/registered-models/delete-tag", wire.Write, "model.tag.delete", h.deleteModelTag)
	add("POST", "/registered-models/alias", wire.Write, "alias.set", h.setAlias)
	add("DELETE", "/registered-models/alias", wire.Write, "alias.delete", h.deleteAlias)
	add("GET", "/registered-models/alias", wire.Read, "alias.get", h.versionByAlias)
	add("POST", "/model-versions/create", wire.Write, "version.create", h.createVersion)
	add("PATCH", "/model-versions/update", wire.Write, "version.update", h.updateVersion)
	add("DELETE", "/model-versions/delete", wire.Write, "version.delete", h.deleteVersion)
	add("GET", "/model-versions/get", wire.Read, "version.get", h.getVersion)
	add("GET", "/model-versions/search", wire.Read, "version.search", h.searchVersions)
	add("GET", "/model-versions/get-download-uri", wire.Read, "version.uri", h.downloadURI)
	add("POST", "/model-versions/transition-stage", wire.Write, "version.stage", h.transitionStage)
	add("POST", "/model-versions/set-tag", wire.Write, "version.tag.set", h.setVersionTag)
	add("DELETE", "/model-versions/delete-tag", wire.Write, "version.tag.delete", h.deleteVersionTag)
	return out
}

type handlers struct{ service *registry.Service }

// tag is a tag of a registered model or version.
type tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func tagsIn(in []tag) []registry.Tag {
	out := make([]registry.Tag, len(in))
	for i, t := range in {
		out[i] = registry.Tag(t)
	}
	return out
}

func tagsOut(in []registry.Tag) []tag {
	out := make([]tag, len(in))
	for i, t := range in {
		out[i] = tag(t)
	}
	return out
}

// search is a request for a page of registered models or versions.
type search struct {
	Filter     string   `json:"filter"`
	MaxResults *int64   `json:"max_results"`
	OrderBy    []string `json:"order_by"`
	PageToken  string   `json:"page_token"`
}

// bindSearch reads a search; most is the largest page.
func bindSearch(c *fiber.Ctx, most int64) (registry.SearchQuery, error) {
	var in search
	if err := wire.Bind(c, &in); err != nil {
		return registry.SearchQuery{}, err
	}
	q := registry.SearchQuery{Filter: in.Filter, OrderBy: in.OrderBy, PageToken: in.PageToken}
	if in.MaxResults == nil {
		return q, nil
	}
	n := *in.MaxResults
	if n > most {
		return q, tooMany(c, n)
	}
	if n < 1 {
		return q, mlflow.Invalidf("Invalid value for max_results. It must be a positive integer, but got %d", n)
	}
	q.MaxResults = int(n)
	return q, nil
}

// tooMany is MLflow's refusal of a page that is too large; a value from the query string is shown as the text that it was.
func tooMany(c *fiber.Ctx, n int64) error {
	shown, kind := strconv.FormatInt(n, 10), "int"
	if len(c.Context().URI().QueryString()) > 0 {
		shown, kind = `"`+shown+`"`, "str"
	}
	return mlflow.Invalidf("Invalid value %s for parameter 'max_results' supplied:  Hint: Value was of type '%s'. "+
		"See the API docs for more information about request parameters.", shown, kind)
}

// forced reads our own field force, which the body may hold and the query too.
func forced(c *fiber.Ctx, inBody bool) (bool, error) {
	switch text := c.Query("force"); strings.ToLower(text) {
	case "":
		return inBody, nil
	case "true":
		return true, nil
	case "false":
		return inBody, nil
	default:
		return false, mlflow.Invalidf("Invalid boolean value: %s, must be 'true' or 'false'.", fmt.Sprintf("%.20q", text))
	}
}
