// Package rest answers queries of the prediction log.
//
// It owns the parameters of a query, the tokens of pages and the streaming of answers. It is called by cmd, which mounts Routes and calls
// Close; it must not know how records are kept or what the formats look like. The handlers are safe for concurrent use.
package rest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"reflect"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"sluice/gateway/predictions"
	"sluice/gateway/predictions/export"
	"sluice/gateway/predlog"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

const (
	base = "/api/2.0/sluice/predictions"
	// DefaultLimit and MaxLimit are the records of a page of JSON; other formats have no limit of their own.
	DefaultLimit = 100
	MaxLimit     = 1000
	// maxStreams answers are written at once; each holds a few MiB.
	maxStreams    = 4
	lookupTimeout = 30 * time.Second
	streamBuffer  = 256 << 10
)

// pace of an answer: whoever does not read for a minute has gone.
var pace = wire.Pace{Stall: time.Minute, Total: 6 * time.Hour}

// Handler answers queries; make it with New.
type Handler struct {
	reader  *predictions.Reader
	keyOf   func(ctx context.Context, endpoint string) (column string, err error)
	log     *slog.Logger
	streams chan struct{} // a place for each answer being written
	ctx     context.Context
	stop    context.CancelFunc
}

// New returns the handlers over reader. keyOf returns the ground_truth.key of an endpoint, "" if it has none, RESOURCE_DOES_NOT_EXIST for an unknown one.
func New(reader *predictions.Reader, keyOf func(ctx context.Context, endpoint string) (column string, err error), log *slog.Logger) *Handler {
	ctx, stop := context.WithCancel(context.Background())
	return &Handler{reader: reader, keyOf: keyOf, log: log, streams: make(chan struct{}, maxStreams), ctx: ctx, stop: stop}
}

// Close ends the answers being written and waits for them.
func (h *Handler) Close(ctx context.Context) error {
	h.stop()
	for range maxStreams {
		select {
		case h.streams <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Routes returns the rows of the endpoint table.
func (h *Handler) Routes() []wire.Route {
	list := wire.Doc{Answers: reflect.TypeFor[export.Page](), Query: parameters}
	for _, f := range export.Formats() {
		if f != export.JSON {
			list.Media = append(list.Media, f.MediaType())
		}
	}
	return []wire.Route{
		{Method: "GET", Path: base, Permission: wire.Read, Audit: "gateway.prediction.list", Handler: h.list, Doc: list},
		{
			Method: "GET", Path: base + "/gaps", Permission: wire.Read, Audit: "gateway.prediction.gaps", Handler: h.listGaps,
			Doc: wire.Doc{Answers: reflect.TypeFor[gapsBody](), Query: gapParameters},
		},
		{
			Method: "GET", Path: base + "/:id", Permission: wire.Read, Audit: "gateway.prediction.get", Handler: h.get,
			Doc: wire.Doc{Answers: reflect.TypeFor[predictionBody]()},
		},
	}
}

// predictionBody holds what export.Object writes.
type predictionBody struct {
	Prediction export.Prediction `json:"prediction"`
}

// get answers one record, {"prediction": {…}}.
func (h *Handler) get(c *fiber.Ctx) error {
	text, err := wire.Param(c, "id")
	if err != nil {
		return err
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return mlflow.Invalidf("%q is not a prediction id.", clip(text))
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), lookupTimeout)
	defer cancel()
	r, err := h.reader.ByID(ctx, id)
	if errors.Is(err, predictions.ErrNotFound) {
		return mlflow.Missingf("No prediction has the id %s.", id)
	}
	if err != nil {
		return err
	}
	return wire.Send(c, fiber.Map{"prediction": export.Object(&r)})
}

// list answers the records of a query as a stream.
func (h *Handler) list(c *fiber.Ctx) error {
	q, err := parse(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), lookupTimeout)
	defer cancel()
	if q.Query.Key != "" {
		if q.Query.KeyColumn, err = h.keyOf(ctx, q.Query.Endpoint); err != nil {
			return err
		}
		if q.Query.KeyColumn == "" {
			return mlflow.Invalidf("key: the endpoint %s has no ground_truth.key, which would say in which column a key stands.", clip(q.Query.Endpoint))
		}
	}
	if q.byID {
		return h.listOne(ctx, c, q)
	}
	if (q.Query.ClientID != "" || q.Query.Key != "") && !q.paged {
		if q.First, err = h.reader.Undelivered(ctx, q.Query, MaxLimit); err != nil {
			return err
		}
	}
	return h.send(c, q)
}

// listOne answers the record with an id if the rest of the query means it too.
func (h *Handler) listOne(ctx context.Context, c *fiber.Ctx, q query) error {
	r, err := h.reader.ByID(ctx, q.id)
	if err != nil && !errors.Is(err, predictions.ErrNotFound) {
		return err
	}
	if err == nil && q.Query.Matches(&r) {
		q.First = []predlog.Row{r}
	}
	q.Only = true
	return h.send(c, q)
}

// send writes the answer while the client reads it. The goroutine ends with the answer, when the client goes, or with Close.
func (h *Handler) send(c *fiber.Ctx, q query) error {
	select {
	case h.streams <- struct{}{}:
	default:
		return mlflow.Errorf(mlflow.RequestLimitExceeded, "%d answers from the prediction log are being written already; try again.", maxStreams)
	}
	r, w := io.Pipe()
	log := h.log.With(slog.String("request", wire.RequestIDOf(c)))
	go func() {
		defer func() { <-h.streams }()
		buffered := bufio.NewWriterSize(w, streamBuffer)
		err := export.Write(h.ctx, buffered, h.reader, q.format, q.Request)
		if err == nil {
			err = buffered.Flush()
		}
		if err != nil && !errors.Is(err, io.ErrClosedPipe) {
			log.Warn("answer from the prediction log broken off", slog.Any("error", err))
		}
		w.CloseWithError(err)
	}()
	c.Set(fiber.HeaderContentType, q.format.MediaType())
	if q.format != export.JSON {
		c.Set(fiber.HeaderContentDisposition, `attachment; filename="predictions.`+string(q.format)+`"`)
	}
	wire.Download(c, r, -1, pace)
	return nil
}
