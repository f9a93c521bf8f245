package rest

import (
	"context"
	"time"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking"
	"sluice/tracking/artifact"
	"sluice/tracking/wire"
)

// VersionSource returns the artifact URI of a registered model's version. Returns RESOURCE_DOES_NOT_EXIST if there is none.
type VersionSource func(ctx context.Context, name, version string) (uri string, err error)

// Presence tells whether a store holds records that this server can't read yet, so that an empty answer is only ever the truth.
type Presence interface {
	// HasDatasets reports whether any evaluation dataset is stored.
	HasDatasets(ctx context.Context) (bool, error)
	// HasScorers reports whether any scorer is stored.
	HasScorers(ctx context.Context) (bool, error)
	// HasGateway reports whether anything of MLflow's AI gateway is stored: a secret, a model definition, an endpoint or a binding.
	HasGateway(ctx context.Context) (bool, error)
	// HasMCPServers reports whether any MCP server is stored.
	HasMCPServers(ctx context.Context) (bool, error)
	// HasReviewQueues reports whether any review queue is stored.
	HasReviewQueues(ctx context.Context) (bool, error)
	// HasLabelSchemas reports whether any label schema is stored.
	HasLabelSchemas(ctx context.Context) (bool, error)
}

// Options are the settings of an API; nil and the zero value work.
type Options struct {
	// Timeout bounds every call but uploads and downloads; default 60 s. (Fiber can't see a client leave.)
	Timeout time.Duration
	// MaxUploadBytes bounds one artifact upload; default 64 GiB.
	MaxUploadBytes int64
	// StoreType is what server-info tells of the store; default "SqlStore".
	StoreType string
	// Versions finds the artifacts of model versions; without it /model-versions/get-artifact is refused.
	Versions VersionSource
	// RunVersions finds the model versions that the web UI shows on a run's page; without it there are none.
	RunVersions RunVersions
	// Presence guards the empty answers for evaluation datasets, scorers, the AI gateway and MCP servers; without it these reads are refused.
	Presence Presence
	// UIDir is the folder of MLflow's built web UI (mlflow/server/js/build of the wheel); if it is "" or does not exist, / is a
	// page that says how to get it.
	UIDir string
}

// API is the set of handlers.
type API struct {
	tracking *tracking.Service
	files    *artifact.Resolver
	opts     Options
	ui       *webUI
	buffers  wire.Buffers // of large answers
}

// New returns the handlers over a service and its artifacts. Returns an error if UIDir exists but holds no UI. Close it after the
// last request.
func New(service *tracking.Service, files *artifact.Resolver, opts *Options) (*API, error) {
	o := Options{}
	if opts != nil {
		o = *opts
	}
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	if o.MaxUploadBytes == 0 {
		o.MaxUploadBytes = 64 << 30
	}
	if o.StoreType == "" {
		o.StoreType = "SqlStore"
	}
	ui, err := openUI(o.UIDir)
	if err != nil {
		return nil, err
	}
	return &API{tracking: service, files: files, opts: o, ui: ui}, nil
}

// Close releases the folder of the web UI.
func (a *API) Close() error { return a.ui.close() }

// Routes returns the table of everything that is served. Mount it before Refused.
func (a *API) Routes() []wire.Route {
	var all []wire.Route
	for _, part := range [][]wire.Route{
		a.experimentRoutes(), a.runRoutes(), a.metricRoutes(), a.inputRoutes(), a.modelRoutes(), a.artifactRoutes(),
		a.proxyRoutes(), a.traceRoutes(), a.traceV2Routes(), a.assessmentRoutes(), a.traceFileRoutes(), a.traceMetricRoutes(), a.traceCorrelationRoutes(), a.presignedRoutes(), a.otlpRoutes(), a.emptyRoutes(), a.graphqlRoutes(), a.serverRoutes(), a.ui.routes(),
	} {
		all = append(all, part...)
	}
	return all
}

// call makes a handler of a function from a bound request to an answer; a nil answer is {}.
func call[Q any](a *API, f func(context.Context, *Q) (any, error)) fiber.Handler {
	shape := wire.ShapeOf[Q]()
	return func(c *fiber.Ctx) error {
		var q Q
		if err := shape.Bind(c, &q); err != nil {
			return err
		}
		return a.answer(c, func(ctx context.Context) (any, error) { return f(ctx, &q) })
	}
}

// callID is call for a path with a parameter, which f gets decoded.
func callID[Q any](a *API, name string, f func(context.Context, string, *Q) (any, error)) fiber.Handler {
	shape := wire.ShapeOf[Q]()
	return func(c *fiber.Ctx) error {
		id, err := wire.Param(c, name)
		if err != nil {
			return err
		}
		var q Q
		if err := shape.Bind(c, &q); err != nil {
			return err
		}
		return a.answer(c, func(ctx context.Context) (any, error) { return f(ctx, id, &q) })
	}
}

func (a *API) answer(c *fiber.Ctx, f func(context.Context) (any, error)) error {
	ctx, cancel := context.WithTimeout(c.UserContext(), a.opts.Timeout)
	defer cancel()
	answer, err := f(ctx)
	if err != nil {
		return err
	}
	if answer == nil {
		return wire.Empty(c)
	}
	if large, ok := answer.(wire.Appender); ok {
		return a.buffers.Send(c, large)
	}
	return wire.Send(c, answer)
}

// done makes the answer of a write that returns nothing.
func done(err error) (any, error) { return nil, err }

// get, post, patch and remove are rows for a path below /api/2.0/mlflow and its browser twin.
func get(path, audit string, h fiber.Handler) []wire.Route {
	return wire.API("2.0", fiber.MethodGet, path, wire.Read, audit, h)
}

func post(path, audit string, h fiber.Handler) []wire.Route {
	return wire.API("2.0", fiber.MethodPost, path, wire.Write, audit, h)
}

func patch(path, audit string, h fiber.Handler) []wire.Route {
	return wire.API("2.0", fiber.MethodPatch, path, wire.Write, audit, h)
}

func remove(path, audit string, h fiber.Handler) []wire.Route {
	return wire.API("2.0", fiber.MethodDelete, path, wire.Write, audit, h)
}

// search is a POST that only reads.
func search(path, audit string, h fiber.Handler) []wire.Route {
	return wire.API("2.0", fiber.MethodPost, path, wire.Read, audit, h)
}

func rows(parts ...[]wire.Route) []wire.Route {
	var all []wire.Route
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// tagJSON is a tag or param on the wire.
type tagJSON struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func toTags(in []tagJSON) []tracking.Tag {
	out := make([]tracking.Tag, len(in))
	for i, t := range in {
		out[i] = tracking.Tag(t)
	}
	return out
}

func toParams(in []tagJSON) []tracking.Param {
	out := make([]tracking.Param, len(in))
	for i, p := range in {
		out[i] = tracking.Param(p)
	}
	return out
}

func fromTags(in []tracking.Tag) []tagJSON {
	out := make([]tagJSON, len(in))
	for i, t := range in {
		out[i] = tagJSON(t)
	}
	return out
}

func fromParams(in []tracking.Param) []tagJSON {
	out := make([]tagJSON, len(in))
	for i, p := range in {
		out[i] = tagJSON(p)
	}
	return out
}

func viewOf(name string) tracking.ViewType {
	switch name {
	case "DELETED_ONLY":
		return tracking.DeletedOnly
	case "ALL":
		return tracking.All
	}
	return tracking.ActiveOnly
}
