package invoke

import (
	"context"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
	"go.opentelemetry.io/otel/trace/noop"
)

// memoryTracer keeps the spans that it is asked for, by the API alone: the SDK is not this room's to import.
type memoryTracer struct {
	embedded.Tracer
	mu    sync.Mutex
	spans []*memorySpan
}

type memorySpan struct {
	noop.Span
	name       string
	parent     trace.SpanContext
	context    trace.SpanContext
	start, end time.Time
	attributes map[string]string
	status     codes.Code
}

func (m *memoryTracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	m.mu.Lock()
	defer m.mu.Unlock()
	parent := trace.SpanContextFromContext(ctx)
	id := trace.TraceID{0xab}
	if parent.HasTraceID() {
		id = parent.TraceID()
	}
	config := trace.NewSpanStartConfig(opts...)
	s := &memorySpan{
		name: name, parent: parent, start: config.Timestamp(), attributes: map[string]string{},
		context: trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: trace.SpanID{byte(len(m.spans) + 1)}, TraceFlags: trace.FlagsSampled}),
	}
	m.spans = append(m.spans, s)
	return trace.ContextWithSpan(ctx, s), s
}

func (s *memorySpan) SpanContext() trace.SpanContext { return s.context }
func (s *memorySpan) IsRecording() bool              { return true }
func (s *memorySpan) End(opts ...trace.SpanEndOption) {
	config := trace.NewSpanEndConfig(opts...)
	s.end = config.Timestamp()
}
func (s *memorySpan) SetStatus(c codes.Code, _ string) { s.status = c }
func (s *memorySpan) SetAttributes(kv ...attribute.KeyValue) {
	for _, a := range kv {
		s.attributes[string(a.Key)] = a.Value.Emit()
	}
}

const (
	sampledParent   = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	unsampledParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
)

func TestSpansOfASampledRequest(t *testing.T) {
	tracer := &memoryTracer{}
	r := newRig(t, rigOptions{options: &Options{Tracer: tracer, Tracing: true}})
	r.publish(t, "", only("wine"))
	var seen trace.SpanContext
	r.backends[1].failWith(func(ctx context.Context) error { seen = trace.SpanContextFromContext(ctx); return nil })
	a := r.ask(t, "POST", "/invocations", goodBody, "Traceparent", sampledParent, "Tracestate", "vendor=1")

	want := []string{"predict", "decode", "queue", "execute", "encode"}
	if len(tracer.spans) != len(want) {
		t.Fatalf("%d spans, want %v", len(tracer.spans), want)
	}
	server := tracer.spans[0]
	for i, s := range tracer.spans {
		if s.name != want[i] || s.end.Before(s.start) || s.start.IsZero() || s.start.Before(server.start) || s.end.After(server.end) {
			t.Errorf("span %d: %s from %v to %v", i, s.name, s.start, s.end)
		}
		if i > 0 && s.parent.SpanID() != server.context.SpanID() {
			t.Errorf("span %s is not inside the server's", s.name)
		}
	}
	if !server.parent.IsRemote() || server.parent.TraceState().Get("vendor") != "1" || server.parent.SpanID().String() != "b7ad6b7169203331" {
		t.Errorf("the server span's parent is %+v", server.parent)
	}
	if seen.SpanID() != server.context.SpanID() {
		t.Error("the backend's context does not carry the server span")
	}
	for k, v := range map[string]string{"sluice.endpoint": "wine", "sluice.model": "wine", "sluice.version": "1", "sluice.arm": "prod", "http.response.status_code": "200"} {
		if server.attributes[k] != v {
			t.Errorf("attribute %s is %q, want %q", k, server.attributes[k], v)
		}
	}
	if got, want := a.header.Get("Traceparent"), "00-0af7651916cd43dd8448eb211c80319c-0100000000000000-01"; got != want {
		t.Errorf("traceparent %s, want %s", got, want)
	}
	if l := r.log.all(); l[0].TraceID[0] != 0x0a {
		t.Errorf("trace id %x in the log", l[0].TraceID)
	}
}

func TestFailedRequestsMarkTheirSpan(t *testing.T) {
	tracer := &memoryTracer{}
	r := newRig(t, rigOptions{options: &Options{Tracer: tracer, Tracing: true, SampleRatio: 1}})
	r.publish(t, "", only("wine"))
	r.backends[1].failWith(func(context.Context) error { return errBroken })
	r.ask(t, "POST", "/invocations", goodBody)
	r.ask(t, "POST", "/endpoints/none/invocations", goodBody)
	var servers []*memorySpan
	for _, s := range tracer.spans {
		if s.name == "predict" {
			servers = append(servers, s)
		}
	}
	if len(servers) != 2 {
		t.Fatalf("%d server spans, want 2", len(servers))
	}
	if s := servers[0]; s.status != codes.Error || s.attributes["error.type"] != "INTERNAL_ERROR" || s.attributes["http.response.status_code"] != "500" {
		t.Errorf("a model failure: status %v, %v", s.status, s.attributes)
	}
	if s := servers[1]; s.status != codes.Unset || s.attributes["error.type"] != "RESOURCE_DOES_NOT_EXIST" || s.end.IsZero() {
		t.Errorf("a caller's error: status %v, %v", s.status, s.attributes)
	}
}

func TestWhatIsSampled(t *testing.T) {
	cases := []struct {
		name    string
		tracing bool
		ratio   float64
		parent  string
		spans   bool
		out     string // traceparent of the answer; "*" means any
	}{
		{"new, ratio 0", true, 0, "", false, ""},
		{"new, ratio 1", true, 1, "", true, "*"},
		{"sampled parent, ratio 0", true, 0, sampledParent, true, "*"},
		{"unsampled parent, ratio 1", true, 1, unsampledParent, false, unsampledParent},
		{"broken parent, ratio 0", true, 0, "nonsense", false, ""},
		{"nobody listens", false, 1, sampledParent, false, sampledParent},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tracer := &memoryTracer{}
			r := newRig(t, rigOptions{options: &Options{Tracer: tracer, Tracing: c.tracing, SampleRatio: c.ratio}})
			r.publish(t, "", only("wine"))
			var headers []string
			if c.parent != "" {
				headers = []string{"Traceparent", c.parent}
			}
			got := r.ask(t, "POST", "/invocations", goodBody, headers...).header.Get("Traceparent")
			if (len(tracer.spans) > 0) != c.spans {
				t.Errorf("%d spans", len(tracer.spans))
			}
			if c.out != "*" && got != c.out || c.out == "*" && got == "" {
				t.Errorf("traceparent %q, want %q", got, c.out)
			}
		})
	}
}
