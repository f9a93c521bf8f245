package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"sluice/tracking"
	"sluice/tracking/mlflow"
	"sluice/tracking/page"
	"sluice/tracking/pyjson"
	"sluice/tracking/sqldb"
)

// tracesReady refuses databases whose traces are laid out as before MLflow 3.17.
func (s *Store) tracesReady() error {
	if s.db.HasColumn("trace_info", "trace_name") {
		return nil
	}
	return mlflow.Errorf(mlflow.NotImplemented, "The traces of this database are laid out as before MLflow 3.17. Run: sluice db upgrade --mlflow, which makes a backup first")
}

// tokenColumns and costColumns are the columns of trace_info that hold tracking.TokenKeys and tracking.CostKeys; they have the
// same names.
const (
	tokenColumns = "input_tokens, output_tokens, total_tokens, cache_read_input_tokens, cache_creation_input_tokens, cache_creation_input_tokens_above_1hr"
	costColumns  = "input_cost, output_cost, total_cost"
)

var traceColumns = "ti.request_id, ti.experiment_id, ti.timestamp_ms, ti.execution_time_ms, ti.status, COALESCE(ti.client_request_id, ''), " +
	"COALESCE(ti.request_preview, ''), COALESCE(ti.response_preview, ''), ti.trace_name, ti.session_id, " +
	"ti." + strings.ReplaceAll(tokenColumns+", "+costColumns, ", ", ", ti.")

// scanTrace scans the head of a trace; what MLflow keeps in columns of its own stands in tags and metadata again.
func scanTrace(rows interface{ Scan(...any) error }) (tracking.TraceInfo, error) {
	t := tracking.TraceInfo{Tags: map[string]string{}, Metadata: map[string]string{}}
	var experiment int64
	var duration sql.NullInt64
	var name, session sql.NullString
	tokens := make([]sql.NullInt64, len(tracking.TokenKeys))
	cost := make([]sql.NullFloat64, len(tracking.CostKeys))
	into := []any{&t.ID, &experiment, &t.RequestTimeMS, &duration, &t.State, &t.ClientRequestID, &t.RequestPreview, &t.ResponsePreview, &name, &session}
	for i := range tokens {
		into = append(into, &tokens[i])
	}
	for i := range cost {
		into = append(into, &cost[i])
	}
	if err := rows.Scan(into...); err != nil {
		return t, err
	}
	t.ExperimentID = strconv.FormatInt(experiment, 10)
	if duration.Valid {
		t.DurationMS = &duration.Int64
	}
	if name.Valid {
		t.Tags[tracking.TraceNameTag] = name.String
	}
	if session.Valid {
		t.Metadata[tracking.TraceSessionKey] = session.String
	}
	putSum(t.Metadata, tracking.TraceTokensKey, tracking.TokenKeys, func(i int) ([]byte, bool) {
		return strconv.AppendInt(nil, tokens[i].Int64, 10), tokens[i].Valid
	})
	putSum(t.Metadata, tracking.TraceCostKey, tracking.CostKeys, func(i int) ([]byte, bool) {
		return pyjson.AppendFloat(nil, cost[i].Float64), cost[i].Valid
	})
	return t, nil
}

// putSum puts the members that are there together as the JSON that MLflow's clients expect.
func putSum(metadata map[string]string, key string, members []string, value func(i int) ([]byte, bool)) {
	var parts []string
	for i, name := range members {
		if v, ok := value(i); ok {
			parts = append(parts, pyjson.Text(name)+": "+string(v))
		}
	}
	if parts != nil {
		metadata[key] = "{" + strings.Join(parts, ", ") + "}"
	}
}

// TraceInfo implements tracking.TraceReader.
func (s *Store) TraceInfo(ctx context.Context, id string) (tracking.TraceInfo, error) {
	found, err := s.TraceInfos(ctx, []string{id}, nil)
	if err != nil {
		return tracking.TraceInfo{}, err
	}
	if len(found) == 0 {
		return tracking.TraceInfo{}, tracking.UnknownTrace(id)
	}
	return found[0], nil
}

// TraceInfos implements tracking.TraceReader.
func (s *Store) TraceInfos(ctx context.Context, ids, experimentIDs []string) ([]tracking.TraceInfo, error) {
	var out []tracking.TraceInfo
	err := s.readTraces(ctx, func(q sqldb.Querier) (err error) {
		out, err = s.traceInfos(ctx, q, ids, experimentIDs)
		return err
	})
	return out, err
}

// Traces implements tracking.TraceReader.
func (s *Store) Traces(ctx context.Context, ids, experimentIDs []string) ([]tracking.Trace, error) {
	var out []tracking.Trace
	err := s.readTraces(ctx, func(q sqldb.Querier) error {
		infos, err := s.traceInfos(ctx, q, ids, experimentIDs)
		if err != nil {
			return err
		}
		here := make([]string, len(infos))
		for i, t := range infos {
			here[i] = t.ID
		}
		spans, err := loadSpans(ctx, q, here)
		for _, t := range infos {
			out = append(out, tracking.Trace{Info: t, Spans: spans[t.ID]})
		}
		return err
	})
	return out, err
}

func (s *Store) readTraces(ctx context.Context, fn func(q sqldb.Querier) error) error {
	if err := s.tracesReady(); err != nil {
		return err
	}
	return s.db.ReadTx(ctx, fn)
}

