// Package invoke is the data plane: it answers prediction requests.
//
// It owns the way of one request from its headers to its answer: the deadline, the choice of the arm, the order of the steps, the one function that
// turns an error into a code (classify), the answer's headers, and what is counted and logged about it. It is called by the HTTP
// engine through Routes, and by plan through Publish; it must not know the registry, a database, or how a table is made. No request to an
// endpoint takes a lock of this package, and none waits for the log, the metrics or a registry.
//
// # One request
//
//	request id → pick → deadline → acquire → admitted → body → decode → breaker → predict → encode → headers → counted → logged → copied
//
// Copies for shadows (shadow.go) are executed by goroutines of the handler's, after bounded queues: nobody waits for a shadow, and what is too much
// is dropped and counted. Close ends them.
//
// A version that no endpoint routes but whose number a URL names is loaded on demand (demand.go): its first request waits for a registry, and
// for a lock here.
//
// predict.go holds the steps that have no HTTP in them, http.go the others. Everything that a request needs is kept in a pooled call; what the arm
// decides (header texts, series, breaker, compiled signature) is made when a table is published.
//
// # Answers
//
// Every answer has X-Request-Id (the client's, if it is printable, else ours) and X-Sluice-Prediction-Id (UUIDv7). Where an arm was picked it has X-Sluice-Endpoint,
// X-Sluice-Model-Version and X-Sluice-Arm. Server-Timing tells how many ms the request took in all, and after an execution how long it waited for the model (queue), how many
// rows were executed with its own (batch) and how long that took (execute), unless Options.HideTiming. Names in headers are
// percent-encoded where they are not printable ASCII. A request that is turned away but may come again (429, 503) gets Retry-After.
//
// # Memory
//
// The steady state allocates nothing of its own. Bytes and strings from the HTTP engine are read in place and never kept:
// the prediction log copies what it keeps.
package invoke

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"sluice/gateway/admit"
	"sluice/gateway/breaker"
	"sluice/gateway/outcome"
	"sluice/gateway/payload"
	"sluice/gateway/predlog"
	"sluice/gateway/respcache"
	"sluice/gateway/route"
	"sluice/gateway/shadow"
	"sluice/runtime/batch"
	"sluice/runtime/mlmodel"
	"sluice/runtime/servable"
	"sluice/runtime/tensor"
)

// Handle keeps a version loaded while a request uses it; *servable.Handle does.
type Handle interface {
	// Model is the version's parsed package; its signature is what bodies are decoded by.
	Model() *mlmodel.Model
	// Predict runs in through the version and fills out and t, as batch.Batcher does.
	Predict(ctx context.Context, in *tensor.Batch, params map[string]any, out *tensor.Batch, t *batch.Timing) error
	// Release is called once, after the last Predict returned.
	Release()
}

// Recorder takes prediction records; *predlog.Log does. It must not block and must not keep the record or what it points to.
type Recorder interface {
	Record(*predlog.Record)
	// Skip counts a request that the sampling of its endpoint leaves out.
	Skip(predlog.Series)
}

// Deps are the rooms that a Handler stands on; all but Outcomes and Log are required.
type Deps struct {
	// Acquire returns a handle on a version, or servable.ErrNotAvailable; for one that was evicted it waits, until ctx ends. cmd hands in
	// servable.Manager's Await.
	Acquire func(ctx context.Context, id servable.ID) (Handle, error)
	// Demand is Acquire for a version that no endpoint routes and that a request names by its number; nil: such requests are answered 404.
	// cmd hands in servable.Manager's. Errors: servable.ErrUnknown, servable.ErrNotAvailable.
	Demand func(ctx context.Context, id servable.ID) (Handle, error)
	// Caller names the key that an Authorization header brings, for rate limits by user; "" for none. nil: all are one user. cmd hands in
	// auth.Authority's Name.
	Caller func(authorization []byte) string
	// Left says whether the client at the other end of a connection has closed it, for requests that wait: what nobody waits for any more is
	// not executed. nil: nobody is seen leaving. It is called from many goroutines at once and must not block.
	Left func(net.Conn) bool
	// May says whether the caller has the permission; nil: everybody has every one. cmd hands in auth.May.
	May      func(c *fiber.Ctx, permission string) bool
	Outcomes *outcome.Book // nil: requests are not counted
	Breakers *breaker.Group
	Log      Recorder // nil: predictions are not logged
	// Answers remembers answers for endpoints with a cache; nil: none are.
	Answers *respcache.Cache
	// Shadows takes what came of copies for shadows; nil: a book of the handler's own.
	Shadows *shadow.Book
	// Behind says that something was changed which the table does not show yet, so that what it does not know may be there all the same; nil:
	// never. It is asked before an answer 404.
	Behind func() bool
}

