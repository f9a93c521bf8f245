package rest

import (
	"context"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// emptyRoutes are reads that the web UI makes on its ordinary pages for things that this server does not keep; writes of the same are
// refused. They answer what MLflow answers when there is nothing, and only then: with a Presence that finds records they are refused
// like the rest.
func (a *API) emptyRoutes() []wire.Route {
	none := func(audit string, there func(Presence, context.Context) (bool, error)) fiber.Handler {
		return call(a, func(ctx context.Context, _ *struct{}) (any, error) { return done(a.nothing(ctx, audit, there)) })
	}
	datasets := none("evaluation datasets", Presence.HasDatasets)
	scorers := none("scorers", Presence.HasScorers)
	mcp := call(a, func(ctx context.Context, _ *struct{}) (any, error) {
		return noMCPServers{Servers: []string{}}, a.nothing(ctx, "MCP servers", Presence.HasMCPServers)
	})
	gateway := none("the records of MLflow's AI gateway", Presence.HasGateway)
	return rows(
		wire.API("3.0", fiber.MethodGet, "/mcp-servers", wire.Read, "tracking.mcp.list", mcp),
		wire.API("3.0", fiber.MethodGet, "/gateway/secrets/list", wire.Read, "tracking.gateway.list", gateway),
		wire.API("3.0", fiber.MethodGet, "/gateway/model-definitions/list", wire.Read, "tracking.gateway.list", gateway),
		wire.API("3.0", fiber.MethodGet, "/gateway/endpoints/list", wire.Read, "tracking.gateway.list", gateway),
		wire.API("3.0", fiber.MethodGet, "/gateway/endpoints/bindings/list", wire.Read, "tracking.gateway.list", gateway),
		wire.API("3.0", fiber.MethodGet, "/scorers/list", wire.Read, "tracking.scorer.list", scorers),
		wire.API("3.0", fiber.MethodGet, "/review-queues/list", wire.Read, "tracking.review.list", none("review queues", Presence.HasReviewQueues)),
		wire.API("3.0", fiber.MethodGet, "/label-schemas/list", wire.Read, "tracking.review.list", none("label schemas", Presence.HasLabelSchemas)),
		wire.API("3.0", fiber.MethodPost, "/datasets/search", wire.Read, "tracking.dataset.search", datasets),
		wire.API("3.0", fiber.MethodGet, "/datasets/search", wire.Read, "tracking.dataset.search", datasets),
		[]wire.Route{
			{Method: fiber.MethodGet, Path: "/ajax-api/2.0/mlflow/gateway-proxy", Permission: wire.Read, Audit: "tracking.server.proxy", Handler: noProxy},
			{Method: fiber.MethodPost, Path: "/ajax-api/2.0/mlflow/gateway-proxy", Permission: wire.Read, Audit: "tracking.server.proxy", Handler: noProxy},
			{Method: fiber.MethodGet, Path: "/ajax-api/3.0/mlflow/ui-telemetry", Permission: wire.Read, Audit: "tracking.server.telemetry", Handler: telemetryOff},
			{Method: fiber.MethodGet, Path: "/ajax-api/3.0/mlflow/assistant/config", Permission: wire.Read, Audit: "tracking.server.assistant", Handler: noAssistantSettings},
			{Method: fiber.MethodGet, Path: "/ajax-api/3.0/mlflow/assistant/providers", Permission: wire.Read, Audit: "tracking.server.assistant", Handler: noAssistants},
		},
	)
}

// noMCPServers is a page of MLflow's registry of MCP servers without any.
type noMCPServers struct {
	Servers       []string `json:"mcp_servers"`
	NextPageToken *string  `json:"next_page_token"`
}

func (a *API) nothing(ctx context.Context, what string, there func(Presence, context.Context) (bool, error)) error {
	refused := mlflow.Errorf(mlflow.NotImplemented, "This server does not serve %s yet.", what)
	if a.opts.Presence == nil {
		return refused
	}
	found, err := there(a.opts.Presence, ctx)
	if err == nil && found {
		err = refused
	}
	return err
}

// noProxy says that no deployments server stands behind this one, as MLflow does without MLFLOW_DEPLOYMENTS_TARGET.
func noProxy(c *fiber.Ctx) error {
	return wire.Send(c, struct {
		Endpoints []string `json:"endpoints"`
	}{[]string{}})
}

// telemetryOff keeps the web UI from sending usage data anywhere.
func telemetryOff(c *fiber.Ctx) error {
	return wire.Send(c, struct {
		Events   []string `json:"disable_ui_events"`
		Disabled bool     `json:"disable_ui_telemetry"`
		Rollout  int      `json:"ui_rollout_percentage"`
	}{[]string{}, true, 0})
}

// noAssistantSettings is the configuration of a coding assistant that nobody has set up, as MLflow answers it then.
func noAssistantSettings(c *fiber.Ctx) error {
	return wire.Send(c, struct {
		Providers map[string]any `json:"providers"`
		Projects  map[string]any `json:"projects"`
		Remote    bool           `json:"remote_access_allowed"`
	}{map[string]any{}, map[string]any{}, false})
}

// noAssistants is MLflow's list of programs that could be its coding assistant, without one and with none chosen.
func noAssistants(c *fiber.Ctx) error {
	return wire.Send(c, struct {
		Providers []string            `json:"providers"`
		Resolved  *string             `json:"resolved"`
		Vendors   map[string][]string `json:"gateway_vendor_options"`
	}{Providers: []string{}, Vendors: map[string][]string{}})
}
