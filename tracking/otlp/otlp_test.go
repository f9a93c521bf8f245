package otlp_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"sluice/tracking"
	"sluice/tracking/otlp"
)

func text(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
}

func kv(key string, v *commonpb.AnyValue) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: v}
}

// request holds one span with every kind of value.
func request() *tracepb.TracesData {
	list := &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{
		text("é"), {Value: &commonpb.AnyValue_IntValue{IntValue: -5}}, {Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 2}}, {Value: &commonpb.AnyValue_BoolValue{BoolValue: true}}, {},
	}}}}
	span := &tracepb.Span{
		TraceId: bytes.Repeat([]byte{0xab}, 16), SpanId: bytes.Repeat([]byte{1}, 8), ParentSpanId: make([]byte, 8), Name: "s",
		StartTimeUnixNano: 5, EndTimeUnixNano: 7, Status: &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "m"},
		Attributes: []*commonpb.KeyValue{
			kv("twice", text("old")), kv("list", list), kv("json", text(`{"a": 1}`)), kv("number", text("5")), kv("twice", text("new")),
			kv("object", &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: []*commonpb.KeyValue{kv("k", text("v"))}}}}),
			kv("bytes", &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte("hi")}}), kv(tracking.SpanRequestIDKey, text("tr-forged")),
		},
		Events: []*tracepb.Span_Event{{Name: "e", TimeUnixNano: 6, Attributes: []*commonpb.KeyValue{kv("k", text("v"))}}},
		Links:  []*tracepb.Span_Link{{TraceId: bytes.Repeat([]byte{2}, 16), SpanId: bytes.Repeat([]byte{3}, 8)}},
	}
	return &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource:   &resourcepb.Resource{Attributes: []*commonpb.KeyValue{kv("service.name", text("gemini-cli"))}},
		ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{span}}},
	}}}
}

