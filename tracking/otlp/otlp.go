// Package otlp reads OpenTelemetry's export requests of spans (OTLP/HTTP) into tracking's spans.
//
// It owns the two encodings of the request, protobuf and JSON, their compressions, and the translation of OpenTelemetry's values
// to the JSON text that MLflow keeps (source: mlflow/server/otel_api.py and mlflow/entities/span.py, MLflow 3.17; the protocol is
// https://opentelemetry.io/docs/specs/otlp). It is called by tracking/rest; it must not know HTTP, stores or the rules of traces.
// Everything here is pure and safe for concurrent use.
package otlp

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"sluice/tracking"
)

// Errors of the functions here.
var (
	// ErrFormat is a body that can't be read in its encoding or compression.
	ErrFormat = errors.New("not an export request of spans")
	// ErrCompression is an ErrFormat: a body that its Content-Encoding cannot be undone of.
	ErrCompression = fmt.Errorf("%w: broken compression", ErrFormat)
	// ErrEmpty is a request without any spans of any resource.
	ErrEmpty = errors.New("no spans found")
	// ErrSpan is a span that can't be one of MLflow's: without ids, with ids of a wrong length, or with values nested too deep.
	ErrSpan = errors.New("span cannot be stored")
	// ErrTooLarge is a body that is larger than allowed once it is decompressed.
	ErrTooLarge = errors.New("body is too large")
)

// Decompress undoes a Content-Encoding: "", identity, gzip or deflate (with or without zlib's frame). Returns ErrTooLarge beyond max bytes,
// ErrFormat for another encoding and ErrCompression for a broken body.
func Decompress(body []byte, encoding string, max int64) ([]byte, error) {
	var r io.Reader
	var err error
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return body, nil
	case "gzip":
		r, err = gzip.NewReader(bytes.NewReader(body))
	case "deflate":
		if r, err = zlib.NewReader(bytes.NewReader(body)); err != nil {
			r, err = flate.NewReader(bytes.NewReader(body)), nil
		}
	default:
		return nil, fmt.Errorf("%w: unsupported Content-Encoding", ErrFormat)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCompression, err)
	}
	out, err := io.ReadAll(io.LimitReader(r, max+1))
	switch {
	case int64(len(out)) > max:
		return nil, ErrTooLarge
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrCompression, err)
	}
	return out, nil
}

// DecodeProto reads a request in protobuf. Returns ErrFormat, ErrEmpty or ErrSpan.
func DecodeProto(body []byte) ([]tracking.SpanSource, error) {
	var in tracepb.TracesData // the request and TracesData are the same on the wire
	if err := proto.Unmarshal(body, &in); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return sources(&in)
}

// DecodeJSON reads a request in JSON, whose ids are hexadecimal digits. Returns ErrFormat, ErrEmpty or ErrSpan.
func DecodeJSON(body []byte) ([]tracking.SpanSource, error) {
	body, err := base64IDs(body)
	if err != nil {
		return nil, err
	}
	var in tracepb.TracesData
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, &in); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return sources(&in)
}

// base64IDs rewrites the ids of a JSON request from OTLP's hexadecimal digits to the base64 of protobuf's JSON.
func base64IDs(body []byte) ([]byte, error) {
	var in map[string]any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&in); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	var failed error
	for _, resource := range objects(in, "resourceSpans", "resource_spans") {
		for _, scope := range objects(resource, "scopeSpans", "scope_spans") {
			for _, span := range objects(scope, "spans") {
				failed = errors.Join(failed, base64Fields(span))
				for _, link := range objects(span, "links") {
					failed = errors.Join(failed, base64Fields(link))
				}
			}
		}
	}
	if failed != nil {
		return nil, failed
	}
	return json.Marshal(in)
}

// objects returns the objects in the lists under the names.
func objects(in map[string]any, names ...string) []map[string]any {
	var out []map[string]any
	for _, name := range names {
		list, _ := in[name].([]any)
		for _, item := range list {
			if object, ok := item.(map[string]any); ok {
				out = append(out, object)
			}
		}
	}
	return out
}

func base64Fields(object map[string]any) error {
	for _, name := range []string{"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"} {
		text, ok := object[name].(string)
		if !ok {
			continue
		}
		raw, err := hex.DecodeString(text)
		if err != nil {
			return fmt.Errorf("%w: %s is not hexadecimal", ErrFormat, name)
		}
		object[name] = base64.StdEncoding.EncodeToString(raw)
	}
	return nil
}

func sources(in *tracepb.TracesData) ([]tracking.SpanSource, error) {
	if len(in.ResourceSpans) == 0 {
		return nil, ErrEmpty
	}
	var out []tracking.SpanSource
	for _, resource := range in.ResourceSpans {
		described, err := attributes(resource.GetResource().GetAttributes())
		if err != nil {
			return nil, err
		}
		source := tracking.SpanSource{Resource: described}
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				s, err := convert(span)
				if err != nil {
					return nil, err
				}
				source.Spans = append(source.Spans, named(s, described))
			}
		}
		out = append(out, source)
	}
	return out, nil
}

// clients are the producers whose name a root span shows (source: _KNOWN_SERVICE_NAMES in mlflow/server/otel_api.py).
var clients = map[string]bool{"claude-code": true, "codex_cli_rs": true, "codex_vscode": true, "gemini-cli": true, "qwen-code": true}

const serviceName = "service.name"

// named adds the producer's name to a root span, if it is one that MLflow's web UI knows.
func named(s tracking.Span, resource []tracking.SpanAttribute) tracking.Span {
	name := tracking.Span{Attributes: resource}
	if s.ParentID == "" && clients[name.Text(serviceName)] {
		s.Attributes = setAttribute(s.Attributes, serviceName, name.Attribute(serviceName))
	}
	return s
}
