package telemetry

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	colllogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	collmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	colltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"sluice/gateway/admit"
	"sluice/gateway/breaker"
	"sluice/gateway/outcome"
	"sluice/gateway/predlog"
	"sluice/runtime/batch"
	"sluice/runtime/servable"
)

func start(t *testing.T, opts Options) *Telemetry {
	t.Helper()
	tel, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := tel.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return tel
}

func scrape(t *testing.T, tel *Telemetry, accept string) (contentType, body string) {
	t.Helper()
	app := fiber.New()
	app.Get("/metrics", tel.MetricsHandler())
	req := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	req.Header.Set("Accept", accept)
	resp, err := app.Test(req, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 {
		t.Fatalf("status %d: %s", resp.StatusCode, text)
	}
	return resp.Header.Get("Content-Type"), string(text)
}

func fullOptions() Options {
	book := outcome.NewBook(nil)
	k := outcome.Key{Endpoint: "wine", Model: "wine-model", Version: 3, Stage: "Production", Arm: "prod", Code: 200}
	book.Series(k).Record(3 * time.Millisecond)
	book.Series(k).Record(2 * time.Minute)
	book.Series(k).Trace(outcome.Exemplar{Trace: [16]byte{0xab}, Span: [8]byte{0xcd}, Latency: 3 * time.Millisecond, TimeMS: time.Now().UnixMilli()})
	book.Series(k).Trace(outcome.Exemplar{Trace: [16]byte{0xef}, Latency: 2 * time.Minute, TimeMS: time.Now().Add(-2 * time.Hour).UnixMilli()})
	book.Series(k).Executed(2*time.Millisecond, 200*time.Microsecond, 3, 12)
	k.Code, k.Arm = 400, "quo\"te\nd"
	book.Series(k).Record(time.Millisecond)
	id := servable.ID{Model: "wine-model", Version: 3}
	var drops predlog.Stats
	drops.Dropped[predlog.QueueFull] = 7
	drops.QueuedBytes = 512
	admission := admit.New(nil)
	admission.Refuse(admit.Delay, admit.Batch)
	batches := Batches(func() map[servable.ID]batch.Executions {
		return map[servable.ID]batch.Executions{id: {Runs: 40, Rows: 360}}
	})
	return Options{
		Version: "1.2.3", Book: book,
		Metrics: append(slices.Concat(PredictionLog(func() predlog.Stats { return drops }, 4096), Admission(admission), batches),
			InFlight(func() int64 { return 5 }),
			Breakers(func() []breaker.Status {
				return []breaker.Status{{Key: breaker.Key{Endpoint: "wine", Servable: id}, State: breaker.Open}}
			}),
			Servables(func() map[servable.ID]servable.Status {
				return map[servable.ID]servable.Status{id: {State: servable.Ready}}
			})),
	}
}

func TestPrometheusText(t *testing.T) {
	contentType, body := scrape(t, start(t, fullOptions()), "")
	if !strings.HasPrefix(contentType, "text/plain") {
		t.Errorf("content type %q", contentType)
	}
	for _, want := range []string{
		`sluice_request_duration_seconds_bucket{arm="prod",code="200",endpoint="wine",model="wine-model",stage="Production",version="3",le="0.005"} 1`,
		`sluice_request_duration_seconds_bucket{arm="prod",code="200",endpoint="wine",model="wine-model",stage="Production",version="3",le="60"} 1`,
		`sluice_request_duration_seconds_bucket{arm="prod",code="200",endpoint="wine",model="wine-model",stage="Production",version="3",le="+Inf"} 2`,
		`sluice_request_duration_seconds_sum{arm="prod",code="200",endpoint="wine",model="wine-model",stage="Production",version="3"} 120.003`,
		`sluice_requests_total{arm="prod",code="200",endpoint="wine",model="wine-model",stage="Production",version="3"} 2`,
		`arm="quo\"te\nd",code="400"`,
		`sluice_request_queue_seconds_sum{arm="prod",endpoint="wine",model="wine-model",stage="Production",version="3"} 0.002`,
		`sluice_request_execute_seconds_bucket{arm="prod",endpoint="wine",model="wine-model",stage="Production",version="3",le="0.00025"} 1`,
		`sluice_request_rows_total{arm="prod",endpoint="wine",model="wine-model",stage="Production",version="3"} 3`,
		`sluice_request_executed_rows_total{arm="prod",endpoint="wine",model="wine-model",stage="Production",version="3"} 12`,
		`sluice_requests_in_flight 5`,
		`sluice_requests_refused_total{class="batch",reason="queue_delay"} 1`,
		`sluice_scheduler_delay_seconds 0`,
		`sluice_breaker_state{endpoint="wine",model="wine-model",version="3"} 2`,
		`sluice_servable_state{model="wine-model",state="ready",version="3"} 1`,
		`sluice_batch_executions_total{model="wine-model",version="3"} 40`,
		`sluice_batch_rows_total{model="wine-model",version="3"} 360`,
		`sluice_predlog_drops_total{reason="queue_full"} 7`,
		`sluice_predlog_queue_bytes 512`,
		`sluice_predlog_disk_limit_bytes 4096`,
		`service_name="sluice"`,
		`service_version="1.2.3"`,
		`process_memory_usage_bytes `,
		`process_cpu_time_seconds_total `,
		`go_goroutine_count `,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in:\n%s", want, body)
			break
		}
	}
}

