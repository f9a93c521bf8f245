package rest

import (
	"encoding/base64"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"sluice/tracking"
)

// spanJSON is OpenTelemetry's message Span, as MLflow's server writes it: names in snake_case, times as numbers.
type spanJSON struct {
	TraceID  string          `json:"trace_id"`
	SpanID   string          `json:"span_id"`
	ParentID string          `json:"parent_span_id,omitempty"`
	Name     string          `json:"name,omitempty"`
	StartNS  int64           `json:"start_time_unix_nano"`
	EndNS    int64           `json:"end_time_unix_nano,omitempty"`
	Attrs    []attributeJSON `json:"attributes,omitempty"`
	Events   []eventJSON     `json:"events,omitempty"`
	Links    []linkJSON      `json:"links,omitempty"`
	Status   spanStatusJSON  `json:"status"`
}

type spanStatusJSON struct {
	Message string `json:"message,omitempty"`
	Code    string `json:"code,omitempty"`
}

type eventJSON struct {
	TimeNS int64           `json:"time_unix_nano"`
	Name   string          `json:"name,omitempty"`
	Attrs  []attributeJSON `json:"attributes,omitempty"`
}

type linkJSON struct {
	TraceID string          `json:"trace_id"`
	SpanID  string          `json:"span_id"`
	Attrs   []attributeJSON `json:"attributes,omitempty"`
}

type attributeJSON struct {
	Key   string         `json:"key"`
	Value map[string]any `json:"value,omitempty"` // absent for null
}

func fromSpan(s tracking.Span) spanJSON {
	j := spanJSON{
		TraceID: bytesJSON(strings.TrimPrefix(s.TraceID, "tr-")), SpanID: bytesJSON(s.ID), ParentID: bytesJSON(s.ParentID), Name: s.Name,
		StartNS: s.StartNS, EndNS: s.EndNS, Attrs: fromAttributes(s.Attributes),
		Status: spanStatusJSON{Message: s.StatusMessage},
	}
	if s.Status != "" && s.Status != tracking.SpanUnset { // protobuf leaves out what is zero
		j.Status.Code = "STATUS_CODE_" + string(s.Status)
	}
	for _, e := range s.Events {
		j.Events = append(j.Events, eventJSON{e.TimeNS, e.Name, fromAttributes(e.Attributes)})
	}
	for _, l := range s.Links {
		j.Links = append(j.Links, linkJSON{bytesJSON(strings.TrimPrefix(l.TraceID, "tr-")), bytesJSON(l.SpanID), fromAttributes(l.Attributes)})
	}
	return j
}

// bytesJSON is protobuf's JSON of an id in hexadecimal digits; an id that is none is shown as it is.
func bytesJSON(id string) string {
	raw, err := hex.DecodeString(id)
	if err != nil {
		return id
	}
	return base64.StdEncoding.EncodeToString(raw)
}

func fromAttributes(list []tracking.SpanAttribute) []attributeJSON {
	var out []attributeJSON
	for _, a := range list {
		out = append(out, attributeJSON{a.Key, anyValue(a.Value)})
	}
	return out
}

func pairMap(list []tagJSON) map[string]string {
	out := make(map[string]string, len(list))
	for _, t := range list {
		out[t.Key] = t.Value
	}
	return out
}

func sortedPairs(pairs map[string]string) []tagJSON {
	var out []tagJSON
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		out = append(out, tagJSON{key, pairs[key]})
	}
	return out
}
