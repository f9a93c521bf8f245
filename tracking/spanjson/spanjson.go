// Package spanjson is the JSON document that MLflow makes of a span, in its database and in the artifacts of traces.
//
// It owns the document's two directions (source: Span.to_dict and Span.from_dict in mlflow/entities/span.py, MLflow 3.17). It is
// called by tracking/sqlstore and tracking/rest; it must not know where the document lies. Everything here is pure and safe for
// concurrent use.
package spanjson

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"sluice/tracking"
	"sluice/tracking/pyjson"
)

// Encode returns the whole span as MLflow keeps it: JSON as Python writes it, with ids in base64.
func Encode(s tracking.Span) string {
	b := []byte(`{"trace_id": `)
	b = pyjson.AppendText(b, idContent(strings.TrimPrefix(s.TraceID, "tr-")))
	b = pyjson.AppendText(append(b, `, "span_id": `...), idContent(s.ID))
	b = append(b, `, "parent_span_id": `...)
	if s.ParentID == "" {
		b = append(b, "null"...)
	} else {
		b = pyjson.AppendText(b, idContent(s.ParentID))
	}
	b = pyjson.AppendText(append(b, `, "name": `...), s.Name)
	b = fmt.Appendf(b, `, "start_time_unix_nano": %d, "end_time_unix_nano": `, s.StartNS)
	if s.EndNS == 0 {
		b = append(b, "null"...)
	} else {
		b = fmt.Appendf(b, "%d", s.EndNS)
	}
	b = append(b, `, "events": [`...)
	for i, e := range s.Events {
		b = appendComma(b, i)
		b = pyjson.AppendText(append(b, `{"name": `...), e.Name)
		b = fmt.Appendf(b, `, "time_unix_nano": %d, "attributes": `, e.TimeNS)
		b = append(appendJSONAttributes(b, e.Attributes), '}')
	}
	b = fmt.Appendf(b, `], "status": {"code": "STATUS_CODE_%s", "message": `, s.Status)
	b = pyjson.AppendText(b, s.StatusMessage)
	b = append(b, `}, "attributes": {`...)
	for i, a := range s.Attributes {
		b = pyjson.AppendText(appendComma(b, i), a.Key)
		b = pyjson.AppendText(append(b, ": "...), a.Value)
	}
	b = append(b, `}, "links": [`...)
	for i, l := range s.Links {
		b = appendComma(b, i)
		b = pyjson.AppendText(append(b, `{"trace_id": `...), l.TraceID)
		b = pyjson.AppendText(append(b, `, "span_id": `...), l.SpanID)
		b = append(appendJSONAttributes(append(b, `, "attributes": `...), l.Attributes), '}')
	}
	return string(append(b, "]}"...))
}

func appendComma(b []byte, i int) []byte {
	if i > 0 {
		return append(b, ", "...)
	}
	return b
}

// appendJSONAttributes appends an object whose values are JSON already.
func appendJSONAttributes(b []byte, attributes []tracking.SpanAttribute) []byte {
	b = append(b, '{')
	for i, a := range attributes {
		b = pyjson.AppendText(appendComma(b, i), a.Key)
		b = append(append(b, ": "...), a.Value...)
	}
	return append(b, '}')
}

// idContent turns hexadecimal digits into base64; an id that is none stays, as MLflow 3.5 wrote them.
func idContent(id string) string {
	raw, err := hex.DecodeString(id)
	if err != nil {
		return id
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// storedSpan is the content of a span in the shapes that MLflow 3 has written.
type storedSpan struct {
	SpanID   string         `json:"span_id"`
	ParentID *string        `json:"parent_span_id"`
	Name     string         `json:"name"`
	StartNS  json.Number    `json:"start_time_unix_nano"`
	EndNS    json.Number    `json:"end_time_unix_nano"`
	Status   storedStatus   `json:"status"`
	Attrs    orderedMembers `json:"attributes"`
	Events   []storedEvent  `json:"events"`
	Links    []storedLink   `json:"links"`
}

type storedStatus struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type storedEvent struct {
	Name   string         `json:"name"`
	TimeNS json.Number    `json:"time_unix_nano"`
	Attrs  orderedMembers `json:"attributes"`
}

type storedLink struct {
	TraceID string         `json:"trace_id"`
	SpanID  string         `json:"span_id"`
	Attrs   orderedMembers `json:"attributes"`
}

// orderedMembers is a JSON object in its own order.
type orderedMembers []tracking.SpanAttribute

var errNoObject = errors.New("attributes are no object")

func (m *orderedMembers) UnmarshalJSON(raw []byte) error {
	if string(raw) == "null" {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return errors.Join(errNoObject, err)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := key.(string)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		*m = append(*m, tracking.SpanAttribute{Key: name, Value: string(value)})
	}
	return nil
}

// Decode makes a span of its content, which holds everything but the two ids. Returns an error for content that no MLflow 3 has
// written.
func Decode(traceID, spanID, content string) (tracking.Span, error) {
	var in storedSpan
	if err := json.Unmarshal([]byte(content), &in); err != nil {
		return tracking.Span{}, fmt.Errorf("content of span %s of trace %s: %w", spanID, traceID, err)
	}
	s := tracking.Span{
		TraceID: traceID, ID: spanID, Name: in.Name, StartNS: nanos(in.StartNS), EndNS: nanos(in.EndNS),
		Status: tracking.SpanStatus(strings.TrimPrefix(in.Status.Code, "STATUS_CODE_")), StatusMessage: in.Status.Message,
	}
	if in.ParentID != nil {
		s.ParentID = readID(*in.ParentID)
	}
	for _, a := range in.Attrs {
		var text string
		if json.Unmarshal([]byte(a.Value), &text) == nil { // a value is JSON in a text; anything else is taken as it is
			a.Value = text
		}
		s.Attributes = append(s.Attributes, a)
	}
	for _, e := range in.Events {
		s.Events = append(s.Events, tracking.SpanEvent{Name: e.Name, TimeNS: nanos(e.TimeNS), Attributes: e.Attrs})
	}
	for _, l := range in.Links {
		s.Links = append(s.Links, tracking.SpanLink{TraceID: l.TraceID, SpanID: l.SpanID, Attributes: l.Attrs})
	}
	return s, nil
}

// nanos reads a time that may be missing.
func nanos(n json.Number) int64 {
	v, err := n.Int64()
	if err != nil {
		return 0
	}
	return v
}

// readID turns the base64 of a span's id into hexadecimal digits; MLflow 3.5 wrote those themselves.
func readID(id string) string {
	if raw, err := base64.StdEncoding.DecodeString(id); err == nil && len(raw) == 8 {
		return hex.EncodeToString(raw)
	}
	return id
}
