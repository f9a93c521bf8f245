package telemetry

import (
	"time"

	"go.opentelemetry.io/otel/trace"
)

func traceAt(t time.Time) trace.SpanStartOption { return trace.WithTimestamp(t) }
func endAt(t time.Time) trace.SpanEndOption     { return trace.WithTimestamp(t) }
