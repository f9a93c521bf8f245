// Package telemetry shows what the gateway counts to the outside: Prometheus text, and OTLP push of metrics, traces and the log.
//
// It owns the OpenTelemetry SDK (nobody else imports it; others use the API), the Prometheus registry, the exporters, and the names of
// the metrics. It is called by cmd, which starts and closes it and mounts MetricsHandler, and by invoke through Tracer; it must not know how a
// prediction is made, and the request path never waits for it: metrics are read from counters that other rooms keep, spans go into a bounded
// queue. A Telemetry is safe for concurrent use.
//
// # Metrics
//
//	sluice.request.duration     histogram, s          endpoint model version stage arm code   (buckets: gateway/outcome)
//	sluice.requests             counter, {request}    endpoint model version stage arm code
//	sluice.request.queue        histogram, s          endpoint model version stage arm; of executed requests
//	sluice.request.execute      histogram, s          the same
//	sluice.request.rows         counter, {row}        the same
//	sluice.request.executed_rows counter, {row}       the same; rows of the executions that the requests were part of
//	sluice.requests.in_flight   gauge, {request}
//	sluice.requests.replayed    counter, {request}    counted nowhere else
//	sluice.requests.refused     counter, {request}    reason class; turned away with 429 before they were executed
//	sluice.scheduler.delay      gauge, s              median wait of goroutines for a processor
//	sluice.shadow.requests      counter, {request}    endpoint arm model version result; copies executed: answered incomparable failed
//	sluice.shadow.drops         counter, {request}    endpoint arm model version reason; copies not executed
//	sluice.shadow.distance      histogram             endpoint arm model version; 0–2 (gateway/shadow)
//	sluice.shadow.disagreement  histogram             endpoint arm model version; share of labels that differ
//	sluice.shadow.latency_delta histogram, s          endpoint arm model version; later than the arm that answered
//	sluice.breaker.state        gauge                 endpoint model version; 0 closed, 1 half-open, 2 open
//	sluice.servable.state       gauge                 model version state; 1 for the present state
//	sluice.servable.memory      gauge, By             estimated, of the loaded versions
//	sluice.servable.evictions   counter, {eviction}   versions that gave their memory back
//	sluice.servable.reloads     counter, {load}       evicted versions that were asked for and loaded again
//	sluice.batch.executions     counter, {execution}  model version; of versions whose predictions are joined
//	sluice.batch.rows           counter, {row}        model version; the rows in those executions
//	sluice.worker.restarts      counter, {restart}    reason
//	sluice.cache.requests       counter, {request}    endpoint result = hit miss shared bypass
//	sluice.cache.too_large      counter, {answer}     endpoint; answers that are not kept for their size
//	sluice.cache.errors         counter, {error}      store; each of them a miss
//	sluice.cache.entries        gauge, {answer}       answers kept in this process
//	sluice.cache.evictions      counter, {answer}     answers that made room for others
//	sluice.cache.bytes          gauge, By             memory of the answers kept in this process
//	sluice.rollout.step         gauge                 endpoint version; of running rollouts, from 0
//	sluice.rollout.weight       gauge, %              endpoint version; the canary's share of its arm's traffic
//	sluice.rollout.verdicts     counter, {verdict}    endpoint verdict = promote hold rollback insufficient_traffic
//	sluice.drift.psi            gauge                 endpoint model version column; last window against baseline
//	sluice.drift.ks             gauge                 endpoint model version column; 0–1
//	sluice.drift.columns        gauge, {column}       endpoint model version; that drift in the last window
//	sluice.drift.window_rows    gauge, {row}          endpoint model version; of the window compared last
//	sluice.drift.baseline_rows  gauge, {row}          endpoint model version source
//	sluice.drift.segments_left_out counter, {segment} endpoint model version; that could not be read and are in no window
//	sluice.quality.labels       gauge                 endpoint model version; predictions that got ground truth in the quality window, on which the others rest:
//	sluice.quality.accuracy     gauge                 the same; so are precision, recall and f1 (macro means)
//	sluice.quality.precision    gauge                 the same
//	sluice.quality.recall       gauge                 the same
//	sluice.quality.f1           gauge                 the same
//	sluice.quality.mae          gauge                 the same; in the prediction's unit
//	sluice.quality.rmse         gauge                 the same; in the prediction's unit
//	sluice.ground_truth.items   counter, {item}       endpoint outcome
//	sluice.predlog.records      counter, {record}     state = offered recorded recovered written delivered truncated
//	sluice.predlog.drops        counter, {record}     reason
//	sluice.predlog.skipped      counter, {request}    reason = sampling
//	sluice.predlog.gaps         counter, {gap}        1 if the process before this one was cut off
//	sluice.predlog.gap.records  gauge, {record}       that may be missing because of it, at most
//	sluice.predlog.queue        gauge, By
//	sluice.predlog.disk         gauge, By
//	sluice.predlog.disk.limit   gauge, By
//	sluice.predlog.segments     gauge, {segment}      waiting for delivery
//	process.memory.usage        gauge, By             resident
//	process.cpu.time            counter, s            user and system
//	process.uptime              gauge, s
//	go.goroutine.count          gauge, {goroutine}
//	go.memory.used              gauge, By             memory that the Go runtime holds
//	go.memory.allocations       counter, {allocation} objects on the Go heap
//	go.gc.count                 counter, {gc_cycle}
//
// Traced requests are exemplars (trace_id, span_id) of sluice.request.duration's buckets, the last of each for an hour: in OTLP, and at MetricsHandler
// where Accept asks for application/openmetrics-text.
//
// In Prometheus text dots become underscores and units suffixes: sluice_request_duration_seconds_bucket, sluice_requests_total.
//
// # Traces
//
// The choice whether a request is traced is invoke's, made before the SDK is touched (Ratio of new traces, and every request that
// comes with a sampled traceparent); the SDK records every span that it is given.
//
// # Log
//
// StartLogs makes the server's logger push what it writes, too.
//
// # Environment
//
// FromEnvironment reads the standard OTEL_* variables that decide what is started, from a function that cmd hands in. The OTLP exporters
// and the batch processors of spans and log records, which are the OpenTelemetry project's, read their own details from the process environment: endpoints,
// headers, certificates, compression, timeouts, queue sizes, intervals, OTEL_RESOURCE_ATTRIBUTES.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"sluice/gateway/outcome"
)

