package rest

import (
	"context"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking"
	"sluice/tracking/artifact"
	"sluice/tracking/mlflow"
	"sluice/tracking/spanjson"
	"sluice/tracking/wire"
)

// traceDataFile is where clients before MLflow 3.5 put the spans of a trace, and attachmentFolder where clients put attachments.
const (
	traceDataFile    = "traces.json"
	attachmentFolder = "attachments/"
)

func (a *API) traceFileRoutes() []wire.Route {
	var all []wire.Route
	for _, version := range []string{"2.0", "3.0"} {
		all = append(all, wire.Route{
			Method: fiber.MethodGet, Path: "/ajax-api/" + version + "/mlflow/get-trace-artifact", Permission: wire.Read, Audit: "tracking.trace.get",
			Handler: a.downloadTrace,
		})
	}
	return all
}

// downloadTrace serves get-trace-artifact: the spans of a trace as one JSON document, or an attachment of it.
func (a *API) downloadTrace(c *fiber.Ctx) error {
	var q struct {
		ID   string `json:"request_id"`
		Path string `json:"path"`
	}
	if err := wire.Bind(c, &q); err != nil {
		return err
	}
	if q.ID == "" {
		return mlflow.Errorf(mlflow.BadRequest, `Request must include the "request_id" query parameter.`)
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), a.opts.Timeout)
	defer cancel()
	info, err := a.tracking.TraceInfo(ctx, q.ID)
	switch {
	case mlflow.CodeOf(err) == mlflow.ResourceDoesNotExist:
		return mlflow.Missingf("Trace with ID %s is not found.", q.ID)
	case err != nil:
		return err
	}
	location := info.Tags[tracking.TraceArtifactTag]
	switch {
	case q.Path != "":
		if _, err := artifact.CleanPath(q.Path); err != nil {
			return err
		}
		return a.download(c, location, attachmentFolder+q.Path)
	case info.Tags[tracking.SpansLocationTag] != tracking.SpansInStore:
		err := a.download(c, location, traceDataFile)
		if mlflow.CodeOf(err) == mlflow.ResourceDoesNotExist {
			return mlflow.Errorf(mlflow.NotFound, "Trace data not found for path=%s", traceDataFile)
		}
		return err
	}
	t, err := a.tracking.Trace(ctx, q.ID, true)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, fiber.MIMEOctetStream)
	c.Set(fiber.HeaderContentDisposition, "attachment; filename="+traceDataFile)
	return c.Send(spansDocument(t.Spans))
}

func spansDocument(spans []tracking.Span) []byte {
	b := []byte(`{"spans":[`)
	for i, s := range spans {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, spanjson.Encode(s)...)
	}
	return append(b, "]}"...)
}