// Options of New. Nil and the zero value work.
type Options struct {
	// MaxBodyBytes bounds a request's body, as it came and after decompression; default 64 MiB. Beyond: 413.
	MaxBodyBytes int64
	// Timeout is the deadline of endpoints that set none; default 60 s, as in MLflow's scoring server.
	Timeout time.Duration
	// ShadowTimeout is how long a copy for a shadow may wait, and again how long it may be executed; default 10 s.
	ShadowTimeout time.Duration
	// Admission says which requests are turned away at once, with 429; default: a controller of its own with default options.
	Admission *admit.Controller
	// Payload bounds what a body may unfold to.
	Payload payload.Options
	// Tracer makes the spans of sampled requests; nil records none.
	Tracer trace.Tracer
	// Tracing says whether anybody listens to Tracer: without it a sampled traceparent is passed through and nothing is recorded.
	Tracing bool
	// SampleRatio is the share of requests without a traceparent that are traced, 0–1; default 0.
	SampleRatio float64
	// HideTiming leaves the header Server-Timing out.
	HideTiming bool
	// Ready says whether the server as a whole may get traffic, for the Open Inference Protocol; nil: as soon as something is served.
	Ready func() bool
	// Version of the server, as the Open Inference Protocol tells it.
	Version string
	// Logger is told of every published table; failed requests are logged by the engine's error handler. nil discards.
	Logger *slog.Logger
	// Now is the clock; default time.Now. Deadlines are set by it and run on the real one, so it must not be far from that.
	Now func() time.Time
	// Random returns uniformly random bits, from many goroutines at once; default math/rand/v2's, which cannot be predicted from outside.
	Random func() uint64
}

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	if out.MaxBodyBytes <= 0 {
		out.MaxBodyBytes = 64 << 20
	}
	if out.Timeout <= 0 {
		out.Timeout = 60 * time.Second
	}
	if out.ShadowTimeout <= 0 {
		out.ShadowTimeout = 10 * time.Second
	}
	if out.Admission == nil {
		out.Admission = admit.New(nil)
	}
	if out.Tracer == nil {
		out.Tracer = noop.NewTracerProvider().Tracer("")
		out.Tracing = false
	}
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	if out.Now == nil {
		out.Now = time.Now
	}
	if out.Random == nil {
		out.Random = rand.Uint64
	}
	return out
}

// Handler answers prediction requests from the table published last. It is safe for concurrent use.
type Handler struct {
	deps     Deps
	opts     Options
	sampleAt uint64 // a request is sampled when its random bits are below

	view      atomic.Pointer[view]
	demands   atomic.Pointer[map[servable.ID]*demanded] // replaced, never changed
	admission *admit.Controller
	shadows   *shadows
	replays   atomic.Int64
	calls     sync.Pool // of *call

	mu    sync.Mutex                  // serializes Publish and what replaces demands
	plans map[servable.ID]*planHolder // of the published table; guarded by mu
	// budgets are those of the published table's endpoints with fallbacks, by name; guarded by mu.
	budgets map[string]*budget
	// limiters are those of the published table's endpoints with rate limits, by name; guarded by mu.
	limiters map[string]*limiter
}

// New returns a handler with an empty table: until Publish every request is answered 404, or 503 if Behind says so. opts may be nil.
func New(deps Deps, opts *Options) *Handler {
	h := &Handler{deps: deps, opts: opts.withDefaults()}
	h.admission = h.opts.Admission
	h.sampleAt = ratioThreshold(h.opts.SampleRatio)
	if deps.Shadows == nil {
		deps.Shadows = shadow.NewBook(h.opts.Now)
	}
	h.shadows = newShadows(deps.Shadows, h.opts.ShadowTimeout)
	h.calls.New = func() any { return newCall(h) }
	h.view.Store(&view{table: &route.Table{}})
	h.demands.Store(&map[servable.ID]*demanded{})
	return h
}

// InFlight is the number of requests being answered now.
func (h *Handler) InFlight() int64 { return h.admission.InFlight() }

// Table is the table published last; one without endpoints before the first.
func (h *Handler) Table() *route.Table { return h.view.Load().table }

// Ready says whether the server as a whole may get traffic.
func (h *Handler) Ready() bool {
	if h.opts.Ready != nil {
		return h.opts.Ready()
	}
	return len(h.Table().Arms()) > 0
}

// Version of the server.
func (h *Handler) Version() string { return h.opts.Version }