func TestOpenMetricsWhenAsked(t *testing.T) {
	contentType, body := scrape(t, start(t, fullOptions()), "application/openmetrics-text; version=1.0.0")
	if !strings.HasPrefix(contentType, "application/openmetrics-text") || !strings.HasSuffix(body, "# EOF\n") {
		t.Errorf("content type %q, body ends %q", contentType, body[max(0, len(body)-20):])
	}
	for _, label := range []string{`trace_id="ab0{30}"`, `span_id="cd0{14}"`} { // in either order
		example := regexp.MustCompile(`sluice_request_duration_seconds_bucket\{arm="prod".*le="0.005"\} 1 # \{.*` + label + `.*\} 0.003 \d`)
		if !example.MatchString(body) {
			t.Errorf("no exemplar with %s in:\n%s", label, body)
		}
	}
	if strings.Contains(body, "ef00") {
		t.Error("an exemplar is shown whose trace is hours old")
	}
}

func TestWithoutPushNothingIsTraced(t *testing.T) {
	tel := start(t, Options{})
	_, span := tel.Tracer().Start(t.Context(), "x")
	if span.IsRecording() || tel.Ratio() != 0 || tel.Tracing() {
		t.Error("spans are recorded although nothing is pushed")
	}
}

// collector is an OTLP/HTTP receiver that keeps what it is sent.
type collector struct {
	mu      sync.Mutex
	metrics []*collmetrics.ExportMetricsServiceRequest
	traces  []*colltrace.ExportTraceServiceRequest
	logs    []*colllogs.ExportLogsServiceRequest
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch r.URL.Path {
	case "/v1/metrics":
		var m collmetrics.ExportMetricsServiceRequest
		if err = proto.Unmarshal(body, &m); err == nil {
			c.metrics = append(c.metrics, &m)
		}
	case "/v1/traces":
		var m colltrace.ExportTraceServiceRequest
		if err = proto.Unmarshal(body, &m); err == nil {
			c.traces = append(c.traces, &m)
		}
	case "/v1/logs":
		var m colllogs.ExportLogsServiceRequest
		if err = proto.Unmarshal(body, &m); err == nil {
			c.logs = append(c.logs, &m)
		}
	default:
		err = errors.New("unknown path")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

func TestPushReachesACollector(t *testing.T) {
	col := &collector{}
	srv := httptest.NewServer(col)
	defer srv.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", srv.URL) // the exporters read it themselves
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	opts := fullOptions()
	var err error
	opts.Push, err = FromEnvironment(func(k string) string {
		return map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": srv.URL}[k]
	})
	if err != nil {
		t.Fatal(err)
	}
	tel, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	at := time.UnixMilli(1_700_000_000_000)
	_, span := tel.Tracer().Start(t.Context(), "predict", traceAt(at))
	span.End(endAt(at.Add(time.Second)))
	if err := tel.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tel.Close(t.Context()); err != nil {
		t.Errorf("second close: %v", err)
	}

	col.mu.Lock()
	defer col.mu.Unlock()
	if len(col.traces) == 0 || len(col.metrics) == 0 {
		t.Fatalf("%d trace pushes, %d metric pushes, want at least one each", len(col.traces), len(col.metrics))
	}
	rs := col.traces[0].ResourceSpans[0]
	if s := rs.ScopeSpans[0].Spans[0]; s.Name != "predict" || s.EndTimeUnixNano-s.StartTimeUnixNano != uint64(time.Second) {
		t.Errorf("span %v", s)
	}
	resource := rs.Resource.String()
	for _, want := range []string{"service.name", "sluice", "1.2.3", "deployment.environment.name"} {
		if !strings.Contains(resource, want) {
			t.Errorf("no %s in resource %s", want, resource)
		}
	}
	found := false
	for _, m := range col.metrics[0].ResourceMetrics[0].ScopeMetrics[0].Metrics {
		if m.Name == "sluice.request.duration" {
			found = true
			h := m.GetHistogram()
			if m.Unit != "s" || h == nil || len(h.DataPoints) != 2 || len(h.DataPoints[0].ExplicitBounds) != outcome.BucketCount-1 {
				t.Errorf("histogram %v", m)
			}
		}
	}
	if !found {
		t.Error("no sluice.request.duration was pushed")
	}
}

func TestFromEnvironment(t *testing.T) {
	cases := []struct {
		name    string
		env     map[string]string
		want    Push
		wantErr string
	}{
		{"nothing set", nil, Push{MetricsProtocol: ProtocolHTTP, TracesProtocol: ProtocolHTTP, LogsProtocol: ProtocolHTTP, Ratio: 0.01}, ""},
		{"an endpoint for all", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"},
			Push{Metrics: true, Traces: true, Logs: true, MetricsProtocol: ProtocolHTTP, TracesProtocol: ProtocolHTTP, LogsProtocol: ProtocolHTTP, Ratio: 0.01}, ""},
		{"traces alone, gRPC", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
			Push{Traces: true, MetricsProtocol: ProtocolGRPC, TracesProtocol: ProtocolGRPC, LogsProtocol: ProtocolGRPC, Ratio: 0.01}, ""},
		{"one exporter off", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"},
			Push{Traces: true, TracesProtocol: ProtocolHTTP, Ratio: 0.01}, ""},
		{"all off", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, Push{Ratio: 0.01}, ""},
		{"a ratio", map[string]string{"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25", "OTEL_SERVICE_NAME": "s"},
			Push{MetricsProtocol: ProtocolHTTP, TracesProtocol: ProtocolHTTP, LogsProtocol: ProtocolHTTP, Ratio: 0.25, ServiceName: "s"}, ""},
		{"a bad ratio", map[string]string{"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "NaN"}, Push{}, "OTEL_TRACES_SAMPLER_ARG"},
		{"an unknown sampler", map[string]string{"OTEL_TRACES_SAMPLER": "jaeger_remote"}, Push{}, "OTEL_TRACES_SAMPLER"},
		{"an unknown protocol", map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, Push{}, "OTEL_EXPORTER_OTLP_PROTOCOL"},
		{"an unknown exporter", map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, Push{}, "OTEL_TRACES_EXPORTER"},
		{"delta", map[string]string{"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"}, Push{}, "TEMPORALITY"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := FromEnvironment(func(k string) string { return c.env[k] })
			if c.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), c.wantErr) {
					t.Fatalf("error %v, want one that names %s", err, c.wantErr)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("got %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

func TestStartRefusesWhatItCannotHonour(t *testing.T) {
	for name, p := range map[string]Push{
		"ratio above 1":      {Traces: true, Ratio: 1.5},
		"a strange protocol": {Metrics: true, MetricsProtocol: "carrier pigeon"},
	} {
		if _, err := Start(t.Context(), Options{Push: p}); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestExportFailuresAreLoggedOnceAMinute(t *testing.T) {
	var out strings.Builder
	now := time.Unix(0, 1)
	h := newErrorLog(slog.New(slog.NewTextHandler(&out, nil)), func() time.Time { return now })
	for range 10 {
		h.Handle(errors.New("collector away"))
	}
	now = now.Add(time.Minute)
	h.Handle(errors.New("collector away"))
	if n := strings.Count(out.String(), "collector away"); n != 2 || !strings.Contains(out.String(), "similar_since_last=9") {
		t.Errorf("log:\n%s", out.String())
	}
}
