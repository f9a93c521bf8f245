package invoke

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway/route"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// The headers that requests and answers carry, in canonical form.
const (
	HeaderEndpoint     = "X-Sluice-Endpoint"      // request: chooses at /invocations; answer: who answered
	HeaderVersion      = "X-Sluice-Model-Version" // answer
	HeaderArm          = "X-Sluice-Arm"           // answer
	HeaderPrediction   = "X-Sluice-Prediction-Id" // answer: UUIDv7, ours, one per request
	HeaderRequestID    = wire.HeaderRequestID     // both: the client's, or ours
	HeaderTimeout      = "X-Sluice-Timeout-Ms"    // request: lowers the endpoint's deadline
	HeaderPriority     = "X-Sluice-Priority"      // request: low, normal or high; who is turned away first under overload
	HeaderStickyKey    = "X-Sluice-Sticky-Key"    // request: the same key gets the same arm
	HeaderTraceparent  = "Traceparent"            // both
	HeaderTracestate   = "Tracestate"             // request
	HeaderServerTiming = "Server-Timing"          // answer
)

// The same for the engine, which would otherwise normalize them on every request. Read only.
var (
	keyEndpoint     = []byte(HeaderEndpoint)
	keyVersion      = []byte(HeaderVersion)
	keyArm          = []byte(HeaderArm)
	keyPrediction   = []byte(HeaderPrediction)
	keyRequestID    = []byte(HeaderRequestID)
	keyTraceparent  = []byte(HeaderTraceparent)
	keyTracestate   = []byte(HeaderTracestate)
	keyServerTiming = []byte(HeaderServerTiming)
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
	return []wire.Route{
		post("/invocations", h.invocations),
		get("/invocations", wire.Predict, "gateway.prediction.refuse", onlyPOST),
		post("/endpoints/:name/invocations", h.endpointInvocations),
		post("/serving-endpoints/:name/invocations", h.endpointInvocations),
		post("/models/:name/versions/:x/invocations", h.modelInvocations(route.ByVersion)),
		post("/models/:name/stages/:x/invocations", h.modelInvocations(route.ByStage)),
		post("/models/:name/aliases/:x/invocations", h.modelInvocations(route.ByAlias)),
		get("/ping", wire.Public, "gateway.ping.read", h.ping),
	}
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
	return h.serve(c, func(t *target) (err error) {
		t.endpoint, err = oneHeader(c, HeaderEndpoint)
		return err
	})
}

// endpointInvocations is POST /endpoints/:name/invocations and its Databricks twin.
func (h *Handler) endpointInvocations(c *fiber.Ctx) error {
	return h.serve(c, func(t *target) (err error) {
		t.endpoint, err = param(c, "name")
		return err
	})
}