func encoded(t testing.TB, in *tracepb.TracesData) []byte {
	t.Helper()
	body, err := proto.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestProto(t *testing.T) {
	t.Parallel()
	got, err := otlp.DecodeProto(encoded(t, request()))
	if err != nil {
		t.Fatal(err)
	}
	id := "tr-" + strings.Repeat("ab", 16)
	want := []tracking.SpanSource{{
		Resource: []tracking.SpanAttribute{{Key: "service.name", Value: `"gemini-cli"`}},
		Spans: []tracking.Span{{
			TraceID: id, ID: "0101010101010101", Name: "s", StartNS: 5, EndNS: 7, Status: tracking.SpanError, StatusMessage: "m",
			Attributes: []tracking.SpanAttribute{
				{Key: "twice", Value: `"new"`}, {Key: "list", Value: `["é", -5, 2.0, true, null]`}, {Key: "json", Value: `{"a": 1}`}, {Key: "number", Value: `"5"`},
				{Key: "object", Value: `{"k": "v"}`}, {Key: "bytes", Value: `"aGk="`}, {Key: tracking.SpanRequestIDKey, Value: `"` + id + `"`},
				{Key: "service.name", Value: `"gemini-cli"`},
			},
			Events: []tracking.SpanEvent{{Name: "e", TimeNS: 6, Attributes: []tracking.SpanAttribute{{Key: "k", Value: `"v"`}}}},
			Links:  []tracking.SpanLink{{TraceID: "tr-" + strings.Repeat("02", 16), SpanID: strings.Repeat("03", 8)}},
		}},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestOtherConventionsAreTranslated(t *testing.T) {
	t.Parallel()
	in := request()
	in.ResourceSpans[0].ScopeSpans[0].Spans[0].Attributes = []*commonpb.KeyValue{
		kv("openinference.span.kind", text("TOOL")), kv("input.value", text(`{"a":1}`)), kv("gen_ai.usage.input_tokens", text("2")),
	}
	got, err := otlp.DecodeProto(encoded(t, in))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		tracking.SpanTypeKey: `"TOOL"`, tracking.SpanInputsKey: `{"a":1}`, tracking.SpanTokensKey: `{"input_tokens": 2}`,
	} {
		if value := got[0].Spans[0].Attribute(key); value != want {
			t.Errorf("%s is %q, want %q", key, value, want)
		}
	}
}

const jsonRequest = `{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "00f067aa0ba902b7",
	"name": "n", "startTimeUnixNano": "5", "endTimeUnixNano": 7, "status": {"code": 1}, "unknown": 1, "attributes": [{"key": "k", "value": {"intValue": "9007199254740993"}}],
	"links": [{"traceId": "0af7651916cd43dd8448eb211c80319d", "spanId": "00f067aa0ba902b8"}]}]}]}]}`

func TestJSON(t *testing.T) {
	t.Parallel()
	got, err := otlp.DecodeJSON([]byte(jsonRequest))
	if err != nil {
		t.Fatal(err)
	}
	s := got[0].Spans[0]
	if s.TraceID != "tr-0af7651916cd43dd8448eb211c80319c" || s.ID != "00f067aa0ba902b7" || s.ParentID != "" || s.StartNS != 5 || s.EndNS != 7 || s.Status != tracking.SpanOK {
		t.Errorf("got %+v", s)
	}
	if s.Attribute("k") != "9007199254740993" || s.Links[0].TraceID != "tr-0af7651916cd43dd8448eb211c80319d" {
		t.Errorf("got %+v", s)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	deep := text("x")
	for range 200 {
		deep = &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{deep}}}}
	}
	changed := func(change func(s *tracepb.Span)) []byte {
		in := request()
		change(in.ResourceSpans[0].ScopeSpans[0].Spans[0])
		return encoded(t, in)
	}
	for _, c := range []struct {
		name string
		body []byte
		want error
	}{
		{"nothing", nil, otlp.ErrEmpty},
		{"no protobuf", []byte("\xff\xff\xff"), otlp.ErrFormat},
		{"no trace id", changed(func(s *tracepb.Span) { s.TraceId = nil }), otlp.ErrSpan},
		{"a short span id", changed(func(s *tracepb.Span) { s.SpanId = []byte{1} }), otlp.ErrSpan},
		{"a long parent id", changed(func(s *tracepb.Span) { s.ParentSpanId = make([]byte, 9) }), otlp.ErrSpan},
		{"a time that no integer holds", changed(func(s *tracepb.Span) { s.EndTimeUnixNano = 1 << 63 }), otlp.ErrSpan},
		{"deep values", changed(func(s *tracepb.Span) { s.Attributes[0].Value = deep }), otlp.ErrSpan},
	} {
		if _, err := otlp.DecodeProto(c.body); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	for body, want := range map[string]error{
		"": otlp.ErrFormat, "[]": otlp.ErrFormat, "{}": otlp.ErrEmpty, `{"resourceSpans": 5}`: otlp.ErrFormat,
		strings.Replace(jsonRequest, "0af7", "zzzz", 1): otlp.ErrFormat, strings.Replace(jsonRequest, "0af7", "", 1): otlp.ErrSpan,
	} {
		if _, err := otlp.DecodeJSON([]byte(body)); !errors.Is(err, want) {
			t.Errorf("%.60s: %v, want %v", body, err, want)
		}
	}
}

func TestDecompress(t *testing.T) {
	t.Parallel()
	compress := func(open func(w io.Writer) io.WriteCloser) []byte {
		var b bytes.Buffer
		w := open(&b)
		if _, err := io.WriteString(w, strings.Repeat("x", 1000)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for _, c := range []struct {
		encoding string
		body     []byte
	}{
		{"gzip", compress(func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })},
		{"deflate", compress(func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })},
		{"Deflate", compress(func(w io.Writer) io.WriteCloser { raw, _ := flate.NewWriter(w, 5); return raw })},
		{"", bytes.Repeat([]byte("x"), 1000)},
	} {
		if got, err := otlp.Decompress(c.body, c.encoding, 1000); err != nil || len(got) != 1000 {
			t.Errorf("%q: %d bytes, %v", c.encoding, len(got), err)
		}
		if _, err := otlp.Decompress(c.body, c.encoding, 999); c.encoding != "" && !errors.Is(err, otlp.ErrTooLarge) {
			t.Errorf("%q with too many bytes: %v", c.encoding, err)
		}
		if _, err := otlp.Decompress(c.body[:len(c.body)/2], c.encoding, 1000); c.encoding != "" && !errors.Is(err, otlp.ErrFormat) {
			t.Errorf("%q cut short: %v", c.encoding, err)
		}
	}
	if _, err := otlp.Decompress(nil, "br", 1); !errors.Is(err, otlp.ErrFormat) {
		t.Errorf("br: %v", err)
	}
}

func FuzzProto(f *testing.F) {
	f.Add(encoded(f, request()))
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := otlp.DecodeProto(body); err != nil && !known(err) {
			t.Errorf("an error of no kind: %v", err)
		}
	})
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(jsonRequest))
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := otlp.DecodeJSON(body); err != nil && !known(err) {
			t.Errorf("an error of no kind: %v", err)
		}
	})
}

func known(err error) bool {
	return errors.Is(err, otlp.ErrFormat) || errors.Is(err, otlp.ErrEmpty) || errors.Is(err, otlp.ErrSpan)
}
