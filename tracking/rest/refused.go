package rest

import (
	"slices"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// refusal is a part of MLflow's surface that this server does not have, and why.
type refusal struct {
	path   string // below both prefixes, or absolute
	reason string
}

// refusals is the written list of what is not served. Paths below /api and /ajax-api stand with their version; "*" ends a tree.
// Where one method of a path is served, the others are refused.
var refusals = []refusal{
	{"2.0/mlflow/unified-traces", "Only Databricks has unified traces."},
	{"2.0/mlflow/get-online-trace-details", "Only Databricks has online traces."},
	{"2.0/mlflow/runs/create-promptlab-run", "The prompt laboratory asks models through MLflow's AI gateway, which is not part of this server."},
	{"3.0/mlflow/datasets/*", "Evaluation datasets are not stored yet."},
	{"3.0/mlflow/scorers/*", "Scorers are not stored yet."},
	{"3.0/mlflow/scorer/*", "Scorers are not stored yet."},
	{"3.0/mlflow/issues", "Issues found in traces are not stored yet."},
	{"3.0/mlflow/issues/*", "Issues found in traces are not stored yet."},
	{"3.0/mlflow/label-schemas/*", "Label schemas are not stored yet."},
	{"3.0/mlflow/review-queues/*", "Review queues are not stored yet."}, // which the page of them, that wants to make one, bears
	{"3.0/mlflow/prompt-optimization/*", "Prompt optimization needs MLflow's job runner."},
	{"3.0/mlflow/genai/*", "Evaluation of generative models needs MLflow's job runner."},
	{"3.0/mlflow/jobs/*", "MLflow's job runner is not part of this server."},
	{"3.0/jobs/*", "MLflow's job runner is not part of this server."},
	{"3.0/mlflow/gateway/*", "MLflow's AI gateway is not part of this server."}, // its lists are empty: emptyRoutes
	{"/build/*", "The files of the web UI are below /static-files."},
	{"/gateway/*", "MLflow's AI gateway is not part of this server."},
	{"3.0/mlflow/mcp-servers", "The registry of MCP servers is not part of this server."},
	{"3.0/mlflow/mcp-servers/*", "The registry of MCP servers is not part of this server."},
	{"3.0/mlflow/demo/*", "MLflow's demonstration data is not part of this server."},
	{"3.0/mlflow/assistant/*", "MLflow's coding assistant is not part of this server."},
	{"3.0/mlflow/workspaces", "Workspaces are off."},
	{"3.0/mlflow/workspaces/*", "Workspaces are off."},
	{"3.0/mlflow/ui-telemetry", "This server sends no usage data."},
}

// Refused returns routes that answer NOT_IMPLEMENTED with the reason for every known call that is not served. Mount it after all
// other routes, so that it catches only what nobody else has.
func (a *API) Refused() []wire.Route {
	served := map[string]bool{}
	for _, r := range a.Routes() {
		served[r.Method+" "+r.Path] = true
	}
	var all []wire.Route
	for _, r := range refusals {
		paths := []string{"/api/" + r.path, "/ajax-api/" + r.path}
		if r.path[0] == '/' {
			paths = []string{r.path}
		}
		for _, p := range paths {
			all = append(all, refuse(p, r.reason)...)
		}
	}
	return slices.DeleteFunc(all, func(r wire.Route) bool { return served[r.Method+" "+r.Path] })
}

func refuse(path, reason string) []wire.Route {
	h := func(*fiber.Ctx) error { return mlflow.Errorf(mlflow.NotImplemented, "%s", reason) }
	var all []wire.Route
	for _, m := range []string{fiber.MethodGet, fiber.MethodPost, fiber.MethodPut, fiber.MethodPatch, fiber.MethodDelete} {
		all = append(all, wire.Route{Method: m, Path: path, Permission: wire.Read, Audit: "tracking.refused", Handler: h})
	}
	return all
}
