package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	sdklog "go.opentelemetry.io/otel/sdk/log"
)

// maxLogValue bounds, in bytes, what is pushed of one attribute's text.
const maxLogValue = 4 << 10

// StartLogs returns a logger that writes where opts.Logger does and, if opts.Push.Logs says so, pushes the same records by OTLP, with the trace that
// their context belongs to. What is pushed waits in a queue of OTEL_BLRP_MAX_QUEUE_SIZE records (2,048); beyond, the oldest are dropped: nobody who logs waits
// for a collector. close pushes what is left, until its context ends or closeTimeout has passed. Errors: a setting that cannot be honoured.
func StartLogs(ctx context.Context, opts Options) (log *slog.Logger, close func(context.Context) error, err error) {
	opts = opts.withDefaults()
	if err := opts.Push.check(); err != nil {
		return nil, nil, err
	}
	if !opts.Push.Logs {
		return opts.Logger, func(context.Context) error { return nil }, nil
	}
	res, err := newResource(ctx, &opts)
	if err != nil {
		return nil, nil, err
	}
	exp, err := newLogExporter(ctx, opts.Push.LogsProtocol)
	if err != nil {
		return nil, nil, fmt.Errorf("OTLP log exporter: %w", err)
	}
	provider := sdklog.NewLoggerProvider(
		sdklog.WithResource(res),
		sdklog.WithProcessor(sdklog.NewBatchProcessor(exp)),
		sdklog.WithAttributeValueLengthLimit(maxLogValue),
	)
	otel.SetErrorHandler(newErrorLog(opts.Logger, opts.Now))
	pushed := otelslog.NewHandler(ScopeName, otelslog.WithLoggerProvider(provider))
	return slog.New(tee{local: opts.Logger.Handler(), pushed: pushed}), bounded(provider.Shutdown), nil
}

func newLogExporter(ctx context.Context, protocol string) (sdklog.Exporter, error) {
	if protocol == ProtocolGRPC {
		return otlploggrpc.New(ctx)
	}
	return otlploghttp.New(ctx)
}

// closeTimeout bounds the last push of each signal: a collector that is away must not use up the time that others need to close.
const closeTimeout = 3 * time.Second

// bounded is shutdown within closeTimeout.
func bounded(shutdown func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, closeTimeout)
		defer cancel()
		return shutdown(ctx)
	}
}

// tee hands records to both; local says which levels there are.
type tee struct{ local, pushed slog.Handler }

var _ slog.Handler = tee{}

// Enabled implements slog.Handler.
func (t tee) Enabled(ctx context.Context, level slog.Level) bool { return t.local.Enabled(ctx, level) }

// Handle implements slog.Handler.
func (t tee) Handle(ctx context.Context, r slog.Record) error {
	return errors.Join(t.local.Handle(ctx, r.Clone()), t.pushed.Handle(ctx, r))
}

// WithAttrs implements slog.Handler.
func (t tee) WithAttrs(attrs []slog.Attr) slog.Handler {
	return tee{local: t.local.WithAttrs(attrs), pushed: t.pushed.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (t tee) WithGroup(name string) slog.Handler {
	return tee{local: t.local.WithGroup(name), pushed: t.pushed.WithGroup(name)}
}
