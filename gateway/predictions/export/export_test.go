package export_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/gateway/predictions"
	"sluice/gateway/predictions/export"
	"sluice/gateway/predictions/predictionstest"
	"sluice/gateway/predlog"
	"sluice/tracking/sqldb/sqldbtest"
)

// filled has 40 records of two versions in 8 segments, one with bytes that are no text, and two segments of 5000.
func filled(t *testing.T) *predictionstest.Archive {
	t.Helper()
	a := predictionstest.New(t)
	for range 4 {
		a.Record(t, 1, 5)
		a.Record(t, 2, 5)
		a.Flush(t)
	}
	a.Log.Record(&predlog.Record{
		PredictionID: [16]byte{1}, TraceID: [16]byte{2}, Endpoint: "bytes", Model: "m", Version: 1, Status: 400, ErrorCode: "BAD_REQUEST", Stage: strings.Repeat("s", 2000),
		Time: predictionstest.Start, Request: []byte{0xff, 0}, ContentType: "application/octet-stream", Response: []byte("é \"<&"),
	})
	a.Flush(t)
	for range 2 {
		a.Record(t, 3, 5000)
		a.Flush(t)
	}
	return a
}

func write(t *testing.T, a *predictionstest.Archive, f export.Format, q export.Request) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := export.Write(t.Context(), &out, a.Reader, f, q); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// readAll reads a file with what people use and prints the rows' ids, or one row as JSON.
const readAll = `
import sys, json, datetime, pyarrow as pa, pyarrow.parquet as pq
answers = []
for path in sys.argv[1:]:
    table = pq.read_table(path) if path.endswith("parquet") else pa.ipc.open_stream(open(path, "rb")).read_all()
    table.validate(full=True)
    answers.append({"columns": table.column_names, "rows": table.num_rows, "ids": len(set(table["databricks_request_id"].to_pylist())),
                    "versions": sorted(set(table["model_version"].to_pylist())), "types": [str(t) for t in table.schema.types]})
    for r in table.slice(0, 100).to_pylist():
        if r["endpoint"] != "bytes":
            continue
        assert r["request"] is None and r["request_binary"] == b"\xff\x00" and r["response"] == 'é "<&' and r["response_binary"] is None, r
        assert r["truncated"] and not r["shadow"] and r["error_code"] == "BAD_REQUEST" and r["arm"] is None and r["bucket"] == 0, r
        assert r["date"] == datetime.date(2026, 9, 21) and r["timestamp_ms"] == 1790000000000, r
        assert r["time"] == datetime.datetime.fromtimestamp(1790000000, datetime.timezone.utc) and r["sampling_fraction"] == 1.0, r
print(json.dumps(answers))
`

