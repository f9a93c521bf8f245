package rest

import (
	"context"
	"errors"
	"strings"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking"
	"sluice/tracking/mlflow"
	"sluice/tracking/otlp"
	"sluice/tracking/wire"
)

// maxSpans bounds a request of spans, compressed and not, in bytes.
const maxSpans = 64 << 20

func (a *API) otlpRoutes() []wire.Route {
	return []wire.Route{{Method: fiber.MethodPost, Path: "/v1/traces", Permission: wire.Write, Audit: "tracking.trace.spans", Handler: a.receiveSpans}}
}

// receiveSpans takes spans over OTLP/HTTP into the experiment that a header names; all spans of a request are stored, or none.
// What can't be read answers in the shape of FastAPI, as MLflow's does; what the store refuses, in MLflow's own.
func (a *API) receiveSpans(c *fiber.Ctx) error {
	experiment := strings.Clone(c.Get("x-mlflow-experiment-id"))
	if experiment == "" {
		return missingHeader(c, "x-mlflow-experiment-id")
	}
	sources, err := readSpans(c)
	switch {
	case errors.Is(err, otlp.ErrSpan):
		return detail(c, fiber.StatusUnprocessableEntity, "Cannot convert OpenTelemetry span to MLflow span")
	case errors.Is(err, otlp.ErrEmpty):
		return detail(c, fiber.StatusBadRequest, "Invalid OpenTelemetry format - no spans found")
	case errors.Is(err, otlp.ErrTooLarge):
		return detail(c, fiber.StatusRequestEntityTooLarge, "The spans of one request are too large")
	case errors.Is(err, errContentType):
		return detail(c, fiber.StatusBadRequest, "Invalid Content-Type: "+contentTypeOf(c)+". Expected: application/x-protobuf or application/json")
	case errors.Is(err, otlp.ErrCompression):
		return detail(c, fiber.StatusBadRequest, "Failed to decompress "+mlflow.Truncate(c.Get(fiber.HeaderContentEncoding), 100)+" payload")
	case errors.Is(err, otlp.ErrFormat):
		return detail(c, fiber.StatusBadRequest, "Invalid OpenTelemetry format")
	case err != nil:
		return err
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), a.opts.Timeout)
	defer cancel()
	if err := a.tracking.LogSpans(ctx, experiment, sources); err != nil {
		return err
	}
	if run := strings.Clone(c.Get("x-mlflow-run-id")); run != "" {
		if err := a.linkRoots(ctx, run, sources); err != nil {
			return err
		}
	}
	c.Set(fiber.HeaderContentType, "application/x-protobuf")
	return c.Send(nil) // an ExportTraceServiceResponse without a partial success has no bytes
}

var errContentType = errors.New("neither protobuf nor JSON")

func readSpans(c *fiber.Ctx) ([]tracking.SpanSource, error) {
	kind, _, _ := strings.Cut(c.Get(fiber.HeaderContentType), ";")
	kind = strings.TrimSpace(kind)
	if kind != "application/x-protobuf" && kind != fiber.MIMEApplicationJSON {
		return nil, errContentType
	}
	body, err := wire.Body(c, maxSpans)
	if err != nil {
		return nil, err
	}
	if body, err = otlp.Decompress(body, c.Get(fiber.HeaderContentEncoding), maxSpans); err != nil {
		return nil, err
	}
	if kind == fiber.MIMEApplicationJSON {
		return otlp.DecodeJSON(body)
	}
	return otlp.DecodeProto(body)
}

// linkRoots ties the traces whose roots have come to a run.
func (a *API) linkRoots(ctx context.Context, run string, sources []tracking.SpanSource) error {
	seen := map[string]bool{}
	var ids []string
	for _, source := range sources {
		for _, s := range source.Spans {
			if s.ParentID == "" && !seen[s.TraceID] {
				seen[s.TraceID] = true
				ids = append(ids, s.TraceID)
			}
		}
	}
	for len(ids) > 0 {
		n := min(len(ids), tracking.MaxTraceLinks)
		if err := a.tracking.LinkTraces(ctx, run, ids[:n]); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// contentTypeOf is the Content-Type as MLflow repeats it.
func contentTypeOf(c *fiber.Ctx) string {
	if kind := c.Get(fiber.HeaderContentType); kind != "" {
		return mlflow.Truncate(kind, 100)
	}
	return "None"
}

// detail answers an error in the shape of FastAPI.
func detail(c *fiber.Ctx, status int, text string) error {
	c.Status(status)
	return wire.Send(c, map[string]string{"detail": text})
}

// missingHeader is FastAPI's answer to a request without a header that it must have.
func missingHeader(c *fiber.Ctx, name string) error {
	c.Status(fiber.StatusUnprocessableEntity)
	return wire.Send(c, map[string]any{
		"detail": []map[string]any{{"type": "missing", "loc": []string{"header", name}, "msg": "Field required", "input": nil}},
	})
}
