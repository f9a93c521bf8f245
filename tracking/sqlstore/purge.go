package sqlstore

import (
	"context"
	"strconv"

	"sluice/tracking"
	"sluice/tracking/sqldb"
)

var _ tracking.Purger = (*Store)(nil)

// Remains implements tracking.Purger.
func (s *Store) Remains(ctx context.Context, before int64) (out []tracking.Remains, err error) {
	err = s.db.ReadTx(ctx, func(q sqldb.Querier) error {
		out = nil
		for _, part := range deletedQueries {
			args := make([]any, 0, 3)
			for range part.times {
				args = append(args, before)
			}
			found, err := deletedOf(ctx, q, part.kind, part.query, append(args, tracking.MaxRemains-len(out))...)
			if err != nil {
				return err
			}
			out = append(out, found...)
		}
		return nil
	})
	return out, err
}

// deletedQueries select id, experiment, name, artifact location and time; an experiment takes what is in it along.
var deletedQueries = []struct {
	kind  tracking.RemainsKind
	query string
	times int // how often the time stands in the query
}{
	{tracking.RemainsOfRun, `SELECT r.run_uuid, r.experiment_id, COALESCE(r.name, ''), COALESCE(r.artifact_uri, ''), COALESCE(r.deleted_time, 0)
		FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id
		WHERE r.lifecycle_stage = 'deleted' AND COALESCE(r.deleted_time, 0) <= ? OR e.lifecycle_stage = 'deleted' AND COALESCE(e.last_update_time, 0) <= ?
		ORDER BY 5, 1 LIMIT ?`, 2},
	{tracking.RemainsOfLoggedModel, `SELECT m.model_id, m.experiment_id, m.name, m.artifact_location, m.last_updated_timestamp_ms
		FROM logged_models m JOIN experiments e ON e.experiment_id = m.experiment_id
		WHERE m.lifecycle_stage = 'deleted' AND m.last_updated_timestamp_ms <= ? OR e.lifecycle_stage = 'deleted' AND COALESCE(e.last_update_time, 0) <= ?
		ORDER BY 5, 1 LIMIT ?`, 2},
	{tracking.RemainsOfExperiment, `SELECT e.experiment_id, e.experiment_id, e.name, COALESCE(e.artifact_location, ''), COALESCE(e.last_update_time, 0)
		FROM experiments e WHERE e.lifecycle_stage = 'deleted' AND COALESCE(e.last_update_time, 0) <= ? ORDER BY 5, 1 LIMIT ?`, 1},
}

func deletedOf(ctx context.Context, q sqldb.Querier, kind tracking.RemainsKind, query string, args ...any) ([]tracking.Remains, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []tracking.Remains
	for rows.Next() {
		d := tracking.Remains{Kind: kind}
		var experiment int64
		var id any
		if err := rows.Scan(&id, &experiment, &d.Name, &d.ArtifactURI, &d.DeletedMS); err != nil {
			return nil, err
		}
		d.ExperimentID = strconv.FormatInt(experiment, 10)
		switch id := id.(type) {
		case string:
			d.ID = id
		case []byte:
			d.ID = string(id)
		default:
			d.ID = d.ExperimentID
		}
		out = append(out, d)
	}
	return out, rows.Err()
}

// Purge implements tracking.Purger.
func (s *Store) Purge(ctx context.Context, d tracking.Remains) error {
	return s.db.WithLargeTx(ctx, func(tx *sqldb.Tx) error {
		if err := stillDeleted(ctx, tx, d); err != nil {
			return err
		}
		switch d.Kind {
		case tracking.RemainsOfRun:
			return purgeRun(ctx, tx, d.ID)
		case tracking.RemainsOfLoggedModel:
			return purgeModel(ctx, tx, d.ID)
		}
		return s.purgeExperiment(ctx, tx, d.ID)
	})
}

