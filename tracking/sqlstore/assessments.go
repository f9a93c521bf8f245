package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"sluice/tracking"
	"sluice/tracking/mlflow"
	"sluice/tracking/pyjson"
	"sluice/tracking/sqldb"
)

const assessmentColumns = "a.assessment_id, a.trace_id, a.name, a.assessment_type, a.value, COALESCE(a.error, ''), a.created_timestamp, " +
	"a.last_updated_timestamp, a.source_type, COALESCE(a.source_id, ''), COALESCE(a.run_id, ''), COALESCE(a.span_id, ''), " +
	"COALESCE(a.rationale, ''), COALESCE(a.overrides, ''), a.valid, COALESCE(a.assessment_metadata, '')"

func scanAssessment(rows interface{ Scan(...any) error }) (tracking.Assessment, error) {
	var a tracking.Assessment
	var value, failure, metadata string
	err := rows.Scan(&a.ID, &a.TraceID, &a.Name, &a.Kind, &value, &failure, &a.CreatedMS, &a.UpdatedMS, &a.SourceType, &a.SourceID, &a.RunID,
		&a.SpanID, &a.Rationale, &a.Overrides, &a.Valid, &metadata)
	if err != nil {
		return a, err
	}
	a.Value = json.RawMessage(value)
	if failure != "" {
		a.Error = &tracking.AssessmentError{}
		if err := json.Unmarshal([]byte(failure), a.Error); err != nil {
			return a, fmt.Errorf("error of assessment %s: %w", a.ID, err)
		}
	}
	a.Metadata, err = readMetadata(metadata)
	return a, err
}

// readMetadata reads the metadata of an assessment, whose values Python may have stored as anything.
func readMetadata(text string) (map[string]string, error) {
	var in map[string]json.RawMessage
	if text == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(text), &in); err != nil {
		return nil, fmt.Errorf("metadata of an assessment: %w", err)
	}
	out := make(map[string]string, len(in))
	for key, raw := range in {
		if raw[0] == '"' {
			out[key] = textOnly(string(raw))
			continue
		}
		out[key] = string(raw)
	}
	return out, nil
}

// assessmentTable are the columns that we write, the key first.
var assessmentTable = []string{
	"assessment_id", "trace_id", "name", "assessment_type", "value", "error", "created_timestamp", "last_updated_timestamp", "source_type",
	"source_id", "run_id", "span_id", "rationale", "overrides", "valid", "assessment_metadata", "experiment_id", "trace_timestamp_ms",
	"aggregate_value", "is_numeric_value",
}

// assessmentRow lays out an assessment of a trace; JSON is spelled as json.dumps spells it, since searches compare the text.
func assessmentRow(a tracking.Assessment, experiment, traceMS int64) ([]any, error) {
	value, err := pyjson.ASCII(a.Value)
	if err != nil {
		return nil, mlflow.Invalidf("The value of assessment '%s' is not JSON.", a.Name)
	}
	aggregate, numeric := aggregateOf(value)
	return []any{
		a.ID, a.TraceID, a.Name, string(a.Kind), value, failureJSON(a.Error), a.CreatedMS, a.UpdatedMS, a.SourceType, nullEmpty(a.SourceID),
		nullEmpty(a.RunID), nullEmpty(a.SpanID), nullEmpty(a.Rationale), nullEmpty(a.Overrides), a.Valid, metadataJSON(a.Metadata), experiment,
		traceMS, aggregate, numeric,
	}, nil
}

func failureJSON(e *tracking.AssessmentError) any {
	if e == nil {
		return nil
	}
	text := func(s string) string {
		if s == "" {
			return "null"
		}
		return asciiText(s)
	}
	return fmt.Sprintf(`{"error_code": %s, "error_message": %s, "stack_trace": %s}`, text(e.Code), text(e.Message), text(e.StackTrace))
}

func asciiText(s string) string {
	out, err := pyjson.ASCII([]byte(pyjson.Text(s)))
	if err != nil {
		return `""` // can't be: a text is one document
	}
	return out
}

