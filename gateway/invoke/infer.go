package invoke

import (
	"context"
	"maps"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway/payload"
	"sluice/gateway/route"
	"sluice/runtime/mlmodel"
	"sluice/runtime/tensor"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// HeaderInferLength is the Open Inference Protocol's header, in requests and answers: the length of the JSON before the tensors' bytes.
const HeaderInferLength = "Inference-Header-Content-Length"

// inference is what a call of the Open Inference Protocol knows beside the others.
type inference struct {
	request  payload.InferRequest
	head     int  // length of the request's JSON; −1: all of it
	answered int  // length of the answer's JSON; −1: all of it
	message  bool // it came as a ModelInferRequest, by gRPC
}

// answerType is the media type of the answer; "" means JSON. f may be nil.
func (f *inference) answerType() string {
	switch {
	case f == nil || f.answered < 0 && !f.message:
		return ""
	case f.message:
		return TypeMessage
	}
	return fiber.MIMEOctetStream
}

// restart forgets what a first decoding left.
func (f *inference) restart() { f.request, f.answered = payload.InferRequest{}, -1 }

func (f *inference) headLength(content []byte) int {
	if f.head < 0 {
		return len(content)
	}
	return f.head
}

// dress gives an answer its headers, and an error the field that the protocol's clients look for.
func (f *inference) dress(c *fiber.Ctx, k *call) {
	if k.err != nil {
		e := *k.err
		e.Details = maps.Clone(e.Details)
		if e.Details == nil {
			e.Details = map[string]any{}
		}
		e.Details["error"] = e.Message
		k.err = &e
		return
	}
	switch {
	case f.message:
		c.Response().Header.SetContentType(TypeMessage)
		return
	case f.answered < 0:
		c.Response().Header.SetContentType(fiber.MIMEApplicationJSON)
		return
	}
	c.Response().Header.SetContentType(fiber.MIMEOctetStream)
	k.text = strconv.AppendInt(k.text[:0], int64(f.answered), 10)
	c.Response().Header.SetBytesV(HeaderInferLength, k.text)
}

// inferRoutes are the rows of the Open Inference Protocol, version 2 (REST). Its model is an endpoint here, its version one of the model
// versions that the endpoint routes.
func (h *Handler) inferRoutes() []wire.Route {
	get := func(path string, perm wire.Permission, audit string, f fiber.Handler) wire.Route {
		return wire.Route{Method: fiber.MethodGet, Path: path, Permission: perm, Audit: audit, Handler: f}
	}
	post := func(path string) wire.Route {
		return wire.Route{Method: fiber.MethodPost, Path: path, Permission: wire.Predict, Audit: auditPredict, Handler: h.inferModel}
	}
	const model, version = "/v2/models/:name", "/v2/models/:name/versions/:version"
	return []wire.Route{
		get("/v2", wire.Public, "gateway.server.read", h.inferServer),
		get("/v2/health/live", wire.Public, "gateway.server.live", func(c *fiber.Ctx) error { return c.SendStatus(fiber.StatusOK) }),
		get("/v2/health/ready", wire.Public, "gateway.server.ready", h.inferReady),
		get(model, wire.Predict, "gateway.served_model.read", h.inferDescribe),
		get(version, wire.Predict, "gateway.served_model.read", h.inferDescribe),
		get(model+"/ready", wire.Predict, "gateway.served_model.ready", h.inferModelReady),
		get(version+"/ready", wire.Predict, "gateway.served_model.ready", h.inferModelReady),
		post(model + "/infer"),
		post(version + "/infer"),
		{Method: fiber.MethodPost, Path: "/models/:name/versions/:x/infer", Permission: wire.Predict, Audit: auditPredict, Handler: h.inferVersion},
	}
}

// inferModel is POST /v2/models/:name[/versions/:version]/infer.
func (h *Handler) inferModel(c *fiber.Ctx) error {
	return h.serve(c, func(k *call) (err error) {
		if err = k.infers(c); err == nil {
			k.aim.endpoint, k.aim.version, err = inferTarget(c)
		}
		return err
	})
}

// infers says that the call is one of the protocol.
func (c *call) infers(from *fiber.Ctx) (err error) {
	c.infer = &inference{head: -1, answered: -1}
	text := from.Request().Header.Peek(HeaderInferLength)
	if len(text) == 0 {
		return nil
	}
	if c.infer.head, err = strconv.Atoi(string(text)); err != nil || c.infer.head < 0 {
		return mlflow.Invalidf("the header %s is not a length", HeaderInferLength)
	}
	return nil
}

// inferVersion is POST /models/:name/versions/:x/infer: a request of the protocol for a version of a registered model, which needs no route. A
// ModelInferRequest, as gRPC carries it, is answered with a ModelInferResponse, so that what was recorded of gRPC can be asked once more.
func (h *Handler) inferVersion(c *fiber.Ctx) error {
	return h.serve(c, func(k *call) (err error) {
		if err = k.infers(c); err != nil {
			return err
		}
		k.infer.message = string(c.Request().Header.ContentType()) == TypeMessage
		return k.aimAt(c, route.ByVersion)
	})
}

// inferTarget reads the endpoint and, where the path has one, the version.
func inferTarget(c *fiber.Ctx) (endpoint, version string, err error) {
	if endpoint, err = param(c, "name"); err != nil || c.Params("version") == "" {
		return endpoint, "", err
	}
	version, err = param(c, "version")
	return endpoint, version, err
}

func (h *Handler) inferServer(c *fiber.Ctx) error {
	return wire.Send(c, fiber.Map{"name": "sluice", "version": h.opts.Version, "extensions": []string{"binary_tensor_data"}})
}

func (h *Handler) inferReady(c *fiber.Ctx) error {
	if !h.Ready() {
		return c.SendStatus(fiber.StatusServiceUnavailable)
	}
	return c.SendStatus(fiber.StatusOK)
}

// inferFind finds what a path of the protocol names.
func (h *Handler) inferFind(c *fiber.Ctx) (*route.Endpoint, *route.Arm, error) {
	endpoint, version, err := inferTarget(c)
	if err != nil {
		return nil, nil, err
	}
	return h.find(endpoint, version)
}

// find finds an endpoint, and the arm of the version or, where that is "", one that gets traffic.
func (h *Handler) find(endpoint, version string) (*route.Endpoint, *route.Arm, error) {
	t := h.Table()
	if version != "" {
		d, err := t.ResolveArm(endpoint, version)
		return d.Endpoint, d.Arm, err
	}
	d, err := t.Pick(endpoint, "", h.opts.Random())
	return d.Endpoint, d.Arm, err
}

// inferModelReady is GET …/ready: 200 when the model answers.
func (h *Handler) inferModelReady(c *fiber.Ctx) error {
	if _, _, err := h.inferFind(c); err != nil {
		return h.inferRefuse(err)
	}
	return c.SendStatus(fiber.StatusOK)
}

// inferRefuse is the error of a request that predicts nothing.
func (h *Handler) inferRefuse(err error) error {
	k := call{h: h}
	r := h.classify(&k, err)
	k.err = r.Error
	(&inference{}).dress(nil, &k)
	return k.err
}

// describeTimeout bounds how long a description waits for a version that was evicted.
const describeTimeout = 10 * time.Second

// Description is what the protocol tells of an endpoint.
type Description struct {
	Name     string              `json:"name"`
	Versions []string            `json:"versions"`
	Platform string              `json:"platform"`
	Inputs   []TensorDescription `json:"inputs"`
	Outputs  []TensorDescription `json:"outputs"`
}

// TensorDescription is the description of one tensor; −1 in a shape stands for any length.
type TensorDescription struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

// inferDescribe is GET /v2/models/:name[/versions/:version].
func (h *Handler) inferDescribe(c *fiber.Ctx) error {
	endpoint, version, err := inferTarget(c)
	if err != nil {
		return h.inferRefuse(err)
	}
	d, err := h.describe(c.UserContext(), endpoint, version)
	if err != nil {
		return h.inferRefuse(err)
	}
	return wire.Send(c, d)
}

// describe tells of an endpoint: the tensors of the signature, or of the model's file where it has none.
func (h *Handler) describe(ctx context.Context, endpoint, version string) (*Description, error) {
	e, arm, err := h.find(endpoint, version)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	handle, err := h.deps.Acquire(ctx, arm.Servable)
	if err != nil {
		return nil, err
	}
	defer handle.Release()
	d := &Description{Name: e.Name, Platform: "mlflow"}
	d.Inputs, d.Outputs = describe(handle)
	for i := range e.Arms {
		d.Versions = append(d.Versions, strconv.Itoa(e.Arms[i].Servable.Version))
	}
	return d, nil
}

// describe lists what a version takes and answers with. Its inputs are the signature's, by which requests are read; its outputs the
// backend's, as which answers are written.
func describe(handle Handle) (inputs, outputs []TensorDescription) {
	var in, out []mlmodel.TensorSpec
	if d, ok := handle.(interface {
		Describe() (inputs, outputs []mlmodel.TensorSpec)
	}); ok {
		in, out = d.Describe()
	}
	inputs, outputs = inferTensors(in), inferTensors(out)
	sig := signatureOf(handle.Model())
	if sig == nil {
		return inputs, outputs
	}
	if s := sig.Inputs; s != nil && s.Len() > 0 {
		inputs = inferSchema(s, "input-")
	}
	if s := sig.Outputs; s != nil && s.Len() > 0 && len(out) == 0 {
		outputs = inferSchema(s, "output-")
	}
	return inputs, outputs
}

func inferTensors(specs []mlmodel.TensorSpec) []TensorDescription {
	list := make([]TensorDescription, 0, len(specs))
	for _, s := range specs {
		shape := s.Shape
		if shape == nil {
			shape = []int64{}
		}
		list = append(list, TensorDescription{s.Name, payload.InferType(s.Type), shape})
	}
	return list
}

// inferSchema describes a schema; a column is a tensor of shape [−1, 1], one without a name is numbered.
func inferSchema(s *mlmodel.Schema, unnamed string) []TensorDescription {
	list := inferTensors(s.Tensors)
	for i := range s.Columns {
		c := &s.Columns[i]
		dtype := c.Kind.DType()
		if dtype == tensor.Invalid {
			dtype = tensor.String // nested values travel as JSON text
		}
		list = append(list, TensorDescription{c.Name, payload.InferType(dtype), []int64{-1, 1}})
	}
	for i := range list {
		if list[i].Name == "" {
			list[i].Name = unnamed + strconv.Itoa(i)
		}
	}
	return list
}
