package spanjson_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"sluice/tracking"
	"sluice/tracking/spanjson"
)

// The documents below were written by MLflow 3.17 and, the second, by MLflow 3.5, whose ids are hexadecimal.
const (
	current = `{"trace_id": "q6urq6urq6urq6urq6urqw==", "span_id": "AAAAAAAAAAI=", "parent_span_id": "AAAAAAAAAAE=", "name": "n \"é\"", ` +
		`"start_time_unix_nano": 1700000000000000001, "end_time_unix_nano": null, "events": [{"name": "e", "time_unix_nano": 5, "attributes": {"n": [1, 2.5, true, "é", null]}}], ` +
		`"status": {"code": "STATUS_CODE_OK", "message": ""}, "attributes": {"mlflow.spanType": "\"LLM\"", "x": "1"}, "links": [{"trace_id": "tr-1", "span_id": "00000000000000ff", "attributes": {}}]}`
	old = `{"trace_id": "tr-abababababababababababababababab", "span_id": "0000000000000002", "parent_span_id": "0000000000000001", "name": "n", ` +
		`"start_time_unix_nano": 5, "end_time_unix_nano": 7, "events": [], "status": {"code": "ERROR", "message": "m"}, "attributes": {"x": 1}}`
)

func TestBothWays(t *testing.T) {
	t.Parallel()
	s, err := spanjson.Decode("tr-abababababababababababababababab", "0000000000000002", current)
	if err != nil {
		t.Fatal(err)
	}
	if got := spanjson.Encode(s); got != current {
		t.Errorf("got  %s\nwant %s", got, current)
	}
	if s.ParentID != "0000000000000001" || s.EndNS != 0 || s.Text("mlflow.spanType") != "LLM" || s.Attribute("x") != "1" {
		t.Errorf("got %+v", s)
	}
}

func TestOldDocuments(t *testing.T) {
	t.Parallel()
	got, err := spanjson.Decode("tr-1", "0000000000000002", old)
	want := tracking.Span{
		TraceID: "tr-1", ID: "0000000000000002", ParentID: "0000000000000001", Name: "n", StartNS: 5, EndNS: 7, Status: tracking.SpanError, StatusMessage: "m",
		Attributes: []tracking.SpanAttribute{{Key: "x", Value: "1"}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"", "{", `{"attributes": 5}`, `{"attributes": [1]}`, `{"events": {}}`} {
		if _, err := spanjson.Decode("t", "s", bad); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(current)
	f.Add(old)
	f.Fuzz(func(t *testing.T, content string) {
		s, err := spanjson.Decode("tr-1", "0000000000000002", content)
		if err != nil {
			return
		}
		again := spanjson.Encode(s)
		if !json.Valid([]byte(again)) {
			t.Errorf("%q becomes %q", content, again)
		}
	})
}
