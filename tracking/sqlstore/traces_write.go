package sqlstore

import (
	"context"
	"maps"
	"slices"
	"strings"

	"sluice/tracking"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
)

func (s *Store) writeTraces(ctx context.Context, fn func(tx *sqldb.Tx) error) error {
	if err := s.tracesReady(); err != nil {
		return err
	}
	return s.db.WithTx(ctx, fn)
}

// traceHead returns a trace without the tags and metadata of the other tables; within a transaction the row stays locked.
func traceHead(ctx context.Context, q sqldb.Querier, id string) (tracking.TraceInfo, error) {
	query := "SELECT " + traceColumns + " FROM trace_info ti WHERE ti.request_id = ?"
	if tx, ok := q.(*sqldb.Tx); ok {
		query += tx.ForUpdate()
	}
	t, err := scanTrace(q.QueryRowContext(ctx, query, id))
	if ok, err := found(err); err != nil {
		return t, err
	} else if !ok {
		return t, tracking.UnknownTrace(id)
	}
	return t, nil
}

// fullTrace returns a trace with all but its spans, its row locked.
func (s *Store) fullTrace(ctx context.Context, tx *sqldb.Tx, id string) (tracking.TraceInfo, error) {
	t, err := traceHead(ctx, tx, id)
	if err != nil {
		return t, err
	}
	list := []tracking.TraceInfo{t}
	err = s.loadTraces(ctx, tx, list)
	return list[0], err
}

// StartTrace implements tracking.TraceWriter.
func (s *Store) StartTrace(ctx context.Context, t tracking.TraceInfo) (tracking.TraceInfo, error) {
	var out tracking.TraceInfo
	err := s.writeTraces(ctx, func(tx *sqldb.Tx) error {
		n, err := activeExperiment(ctx, tx, t.ExperimentID)
		if err != nil {
			return err
		}
		old, err := s.fullTrace(ctx, tx, t.ID)
		switch {
		case mlflow.CodeOf(err) == mlflow.ResourceDoesNotExist:
			err = s.insertTrace(ctx, tx, n, t)
		case err == nil:
			err = s.restartTrace(ctx, tx, n, old, t)
		}
		if err != nil {
			return err
		}
		if err := writeAssessments(ctx, tx, t, t.Assessments); err != nil {
			return err
		}
		out, err = s.fullTrace(ctx, tx, t.ID)
		return err
	})
	return out, err
}

// insertTrace inserts a trace that is not there, without assessments.
func (s *Store) insertTrace(ctx context.Context, tx *sqldb.Tx, experiment int64, t tracking.TraceInfo) error {
	columns := []string{"request_id", "experiment_id", "timestamp_ms", "execution_time_ms", "status", "client_request_id", "request_preview", "response_preview"}
	values := []any{
		t.ID, experiment, t.RequestTimeMS, t.DurationMS, string(t.State), nullEmpty(t.ClientRequestID), nullEmpty(t.RequestPreview),
		nullEmpty(t.ResponsePreview),
	}
	if name, ok := t.Tags[tracking.TraceNameTag]; ok {
		columns, values = append(columns, "trace_name"), append(values, name)
	}
	more, sums := analytics(t.Metadata)
	if _, err := tx.ExecContext(ctx, tx.Dialect().Insert("trace_info", append(columns, more...)...), append(values, sums...)...); err != nil {
		return err
	}
	return s.writeTracePairs(ctx, tx, t)
}

// restartTrace writes what the client of a trace says over what spans told before.
func (s *Store) restartTrace(ctx context.Context, tx *sqldb.Tx, experiment int64, old, t tracking.TraceInfo) error {
	if err := writable(old); err != nil {
		return err
	}
	columns := []string{"experiment_id", "timestamp_ms", "execution_time_ms", "status", "client_request_id"}
	values := []any{experiment, t.RequestTimeMS, t.DurationMS, string(t.State), nullEmpty(t.ClientRequestID)}
	for column, text := range map[string]string{"request_preview": t.RequestPreview, "response_preview": t.ResponsePreview} {
		if text != "" {
			columns, values = append(columns, column), append(values, text)
		}
	}
	if err := s.updateTrace(ctx, tx, t, columns, values); err != nil {
		return err
	}
	if err := s.writeTracePairs(ctx, tx, t); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE spans SET experiment_id = ? WHERE trace_id = ?", experiment, t.ID); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "UPDATE assessments SET experiment_id = ?, trace_timestamp_ms = ? WHERE trace_id = ?", experiment, t.RequestTimeMS, t.ID)
	return err
}