// ScopeName is the instrumentation scope of every metric and span.
const ScopeName = "sluice"

// Options of Start. The zero value works: metrics at MetricsHandler, no push, no traces.
type Options struct {
	// Version goes into the resource as service.version; may be empty.
	Version string
	// ServiceName goes into the resource as service.name; default "sluice".
	ServiceName string
	// Book holds the request counts; nil leaves them out.
	Book *outcome.Book
	// Metrics are read whenever somebody collects; the constructors of this package make those of the package comment.
	Metrics []Metric
	// Push says what is pushed by OTLP; the zero value pushes nothing.
	Push Push
	// Logger receives export failures, at most one a minute; nil discards.
	Logger *slog.Logger
	// Now is the clock; default time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.ServiceName == "" {
		o.ServiceName = ScopeName
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Telemetry is the running exporters.
type Telemetry struct {
	registry *prometheus.Registry
	meters   *metric.MeterProvider
	traces   *sdktrace.TracerProvider // nil when traces are not pushed
	tracer   trace.Tracer
	ratio    float64
	scrapes  chan struct{} // one token per scrape under way

	closeOnce sync.Once
	closeErr  error
}

// maxScrapes bounds how many scrapes run at once; more are answered 503.
const maxScrapes = 4

// Start makes the exporters. It opens no connection itself and does not fail when a collector is away. ctx bounds the set-up alone.
func Start(ctx context.Context, opts Options) (*Telemetry, error) {
	opts = opts.withDefaults()
	if err := opts.Push.check(); err != nil {
		return nil, err
	}
	res, err := newResource(ctx, &opts)
	if err != nil {
		return nil, err
	}
	t := &Telemetry{
		registry: prometheus.NewRegistry(),
		tracer:   noop.NewTracerProvider().Tracer(ScopeName),
		scrapes:  make(chan struct{}, maxScrapes),
	}
	if err := t.startMetrics(ctx, &opts, res); err != nil {
		return nil, err
	}
	if err := t.startTraces(ctx, &opts, res); err != nil {
		return nil, errors.Join(err, t.meters.Shutdown(ctx))
	}
	if opts.Push.Metrics || opts.Push.Traces {
		// The SDK reports failures of its background exporters nowhere else.
		otel.SetErrorHandler(newErrorLog(opts.Logger, opts.Now))
	}
	return t, nil
}

// newResource describes this process; OTEL_RESOURCE_ATTRIBUTES adds to it.
func newResource(ctx context.Context, opts *Options) (*resource.Resource, error) {
	res, err := resource.New(ctx,
		resource.WithFromEnv(),
		resource.WithTelemetrySDK(),
		resource.WithAttributes(resourceAttributes(opts)...),
	)
	if err != nil {
		return nil, fmt.Errorf("telemetry resource: %w", err)
	}
	return res, nil
}

func (t *Telemetry) startMetrics(ctx context.Context, opts *Options, res *resource.Resource) error {
	p := newProducer(opts)
	scrape, err := promexporter.New(
		promexporter.WithRegisterer(t.registry),
		promexporter.WithProducer(p),
		promexporter.WithoutScopeInfo(),
	)
	if err != nil {
		return fmt.Errorf("prometheus exporter: %w", err)
	}
	readers := []metric.Option{metric.WithResource(res), metric.WithReader(scrape)}
	if opts.Push.Metrics {
		exp, err := newMetricExporter(ctx, opts.Push.MetricsProtocol)
		if err != nil {
			return fmt.Errorf("OTLP metric exporter: %w", err)
		}
		readers = append(readers, metric.WithReader(metric.NewPeriodicReader(exp, metric.WithProducer(p))))
	}
	t.meters = metric.NewMeterProvider(readers...)
	return nil
}

func (t *Telemetry) startTraces(ctx context.Context, opts *Options, res *resource.Resource) error {
	if !opts.Push.Traces {
		return nil
	}
	exp, err := newTraceExporter(ctx, opts.Push.TracesProtocol)
	if err != nil {
		return fmt.Errorf("OTLP trace exporter: %w", err)
	}
	t.traces = sdktrace.NewTracerProvider(
		sdktrace.WithResource(res),
		sdktrace.WithSampler(sdktrace.AlwaysSample()), // invoke chose already
		sdktrace.WithBatcher(exp),
	)
	t.tracer = t.traces.Tracer(ScopeName)
	t.ratio = opts.Push.Ratio
	return nil
}

// Tracer makes spans; it records nothing when traces are not pushed.
func (t *Telemetry) Tracer() trace.Tracer { return t.tracer }

// Ratio is the share of new traces to sample, 0–1; 0 when traces are not pushed.
func (t *Telemetry) Ratio() float64 { return t.ratio }

// Tracing says whether traces are pushed: whether a sampled traceparent is worth honouring.
func (t *Telemetry) Tracing() bool { return t.traces != nil }

// Close pushes what is left and stops the exporters, until ctx ends, and closeTimeout at most for each signal. Later calls return the first one's error.
func (t *Telemetry) Close(ctx context.Context) error {
	t.closeOnce.Do(func() {
		if t.traces != nil {
			t.closeErr = bounded(t.traces.Shutdown)(ctx)
		}
		t.closeErr = errors.Join(t.closeErr, bounded(t.meters.Shutdown)(ctx))
	})
	return t.closeErr
}
