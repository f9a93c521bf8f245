package sqlstore_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sluice/tracking"
	"sluice/tracking/spanjson"
	"sluice/tracking/sqldb"
	"sluice/tracking/sqldb/sqldbtest"
	"sluice/tracking/sqlstore"

	_ "embed"
)

//go:embed testdata/traces.py
var tracesScript string

// TestTracesAgainstMLflow lets the real MLflow and us work on the traces of one database file: each reads what the other wrote,
// down to the text of a span.
func TestTracesAgainstMLflow(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "shared.db")
	db := sqldbtest.OpenFile(t, database, nil)
	store := sqlstore.New(db, nil)
	service, err := tracking.New(store, nil)
	must(t, err)
	must(t, service.EnsureDefaultExperiment(t.Context()))
	writeOurTraces(t, service)
	before := allTraces(t, db, store)
	if len(before) != 2 {
		t.Fatalf("we wrote %d traces, want 2", len(before))
	}

	var theirs struct {
		Before, After map[string]any
		Metrics       []any
	}
	questions, err := json.Marshal(metricQuestions)
	must(t, err)
	printed := sqldbtest.Python(t, tracesScript, database, string(questions))
	if err := json.Unmarshal([]byte(printed[strings.LastIndex(printed, "\n")+1:]), &theirs); err != nil {
		t.Fatalf("%v in %q", err, printed)
	}
	sameJSON(t, "what we wrote", theirs.Before, before)
	after := allTraces(t, db, store)
	if len(after) != 4 {
		t.Fatalf("%d traces after MLflow wrote, want 4", len(after))
	}
	sameJSON(t, "what MLflow wrote", theirs.After, after)
	for i, q := range metricQuestions {
		sameJSON(t, fmt.Sprintf("%+v", q), map[string]any{"points": theirs.Metrics[i]}, asJSON(t, map[string]any{"points": q.answer(t, service)}))
	}
}

// metricQuestion is a question for sums, as testdata/traces.py reads it.
type metricQuestion struct {
	View         tracking.MetricView `json:"view"`
	Metric       string              `json:"metric"`
	Aggregations []aggregation       `json:"aggregations"`
	Dimensions   []string            `json:"dimensions,omitempty"`
	Filters      []string            `json:"filters,omitempty"`
	Bucket       int64               `json:"bucket,omitempty"`
	Start        *int64              `json:"start,omitempty"`
	End          *int64              `json:"end,omitempty"`
}

type aggregation struct {
	Type       string   `json:"type"`
	Percentile *float64 `json:"percentile,omitempty"`
}

var metricQuestions = func() []metricQuestion {
	p := func(v float64) aggregation { return aggregation{"PERCENTILE", &v} }
	count, all := []aggregation{{Type: "COUNT"}}, []aggregation{{Type: "AVG"}, {Type: "MIN"}, {Type: "MAX"}, p(50), p(90), p(0), p(100)}
	start, end := int64(1_690_000_000_000), int64(1_800_000_000_000)
	return []metricQuestion{
		{View: "TRACES", Metric: "trace_count", Aggregations: count},
		{View: "TRACES", Metric: "trace_count", Aggregations: count, Dimensions: []string{"trace_status"}},
		{View: "TRACES", Metric: "trace_count", Aggregations: count, Dimensions: []string{"trace_name", "trace_status"}, Bucket: 3600, Start: &start, End: &end},
		{View: "TRACES", Metric: "trace_count", Aggregations: count, Filters: []string{"trace.status = 'OK'"}},
		{View: "TRACES", Metric: "trace_count", Aggregations: count, Filters: []string{"trace.tag.color = 'red'", "trace.metadata.`mlflow.trace.session` = 's-1'"}},
		{View: "TRACES", Metric: "trace_count", Aggregations: count, Filters: []string{"trace.status = 'none'"}},
		{View: "TRACES", Metric: "trace_count", Aggregations: count, Start: &end},
		{View: "TRACES", Metric: "session_count", Aggregations: count},
		{View: "TRACES", Metric: "latency", Aggregations: all},
		{View: "TRACES", Metric: "latency", Aggregations: all, Bucket: 86400, Start: &start, End: &end},
		{View: "TRACES", Metric: "total_tokens", Aggregations: append(all, aggregation{Type: "SUM"})},
		{View: "SPANS", Metric: "span_count", Aggregations: count, Dimensions: []string{"span_name", "span_status"}},
		{View: "SPANS", Metric: "span_count", Aggregations: count, Dimensions: []string{"span_type"}, Filters: []string{"span.status = 'OK'"}, Start: &start, End: &end},
		{View: "SPANS", Metric: "latency", Aggregations: all, Bucket: 1, Start: &start, End: &end},
		{View: "SPANS", Metric: "total_cost", Aggregations: []aggregation{{Type: "SUM"}, p(25)}, Dimensions: []string{"span_model_name"}, Start: &start, End: &end},
		{View: "ASSESSMENTS", Metric: "assessment_count", Aggregations: count, Dimensions: []string{"assessment_name", "assessment_value"}},
		{View: "ASSESSMENTS", Metric: "assessment_value", Aggregations: all, Dimensions: []string{"assessment_name"}, Bucket: 60, Start: &start, End: &end},
		{View: "ASSESSMENTS", Metric: "assessment_count", Aggregations: count, Filters: []string{"assessment.type = 'feedback'", "trace.status = 'ERROR'"}},
	}
}()