// writable refuses a trace whose spans MLflow's archival has moved away.
func writable(t tracking.TraceInfo) error {
	if at := t.Tags[tracking.SpansLocationTag]; at != "" && at != tracking.SpansInStore {
		return mlflow.Errorf(mlflow.InvalidState, "Cannot update traces that are no longer DB-backed: '%s'.", t.ID)
	}
	return nil
}

// updateTrace updates columns of a trace, with those that its name, its metadata and MLflow's count of writes fill.
func (s *Store) updateTrace(ctx context.Context, tx *sqldb.Tx, t tracking.TraceInfo, columns []string, values []any) error {
	if name, ok := t.Tags[tracking.TraceNameTag]; ok {
		columns, values = append(columns, "trace_name"), append(values, name)
	}
	more, sums := analytics(t.Metadata)
	columns, values = append(columns, more...), append(values, sums...)
	sets := strings.Join(columns, " = ?, ") + " = ?, db_payload_generation = db_payload_generation + 1"
	_, err := tx.ExecContext(ctx, "UPDATE trace_info SET "+sets+" WHERE request_id = ?", append(values, t.ID)...)
	return err
}

// writeTracePairs writes or overwrites all tags and metadata that have no columns of their own, in the order of keys.
func (s *Store) writeTracePairs(ctx context.Context, tx *sqldb.Tx, t tracking.TraceInfo) error {
	for _, part := range []struct {
		table string
		pairs map[string]string
		skip  func(key string) bool
	}{
		{"trace_tags", t.Tags, func(key string) bool { return key == tracking.TraceNameTag }},
		{"trace_request_metadata", t.Metadata, promoted},
	} {
		var flat []any
		for _, key := range slices.Sorted(maps.Keys(part.pairs)) {
			if !part.skip(key) {
				flat = append(flat, t.ID, key, part.pairs[key])
			}
		}
		tail := tx.Dialect().Upsert([]string{"request_id", "key"}, "value")
		if _, err := insertAll(ctx, tx, part.table, []string{"request_id", "key", "value"}, tail, flat); err != nil {
			return err
		}
	}
	return nil
}

// EndTrace implements tracking.TraceWriter.
func (s *Store) EndTrace(ctx context.Context, id string, endMS int64, state tracking.TraceState, tags, metadata map[string]string) (tracking.TraceInfo, error) {
	var out tracking.TraceInfo
	err := s.writeTraces(ctx, func(tx *sqldb.Tx) error {
		head, err := traceHead(ctx, tx, id)
		if err != nil {
			return err
		}
		change := tracking.TraceInfo{ID: id, Tags: tags, Metadata: metadata}
		columns, values := []string{"execution_time_ms", "status"}, []any{endMS - head.RequestTimeMS, string(state)}
		if err := s.updateTrace(ctx, tx, change, columns, values); err != nil {
			return err
		}
		if err := s.writeTracePairs(ctx, tx, change); err != nil {
			return err
		}
		out, err = s.fullTrace(ctx, tx, id)
		return err
	})
	return out, err
}

