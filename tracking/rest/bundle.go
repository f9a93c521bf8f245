package rest

import (
	"context"
	"io"
	"reflect"
	"regexp"
	"strings"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking/bundle"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// maxBundle bounds the compressed bytes of a bundle that is sent; what it unpacks to is bounded by bundle.Limits.
const maxBundle = 1 << 40

// BundleRoutes returns the rows of the endpoint table for bundles, our own API.
func BundleRoutes(s *bundle.Service) []wire.Route {
	h := &bundles{s}
	return []wire.Route{
		{
			Method: fiber.MethodGet, Path: "/api/2.0/sluice/bundles/export", Permission: wire.Read, Audit: "tracking.bundle.export", Handler: h.export,
			Doc: wire.Doc{Media: []string{bundle.MediaType}, Query: []string{"kind", "id"}},
		},
		{
			Method: fiber.MethodPost, Path: "/api/2.0/sluice/bundles/import", Permission: wire.Manage, Audit: "tracking.bundle.import", Handler: h.importAll,
			Doc: wire.Doc{Answers: reflect.TypeFor[importedJSON](), Query: []string{"skip_existing"}},
		},
	}
}

type bundles struct{ service *bundle.Service }

// export answers /bundles/export?kind=run|experiment|model&id=… with a bundle. Its rows are read before the answer begins, so that what cannot
// be exported is an error; a failure after that cuts the answer off, and the bundle with it.
func (h *bundles) export(c *fiber.Ctx) error {
	var q struct {
		Kind string `json:"kind" wire:"required" enum:"run,experiment,model"`
		ID   string `json:"id" wire:"required"`
	}
	if err := wire.Bind(c, &q); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), transfer.Total)
	out, err := h.service.Gather(ctx, bundle.Selection{Kind: bundle.Kind(q.Kind), ID: q.ID})
	if err != nil {
		cancel()
		return err
	}
	c.Set(fiber.HeaderContentType, bundle.MediaType)
	c.Set(fiber.HeaderContentDisposition, attachment(BundleName(out.Manifest)))
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	c.Set(fiber.HeaderCacheControl, "private, no-store")
	if c.Method() == fiber.MethodHead {
		cancel()
		out.Close()
		return nil
	}
	wire.Download(c, streamBundle(ctx, cancel, out), -1, transfer)
	return nil
}

var oddInName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// BundleName returns a file name for a bundle.
func BundleName(m bundle.Manifest) string {
	return string(m.Kind) + "-" + mlflow.Truncate(strings.Trim(oddInName.ReplaceAllString(m.ID, "_"), "."), 100) + bundle.FileSuffix
}

// bundleStream is a bundle that is being written; closing it ends the writer and waits for it.
type bundleStream struct {
	*io.PipeReader
	cancel context.CancelFunc
	done   chan struct{}
}

func streamBundle(ctx context.Context, cancel context.CancelFunc, out *bundle.Outgoing) *bundleStream {
	r, w := io.Pipe()
	s := &bundleStream{r, cancel, make(chan struct{})}
	go func() {
		defer close(s.done)
		defer out.Close()
		_ = w.CloseWithError(out.WriteTo(ctx, w)) // never fails
	}()
	return s
}

func (s *bundleStream) Close() error {
	s.cancel()
	err := s.PipeReader.Close()
	<-s.done
	return err
}

// importAll reads a bundle from the body; ?skip_existing=true leaves alone what is there.
func (h *bundles) importAll(c *fiber.Ctx) error {
	skip := false
	switch value := strings.ToLower(c.Query("skip_existing")); value {
	case "", "false":
	case "true":
		skip = true
	default:
		return mlflow.Invalidf("skip_existing must be true or false.")
	}
	body, err := wire.Upload(c, maxBundle, transfer)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), transfer.Total)
	defer cancel()
	report, err := h.service.Import(ctx, body, skip)
	if err != nil {
		return err
	}
	return wire.Send(c, fromReport(report))
}

type skippedJSON struct {
	Class string `json:"class"`
	ID    string `json:"id"`
}

type importedJSON struct {
	Kind        string            `json:"kind"`
	ID          string            `json:"id"`
	Rows        map[string]int64  `json:"rows"`
	Files       int64             `json:"files"`
	Bytes       int64             `json:"bytes"`
	Experiments map[string]string `json:"experiments"`       // ids at the source → ids here
	Made        []string          `json:"experiments_made"`  // ids here
	Skipped     []skippedJSON     `json:"skipped"`           // at most 1000
	SkippedAll  int               `json:"skipped_count"`     // all of them
	Foreign     int64             `json:"foreign_locations"` // whose files the bundle does not have
}

func fromReport(r bundle.Report) importedJSON {
	out := importedJSON{string(r.Kind), r.ID, r.Rows, r.Files, r.Bytes, r.Experiments, append([]string{}, r.Made...), []skippedJSON{}, r.SkippedAll, r.Foreign}
	for _, o := range r.Skipped {
		out.Skipped = append(out.Skipped, skippedJSON{string(o.Class), o.ID})
	}
	return out
}