func TestArrowAndParquetAreReadByPyArrow(t *testing.T) {
	t.Parallel()
	a := filled(t)
	cases := []struct {
		name     string
		q        export.Request
		rows     int
		versions int
	}{
		{"all", export.Request{}, 10041, 3},
		{"some", export.Request{Limit: 7}, 7, 2},
		{"newest", export.Request{Query: predictions.Query{Newest: true}, Limit: 5000}, 5000, 1},
		{"none", export.Request{Query: predictions.Query{Endpoint: "nobody"}}, 0, 0},
		{"version", export.Request{Query: predictions.Query{Model: "wine", Version: 3}}, 10000, 1},
		{"part of a segment", export.Request{Query: predictions.Query{From: predictionstest.Start.Add(30 * time.Second), To: predictionstest.Start.Add(5050 * time.Second)}}, 5020, 3},
		{"arm", export.Request{Query: predictions.Query{Arm: "canary", Version: 3}}, 3333, 1},
	}
	formats, dir := []export.Format{export.Arrow, export.Parquet}, t.TempDir()
	var paths []string
	for _, f := range formats {
		for _, c := range cases {
			path := filepath.Join(dir, c.name+"."+string(f))
			if err := os.WriteFile(path, write(t, a, f, c.q), 0o600); err != nil {
				t.Fatal(err)
			}
			paths = append(paths, path)
		}
	}
	var answers []struct {
		Columns, Types []string
		Rows, IDs      int
		Versions       []int
	}
	if err := json.Unmarshal([]byte(sqldbtest.Python(t, readAll, paths...)), &answers); err != nil {
		t.Fatal(err)
	}
	for i, got := range answers {
		c := cases[i%len(cases)]
		if got.Rows != c.rows || got.IDs != c.rows || len(got.Versions) != c.versions {
			t.Errorf("%s: %+v", paths[i], got)
		}
		if !slices.Equal(got.Columns, answers[0].Columns) || !slices.Equal(got.Types, answers[0].Types) {
			t.Errorf("%s: %v %v", paths[i], got.Columns, got.Types)
		}
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	a := filled(t)
	q := export.Request{Query: predictions.Query{Endpoint: "bytes"}}
	type record struct {
		ID        string `json:"databricks_request_id"`
		Date      string `json:"date"`
		Time      string `json:"time"`
		Binary    []byte `json:"request_binary"`
		Response  string `json:"response"`
		Trace     string `json:"trace_id"`
		Truncated bool   `json:"truncated"`
		Request   *string
		Arm       *string
	}
	check := func(r record) {
		t.Helper()
		if r.ID != "01000000-0000-0000-0000-000000000000" || r.Date != "2026-09-21" || r.Time != "2026-09-21T14:13:20Z" || string(r.Binary) != "\xff\x00" ||
			r.Response != "é \"<&" || r.Trace != "02000000000000000000000000000000" || !r.Truncated || r.Request != nil || r.Arm != nil {
			t.Errorf("%+v", r)
		}
	}
	var page struct{ Predictions []record }
	if err := json.Unmarshal(write(t, a, export.JSON, q), &page); err != nil || len(page.Predictions) != 1 {
		t.Fatal(page, err)
	}
	check(page.Predictions[0])
	var line record
	if err := json.Unmarshal(write(t, a, export.Lines, q), &line); err != nil {
		t.Fatal(err)
	}
	check(line)
	rows, err := csv.NewReader(bytes.NewReader(write(t, a, export.CSV, export.Request{Query: predictions.Query{Version: 2}}))).ReadAll()
	if err != nil || len(rows) != 21 || rows[0][0] != "databricks_request_id" || !strings.HasPrefix(rows[1][7], `{"dataframe_split": `) {
		t.Errorf("CSV: %d rows, %v", len(rows), err)
	}
	if empty := write(t, a, export.JSON, export.Request{Query: predictions.Query{Endpoint: "nobody"}}); string(empty) != `{"predictions": []}` {
		t.Errorf("no records: %s", empty)
	}
}

// filledRow has something in every column but those of a binary body, or of a text.
func filledRow(binary bool) predlog.Row {
	body := []byte("{}")
	if binary {
		body = []byte{0xff, 0}
	}
	return predlog.Row{Truncated: true, Record: predlog.Record{
		PredictionID: [16]byte{1}, RequestID: "r", TraceID: [16]byte{2}, Time: predictionstest.Start.Add(time.Microsecond), Endpoint: "e", Model: "m", Version: 3, Stage: "Production",
		Arm: "stable", Rule: "testers", Bucket: 7, Shadow: true, Cached: true, Redaction: predlog.Redacted, SamplingFraction: 0.25, Status: 500, ErrorCode: "INTERNAL_ERROR",
		LatencyNS: 5e6, QueueNS: 2, ExecuteNS: 3, Rows: 4, ContentType: "text/csv", ResponseContentType: "application/json", Request: body, Response: body,
	}}
}

// What the OpenAPI document says of a record is what JSON writes, field by field.
func TestPredictionIsTheColumns(t *testing.T) {
	t.Parallel()
	for _, r := range []predlog.Row{{}, filledRow(false), filledRow(true)} {
		written := export.Object(&r)
		var p export.Prediction
		d := json.NewDecoder(bytes.NewReader(written))
		d.DisallowUnknownFields()
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, written); err != nil {
			t.Fatal(err)
		}
		if compact.String() != string(again) {
			t.Errorf("got %s\nfor %s", again, compact.String())
		}
	}
}

func TestPagesOfJSON(t *testing.T) {
	t.Parallel()
	a := filled(t)
	at, pages, n := predictions.Position{}, 0, 0
	for more := true; more; pages++ {
		var page struct {
			Predictions []json.RawMessage
			Token       string `json:"next_page_token"`
		}
		q := export.Request{Query: predictions.Query{Version: 2}, After: at, Limit: 10, Token: func(p predictions.Position) string { at = p; return "next" }}
		if err := json.Unmarshal(write(t, a, export.JSON, q), &page); err != nil {
			t.Fatal(err)
		}
		n += len(page.Predictions)
		more = page.Token == "next"
	}
	if n != 20 || pages != 2 {
		t.Errorf("%d records in %d pages", n, pages)
	}
}