// modelInvocations is POST /models/:name/{versions|stages|aliases}/:x/invocations.
func (h *Handler) modelInvocations(by route.By) fiber.Handler {
	return func(c *fiber.Ctx) error {
		return h.serve(c, func(t *target) (err error) {
			t.by = by
			if t.model, err = param(c, "name"); err != nil {
				return err
			}
			t.version, err = param(c, "x")
			return err
		})
	}
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

// oneHeader is the value of a header that may stand once; "" if it does not stand at all. It aliases the engine's memory.
func oneHeader(c *fiber.Ctx, name string) (string, error) {
	values := c.Request().Header.PeekAll(name)
	switch len(values) {
	case 0:
		return "", nil
	case 1:
		return view8(values[0]), nil
	}
	return "", mlflow.Invalidf("the header %s stands %d times; send it once", name, len(values))
}

// serve answers one prediction request. aim reads from the URL and the headers what is asked for.
func (h *Handler) serve(c *fiber.Ctx, aim func(*target) error) error {
	k := h.begin()
	defer h.release(k)
	under := h.inFlight.Add(1)
	defer h.inFlight.Add(-1)

	h.identify(c, k)
	header := &c.Request().Header
	ctx := h.startTrace(c.UserContext(), k, header.PeekCanonical(keyTraceparent), header.PeekCanonical(keyTracestate))
	err := h.run(ctx, c, k, aim, under)
	return h.finish(ctx, c, k, err)
}

// run takes the steps up to the encoded answer.
func (h *Handler) run(ctx context.Context, c *fiber.Ctx, k *call, aim func(*target) error, under int64) error {
	if err := aim(&k.aim); err != nil {
		return err
	}
	sticky, err := oneHeader(c, HeaderStickyKey)
	if err != nil {
		return err
	}
	if err := h.pick(k, h.view.Load(), sticky); err != nil {
		return err
	}
	asked, err := askedTimeout(c)
	if err != nil {
		return err
	}
	h.limit(k, asked)
	room, err := h.room(c)
	if err != nil {
		return err
	}
	if under > room {
		return errTooMany
	}
	if err := h.acquire(k); err != nil {
		return err
	}
	d := newDeadline(ctx, k.start.Add(k.timeout))
	defer d.stop(context.Canceled)
	if k.body, err = h.readBody(c, k); err != nil {
		return err
	}
	header := &c.Request().Header
	k.contentType, k.contentEncoding = header.ContentType(), header.ContentEncoding()
	return h.predict(d, k)
}

// identify settles the request id, and puts both ids into the answer's headers.
func (h *Handler) identify(c *fiber.Ctx, k *call) {
	answer := &c.Response().Header
	if id := answer.Peek(HeaderRequestID); len(id) > 0 { // the engine's middleware was there before
		k.requestID = id
	} else if id := c.Request().Header.PeekCanonical(keyRequestID); printable(id) {
		k.requestID = id
		answer.SetCanonical(keyRequestID, id)
	}
	k.text = appendUUID(k.text[:0], &k.prediction)
	answer.SetCanonical(keyPrediction, k.text)
	if len(k.requestID) == 0 {
		answer.SetCanonical(keyRequestID, k.text)
		k.requestID = answer.Peek(HeaderRequestID)
	}
}

// room is how many requests may be under way for one of the request's priority to be let in.
func (h *Handler) room(c *fiber.Ctx) (int64, error) {
	priority, err := oneHeader(c, HeaderPriority)
	if err != nil {
		return 0, err
	}
	most := h.opts.MaxInFlight
	switch priority {
	case "", "normal":
		return most - most/10, nil
	case "low":
		return most - most/2, nil
	case "high":
		return most, nil
	}
	return 0, mlflow.Invalidf("the header %s is not low, normal or high", HeaderPriority)
}

func askedTimeout(c *fiber.Ctx) (time.Duration, error) {
	text, err := oneHeader(c, HeaderTimeout)
	if text == "" || err != nil {
		return 0, err
	}
	d, ok := timeoutMS([]byte(text))
	if !ok {
		return 0, mlflow.Invalidf("the header %s is not a positive number of milliseconds, at most a day's", HeaderTimeout)
	}
	return d, nil
}

// readBody returns the body as it was sent. It aliases the engine's memory or the call's.
func (h *Handler) readBody(c *fiber.Ctx, k *call) ([]byte, error) {
	req := c.Request()
	if !req.IsBodyStream() {
		if b := req.Body(); int64(len(b)) <= h.opts.MaxBodyBytes {
			return b, nil
		}
		return wire.Body(c, h.opts.MaxBodyBytes) // which says what is wrong
	}
	r, err := wire.BodyReader(c, h.opts.MaxBodyBytes)
	if err != nil {
		return nil, err
	}
	k.read, err = readAll(r, k.read[:0])
	return k.read, err
}

// readAll appends everything that r has to dst, growing as it arrives: a length that was only promised costs nothing.
func readAll(r io.Reader, dst []byte) ([]byte, error) {
	const least = 4 << 10
	for {
		if cap(dst)-len(dst) < least {
			grown := make([]byte, len(dst), max(2*cap(dst), 2*least))
			copy(grown, dst)
			dst = grown
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}
