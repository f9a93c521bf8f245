package otlp

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"sluice/tracking"
	"sluice/tracking/pyjson"
	"sluice/tracking/semconv"
)

// Lengths of ids in bytes (https://opentelemetry.io/docs/specs/otel/trace/api/#spancontext).
const (
	traceIDBytes = 16
	spanIDBytes  = 8
)

// maxDepth bounds the nesting of values.
const maxDepth = 100

// convert makes one of MLflow's spans of one of OpenTelemetry's.
func convert(in *tracepb.Span) (tracking.Span, error) {
	if len(in.TraceId) != traceIDBytes || len(in.SpanId) != spanIDBytes || len(in.ParentSpanId) != 0 && len(in.ParentSpanId) != spanIDBytes {
		return tracking.Span{}, fmt.Errorf("%w: ids of %d, %d and %d bytes", ErrSpan, len(in.TraceId), len(in.SpanId), len(in.ParentSpanId))
	}
	if in.StartTimeUnixNano > math.MaxInt64 || in.EndTimeUnixNano > math.MaxInt64 {
		return tracking.Span{}, fmt.Errorf("%w: a time beyond 2262", ErrSpan)
	}
	s := tracking.Span{
		TraceID: "tr-" + hex.EncodeToString(in.TraceId), ID: hex.EncodeToString(in.SpanId), ParentID: parentID(in.ParentSpanId), Name: in.Name,
		StartNS: int64(in.StartTimeUnixNano), EndNS: int64(in.EndTimeUnixNano), Status: statusOf(in.GetStatus().GetCode()),
		StatusMessage: in.GetStatus().GetMessage(),
	}
	var err error
	if s.Attributes, err = attributes(in.Attributes); err != nil {
		return s, err
	}
	for i, a := range s.Attributes {
		s.Attributes[i].Value = unwrapped(a.Value)
	}
	s.Attributes = semconv.Translate(setAttribute(s.Attributes, tracking.SpanRequestIDKey, pyjson.Text(s.TraceID)))
	for _, e := range in.Events {
		event := tracking.SpanEvent{Name: e.Name, TimeNS: int64(min(e.TimeUnixNano, math.MaxInt64))}
		if event.Attributes, err = attributes(e.Attributes); err != nil {
			return s, err
		}
		s.Events = append(s.Events, event)
	}
	for _, l := range in.Links {
		link := tracking.SpanLink{TraceID: "tr-" + hex.EncodeToString(l.TraceId), SpanID: hex.EncodeToString(l.SpanId)}
		if link.Attributes, err = attributes(l.Attributes); err != nil {
			return s, err
		}
		s.Links = append(s.Links, link)
	}
	return s, nil
}

// parentID returns "" for a root, whose parent some producers write as zeros.
func parentID(raw []byte) string {
	for _, b := range raw {
		if b != 0 {
			return hex.EncodeToString(raw)
		}
	}
	return ""
}

func statusOf(code tracepb.Status_StatusCode) tracking.SpanStatus {
	switch code {
	case tracepb.Status_STATUS_CODE_OK:
		return tracking.SpanOK
	case tracepb.Status_STATUS_CODE_ERROR:
		return tracking.SpanError
	}
	return tracking.SpanUnset
}

// attributes returns key-values with values as JSON; of two with one key the last counts.
func attributes(in []*commonpb.KeyValue) ([]tracking.SpanAttribute, error) {
	var out []tracking.SpanAttribute
	at := make(map[string]int, len(in))
	for _, kv := range in {
		value, err := appendValue(nil, kv.Value, 0)
		if err != nil {
			return nil, err
		}
		if i, ok := at[kv.Key]; ok {
			out[i].Value = string(value)
			continue
		}
		at[kv.Key] = len(out)
		out = append(out, tracking.SpanAttribute{Key: kv.Key, Value: string(value)})
	}
	return out, nil
}

func setAttribute(list []tracking.SpanAttribute, key, value string) []tracking.SpanAttribute {
	for i := range list {
		if list[i].Key == key {
			list[i].Value = value
			return list
		}
	}
	return append(list, tracking.SpanAttribute{Key: key, Value: value})
}

// unwrapped takes one layer off a value that the producer wrote as JSON within a text, if that is a text, object or list (source:
// sanitize_attributes in mlflow/tracing/otel/translation).
func unwrapped(value string) string {
	var inner string
	if json.Unmarshal([]byte(value), &inner) != nil {
		return value
	}
	var document any
	if json.Unmarshal([]byte(inner), &document) != nil {
		return value
	}
	switch document.(type) {
	case string, map[string]any, []any:
		return inner
	}
	return value
}

// appendValue appends a value as Python's json writes it.
func appendValue(b []byte, v *commonpb.AnyValue, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: an attribute is nested too deep", ErrSpan)
	}
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return pyjson.AppendText(b, v.StringValue), nil
	case *commonpb.AnyValue_BoolValue:
		return strconv.AppendBool(b, v.BoolValue), nil
	case *commonpb.AnyValue_IntValue:
		return strconv.AppendInt(b, v.IntValue, 10), nil
	case *commonpb.AnyValue_DoubleValue:
		return appendDouble(b, v.DoubleValue), nil
	case *commonpb.AnyValue_BytesValue:
		return pyjson.AppendText(b, base64.StdEncoding.EncodeToString(v.BytesValue)), nil
	case *commonpb.AnyValue_ArrayValue:
		return appendList(b, v.ArrayValue.GetValues(), depth)
	case *commonpb.AnyValue_KvlistValue:
		return appendObject(b, v.KvlistValue.GetValues(), depth)
	}
	return append(b, "null"...), nil
}

// appendDouble writes what JSON has no number for as a text, so that every reader can read the span.
func appendDouble(b []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(pyjson.AppendFloat(append(b, '"'), v), '"')
	}
	return pyjson.AppendFloat(b, v)
}

func appendList(b []byte, values []*commonpb.AnyValue, depth int) ([]byte, error) {
	b = append(b, '[')
	var err error
	for i, v := range values {
		if i > 0 {
			b = append(b, ", "...)
		}
		if b, err = appendValue(b, v, depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func appendObject(b []byte, values []*commonpb.KeyValue, depth int) ([]byte, error) {
	b = append(b, '{')
	var err error
	for i, kv := range values {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(pyjson.AppendText(b, kv.Key), ": "...)
		if b, err = appendValue(b, kv.Value, depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}
