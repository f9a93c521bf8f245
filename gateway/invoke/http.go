package invoke

import (
	"net"
	"reflect"
	"strings"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway/route"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

const auditPredict = "gateway.prediction.create"

// Routes are the rows of the endpoint table that this room answers.
func (h *Handler) Routes() []wire.Route {
	post := func(path string, f fiber.Handler) wire.Route {
		return wire.Route{Method: fiber.MethodPost, Path: path, Permission: wire.Predict, Audit: auditPredict, Handler: f}
	}
	get := func(path string, perm wire.Permission, audit string, f fiber.Handler) wire.Route {
		return wire.Route{Method: fiber.MethodGet, Path: path, Permission: perm, Audit: audit, Handler: f}
	}
	explain := func(method string) wire.Route {
		return wire.Route{
			Method: method, Path: "/api/2.0/serving-endpoints/:name/explain", Permission: wire.Predict, Audit: "gateway.prediction.explain", Handler: h.explain,
			Doc: wire.Doc{Answers: reflect.TypeFor[explanation]()},
		}
	}
	return append(h.inferRoutes(), []wire.Route{
		post("/invocations", h.invocations),
		get("/invocations", wire.Predict, "gateway.prediction.refuse", onlyPOST),
		post("/endpoints/:name/invocations", h.endpointInvocations),
		post("/serving-endpoints/:name/invocations", h.endpointInvocations),
		post("/models/:name/versions/:x/invocations", h.modelInvocations(route.ByVersion)),
		post("/models/:name/stages/:x/invocations", h.modelInvocations(route.ByStage)),
		post("/models/:name/aliases/:x/invocations", h.modelInvocations(route.ByAlias)),
		explain(fiber.MethodGet),
		explain(fiber.MethodPost),
		get("/ping", wire.Public, "gateway.ping.read", h.ping),
	}...)
}

// ping answers as MLflow's scoring server does: a line feed, 200 when there is something to predict with, else 404.
func (h *Handler) ping(c *fiber.Ctx) error {
	status := fiber.StatusNotFound
	if len(h.Table().Arms()) > 0 {
		status = fiber.StatusOK
	}
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	return c.Status(status).SendString("\n")
}

func onlyPOST(c *fiber.Ctx) error {
	c.Set(fiber.HeaderAllow, fiber.MethodPost)
	return &mlflow.Error{Code: mlflow.BadRequest, Status: fiber.StatusMethodNotAllowed, Message: "predictions are asked for with POST"}
}

// invocations is POST /invocations: the header names the endpoint, or nobody does.
func (h *Handler) invocations(c *fiber.Ctx) error {
	return h.serve(c, func(k *call) error {
		k.aim.endpoint = view8(k.asked.endpoint)
		return nil
	})
}

// endpointInvocations is POST /endpoints/:name/invocations and its Databricks twin.
func (h *Handler) endpointInvocations(c *fiber.Ctx) error {
	return h.serve(c, func(k *call) (err error) {
		k.aim.endpoint, err = param(c, "name")
		return err
	})
}

// modelInvocations is POST /models/:name/{versions|stages|aliases}/:x/invocations.
func (h *Handler) modelInvocations(by route.By) fiber.Handler {
	return func(c *fiber.Ctx) error {
		return h.serve(c, func(k *call) error { return k.aimAt(c, by) })
	}
}

// aimAt reads which version of which registered model the path names.
func (c *call) aimAt(from *fiber.Ctx, by route.By) (err error) {
	c.aim.by = by
	if c.aim.model, err = param(from, "name"); err == nil {
		c.aim.version, err = param(from, "x")
	}
	return err
}

// param is a path parameter, decoded once. It aliases the engine's memory where nothing had to be decoded.
func param(c *fiber.Ctx, name string) (string, error) {
	raw := c.Params(name)
	if raw == "" {
		return "", mlflow.Invalidf("the %s in the path is empty", name)
	}
	if strings.IndexByte(raw, '%') < 0 && printable([]byte(raw)) {
		return raw, nil
	}
	return wire.Param(c, name)
}

// serve answers one prediction request. aim reads from the URL and the headers what is asked for.
func (h *Handler) serve(c *fiber.Ctx, aim func(*call) error) error {
	k := h.begin()
	defer h.release(k)
	h.admission.Begin()
	defer h.admission.End()

	k.asked.read(&c.Request().Header)
	h.identify(c, k)
	ctx := h.startTrace(c.UserContext(), k)
	if k.span != nil {
		c.SetUserContext(ctx) // what is logged about the request is found with its trace
	}
	err := h.run(ctx, overHTTP{c}, k, aim)
	return h.finish(ctx, c, k, err)
}

// identify settles the request id, and puts both ids into the answer's headers.
func (h *Handler) identify(c *fiber.Ctx, k *call) {
	answer := &c.Response().Header
	if id := answer.PeekCanonical(keyRequestID); len(id) > 0 { // the engine's middleware was there before
		k.requestID = id
	} else if id := k.asked.requestID; printable(id) {
		k.requestID = id
		answer.SetCanonical(keyRequestID, id)
	}
	k.text = appendUUID(k.text[:0], &k.prediction)
	answer.SetCanonical(keyPrediction, k.text)
	if len(k.requestID) == 0 {
		answer.SetCanonical(keyRequestID, k.text)
		k.requestID = answer.PeekCanonical(keyRequestID)
	}
}

// overHTTP carries a request of the HTTP engine.
type overHTTP struct{ c *fiber.Ctx }

func (o overHTTP) length() int { return o.c.Request().Header.ContentLength() }

func (o overHTTP) content() (contentType, encoding []byte) {
	header := &o.c.Request().Header
	return header.ContentType(), header.ContentEncoding()
}

// value aliases the engine's memory.
func (o overHTTP) value(source route.Source, name string) []byte {
	req := o.c.Request()
	switch source {
	case route.Header:
		return req.Header.Peek(name)
	case route.Cookie:
		return req.Header.Cookie(name)
	case route.Query:
		return req.URI().QueryArgs().Peek(name)
	}
	return nil
}

func (o overHTTP) caller() net.Conn { return o.c.Context().Conn() }

func (o overHTTP) may(h *Handler, permission string) bool {
	return h.deps.May == nil || h.deps.May(o.c, permission)
}

// body aliases the engine's memory or the call's.
func (o overHTTP) body(h *Handler, k *call) ([]byte, error) {
	req := o.c.Request()
	if !req.IsBodyStream() {
		if b := req.Body(); int64(len(b)) <= h.opts.MaxBodyBytes {
			return b, nil
		}
		return wire.Body(o.c, h.opts.MaxBodyBytes) // which says what is wrong
	}
	body, err := wire.AppendBody(o.c, h.opts.MaxBodyBytes, k.read[:0])
	k.read = body
	return body, err
}
