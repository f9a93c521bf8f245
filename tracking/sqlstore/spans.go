package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"math"

	"sluice/tracking"
	"sluice/tracking/mlflow"
	"sluice/tracking/spanjson"
	"sluice/tracking/sqldb"
)

// spanColumns are the columns of spans that we write; duration_ns is the database's own.
var spanColumns = []string{
	"trace_id", "span_id", "experiment_id", "parent_span_id", "name", "type", "status", "start_time_unix_nano", "end_time_unix_nano",
	"content", "input_cost", "output_cost", "total_cost", "model_name", "model_provider",
}

// writeSpans inserts spans, or replaces those that stand.
func writeSpans(ctx context.Context, tx *sqldb.Tx, experiment int64, spans []tracking.Span) error {
	var flat []any
	for _, s := range lastOfEachSpan(spans) {
		flat = append(flat, spanRow(experiment, s)...)
	}
	tail := tx.Dialect().Upsert([]string{"trace_id", "span_id"}, spanColumns[2:]...)
	_, err := insertAll(ctx, tx, "spans", spanColumns, tail, flat)
	return err
}

// lastOfEachSpan drops all but the last of spans with one id: one INSERT can't write a row twice.
func lastOfEachSpan(spans []tracking.Span) []tracking.Span {
	at := make(map[string]int, len(spans))
	var out []tracking.Span
	for _, s := range spans {
		if i, ok := at[s.ID]; ok {
			out[i] = s
			continue
		}
		at[s.ID] = len(out)
		out = append(out, s)
	}
	return out
}

func spanRow(experiment int64, s tracking.Span) []any {
	var cost map[string]json.RawMessage
	raw := s.Attribute(tracking.SpanCostKey)
	if json.Unmarshal([]byte(raw), &cost) != nil {
		_ = json.Unmarshal([]byte(s.Text(tracking.SpanCostKey)), &cost) // a cost in no shape that we know is no cost
	}
	row := []any{
		s.TraceID, s.ID, experiment, nullEmpty(s.ParentID), s.Name, nullEmpty(mlflow.Truncate(s.Text(tracking.SpanTypeKey), maxSpanType)),
		string(s.Status), s.StartNS, nullZero(s.EndNS), spanjson.Encode(s),
	}
	for _, key := range tracking.CostKeys {
		row = append(row, finiteNumber(cost[key]))
	}
	for _, key := range []string{tracking.SpanModelKey, tracking.SpanProviderKey} {
		row = append(row, nullEmpty(mlflow.Truncate(textOnly(s.Attribute(key)), maxSpanType)))
	}
	return row
}

// maxSpanType is the width of the columns for a span's type, model and provider.
const maxSpanType = 500

func textOnly(raw string) string {
	var text string
	if json.Unmarshal([]byte(raw), &text) != nil {
		return ""
	}
	return text
}

func finiteNumber(raw json.RawMessage) any {
	var v float64
	if len(raw) == 0 || raw[0] == '"' || raw[0] == 'n' || json.Unmarshal(raw, &v) != nil || math.IsInf(v, 0) {
		return nil
	}
	return v
}

// loadSpans returns the spans of traces, roots first, then by start.
func loadSpans(ctx context.Context, q sqldb.Querier, ids []string) (map[string][]tracking.Span, error) {
	out := make(map[string][]tracking.Span, len(ids))
	query := "SELECT trace_id, span_id, content FROM spans WHERE trace_id IN (%s) AND content <> '' " +
		"ORDER BY trace_id, CASE WHEN parent_span_id IS NULL THEN 0 ELSE 1 END, start_time_unix_nano, span_id"
	err := eachOf(ctx, q, query, nil, ids, func(rows *sql.Rows) error {
		var traceID, spanID, content string
		if err := rows.Scan(&traceID, &spanID, &content); err != nil {
			return err
		}
		s, err := spanjson.Decode(traceID, spanID, content)
		out[traceID] = append(out[traceID], s)
		return err
	})
	return out, err
}
