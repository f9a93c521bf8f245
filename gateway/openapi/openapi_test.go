package openapi

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"sluice/runtime/mlmodel"
	"sluice/tracking/wire"
)

func decode(t *testing.T, doc []byte, err error) map[string]any {
	t.Helper()
	var out map[string]any
	if err == nil {
		err = json.Unmarshal(doc, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func dig(v any, path ...string) any {
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	return v
}

type inner struct {
	Tags []string `json:"tags"`
	Next *inner   `json:"next,omitempty"`
}

type noteAnswer struct {
	inner
	Text   string          `json:"text"`
	N      int64           `json:"n"`
	Raw    json.RawMessage `json:"raw"`
	hidden int
}

func TestDocumentIsTheTable(t *testing.T) {
	_ = noteAnswer{}.hidden
	doc, err := Document("1.2", []wire.Route{
		{Method: "GET", Path: "/notes/:name", Permission: wire.Read, Audit: "tracking.note.get"},
		{
			Method: "PUT", Path: "/notes/:name", Permission: wire.Write, Audit: "tracking.note.set",
			Doc: wire.Doc{Takes: reflect.TypeFor[noteAnswer](), Example: []byte(`{"text":"x"}`), Query: []string{"q"}},
		},
		{Method: "GET", Path: "/files/*", Permission: wire.Public, Audit: "tracking.file.get"},
	})
	got := decode(t, doc, err)
	for path, want := range map[*[]string]any{
		{"openapi"}: Version,
		{"paths", "/notes/{name}", "get", "operationId"}:                                                           "get_notes_name",
		{"paths", "/notes/{name}", "put", "x-sluice-permission"}:                                                   "write",
		{"paths", "/notes/{name}", "put", "requestBody", "content", "application/json", "example", "text"}:         "x",
		{"paths", "/notes/{name}", "put", "requestBody", "content", "application/json", "schema", "$ref"}:          "#/components/schemas/Note",
		{"components", "schemas", "Note", "properties", "n", "type"}:                                               "integer",
		{"components", "schemas", "Note", "properties", "tags", "items", "type"}:                                   "string",
		{"components", "schemas", "Note", "properties", "next", "$ref"}:                                            "#/components/schemas/Inner",
		{"components", "schemas", "Note", "additionalProperties"}:                                                  false,
		{"paths", "/files/{path}", "get", "responses", "default", "content", "application/json", "schema", "$ref"}: "#/components/schemas/Error",
	} {
		if v := dig(got, *path...); v != want {
			t.Errorf("%v: got %v, want %v", *path, v, want)
		}
	}
	if s := dig(got, "paths", "/files/{path}", "get", "security"); len(s.([]any)) != 0 {
		t.Errorf("a public route asks for %v", s)
	}
	if dig(got, "components", "schemas", "Note", "properties", "hidden") != nil {
		t.Error("a field that is not written is described")
	}
}

// Types of one name, in different packages or but for its last word, are two components; answers say what they always have, requests need not.
func TestNamesAndNecessity(t *testing.T) {
	type Doc struct {
		Own wire.Doc `json:"own"`
	}
	type answer struct {
		Doc
		At    time.Time `json:"at"`
		Count uint64    `json:"count,omitempty"`
		Bytes []byte    `json:"bytes,omitempty"`
	}
	text, err := Document("1", []wire.Route{
		{Method: "POST", Path: "/a", Permission: wire.Read, Audit: "tracking.a.do", Doc: wire.Doc{Takes: reflect.TypeFor[inner](), Answers: reflect.TypeFor[answer]()}},
		{Method: "GET", Path: "/b", Permission: wire.Read, Audit: "tracking.b.get", Doc: wire.Doc{Answers: reflect.TypeFor[Doc](), Media: []string{"text/csv"}}},
		{Method: "GET", Path: "/c", Permission: wire.Read, Audit: "tracking.c.get", Doc: wire.Doc{Media: []string{"text/plain"}}},
	})
	got := decode(t, text, err)
	for path, want := range map[*[]string]any{
		{"components", "schemas", "Answer", "properties", "own", "$ref"}:                                 "#/components/schemas/Doc",
		{"components", "schemas", "Answer", "properties", "at", "format"}:                                "date-time",
		{"components", "schemas", "Answer", "properties", "count", "minimum"}:                            0.0,
		{"components", "schemas", "Answer", "properties", "bytes", "contentEncoding"}:                    "base64",
		{"paths", "/b", "get", "responses", "200", "content", "application/json", "schema", "$ref"}:      "#/components/schemas/OpenapiDoc",
		{"paths", "/a", "post", "responses", "default", "content", "application/json", "schema", "$ref"}: "#/components/schemas/Error",
		{"paths", "/a", "post", "requestBody", "content", "application/json", "schema", "$ref"}:          "#/components/schemas/Inner",
	} {
		if v := dig(got, *path...); v != want {
			t.Errorf("%v: got %v, want %v", *path, v, want)
		}
	}
	if required := dig(got, "components", "schemas", "Answer", "required"); fmt.Sprint(required) != "[own at]" {
		t.Errorf("an answer always has %v", required)
	}
	if required := dig(got, "components", "schemas", "Inner", "required"); required != nil {
		t.Errorf("a request has to have %v", required)
	}
	for path, want := range map[string]int{"/b": 2, "/c": 1} {
		if content := dig(got, "paths", path, "get", "responses", "200", "content").(map[string]any); len(content) != want {
			t.Errorf("%s answers %v", path, content)
		}
	}
}

func TestEndpointFollowsTheSignature(t *testing.T) {
	sig := &mlmodel.Signature{
		Inputs:  &mlmodel.Schema{Columns: []mlmodel.ColumnSpec{{Name: "a", Kind: mlmodel.Double, Required: true}, {Name: "b", Kind: mlmodel.String}}},
		Outputs: &mlmodel.Schema{Columns: []mlmodel.ColumnSpec{{Name: "y", Kind: mlmodel.Long, Required: true}}},
	}
	doc, err := Endpoint("2", "wine", "/serving-endpoints/wine/invocations", sig)
	post := dig(decode(t, doc, err), "paths", "/serving-endpoints/wine/invocations", "post")
	shapes := dig(post, "requestBody", "content", "application/json", "schema", "oneOf").([]any)
	row := dig(shapes[1], "properties", "dataframe_records", "items")
	if len(shapes) != 4 || dig(row, "properties", "a", "type") != "number" || dig(row, "properties", "b", "type") != "string" || len(dig(row, "required").([]any)) != 1 {
		t.Errorf("request %v", shapes)
	}
	answer := dig(post, "responses", "200", "content", "application/json", "schema", "properties", "predictions", "items", "properties", "y", "type")
	if answer != "integer" {
		t.Errorf("answer %v", answer)
	}
	for name, sig := range map[string]*mlmodel.Signature{"none": nil, "empty": {}, "tensors": {Inputs: &mlmodel.Schema{Tensors: []mlmodel.TensorSpec{{Name: "x", Shape: []int64{-1, 3}}}}}} {
		doc, err := Endpoint("1", "e", "/x", sig)
		if decode(t, doc, err)["openapi"] != Version {
			t.Errorf("%s: %s", name, doc)
		}
	}
}