// stillDeleted refuses what was restored meanwhile, alone or with its experiment.
func stillDeleted(ctx context.Context, tx *sqldb.Tx, d tracking.Remains) error {
	experiment := "experiment_id = ? AND lifecycle_stage = 'deleted'"
	query, args := "SELECT COUNT(*) FROM experiments WHERE "+experiment, []any{d.ID}
	const inDeleted = " = ? AND (lifecycle_stage = 'deleted' OR experiment_id IN (SELECT experiment_id FROM experiments WHERE lifecycle_stage = 'deleted'))"
	switch d.Kind {
	case tracking.RemainsOfRun:
		query = "SELECT COUNT(*) FROM runs WHERE run_uuid" + inDeleted
	case tracking.RemainsOfLoggedModel:
		query = "SELECT COUNT(*) FROM logged_models WHERE model_id" + inDeleted
	default:
		id, err := strconv.ParseInt(d.ID, 10, 64)
		if err != nil {
			return tracking.NotDeleted(d)
		}
		args[0] = id
	}
	var n int
	if err := tx.QueryRowContext(ctx, query, args...).Scan(&n); err != nil {
		return err
	}
	if n == 0 {
		return tracking.NotDeleted(d)
	}
	return nil
}

func execAll(ctx context.Context, tx *sqldb.Tx, id any, statements ...string) error {
	for _, stmt := range statements {
		if _, err := tx.ExecContext(ctx, stmt, id); err != nil {
			return err
		}
	}
	return nil
}

// purgeRun removes a run; its datasets stay with the experiment. Types of inputs: mlflow/entities, SourceType and DestinationType.
func purgeRun(ctx context.Context, tx *sqldb.Tx, id string) error {
	return execAll(ctx, tx, id,
		"DELETE FROM latest_metrics WHERE run_uuid = ?", "DELETE FROM metrics WHERE run_uuid = ?", "DELETE FROM params WHERE run_uuid = ?",
		"DELETE FROM tags WHERE run_uuid = ?", "DELETE FROM logged_model_metrics WHERE run_id = ?",
		"DELETE FROM input_tags WHERE input_uuid IN (SELECT input_uuid FROM inputs WHERE destination_type = 'RUN' AND destination_id = ?)",
		"DELETE FROM inputs WHERE destination_type = 'RUN' AND destination_id = ?",
		"DELETE FROM inputs WHERE source_type IN ('RUN_INPUT', 'RUN_OUTPUT') AND source_id = ?",
		"DELETE FROM runs WHERE run_uuid = ?")
}

func purgeModel(ctx context.Context, tx *sqldb.Tx, id string) error {
	return execAll(ctx, tx, id,
		"DELETE FROM logged_model_metrics WHERE model_id = ?", "DELETE FROM logged_model_params WHERE model_id = ?",
		"DELETE FROM logged_model_tags WHERE model_id = ?", "DELETE FROM inputs WHERE destination_type IN ('MODEL_INPUT', 'MODEL_OUTPUT') AND destination_id = ?",
		"DELETE FROM logged_models WHERE model_id = ?")
}

// rollups are MLflow's sums over traces; they refer to the experiment without a foreign key.
var rollups = []string{"sql_trace_metric_daily_rollups", "sql_span_cost_daily_rollups", "sql_assessment_daily_rollups", "sql_trace_rollup_rebuild_queue"}

// purgeExperiment removes an empty experiment with its traces, datasets and rolled-up counts.
func (s *Store) purgeExperiment(ctx context.Context, tx *sqldb.Tx, text string) error {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return err
	}
	for _, table := range []string{"runs", "logged_models"} {
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+table+" WHERE experiment_id = ?", id).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return tracking.NotEmpty(text)
		}
	}
	for _, table := range rollups {
		if s.db.HasTable(table) {
			if err := execAll(ctx, tx, id, "DELETE FROM "+table+" WHERE experiment_id = ?"); err != nil {
				return err
			}
		}
	}
	return execAll(ctx, tx, id,
		"DELETE FROM trace_info WHERE experiment_id = ?", // spans, tags, assessments go along by their foreign keys
		"DELETE FROM experiment_tags WHERE experiment_id = ?",
		"DELETE FROM datasets WHERE experiment_id = ?",
		"DELETE FROM experiments WHERE experiment_id = ?")
}