// answer asks our service and returns rows as the script does.
func (q metricQuestion) answer(t *testing.T, service *tracking.Service) [][]any {
	t.Helper()
	query := tracking.TraceMetricQuery{
		ExperimentIDs: []string{"0"}, View: q.View, Metric: q.Metric, Dimensions: q.Dimensions, Filters: q.Filters, BucketSeconds: q.Bucket, StartMS: q.Start,
		EndMS: q.End, MaxResults: 1000,
	}
	for _, a := range q.Aggregations {
		query.Aggregations = append(query.Aggregations, tracking.Aggregation(a))
	}
	points, err := service.TraceMetrics(t.Context(), query)
	must(t, err)
	out := [][]any{}
	for _, p := range points {
		dimensions := append([]string{}, p.Dimensions...)
		out = append(out, []any{p.BucketMS, dimensions, p.Values})
	}
	return out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// writeOurTraces makes a trace that only spans tell of and one that its client tells of, both with everything that there is.
func writeOurTraces(t *testing.T, service *tracking.Service) {
	ctx, id := t.Context(), "tr-"+strings.Repeat("0c", 16)
	attribute := func(key, value string) tracking.SpanAttribute { return tracking.SpanAttribute{Key: key, Value: value} }
	requestID := attribute(tracking.SpanRequestIDKey, `"`+id+`"`)
	root := tracking.Span{
		TraceID: id, ID: "00000000000000aa", Name: "root \"é\"", StartNS: 1_700_000_000_111_222_333, EndNS: 1_700_000_002_111_222_333,
		Status: tracking.SpanError, StatusMessage: "it broke",
		Attributes: []tracking.SpanAttribute{
			requestID, attribute(tracking.SpanTypeKey, `"CHAIN"`), attribute(tracking.SpanInputsKey, `{"q": "é", "n": 1.5}`),
			attribute(tracking.SpanOutputsKey, `["a", true, null]`), attribute("session.id", `"s-1"`), attribute("user.id", `"ada"`),
			attribute("mlflow.traceTag.color", `"red"`), attribute("mlflow.traceTag.mlflow.traceName", `"our trace"`),
		},
		Events: []tracking.SpanEvent{{Name: "exception", TimeNS: 17, Attributes: []tracking.SpanAttribute{attribute("exception.message", `"no"`), attribute("n", "3")}}},
		Links:  []tracking.SpanLink{{TraceID: "tr-" + strings.Repeat("0d", 16), SpanID: "00000000000000ff", Attributes: []tracking.SpanAttribute{attribute("why", `"so"`)}}},
	}
	leaf := tracking.Span{
		TraceID: id, ID: "00000000000000bb", ParentID: root.ID, Name: "leaf", StartNS: 1_700_000_001_000_000_000, Status: tracking.SpanUnset,
		Attributes: []tracking.SpanAttribute{
			requestID, attribute(tracking.SpanTokensKey, `{"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}`), attribute(tracking.SpanModelKey, `"m-1"`),
			attribute(tracking.SpanCostKey, `{"input_cost": 0.1, "output_cost": 0.25, "total_cost": 0.35}`),
		},
	}
	resource := []tracking.SpanAttribute{attribute("service.name", `"cellar"`), attribute("telemetry.sdk.name", `"x"`)}
	must(t, service.LogSpans(ctx, "0", []tracking.SpanSource{{Resource: resource, Spans: []tracking.Span{root, leaf}}}))
	_, err := service.CreateAssessment(ctx, id, tracking.Assessment{
		Name: "quality", Kind: tracking.Feedback, Value: json.RawMessage(`{"a":["é",1]}`), SourceType: "HUMAN", SourceID: "ada", Rationale: "dry",
		SpanID: leaf.ID, Metadata: map[string]string{"k": "é"},
	})
	must(t, err)
	duration := int64(250)
	_, err = service.StartTrace(ctx, tracking.TraceInfo{
		ID: "tr-ours", ExperimentID: "0", RequestTimeMS: 1_700_000_000_500, DurationMS: &duration, State: tracking.TraceOK, ClientRequestID: "c-1",
		RequestPreview: "ask", ResponsePreview: "answer", Tags: map[string]string{tracking.TraceNameTag: "named", "tag": ""},
		Metadata: map[string]string{
			tracking.TraceSessionKey: "s-2", tracking.TraceTokensKey: `{"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}`, "own": "é",
			tracking.TraceCostKey: `{"input_cost": 1, "output_cost": 0.5, "total_cost": 1.5}`,
		},
		Assessments: []tracking.Assessment{
			{Name: "e", Kind: tracking.Expectation, Value: json.RawMessage(`"yes"`), SourceType: "CODE"},
			{Name: "broken", Kind: tracking.Feedback, Value: json.RawMessage("null"), Error: &tracking.AssessmentError{Code: "E", Message: "no"}, SourceType: "LLM_JUDGE", SourceID: "gpt"},
		},
	})
	must(t, err)
}

// allTraces reads all traces in the shape that testdata/traces.py prints.
func allTraces(t *testing.T, db *sqldb.DB, store *sqlstore.Store) map[string]any {
	t.Helper()
	infos, err := store.SearchTraces(t.Context(), tracking.TraceSearch{ExperimentIDs: []string{"0"}, Limit: 100})
	must(t, err)
	out := map[string]any{}
	for _, info := range infos.Rows {
		full, err := store.Traces(t.Context(), []string{info.ID}, nil)
		must(t, err)
		spans := []any{}
		for _, s := range full[0].Spans {
			spans = append(spans, json.RawMessage(spanjson.Encode(s)))
		}
		assessments := map[string]any{}
		for _, a := range info.Assessments {
			assessments[a.ID] = assessmentShape(a)
		}
		out[info.ID] = map[string]any{
			"experiment": info.ExperimentID, "time": info.RequestTimeMS, "duration": info.DurationMS, "state": info.State, "client": info.ClientRequestID,
			"request": info.RequestPreview, "response": info.ResponsePreview, "tags": info.Tags, "metadata": info.Metadata,
			"assessments": byKey(assessments), "spans": spans, "rows": spanRows(t, db, info.ID, full[0].Spans),
		}
	}
	return asJSON(t, out)
}

// asJSON takes values through JSON, as MLflow's side has gone.
func asJSON(t *testing.T, in map[string]any) map[string]any {
	t.Helper()
	raw, err := json.Marshal(in)
	must(t, err)
	var out map[string]any
	must(t, json.Unmarshal(raw, &out))
	return out
}

func assessmentShape(a tracking.Assessment) any {
	var failure any
	if a.Error != nil {
		failure = []string{a.Error.Code, a.Error.Message}
	}
	var metadata any
	if a.Metadata != nil {
		metadata = a.Metadata
	}
	return map[string]any{
		"id": a.ID, "name": a.Name, "kind": a.Kind, "value": a.Value, "error": failure, "source": []string{a.SourceType, a.SourceID},
		"rationale": a.Rationale, "span": a.SpanID, "metadata": metadata, "valid": a.Valid, "overrides": a.Overrides, "created": a.CreatedMS, "updated": a.UpdatedMS,
	}
}

// byKey returns the values of a map in the order of its keys.
func byKey(m map[string]any) []any {
	out := []any{}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[key])
	}
	return out
}

// spanRows reads the columns of spans; the content is what we make of the span that we have read, so that it is compared with
// MLflow's text character by character.
func spanRows(t *testing.T, db *sqldb.DB, id string, spans []tracking.Span) []any {
	t.Helper()
	content := map[string]string{}
	for _, s := range spans {
		content[s.ID] = spanjson.Encode(s)
	}
	rows, err := db.Read().QueryContext(t.Context(), "SELECT span_id, parent_span_id, name, type, status, start_time_unix_nano, end_time_unix_nano, "+
		"duration_ns, total_cost, model_name FROM spans WHERE trace_id = ? ORDER BY span_id", id)
	must(t, err)
	defer rows.Close()
	out := []any{}
	for rows.Next() {
		row := make([]any, 10)
		into := make([]any, len(row))
		for i := range row {
			into[i] = &row[i]
		}
		must(t, rows.Scan(into...))
		out = append(out, append(row, content[row[0].(string)]))
	}
	must(t, rows.Err())
	return out
}