// LogSpans implements tracking.TraceWriter.
func (s *Store) LogSpans(ctx context.Context, experiment string, batches []tracking.SpanBatch) error {
	batches = slices.SortedFunc(slices.Values(batches), func(a, b tracking.SpanBatch) int { return strings.Compare(a.TraceID, b.TraceID) })
	return s.writeTraces(ctx, func(tx *sqldb.Tx) error {
		for _, b := range batches {
			if err := s.logBatch(ctx, tx, experiment, b); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) logBatch(ctx context.Context, tx *sqldb.Tx, experiment string, b tracking.SpanBatch) error {
	t, err := s.fullTrace(ctx, tx, b.TraceID)
	fresh := mlflow.CodeOf(err) == mlflow.ResourceDoesNotExist
	if fresh {
		t, err = tracking.TraceInfo{ID: b.TraceID, ExperimentID: experiment}, nil
	}
	if err != nil {
		return err
	}
	if err := writable(t); err != nil {
		return err
	}
	n, err := experimentID(t.ExperimentID)
	if err != nil {
		return err
	}
	var stored map[string][]tracking.Span
	if !fresh && b.Counts() {
		if stored, err = loadSpans(ctx, tx, []string{b.TraceID}); err != nil {
			return err
		}
	}
	b.Fold(&t, fresh, stored[b.TraceID])
	if fresh {
		err = s.insertTrace(ctx, tx, n, t)
	} else {
		err = s.refoldTrace(ctx, tx, t)
	}
	if err != nil {
		return err
	}
	return writeSpans(ctx, tx, n, b.Spans)
}

// refoldTrace writes back the head of a trace that spans have changed.
func (s *Store) refoldTrace(ctx context.Context, tx *sqldb.Tx, t tracking.TraceInfo) error {
	columns := []string{"timestamp_ms", "execution_time_ms", "status", "request_preview", "response_preview"}
	values := []any{t.RequestTimeMS, t.DurationMS, string(t.State), nullEmpty(t.RequestPreview), nullEmpty(t.ResponsePreview)}
	if err := s.updateTrace(ctx, tx, t, columns, values); err != nil {
		return err
	}
	if err := s.writeTracePairs(ctx, tx, t); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "UPDATE assessments SET trace_timestamp_ms = ? WHERE trace_id = ?", t.RequestTimeMS, t.ID)
	return err
}

// DeleteTraces implements tracking.TraceWriter. What belongs to a trace goes by the database's own cascades.
func (s *Store) DeleteTraces(ctx context.Context, d tracking.TraceDelete) (int, error) {
	n, err := experimentID(d.ExperimentID)
	if err != nil {
		return 0, err
	}
	deleted := 0
	err = s.writeTraces(ctx, func(tx *sqldb.Tx) error {
		ids, err := s.tracesToDelete(ctx, tx, n, d)
		if err != nil {
			return err
		}
		deleted = len(ids)
		return s.deleteTraceRows(ctx, tx, ids)
	})
	return deleted, err
}

func (s *Store) deleteTraceRows(ctx context.Context, tx *sqldb.Tx, ids []string) error {
	statements := []string{"DELETE FROM trace_info WHERE request_id IN (%s)"}
	if s.db.HasTable("review_queue_items") { // no foreign key leads from there
		statements = append(statements, "DELETE FROM review_queue_items WHERE item_type = 'trace' AND item_id IN (%s)")
	}
	for _, statement := range statements {
		for list := range slices.Chunk(ids, chunk) {
			if _, err := tx.ExecContext(ctx, inList(statement, len(list)), anys(list)...); err != nil {
				return err
			}
		}
	}
	return nil
}

// SetTraceTag implements tracking.TraceWriter.
func (s *Store) SetTraceTag(ctx context.Context, id string, tag tracking.Tag) error {
	return s.writeTraces(ctx, func(tx *sqldb.Tx) error {
		if _, err := traceHead(ctx, tx, id); err != nil {
			return err
		}
		if tag.Key == tracking.TraceNameTag {
			_, err := tx.ExecContext(ctx, "UPDATE trace_info SET trace_name = ? WHERE request_id = ?", tag.Value, id)
			return err
		}
		return s.writeTracePairs(ctx, tx, tracking.TraceInfo{ID: id, Tags: map[string]string{tag.Key: tag.Value}})
	})
}

// DeleteTraceTag implements tracking.TraceWriter.
func (s *Store) DeleteTraceTag(ctx context.Context, id, key string) error {
	return s.writeTraces(ctx, func(tx *sqldb.Tx) error {
		unknown := mlflow.Missingf("No trace tag with key '%s' for trace with ID '%s'", key, id)
		if key == tracking.TraceNameTag {
			return deleteOne(ctx, tx, unknown, "UPDATE trace_info SET trace_name = NULL WHERE request_id = ? AND trace_name IS NOT NULL", id)
		}
		return deleteOne(ctx, tx, unknown, "DELETE FROM trace_tags WHERE request_id = ? AND "+s.q("key")+" = ?", id, key)
	})
}

// LinkTraces implements tracking.TraceWriter.
func (s *Store) LinkTraces(ctx context.Context, runID string, traceIDs []string) error {
	var flat []any
	for _, id := range slices.Compact(slices.Sorted(slices.Values(traceIDs))) {
		flat = append(flat, s.newID(), "trace", id, "run", runID)
	}
	return s.associate(ctx, flat)
}

// LinkPrompts implements tracking.TraceWriter.
func (s *Store) LinkPrompts(ctx context.Context, traceID string, prompts []string) error {
	var flat []any
	for _, prompt := range slices.Compact(slices.Sorted(slices.Values(prompts))) {
		flat = append(flat, s.newID(), "trace", traceID, "prompt_version", prompt)
	}
	if _, err := s.TraceInfo(ctx, traceID); err != nil {
		return err
	}
	return s.associate(ctx, flat)
}

// associate inserts edges that are not there.
func (s *Store) associate(ctx context.Context, flat []any) error {
	columns := []string{"association_id", "source_type", "source_id", "destination_type", "destination_id"}
	return s.writeTraces(ctx, func(tx *sqldb.Tx) error {
		_, err := insertAll(ctx, tx, "entity_associations", columns, tx.Dialect().Upsert(columns[1:]), flat)
		return err
	})
}