func metadataJSON(metadata map[string]string) any {
	if len(metadata) == 0 {
		return nil
	}
	keys := make([]string, 0, len(metadata))
	for key := range metadata {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for i, key := range keys {
		keys[i] = asciiText(key) + ": " + asciiText(metadata[key])
	}
	return "{" + strings.Join(keys, ", ") + "}"
}

// aggregateOf returns the number by which an assessment is averaged, nil for none, and whether the value is a number itself
// (source: assessment_aggregate in mlflow/store/tracking/utils/trace_analytics.py).
func aggregateOf(value string) (any, bool) {
	var v any
	if json.Unmarshal([]byte(value), &v) != nil {
		return nil, false
	}
	one := func(yes bool) any {
		if yes {
			return 1.0
		}
		return 0.0
	}
	switch v := v.(type) {
	case bool:
		return one(v), false
	case float64:
		if math.IsInf(v, 0) {
			return nil, false
		}
		return v, true
	case string:
		if word := strings.ToLower(strings.TrimSpace(v)); word == "yes" || word == "no" {
			return one(word == "yes"), false
		}
	}
	return nil, false
}

// writeAssessments inserts assessments of one trace, or replaces its own. Returns RESOURCE_ALREADY_EXISTS for an id that another
// trace's assessment has.
func writeAssessments(ctx context.Context, tx *sqldb.Tx, t tracking.TraceInfo, list []tracking.Assessment) error {
	experiment, err := experimentID(t.ExperimentID)
	if err != nil {
		return err
	}
	var flat []any
	ids := make([]string, len(list))
	for i, a := range list {
		a.TraceID, ids[i] = t.ID, a.ID
		row, err := assessmentRow(a, experiment, t.RequestTimeMS)
		if err != nil {
			return err
		}
		flat = append(flat, row...)
	}
	err = eachOf(ctx, tx, "SELECT assessment_id FROM assessments WHERE trace_id <> ? AND assessment_id IN (%s)", []any{t.ID}, ids, func(rows *sql.Rows) error {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		return mlflow.Errorf(mlflow.ResourceAlreadyExists, "Assessment with ID '%s' belongs to another trace.", id)
	})
	if err != nil {
		return err
	}
	_, err = insertAll(ctx, tx, "assessments", assessmentTable, tx.Dialect().Upsert(assessmentTable[:1], assessmentTable[1:]...), flat)
	return err
}

// CreateAssessment implements tracking.AssessmentStore.
func (s *Store) CreateAssessment(ctx context.Context, a tracking.Assessment) error {
	return s.writeTraces(ctx, func(tx *sqldb.Tx) error {
		t, err := traceHead(ctx, tx, a.TraceID)
		if err != nil {
			return err
		}
		var taken int
		err = tx.QueryRowContext(ctx, "SELECT 1 FROM assessments WHERE assessment_id = ?", a.ID).Scan(&taken)
		if ok, err := found(err); err != nil {
			return err
		} else if ok {
			return mlflow.Errorf(mlflow.ResourceAlreadyExists, "Assessment with ID '%s' already exists.", a.ID)
		}
		if a.Overrides != "" {
			unknown := tracking.UnknownAssessment(a.TraceID, a.Overrides)
			if err := deleteOne(ctx, tx, unknown, "UPDATE assessments SET valid = FALSE WHERE trace_id = ? AND assessment_id = ?", a.TraceID, a.Overrides); err != nil {
				return err
			}
		}
		return writeAssessments(ctx, tx, t, []tracking.Assessment{a})
	})
}

// Assessment implements tracking.AssessmentStore.
func (s *Store) Assessment(ctx context.Context, traceID, id string) (tracking.Assessment, error) {
	var out tracking.Assessment
	err := s.readTraces(ctx, func(q sqldb.Querier) (err error) {
		out, err = assessmentOf(ctx, q, traceID, id)
		return err
	})
	return out, err
}

func assessmentOf(ctx context.Context, q sqldb.Querier, traceID, id string) (tracking.Assessment, error) {
	query := "SELECT " + assessmentColumns + " FROM assessments a WHERE a.trace_id = ? AND a.assessment_id = ?"
	a, err := scanAssessment(q.QueryRowContext(ctx, query, traceID, id))
	if ok, err := found(err); err != nil || ok {
		return a, err
	}
	if _, err := traceHead(ctx, q, traceID); err != nil {
		return a, err
	}
	return a, tracking.UnknownAssessment(traceID, id)
}

// EditAssessment implements tracking.AssessmentStore.
func (s *Store) EditAssessment(ctx context.Context, traceID, id string, edit func(tracking.Assessment) (tracking.Assessment, error)) (tracking.Assessment, error) {
	var out tracking.Assessment
	err := s.writeTraces(ctx, func(tx *sqldb.Tx) error {
		old, err := assessmentOf(ctx, tx, traceID, id)
		if err != nil {
			return err
		}
		if out, err = edit(old); err != nil {
			return err
		}
		t, err := traceHead(ctx, tx, traceID)
		if err != nil {
			return err
		}
		return writeAssessments(ctx, tx, t, []tracking.Assessment{out})
	})
	return out, err
}

// DeleteAssessment implements tracking.AssessmentStore.
func (s *Store) DeleteAssessment(ctx context.Context, traceID, id string) error {
	return s.writeTraces(ctx, func(tx *sqldb.Tx) error {
		old, err := assessmentOf(ctx, tx, traceID, id)
		if mlflow.CodeOf(err) == mlflow.ResourceDoesNotExist {
			return nil // gone already
		}
		if err != nil {
			return err
		}
		if old.Overrides != "" {
			if _, err := tx.ExecContext(ctx, "UPDATE assessments SET valid = TRUE WHERE trace_id = ? AND assessment_id = ?", traceID, old.Overrides); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM assessments WHERE trace_id = ? AND assessment_id = ?", traceID, id)
		return err
	})
}
