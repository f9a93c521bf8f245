package invoke

import (
	"context"
	"math"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// traceContext is a traceparent header (source: W3C Trace Context, Recommendation of 23 November 2021).
type traceContext struct {
	trace   [16]byte
	span    [8]byte
	sampled bool
}

const traceparentLen = 55 // of version 00

// parseTraceparent reads a traceparent; a header that is not one is as good as none, as the recommendation has it. Higher
// versions are read by the fields of version 00.
func parseTraceparent(text []byte) (tc traceContext, ok bool) {
	if len(text) < traceparentLen || text[2] != '-' || text[35] != '-' || text[52] != '-' {
		return tc, false
	}
	var version, flags [1]byte
	if !unhex(version[:], text[0:2]) || !unhex(tc.trace[:], text[3:35]) || !unhex(tc.span[:], text[36:52]) || !unhex(flags[:], text[53:55]) {
		return tc, false
	}
	if version[0] == 0xff || tc.trace == [16]byte{} || tc.span == [8]byte{} {
		return tc, false
	}
	if len(text) > traceparentLen && (version[0] == 0 || text[traceparentLen] != '-') {
		return tc, false
	}
	tc.sampled = flags[0]&1 == 1
	return tc, true
}

// unhex decodes lower-case hexadecimal; upper case is not allowed in a traceparent.
func unhex(dst, src []byte) bool {
	for i := range dst {
		hi, ok1 := nibble(src[2*i])
		lo, ok2 := nibble(src[2*i+1])
		if !ok1 || !ok2 {
			return false
		}
		dst[i] = hi<<4 | lo
	}
	return true
}

func nibble(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// appendTraceparent appends the header of version 00.
func appendTraceparent(dst []byte, tc *traceContext) []byte {
	dst = appendHex(append(dst, "00-"...), tc.trace[:])
	dst = appendHex(append(dst, '-'), tc.span[:])
	if tc.sampled {
		return append(dst, "-01"...)
	}
	return append(dst, "-00"...)
}

// ratioThreshold is the number below which a share of ratio of all 64-bit numbers lie.
func ratioThreshold(ratio float64) uint64 {
	switch {
	case !(ratio > 0):
		return 0
	case ratio >= 1:
		return math.MaxUint64
	}
	return uint64(ratio * (1 << 63) * 2)
}

// startTrace decides whether the request is traced, before the SDK is touched, and starts its server span if so. The caller's choice is
// honoured; without one, a share of SampleRatio is taken.
func (h *Handler) startTrace(ctx context.Context, c *call) context.Context {
	tc, incoming := parseTraceparent(c.asked.traceparent)
	c.trace, c.traced = tc, incoming
	if !h.opts.Tracing || incoming && !tc.sampled || !incoming && c.random[2] >= h.sampleAt {
		return ctx
	}
	if incoming {
		cfg := trace.SpanContextConfig{TraceID: tc.trace, SpanID: tc.span, TraceFlags: trace.FlagsSampled, Remote: true}
		if state, err := trace.ParseTraceState(string(c.asked.tracestate)); err == nil { // a broken state is dropped, as the recommendation has it
			cfg.TraceState = state
		}
		ctx = trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(cfg))
	}
	ctx, c.span = h.opts.Tracer.Start(ctx, "predict", trace.WithTimestamp(c.start), trace.WithSpanKind(trace.SpanKindServer))
	if sc := c.span.SpanContext(); sc.IsValid() {
		c.trace = traceContext{trace: sc.TraceID(), span: sc.SpanID(), sampled: sc.IsSampled()}
		c.traced = true
	}
	return ctx
}

// endTrace writes the spans of a traced request: the server span, and what happened inside it, made after the fact from the call's times.
func (h *Handler) endTrace(ctx context.Context, c *call, end time.Time) {
	if c.span == nil {
		return
	}
	child := func(name string, from, to time.Time) {
		if from.IsZero() || to.Before(from) {
			return
		}
		_, s := h.opts.Tracer.Start(ctx, name, trace.WithTimestamp(from))
		s.End(trace.WithTimestamp(to))
	}
	child("decode", c.received, c.decoded)
	if !c.executed.IsZero() {
		began := c.executed.Add(-c.timing.Execute)
		child("queue", began.Add(-c.timing.Queue), began)
		child("execute", began, c.executed)
		child("encode", c.executed, c.encoded)
	}
	c.span.SetAttributes(h.spanAttributes(c)...)
	if c.err != nil {
		c.span.SetAttributes(attribute.String("error.type", string(c.err.Code)))
		if c.status >= 500 {
			c.span.SetStatus(codes.Error, c.err.Message)
		}
	}
	c.span.End(trace.WithTimestamp(end))
}

func (h *Handler) spanAttributes(c *call) []attribute.KeyValue {
	kv := []attribute.KeyValue{attribute.Int("http.response.status_code", c.status), attribute.Int("sluice.rows", c.rows)}
	if c.infer != nil && c.infer.message {
		kv = append(kv, attribute.String("rpc.system", "grpc"))
	} else {
		kv = append(kv, attribute.String("http.request.method", "POST"))
	}
	if c.decision.Endpoint != nil {
		kv = append(kv, attribute.String("sluice.endpoint", c.decision.Endpoint.Name))
	}
	if a := c.decision.Arm; a != nil {
		kv = append(kv,
			attribute.String("sluice.model", a.Servable.Model),
			attribute.Int("sluice.version", a.Servable.Version),
			attribute.String("sluice.stage", a.Stage),
			attribute.String("sluice.arm", a.Name))
	}
	return kv
}
