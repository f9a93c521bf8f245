package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/tracking/wire"
)

// The tests here send every row of the endpoint table what no client should. Whatever it is, the answer is not a failure of the server
// (501 and 503 are answers), has MLflow's shape, and the log holds neither a panic nor an error.

// abused fails the test if the answer is the server's failure.
func abused(t *testing.T, what string, res *http.Response, body string) {
	t.Helper()
	if res.StatusCode >= 500 && res.StatusCode != http.StatusNotImplemented && res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%s: %d %.300s", what, res.StatusCode, body)
	}
	if res.StatusCode < 400 || body == "" || body == "\n" {
		return
	}
	var doc struct {
		Code    string `json:"error_code"`
		Message string `json:"message"`
	}
	// The OTLP intake answers as MLflow's does: {"detail": …}.
	otlp := strings.HasPrefix(what, "POST /v1/traces")
	if err := json.Unmarshal([]byte(body), &doc); err != nil || !otlp && (doc.Code == "" || doc.Message == "") {
		t.Errorf("%s: %d without MLflow's shape: %.300s", what, res.StatusCode, body)
	}
	for _, inside := range []string{".go:", "goroutine ", "SQL", "sqlite", "constraint failed"} {
		if strings.Contains(doc.Message, inside) {
			t.Errorf("%s: the answer tells of the inside: %.300s", what, body)
		}
	}
}

// calm fails the test if the server complained of itself or does not answer any more.
func (b *booted) calm(t *testing.T) {
	t.Helper()
	if res, body := b.send(t, "GET", message("GET", "/health", "", "")); res.StatusCode != http.StatusOK || body != "OK" {
		t.Errorf("/health: %d %s", res.StatusCode, body)
	}
	for line := range strings.Lines(b.log.String()) {
		if strings.Contains(line, "level=ERROR") || strings.Contains(line, "panic") {
			t.Errorf("logged: %.2000s", line)
		}
	}
}

// unique are the rows without their twins under /ajax-api, which have the same handlers.
func (b *booted) unique() []wire.Route {
	var out []wire.Route
	for _, r := range b.routes {
		if !strings.HasPrefix(r.Path, "/ajax-api/") || strings.Contains(r.Path, "upload-artifact") {
			out = append(out, r)
		}
	}
	if !testing.Short() {
		return out
	}
	var share []wire.Route // under the race detector a sixth, from all areas
	for i := 0; i < len(out); i += 6 {
		share = append(share, out[i])
	}
	return share
}

