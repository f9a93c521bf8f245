package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// The OTLP transports that we carry (source: OpenTelemetry specification, OTLP exporter configuration).
const (
	ProtocolHTTP = "http/protobuf" // the default
	ProtocolGRPC = "grpc"
)

// DefaultRatio is the share of new traces that are sampled: 1 %.
const DefaultRatio = 0.01

// Push says what is pushed by OTLP, and how.
type Push struct {
	Metrics, Traces, Logs bool

	MetricsProtocol, TracesProtocol, LogsProtocol string  // ProtocolHTTP or ProtocolGRPC; empty means ProtocolHTTP
	Ratio                                         float64 // share of new traces to sample, 0–1
	ServiceName                                   string  // from OTEL_SERVICE_NAME; cmd copies it to Options.ServiceName
}

func (p *Push) check() error {
	if p.Ratio < 0 || p.Ratio > 1 || p.Ratio != p.Ratio {
		return fmt.Errorf("trace sampling ratio %v is not between 0 and 1", p.Ratio)
	}
	for _, protocol := range []string{p.MetricsProtocol, p.TracesProtocol, p.LogsProtocol} {
		switch protocol {
		case "", ProtocolHTTP, ProtocolGRPC:
		default:
			return fmt.Errorf("OTLP protocol %q is not supported: use %q or %q", protocol, ProtocolHTTP, ProtocolGRPC)
		}
	}
	return nil
}

// FromEnvironment reads what the standard variables ask for; getenv is os.Getenv. Push is on where an OTLP endpoint is set:
// OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_{TRACES,METRICS,LOGS}_ENDPOINT; off where OTEL_SDK_DISABLED is true or OTEL_{TRACES,METRICS,LOGS}_EXPORTER is
// none. Also read: …_PROTOCOL, OTEL_TRACES_SAMPLER(_ARG), OTEL_SERVICE_NAME. A value that we cannot honour is an error that names its variable.
// (Source: OpenTelemetry specification, environment variables.)
func FromEnvironment(getenv func(string) string) (Push, error) {
	p := Push{Ratio: DefaultRatio, ServiceName: getenv("OTEL_SERVICE_NAME")}
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return p, nil
	}
	var err error
	if p.Traces, p.TracesProtocol, err = signal(getenv, "TRACES"); err != nil {
		return Push{}, err
	}
	if p.Metrics, p.MetricsProtocol, err = signal(getenv, "METRICS"); err != nil {
		return Push{}, err
	}
	if p.Logs, p.LogsProtocol, err = signal(getenv, "LOGS"); err != nil {
		return Push{}, err
	}
	const temporality = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
	if v := getenv(temporality); v != "" && !strings.EqualFold(v, "cumulative") {
		return Push{}, fmt.Errorf("%s=%q: only cumulative is supported", temporality, v)
	}
	p.Ratio, err = samplerRatio(getenv("OTEL_TRACES_SAMPLER"), getenv("OTEL_TRACES_SAMPLER_ARG"))
	return p, err
}

// signal reads the variables of one signal, "TRACES", "METRICS" or "LOGS".
func signal(getenv func(string) string, name string) (on bool, protocol string, err error) {
	switch v := getenv("OTEL_" + name + "_EXPORTER"); v {
	case "", "otlp":
	case "none":
		return false, "", nil
	default:
		return false, "", fmt.Errorf("OTEL_%s_EXPORTER=%q: use otlp or none", name, v)
	}
	on = getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_"+name+"_ENDPOINT") != ""
	variable := "OTEL_EXPORTER_OTLP_" + name + "_PROTOCOL"
	if protocol = getenv(variable); protocol == "" {
		variable = "OTEL_EXPORTER_OTLP_PROTOCOL"
		protocol = getenv(variable)
	}
	switch protocol {
	case "":
		protocol = ProtocolHTTP
	case ProtocolHTTP, ProtocolGRPC:
	default:
		return false, "", fmt.Errorf("%s=%q: use %q or %q", variable, protocol, ProtocolHTTP, ProtocolGRPC)
	}
	return on, protocol, nil
}

// samplerRatio is the share of new traces that the named sampler takes. All of the samplers honour the caller's choice, which for the ones
// without "parentbased_" differs from the specification on requests that come with a traceparent; those are refused, but for the default.
func samplerRatio(name, arg string) (float64, error) {
	switch name {
	case "":
		return DefaultRatio, nil
	case "parentbased_always_on":
		return 1, nil
	case "parentbased_always_off":
		return 0, nil
	case "parentbased_traceidratio":
		if arg == "" {
			return 1, nil
		}
		r, err := strconv.ParseFloat(arg, 64)
		if err != nil || !(r >= 0 && r <= 1) {
			return 0, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG=%q is not a number between 0 and 1", arg)
		}
		return r, nil
	default:
		return 0, fmt.Errorf("OTEL_TRACES_SAMPLER=%q: use parentbased_traceidratio, parentbased_always_on or parentbased_always_off", name)
	}
}

func newMetricExporter(ctx context.Context, protocol string) (metric.Exporter, error) {
	if protocol == ProtocolGRPC {
		return otlpmetricgrpc.New(ctx)
	}
	return otlpmetrichttp.New(ctx)
}

func newTraceExporter(ctx context.Context, protocol string) (sdktrace.SpanExporter, error) {
	if protocol == ProtocolGRPC {
		return otlptracegrpc.New(ctx)
	}
	return otlptracehttp.New(ctx)
}

func resourceAttributes(opts *Options) []attribute.KeyValue {
	// The names are those of the semantic conventions.
	kv := []attribute.KeyValue{attribute.String("service.name", opts.ServiceName)}
	if opts.Version != "" {
		kv = append(kv, attribute.String("service.version", opts.Version))
	}
	return kv
}

// errorLog writes failures of the exporters to the log, at most one a minute.
type errorLog struct {
	log *slog.Logger
	now func() time.Time

	mu      sync.Mutex
	last    time.Time // guarded by mu
	skipped int       // guarded by mu
}

var _ otel.ErrorHandler = (*errorLog)(nil)

func newErrorLog(log *slog.Logger, now func() time.Time) *errorLog {
	return &errorLog{log: log, now: now}
}

// Handle implements otel.ErrorHandler.
func (e *errorLog) Handle(err error) {
	e.mu.Lock()
	now := e.now()
	if !e.last.IsZero() && now.Sub(e.last) < time.Minute {
		e.skipped++
		e.mu.Unlock()
		return
	}
	skipped := e.skipped
	e.last, e.skipped = now, 0
	e.mu.Unlock()
	e.log.Warn("telemetry export failed", slog.Any("error", err), slog.Int("similar_since_last", skipped))
}
