package wire_test

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

type metric struct {
	Key       string  `json:"key" wire:"required"`
	Value     float64 `json:"value" wire:"required"`
	Timestamp int64   `json:"timestamp"`
	Step      *int64  `json:"step"`
}

type request struct {
	RunID   string          `json:"run_id" wire:"required,alias=run_uuid"`
	Name    *string         `json:"run_name"`
	Max     int32           `json:"max_results"`
	Flag    *bool           `json:"flag"`
	Status  string          `json:"status" enum:"RUNNING,SCHEDULED,FINISHED"`
	Ids     []string        `json:"ids"`
	Steps   []int64         `json:"steps"`
	Metrics []metric        `json:"metrics"`
	Tags    map[string]*int `json:"tags"`
	Raw     json.RawMessage `json:"raw"`
}

func ptr[T any](v T) *T { return &v }

func TestDecode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, body string
		want       request
	}{
		{"plain", `{"run_id":"a","run_name":"","max_results":5}`, request{RunID: "a", Name: ptr(""), Max: 5}},
		{"old spelling", `{"run_uuid":"a"}`, request{RunID: "a"}},
		{"camelCase", `{"runId":"a","maxResults":"7"}`, request{RunID: "a", Max: 7}},
		{"an enum's name that a newer client may know", `{"run_id":"a","status":"BAD","max_results":7}`, request{RunID: "a", Max: 7}},
		{"integers as strings and floats", `{"run_id":"a","max_results":"12","steps":["-3",4.0,1e2]}`,
			request{RunID: "a", Max: 12, Steps: []int64{-3, 4, 100}}},
		{"int64 keeps every digit", `{"run_id":"a","steps":["9223372036854775807",-9223372036854775808]}`,
			request{RunID: "a", Steps: []int64{math.MaxInt64, math.MinInt64}}},
		{"enum by name", `{"run_id":"a","status":"FINISHED"}`, request{RunID: "a", Status: "FINISHED"}},
		{"enum by number", `{"run_id":"a","status":2}`, request{RunID: "a", Status: "SCHEDULED"}},
		{"enum by number in a string", `{"run_id":"a","status":"2"}`, request{RunID: "a", Status: "SCHEDULED"}},
		{"null is absence", `{"run_id":"a","run_name":null,"ids":null}`, request{RunID: "a"}},
		{"empty list is not nil", `{"run_id":"a","ids":[]}`, request{RunID: "a", Ids: []string{}}},
		{"nested", `{"run_id":"a","metrics":[{"key":"k","value":0,"timestamp":"1","step":0}]}`,
			request{RunID: "a", Metrics: []metric{{Key: "k", Timestamp: 1, Step: ptr(int64(0))}}}},
		{"infinities", `{"run_id":"a","metrics":[{"key":"a","value":"Infinity"},{"key":"b","value":-Infinity}]}`,
			request{RunID: "a", Metrics: []metric{{Key: "a", Value: math.Inf(1)}, {Key: "b", Value: math.Inf(-1)}}}},
		{"unknown fields", `{"x":{"y":[1,NaN,{"z":null}]},"run_id":"a"}`, request{RunID: "a"}},
		{"twice: the last wins", `{"run_id":"a","ids":["1","2"],"ids":["3"]}`, request{RunID: "a", Ids: []string{"3"}}},
		{"JSON inside a string", `"{\"run_id\":\"a\"}"`, request{RunID: "a"}},
		{"escapes", `{"run_id":"\u00e9\ud83d\ude00\n\/"}`, request{RunID: "é😀\n/"}},
		{"raw", `{"run_id":"a","raw":{"b": [1]}}`, request{RunID: "a", Raw: json.RawMessage(`{"b": [1]}`)}},
		{"map", `{"run_id":"a","tags":{"x":1}}`, request{RunID: "a", Tags: map[string]*int{"x": ptr(1)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got request
			if err := wire.Decode([]byte(c.body), &got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestDecodeNaN(t *testing.T) {
	t.Parallel()
	for _, value := range []string{`"NaN"`, `NaN`} {
		var got metric
		if err := wire.Decode([]byte(`{"key":"k","value":`+value+`}`), &got); err != nil || !math.IsNaN(got.Value) {
			t.Errorf("%s: got %v, %v", value, got.Value, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	const doc = " See the API docs for more information about request parameters."
	for _, c := range []struct{ name, body, want string }{
		{"empty body", ``, "Missing value for required parameter 'run_id'." + doc},
		{"null", `null`, "Missing value for required parameter 'run_id'." + doc},
		{"empty string", `{"run_id":""}`, "Missing value for required parameter 'run_id'." + doc},
		{"null string", `{"run_id":null}`, "Missing value for required parameter 'run_id'." + doc},
		{"nested missing", `{"run_id":"a","metrics":[{"value":1}]}`, "Missing value for required parameter 'metrics[0].key'." + doc},
		{"nested missing number", `{"run_id":"a","metrics":[{"key":"k"}]}`, "Missing value for required parameter 'metrics[0].value'." + doc},
		{"number as string", `{"run_id":12}`, "Invalid value 12 for parameter 'run_id' supplied:  Hint: Value was of type 'int'." + doc},
		{"word as number", `{"run_id":"a","max_results":"abc"}`, `Invalid value "abc" for parameter 'max_results' supplied:  Hint: Value was of type 'str'.` + doc},
		{"fraction as integer", `{"run_id":"a","max_results":1.5}`, "Invalid value 1.5 for parameter 'max_results' supplied:  Hint: Value was of type 'float'." + doc},
		{"too big for int32", `{"run_id":"a","max_results":2147483648}`, "Invalid value 2147483648 for parameter 'max_results' supplied:  Hint: Value was of type 'int'." + doc},
		{"too big for int64", `{"run_id":"a","steps":[9223372036854775808]}`, "Invalid value 9223372036854775808 for parameter 'steps[0]' supplied:  Hint: Value was of type 'int'." + doc},
		{"object as list", `{"run_id":"a","metrics":{"a": 1}}`, `Invalid value {"a":1} for parameter 'metrics' supplied:  Hint: Value was of type 'dict'.` + doc},
		{"number as object", `{"run_id":"a","metrics":[1]}`, "Invalid value 1 for parameter 'metrics[0]' supplied:  Hint: Value was of type 'int'." + doc},
		{"null in a list", `{"run_id":"a","ids":[null]}`, "Invalid value [null] for parameter 'ids' supplied:  Hint: Value was of type 'list'." + doc},
		{"boolean as double", `{"run_id":"a","metrics":[{"key":"k","value":true}]}`, "Invalid value true for parameter 'metrics[0].value' supplied:  Hint: Value was of type 'bool'." + doc},
		{"nan in small letters", `{"run_id":"a","metrics":[{"key":"k","value":"nan"}]}`, `Invalid value "nan" for parameter 'metrics[0].value' supplied:  Hint: Value was of type 'str'.` + doc},
		{"enum number beyond", `{"run_id":"a","status":4}`, "Invalid value 4 for parameter 'status' supplied:  Hint: Value was of type 'int'." + doc},
		{"string as boolean", `{"run_id":"a","flag":"true"}`, `Invalid value "true" for parameter 'flag' supplied:  Hint: Value was of type 'str'.` + doc},
		{"two spellings", `{"run_id":"a","runId":"b"}`, "Request specifies both 'run_id' and 'runId'; provide only one of them."},
		{"not JSON", `nonsense`, "The request body is not valid JSON: unexpected character at byte 0."},
		{"a list", `[1]`, "The request body must be a JSON object."},
		{"cut", `{"run_id":"a"`, "The request body is not valid JSON: expected ',' or '}' at byte 13."},
		{"more after it", `{"run_id":"a"} x`, "The request body is not valid JSON: unexpected character at byte 15."},
		{"control character", "{\"run_id\":\"a\x01\"}", "The request body is not valid JSON: control character in a string at byte 12."},
		{"invalid UTF-8", "{\"run_id\":\"\xff\"}", "The request body is not valid JSON: invalid UTF-8 at byte 12."},
		{"lone surrogate", `{"run_id":"\ud800"}`, "The request body is not valid JSON: lone surrogate at byte 11."},
		{"leading zero", `{"max_results":01}`, "The request body is not valid JSON: unexpected character at byte 15."},
		{"too deep", `{"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`, "The request body is not valid JSON: nested too deeply at byte 105."},
		{"NUL byte", "\x00", "The request body is not valid JSON: unexpected character at byte 0."},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got request
			err := wire.Decode([]byte(c.body), &got)
			if err == nil {
				t.Fatalf("accepted as %+v", got)
			}
			if _, text, _ := strings.Cut(err.Error(), ": "); text != c.want {
				t.Errorf("got  %q\nwant %q", text, c.want)
			}
		})
	}
}

func TestDecodeBoundsValues(t *testing.T) {
	t.Parallel()
	var got request
	err := wire.Decode([]byte(`{"run_id":"a","x":[`+strings.Repeat("0,", 500_000)+`0]}`), &got)
	if mlflow.CodeOf(err) != mlflow.BadRequest {
		t.Errorf("got %v, want BAD_REQUEST", err)
	}
}

// bound runs one request through Bind in a real Fiber app and returns the status and the answer.
func bound(t *testing.T, r *http.Request) (int, string) {
	t.Helper()
	app := fiber.New(fiber.Config{ErrorHandler: wire.ErrorHandler(discard()), DisableStartupMessage: true})
	app.All("/x", func(c *fiber.Ctx) error {
		var q request
		if err := wire.Bind(c, &q); err != nil {
			return err
		}
		return wire.Send(c, q)
	})
	res, err := app.Test(r, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestBind(t *testing.T) {
	t.Parallel()
	with := func(method, target, contentType, body string) *http.Request {
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		if contentType != "" {
			r.Header.Set("Content-Type", contentType)
		}
		return r
	}
	const empty = `"run_name":null,"max_results":0,"flag":null,"status":"","ids":null,"steps":null,"metrics":null,"tags":null,"raw":null}`
	for _, c := range []struct {
		name   string
		r      *http.Request
		status int
		want   string // part of the answer
	}{
		{"query", with("GET", "/x?run_id=a&ids=1&ids=2&max_results=3&flag=TRUE&steps=4", "", ""), 200,
			`"max_results":3,"flag":true,"status":"","ids":["1","2"],"steps":[4]`},
		{"query escapes once", with("GET", "/x?run_id=a%252e%20b+c", "", ""), 200, `"run_id":"a%2e b c"`},
		{"first of several wins", with("GET", "/x?run_id=a&run_id=b", "", ""), 200, `"run_id":"a"`},
		{"old spelling in the query", with("GET", "/x?run_uuid=a", "", ""), 200, `{"run_id":"a",` + empty},
		{"GET with a body", with("GET", "/x", "", `{"run_id":"a"}`), 200, `{"run_id":"a",` + empty},
		{"DELETE with a body", with("DELETE", "/x", "application/json", `{"run_id":"a"}`), 200, `"run_id":"a"`},
		{"DELETE with a query", with("DELETE", "/x?run_id=a", "", ""), 200, `"run_id":"a"`},
		{"PATCH needs no content type", with("PATCH", "/x", "", `{"run_id":"a"}`), 200, `"run_id":"a"`},
		{"charset", with("POST", "/x", "application/json; charset=utf-8", `{"run_id":"a"}`), 200, `"run_id":"a"`},
		{"bad boolean", with("GET", "/x?run_id=a&flag=1", "", ""), 400, "Invalid boolean value: 1, must be 'true' or 'false'."},
		{"bad number", with("GET", "/x?run_id=a&max_results=x", "", ""), 400, `Invalid value \"x\" for parameter 'max_results' supplied`},
		{"query not UTF-8", with("GET", "/x?run_id=%ff", "", ""), 400, "for parameter 'run_id' supplied"},
		{"no content type", with("POST", "/x", "", `{"run_id":"a"}`), 400, "Bad Request. Content-Type header is missing."},
		{"form", with("POST", "/x", "application/x-www-form-urlencoded", `run_id=a`), 400, "Content-Type must be one of ['application/json']."},
		{"empty query and body", with("GET", "/x", "", ""), 400, "Missing value for required parameter 'run_id'."},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			status, body := bound(t, c.r)
			if status != c.status || !strings.Contains(body, c.want) {
				t.Errorf("got %d %s, want %d with %s", status, body, c.status, c.want)
			}
		})
	}
}

func TestBindRefusesContentEncoding(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("POST", "/x", strings.NewReader("{}"))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Content-Encoding", "gzip")
	if status, body := bound(t, r); status != 415 || !strings.Contains(body, "INVALID_PARAMETER_VALUE") {
		t.Errorf("got %d %s, want 415", status, body)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"run_id":"a","metrics":[{"key":"k","value":NaN}]}`, `"{\"run_id\":\"a\"}"`, `{"run_id":"\ud83d\ude00"}`,
		`{"steps":["9223372036854775807",1e2]}`, `null`, `[1]`, `{"raw":{"a":-Infinity}}`, `{"run_id":"a","ids":[null]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got request
		err := wire.Decode(body, &got)
		if err == nil && got.RunID == "" {
			t.Fatalf("accepted without run_id: %q", body)
		}
		if code := mlflow.CodeOf(err); err != nil && code != mlflow.BadRequest && code != mlflow.InvalidParameterValue {
			t.Fatalf("%q: code %s", body, code)
		}
		var std struct {
			RunID string `json:"run_id"`
		}
		plain := bytes.Count(body, []byte("run")) == 1 && body[0] == '{' && json.Valid(body)
		if err == nil && plain && json.Unmarshal(body, &std) == nil && std.RunID != "" && std.RunID != got.RunID {
			t.Fatalf("%q: got run_id %q, encoding/json reads %q", body, got.RunID, std.RunID)
		}
	})
}

func BenchmarkDecodeBatch(b *testing.B) {
	body := []byte(`{"run_id":"a","metrics":[` + strings.Repeat(`{"key":"accuracy","value":0.25,"timestamp":1700000000000,"step":3},`, 999) +
		`{"key":"accuracy","value":0.25,"timestamp":1700000000000,"step":3}]}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var got request
		if err := wire.Decode(body, &got); err != nil {
			b.Fatal(err)
		}
	}
}
