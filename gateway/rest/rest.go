// Package rest is the control API of endpoints, in the shapes of Databricks Model Serving.
//
// It owns the JSON of endpoints (requests read strictly, answers with our own fields beside Databricks'), the readiness probe, and the
// list of what is refused. It is called by cmd, which mounts Routes; it must not know the rules on endpoints (gateway.Service), how
// they are stored, or how a prediction is made. The handlers are safe for concurrent use.
//
// # What requests may hold
//
// Every field is read or refused by name; a field that we do not know is an error, and null counts as absent. An entity's version is a
// number, a stage or @alias in entity_version, or stands in entity_stage or entity_alias. Fields of our own answers that say what is
// (state, reason, stale, serving_version, batching, creation_timestamp, creator …) are accepted and not looked at, so that an answer's config can be
// edited and sent back; its config_version then guards against somebody else's change (409).
//
// Accepted because nothing needs to be done for them: workload_size (Small, Medium, Large: capacity is the machine's, shared, and no less
// than any size asks for), scale_to_zero_enabled (true permits to unload an idle version, which happens when memory is needed; false asks
// for what is the case anyway while memory suffices), workload_type CPU, route_optimized false, empty environment_vars.
package rest

import (
	"context"
	"encoding/json"
	"io"
	"reflect"
	"time"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway"
	"sluice/gateway/drift"
	"sluice/runtime/mlmodel"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

const (
	base           = "/api/2.0/serving-endpoints"
	maxBody        = 1 << 20 // bytes of a configuration
	requestTimeout = 30 * time.Second
)

// Live tells what endpoints do now; plan.Syncer is one.
type Live interface {
	// State returns the endpoint's state; false if it is not known (yet).
	State(endpoint string) (gateway.State, bool)
	// Ready says whether the server may get traffic, and what is waited for.
	Ready() (ok bool, reasons []string)
	// Degraded lists what could not be loaded although something else answers in its place.
	Degraded() []string
}

// Deps are what the handlers work with.
type Deps struct {
	Service *gateway.Service
	Live    Live
	// Metrics writes the endpoint's metrics in Prometheus' text format; nil answers NOT_IMPLEMENTED.
	Metrics func(ctx context.Context, endpoint string, w io.Writer) error
	// Batching says whether predictions of a version are joined that is wanted in this mode (gateway.ServedEntity.Batching); nil, or false, leaves
	// that out of the answer.
	Batching func(model string, version int, mode string) (gateway.Batching, bool)
	// Rollouts carries rollouts out; nil leaves their calls out.
	Rollouts Rollouts
	// Truth takes ground truth in; nil leaves its calls out.
	Truth Truth
	// Drift says what is known of an endpoint's versions; nil leaves its call out.
	Drift func(endpoint string) []drift.SeriesReport
	// Signature returns what a loaded version takes and answers; nil if it has none. A nil function answers NOT_IMPLEMENTED.
	Signature func(ctx context.Context, model string, version int) (*mlmodel.Signature, error)
	// Leaving says whether the server is shutting down; nil means never.
	Leaving func() bool
	// BuildLog is what building the environment of a version said; nil, or false: none was built.
	BuildLog func(model string, version int) (string, bool)
	// Who names the caller, for an endpoint's creator; nil means nobody is known. cmd hands in auth.Who.
	Who func(c *fiber.Ctx) string
}

// Handler answers the control API.
type Handler struct{ deps Deps }

// New returns the handlers over deps.
func New(deps Deps) *Handler {
	if deps.Who == nil {
		deps.Who = func(*fiber.Ctx) string { return "" }
	}
	if deps.Leaving == nil {
		deps.Leaving = func() bool { return false }
	}
	if deps.Batching == nil {
		deps.Batching = func(string, int, string) (gateway.Batching, bool) { return gateway.Batching{}, false }
	}
	if deps.BuildLog == nil {
		deps.BuildLog = func(string, int) (string, bool) { return "", false }
	}
	return &Handler{deps: deps}
}

// Routes returns the rows of the endpoint table.
func (h *Handler) Routes() []wire.Route {
	const one = base + "/:name"
	return wire.Describe(append(append(h.rolloutRoutes(), append(h.truthRoutes(), h.driftRoutes()...)...), []wire.Route{
		{Method: "GET", Path: base, Permission: wire.Read, Audit: "gateway.endpoint.list", Handler: h.list},
		{Method: "POST", Path: base, Permission: wire.Manage, Audit: "gateway.endpoint.create", Handler: h.create},
		// MLflow's deployment client joins the empty name of an endpoint to the path (mlflow/deployments/databricks, 3.17).
		{Method: "GET", Path: base + "/", Permission: wire.Read, Audit: "gateway.endpoint.list", Handler: h.list},
		{Method: "POST", Path: base + "/", Permission: wire.Manage, Audit: "gateway.endpoint.create", Handler: h.create},
		{Method: "POST", Path: base + "/pt", Permission: wire.Manage, Audit: "gateway.endpoint.create_provisioned", Handler: absent("provisioned throughput: capacity is the machine's")},
		{Method: "GET", Path: one, Permission: wire.Read, Audit: "gateway.endpoint.get", Handler: h.get},
		{Method: "DELETE", Path: one, Permission: wire.Manage, Audit: "gateway.endpoint.delete", Handler: h.delete},
		{Method: "PUT", Path: one + "/config", Permission: wire.Manage, Audit: "gateway.endpoint.configure", Handler: h.updateConfig},
		{Method: "PATCH", Path: one + "/tags", Permission: wire.Manage, Audit: "gateway.endpoint.tag", Handler: h.updateTags},
		{Method: "GET", Path: one + "/metrics", Permission: wire.Read, Audit: "gateway.endpoint.metrics", Handler: h.metrics},
		{Method: "GET", Path: one + "/events", Permission: wire.Read, Audit: "gateway.endpoint.events", Handler: h.events},
		{Method: "PUT", Path: one + "/rate-limits", Permission: wire.Manage, Audit: "gateway.endpoint.limit", Handler: h.putRateLimits},
		{Method: "PUT", Path: one + "/ai-gateway", Permission: wire.Manage, Audit: "gateway.endpoint.ai_gateway", Handler: absent("the AI gateway")},
		{Method: "PATCH", Path: one + "/notifications", Permission: wire.Manage, Audit: "gateway.endpoint.notify", Handler: absent("e-mail notifications")},
		{Method: "GET", Path: one + "/openapi", Permission: wire.Read, Audit: "gateway.endpoint.openapi", Handler: h.openAPI, Doc: wire.Doc{Answers: reflect.TypeFor[map[string]json.RawMessage]()}},
		{Method: "GET", Path: one + "/served-models/:served/logs", Permission: wire.Read, Audit: "gateway.endpoint.logs", Handler: h.logs},
		{Method: "GET", Path: one + "/served-models/:served/build-logs", Permission: wire.Read, Audit: "gateway.endpoint.build_logs", Handler: h.buildLogs},
		{Method: "GET", Path: "/api/2.0/endpoints", Permission: wire.Read, Audit: "gateway.deployment.list", Handler: h.listDeployments},
		{Method: "GET", Path: "/api/2.0/endpoints/:name", Permission: wire.Read, Audit: "gateway.deployment.get", Handler: h.getDeployment},
		{Method: "GET", Path: "/.well-known/databricks-config", Permission: wire.Public, Audit: "gateway.discovery.get", Handler: noDiscovery},
		{Method: "GET", Path: "/ready", Permission: wire.Public, Audit: "gateway.server.ready", Handler: h.ready},
	}...), docs())
}

// absent refuses what Databricks has and we have not.
func absent(what string) fiber.Handler {
	err := &mlflow.Error{Code: mlflow.NotImplemented, Message: "Not supported here: " + what + "."}
	return func(*fiber.Ctx) error { return err }
}

// noDiscovery answers the first question of databricks-sdk, which takes 404 for "use what you were told".
func noDiscovery(*fiber.Ctx) error {
	return &mlflow.Error{Code: mlflow.NotFound, Message: "This server publishes no Databricks configuration."}
}

// deadline bounds what one request may cost.
func deadline(c *fiber.Ctx) (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.UserContext(), requestTimeout)
}