// traceInfos returns the traces that exist, in the order of ids.
func (s *Store) traceInfos(ctx context.Context, q sqldb.Querier, ids, experimentIDs []string) ([]tracking.TraceInfo, error) {
	query := "SELECT " + traceColumns + " FROM trace_info ti WHERE ti.request_id IN (%s)"
	if experimentIDs != nil {
		in, err := existingIDs(experimentIDs)
		if err != nil || in == "" {
			return nil, err
		}
		query += " AND ti.experiment_id IN (" + in + ")"
	}
	byID := make(map[string]tracking.TraceInfo, len(ids))
	err := eachOf(ctx, q, query, nil, ids, func(rows *sql.Rows) error {
		t, err := scanTrace(rows)
		byID[t.ID] = t
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []tracking.TraceInfo
	for _, id := range ids {
		if t, ok := byID[id]; ok {
			out = append(out, t)
			delete(byID, id)
		}
	}
	return out, s.loadTraces(ctx, q, out)
}

// existingIDs is experimentIDs for a list that may be empty.
func existingIDs(ids []string) (string, error) {
	if len(ids) == 0 {
		return "", nil
	}
	return experimentIDs(ids)
}

// SearchTraces implements tracking.TraceReader.
func (s *Store) SearchTraces(ctx context.Context, search tracking.TraceSearch) (page.Found[tracking.TraceInfo], error) {
	var none page.Found[tracking.TraceInfo]
	in, err := experimentIDs(search.ExperimentIDs)
	if err != nil {
		return none, err
	}
	w := s.newWhere()
	w.add("ti.experiment_id IN (" + in + ")")
	if err := w.traceFilter(search.Filter, in); err != nil {
		return none, err
	}
	order, err := s.traceOrder(search.Order)
	if err != nil {
		return none, err
	}
	if err := s.tracesReady(); err != nil {
		return none, err
	}
	return readPage(ctx, s.db.ReadLong, traceColumns, "trace_info ti", w, order, search.After, search.Limit, scanTrace, s.loadTraces)
}

// loadTraces fills tags, metadata and assessments of traces: three queries for every chunk.
func (s *Store) loadTraces(ctx context.Context, q sqldb.Querier, traces []tracking.TraceInfo) error {
	index := make(map[string]*tracking.TraceInfo, len(traces))
	ids := make([]string, len(traces))
	for i := range traces {
		index[traces[i].ID], ids[i] = &traces[i], traces[i].ID
	}
	err := s.loadTracePairs(ctx, q, "trace_tags", ids, func(id, key, value string) {
		if key != tracking.TraceNameTag { // the column counts
			index[id].Tags[key] = value
		}
	})
	if err != nil {
		return err
	}
	err = s.loadTracePairs(ctx, q, "trace_request_metadata", ids, func(id, key, value string) {
		if !promoted(key) {
			index[id].Metadata[key] = value
		}
	})
	if err != nil {
		return err
	}
	query := "SELECT " + assessmentColumns + " FROM assessments a WHERE a.trace_id IN (%s) ORDER BY a.created_timestamp, a.assessment_id"
	return eachOf(ctx, q, query, nil, ids, func(rows *sql.Rows) error {
		a, err := scanAssessment(rows)
		if err == nil {
			index[a.TraceID].Assessments = append(index[a.TraceID].Assessments, a)
		}
		return err
	})
}

// promoted says whether a piece of metadata stands in columns of trace_info.
func promoted(key string) bool {
	return key == tracking.TraceSessionKey || key == tracking.TraceTokensKey || key == tracking.TraceCostKey
}

func (s *Store) loadTracePairs(ctx context.Context, q sqldb.Querier, table string, ids []string, take func(id, key, value string)) error {
	query := "SELECT request_id, " + s.q("key") + ", COALESCE(value, '') FROM " + table + " WHERE request_id IN (%s)"
	return eachOf(ctx, q, query, nil, ids, func(rows *sql.Rows) error {
		var id, key, value string
		if err := rows.Scan(&id, &key, &value); err != nil {
			return err
		}
		take(id, key, value)
		return nil
	})
}

// analytics returns the columns of trace_info that metadata fills, and their values: only the members that are there.
func analytics(metadata map[string]string) (columns []string, values []any) {
	if session, ok := metadata[tracking.TraceSessionKey]; ok {
		columns, values = append(columns, "session_id"), append(values, session)
	}
	add := func(key string, members []string, convert func(json.RawMessage) any) {
		var object map[string]json.RawMessage
		if json.Unmarshal([]byte(metadata[key]), &object) != nil {
			return // MLflow, too, drops what is no object
		}
		for _, name := range members {
			if raw, ok := object[name]; ok {
				columns, values = append(columns, name), append(values, convert(raw))
			}
		}
	}
	add(tracking.TraceTokensKey, tracking.TokenKeys, wholeNumber)
	add(tracking.TraceCostKey, tracking.CostKeys, finiteNumber)
	return columns, values
}

// wholeNumber reads a count of tokens, nil for anything else.
func wholeNumber(raw json.RawMessage) any {
	var n json.Number
	if json.Unmarshal(raw, &n) != nil {
		return nil
	}
	if v, err := n.Int64(); err == nil {
		return v
	}
	if f, err := n.Float64(); err == nil && f > -(1<<63) && f < 1<<63 && f == math.Trunc(f) {
		return int64(f)
	}
	return nil
}