// garbage are bodies that are no request at all.
func garbage() map[string]string {
	return map[string]string{
		"empty": "", "blank": "  \n", "null": "null", "number": "7", "string": `"x"`, "string of JSON": `"{\"name\": 1}"`, "array": "[]", "array of objects": "[{}]",
		"open": "{", "half": `{"name": "x`, "trailing": `{} {}`, "comma": `{"a": 1,}`, "comment": `{/* */}`, "single quotes": `{'name': 'x'}`,
		"invalid UTF-8": "{\"name\": \"\xff\xfe\"}", "invalid UTF-8 key": "{\"\xc0\xaf\": 1}", "byte order mark": "\xef\xbb\xbf{}", "UTF-16": "{\x00}\x00", "NUL": "\x00\x00\x00",
		"lone surrogate": `{"name": "\ud800"}`, "control character": "{\"name\": \"a\x01b\"}", "escaped NUL": `{"name": "a\u0000b", "key": "\u0000", "run_id": "\u0000"}`,
		"duplicate keys": `{"name": "a", "name": "b", "run_id": "x", "run_id": 7}`, "both spellings": `{"run_id": "a", "runId": "b"}`,
		"deep arrays": strings.Repeat("[", 100_000), "deep objects": strings.Repeat(`{"name":`, 100_000), "deep and closed": strings.Repeat("[", 5000) + strings.Repeat("]", 5000),
		"deep field": `{"name": ` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, "bare NaN": "NaN", "infinite": `{"value": Infinity, "step": -Infinity, "timestamp": NaN}`,
		"huge number": `{"max_results": 1` + strings.Repeat("0", 400) + `}`, "long number": `{"max_results": ` + strings.Repeat("9", 100_000) + `}`,
		"exponent": `{"max_results": 1e999999999, "timestamp": 1e-999999999}`, "many keys": manyKeys(50_000), "XML": "<x/>", "form": "name=x&run_id=y", "PNG": "\x89PNG\r\n\x1a\n\x00\x00",
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	b.WriteString("{")
	for i := range n {
		fmt.Fprintf(&b, `"k%d":%d,`, i, i)
	}
	return strings.TrimSuffix(b.String(), ",") + "}"
}

func TestGarbageInEveryRow(t *testing.T) {
	t.Parallel()
	b := boot(t, "--sqlite-synchronous", "normal")
	for _, r := range b.unique() {
		for name, body := range garbage() {
			for _, kind := range []string{"application/json", "application/json; charset=utf-16", "application/x-protobuf", ""} {
				if kind != "application/json" && name != "empty" && name != "null" && name != "deep arrays" {
					continue
				}
				headers := ""
				if kind != "" {
					headers = "Content-Type: " + kind + "\r\n"
				}
				res, answer := b.send(t, r.Method, message(r.Method, target(r), headers, body))
				abused(t, fmt.Sprintf("%s %s with %s as %q", r.Method, r.Path, name, kind), res, answer)
			}
		}
	}
	b.calm(t)
}

// plausible is a request that names every field of every call, with values that exist, so that each of them can be broken in turn.
func (b *booted) plausible(t *testing.T) map[string]any {
	t.Helper()
	post := func(path string, body string) map[string]any {
		res, answer := b.send(t, "POST", message("POST", "/api/2.0/mlflow/"+path, "Content-Type: application/json\r\n", body))
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", path, res.StatusCode, answer)
		}
		var doc map[string]any
		if err := json.Unmarshal([]byte(answer), &doc); err != nil {
			t.Fatal(err)
		}
		return doc
	}
	run := post("runs/create", `{"experiment_id": "0", "run_name": "r"}`)["run"].(map[string]any)["info"].(map[string]any)["run_id"].(string)
	model := post("logged-models", `{"experiment_id": "0", "name": "m"}`)["model"].(map[string]any)["info"].(map[string]any)["model_id"].(string)
	post("registered-models/create", `{"name": "x"}`)
	post("model-versions/create", fmt.Sprintf(`{"name": "x", "source": "mlflow-artifacts:/0/%s/artifacts/model", "run_id": %q}`, run, run))
	tags := []any{map[string]any{"key": "k", "value": "v"}}
	return map[string]any{
		"experiment_id": "0", "experiment_ids": []any{"0"}, "experiment_name": "Default", "run_id": run, "run_ids": []any{run}, "model_id": model, "name": "x", "new_name": "x", "version": "1",
		"stage": "Staging", "stages": []any{"None"}, "alias": "a", "key": "k", "value": 1.5, "timestamp": 1, "step": 1, "metrics": []any{map[string]any{"key": "m", "value": 1, "timestamp": 1, "step": 0}},
		"params": tags, "tags": tags, "datasets": []any{map[string]any{"dataset": map[string]any{"name": "d", "digest": "1", "source_type": "t", "source": "s"}, "tags": tags}},
		"models": []any{map[string]any{"model_id": model, "step": 0}}, "filter": "name = 'x'", "order_by": []any{"name"}, "max_results": 5, "page_token": "", "view_type": "ALL", "run_view_type": "ALL",
		"metric_key": "m", "metric_keys": []any{"m"}, "path": "p", "source": "s", "description": "d", "archive_existing_versions": false, "status": "FINISHED", "end_time": 1, "start_time": 1, "user_id": "u",
		"run_name": "r", "model_json": "{}", "lifecycle_stage": "active", "artifact_location": "", "model_type": "t", "source_run_id": run, "columns_to_whitelist": []any{}, "max_runs_per_experiment": 1,
		"query": "query q { mlflowGetRun(input: {runId: \"x\"}) { run { info { runId } } } }", "variables": map[string]any{}, "operationName": "q",
		"config":          map[string]any{"served_entities": []any{map[string]any{"name": "a", "entity_name": "x", "entity_version": "1"}}},
		"served_entities": []any{map[string]any{"name": "a", "entity_name": "x", "entity_version": "1"}}, "traffic_config": map[string]any{"routes": []any{map[string]any{"served_entity_name": "a", "traffic_percentage": 100}}},
		"url": "https://example.com/hook", "events": []any{map[string]any{"entity": "MODEL_VERSION", "action": "CREATED"}}, "event": map[string]any{"entity": "MODEL_VERSION", "action": "CREATED"}, "secret": "s",
		"trace_id": "tr-x", "request_id": "tr-x", "trace_ids": []any{"tr-x"}, "request_ids": []any{"tr-x"}, "max_timestamp_millis": 1, "max_traces": 1,
		"trace":       map[string]any{"trace_info": map[string]any{"trace_id": "tr-x", "request_time": "2026-01-01T00:00:00Z", "state": "OK", "trace_location": map[string]any{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": map[string]any{"experiment_id": "0"}}}},
		"locations":   []any{map[string]any{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": map[string]any{"experiment_id": "0"}}},
		"assessment":  map[string]any{"assessment_name": "a", "feedback": map[string]any{"value": 1}, "source": map[string]any{"source_type": "HUMAN", "source_id": "u"}},
		"metric_name": "latency", "aggregations": []any{map[string]any{"aggregation_type": "AVG"}}, "dimensions": []any{"trace_name"}, "filters": []any{"x"}, "start_time_ms": 0, "end_time_ms": 1, "time_interval_seconds": 60,
		"add_tags": tags, "delete_tags": []any{"k"}, "artifact_directory_path": "p", "artifact_file_path": "p", "run_uuid": run, "max_points": 5, "start_step": 0, "end_step": 1,
	}
}

// hostile are values that fit no field, or fit one in an unpleasant way.
var hostile = []json.RawMessage{
	json.RawMessage(`null`), json.RawMessage(`""`), json.RawMessage(`-1`), json.RawMessage(`9223372036854775808`), json.RawMessage(`1e400`), json.RawMessage(`NaN`), json.RawMessage(`0.5`), json.RawMessage(`true`),
	json.RawMessage(`[]`), json.RawMessage(`{}`), json.RawMessage(`[null]`), json.RawMessage(`[[]]`), json.RawMessage(`[{}]`), json.RawMessage(`[{"key":1,"value":{}}]`), json.RawMessage(`{"a":{"b":[1]}}`),
	json.RawMessage(`"\u0000"`), json.RawMessage(`"\ud83d\ude00'\"\\%_;--"`), json.RawMessage(`"9223372036854775807"`), json.RawMessage(`"-9223372036854775808"`),
	json.RawMessage(`"` + strings.Repeat("x", 70_000) + `"`), json.RawMessage(`["` + strings.Repeat("y", 10_000) + `"]`), json.RawMessage(`[` + strings.Repeat(`"0",`, 5000) + `"0"]`),
}

// shards is how many (row, field) pairs share the hostile values: each pair gets every shards-th of them, and each field all of them in
// some row.
const shards = 12

func TestEveryFieldOfEveryRowBroken(t *testing.T) {
	t.Parallel()
	b := boot(t, "--sqlite-synchronous", "normal")
	good := b.plausible(t)
	client := &http.Client{Timeout: time.Minute}
	defer client.CloseIdleConnections()
	fields := slices.Sorted(maps.Keys(good))
	for row, r := range b.unique() {
		if r.Method == http.MethodGet || r.Permission == wire.Predict || strings.HasSuffix(r.Path, "*") {
			continue
		}
		for at, field := range fields {
			at += row // another share of the values in each row
			for i, bad := range hostile {
				if (i+at)%shards != 0 {
					continue
				}
				body := map[string]any{}
				for k, v := range good {
					body[k] = v
				}
				body[field] = json.RawMessage(`"@"`)
				text, err := json.Marshal(body)
				if err != nil {
					t.Fatal(err)
				}
				text = bytes.Replace(text, []byte(`"@"`), bad, 1)
				req, err := http.NewRequestWithContext(t.Context(), r.Method, b.URL()+target(r), bytes.NewReader(text))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Content-Type", "application/json")
				res, err := client.Do(req)
				if err != nil {
					t.Fatalf("%s %s %s=%.80s: %v", r.Method, r.Path, field, bad, err)
				}
				answer, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil {
					t.Fatal(err)
				}
				abused(t, fmt.Sprintf("%s %s with value %d %.40s in %s", r.Method, r.Path, i, bad, field), res, string(answer))
			}
		}
	}
	b.calm(t)
}

func TestEveryQueryBroken(t *testing.T) {
	t.Parallel()
	b := boot(t, "--sqlite-synchronous", "normal")
	good := b.plausible(t)
	values := []string{"", "-1", "0", "99999999999999999999", "NaN", "1e400", "%00", "%ff", "%zz", "%F0%9F%98%80'%22%5C", "..%2f..", "true", "[]", "{}", strings.Repeat("x", 10_000), "a&a=b", "null"}
	for _, r := range b.unique() {
		if r.Method != http.MethodGet && r.Method != http.MethodDelete {
			continue
		}
		for at, field := range slices.Sorted(maps.Keys(good)) {
			for i, v := range values {
				if (i+at)%shards != 0 {
					continue
				}
				query := field + "=" + v
				for k, other := range good {
					if text, ok := other.(string); ok && k != field && text != "" && !strings.Contains(text, " ") {
						query += "&" + k + "=" + text
					}
				}
				res, answer := b.send(t, r.Method, message(r.Method, target(r)+"?"+query, "", ""))
				abused(t, fmt.Sprintf("%s %s with %.40s in %s", r.Method, r.Path, v, field), res, answer)
			}
		}
		many := strings.Repeat("experiment_ids=0&stages=x&order_by=name&", 700)
		res, answer := b.send(t, r.Method, message(r.Method, target(r)+"?"+many, "", ""))
		abused(t, r.Method+" "+r.Path+" with many parameters", res, answer)
	}
	b.calm(t)
}

// Bodies beyond every limit, with and without a declared length, are turned away while they arrive.
func TestOversizedBodiesInEveryRow(t *testing.T) {
	t.Parallel()
	b := boot(t, "--sqlite-synchronous", "normal", "--max-body-bytes", "1000000")
	rows := 0
	for _, r := range b.unique() {
		if r.Method == http.MethodGet || strings.HasSuffix(r.Path, "/artifacts/*") {
			continue
		}
		rows++
		declared := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 900000000000\r\n\r\n%s", r.Method, target(r), strings.Repeat(" ", 2*bufferedBody))
		chunks := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", r.Method, target(r)) +
			strings.Repeat("100000\r\n"+strings.Repeat(" ", 1<<20)+"\r\n", 36) + "0\r\n\r\n"
		for what, text := range map[string]string{"declared": declared, "chunked": chunks} {
			res, answer := b.send(t, r.Method, text)
			abused(t, fmt.Sprintf("%s %s, %s", r.Method, r.Path, what), res, answer)
			if res.StatusCode < 400 {
				t.Errorf("%s %s, %s: answered with %d", r.Method, r.Path, what, res.StatusCode)
			}
		}
	}
	if rows < 40 && !testing.Short() {
		t.Errorf("only %d rows", rows)
	}
	b.calm(t)
}

// A length that is only promised costs nothing: memory grows with what arrives.
func TestPromisedBodiesCostNothing(t *testing.T) {
	b := boot(t, "--sqlite-synchronous", "normal")
	const connections, promised = 200, 30 << 20
	before := inUse()
	for _, path := range []string{"/api/2.0/mlflow/runs/log-batch", "/api/2.0/mlflow/runs/create", "/invocations"} {
		for range connections {
			conn := b.dial(t)
			defer conn.Close()
			if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, promised, strings.Repeat(" ", 70_000)); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.calm(t) // has been answered after all of them were accepted
	if grown := inUse() - before; grown > 3*connections*(1<<20) {
		t.Errorf("%d requests that promised %d MiB each and sent little cost %d MiB", 3*connections, promised>>20, grown>>20)
	}
}

func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}
