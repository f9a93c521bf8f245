package sqlstore

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"sluice/tracking"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
)

// CreateRun implements tracking.RunWriter. The columns that MLflow keeps for its own past get what MLflow gives them.
func (s *Store) CreateRun(ctx context.Context, r tracking.Run) error {
	return s.db.WithTx(ctx, func(tx *sqldb.Tx) error {
		n, err := activeExperiment(ctx, tx, r.Info.ExperimentID)
		if err != nil {
			return err
		}
		insert := tx.Dialect().Insert("runs", "run_uuid", "name", "source_type", "source_name", "entry_point_name", "user_id", "status",
			"start_time", "end_time", "source_version", "lifecycle_stage", "artifact_uri", "experiment_id")
		i := r.Info
		_, err = tx.ExecContext(ctx, insert, i.ID, i.Name, "UNKNOWN", "", "", i.UserID, string(i.Status), i.StartTimeMS, nullZero(i.EndTimeMS), "",
			string(i.Lifecycle), i.ArtifactURI, n)
		if err != nil {
			return err
		}
		return writeTags(ctx, tx, i.ID, r.Data.Tags)
	})
}

func nullZero(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}

// lockedRun returns the head of a run and keeps other writers of the run waiting until the transaction ends, so that they
// never hold parts of each other's rows, in whatever order their keys come.
func lockedRun(ctx context.Context, tx *sqldb.Tx, id string) (tracking.RunInfo, error) {
	return runWhere(ctx, tx, id, tx.ForUpdate())
}

// activeRun is lockedRun for a run that must be active.
func activeRun(ctx context.Context, tx *sqldb.Tx, id string) (tracking.RunInfo, error) {
	r, err := lockedRun(ctx, tx, id)
	if err == nil && r.Lifecycle != tracking.Active {
		err = tracking.RunNotActive(id, r.Lifecycle)
	}
	return r, err
}

// UpdateRun implements tracking.RunWriter.
func (s *Store) UpdateRun(ctx context.Context, id string, u tracking.RunUpdate) (tracking.RunInfo, error) {
	var out tracking.RunInfo
	err := s.db.WithTx(ctx, func(tx *sqldb.Tx) error {
		r, err := activeRun(ctx, tx, id)
		if err != nil {
			return err
		}
		if u.Status != "" {
			r.Status = u.Status
		}
		if u.EndTimeMS != nil {
			r.EndTimeMS = *u.EndTimeMS
		}
		if u.Name != "" {
			r.Name = u.Name
			if err := writeTags(ctx, tx, id, []tracking.Tag{{Key: tracking.RunNameTag, Value: u.Name}}); err != nil {
				return err
			}
		}
		out = r
		_, err = tx.ExecContext(ctx, "UPDATE runs SET status = ?, end_time = ?, name = ? WHERE run_uuid = ?", string(r.Status), nullZero(r.EndTimeMS), r.Name, id)
		return err
	})
	return out, err
}

// DeleteRun implements tracking.RunWriter.
func (s *Store) DeleteRun(ctx context.Context, id string, at int64) error {
	return s.moveRun(ctx, id, at, tracking.Deleted)
}

// RestoreRun implements tracking.RunWriter.
func (s *Store) RestoreRun(ctx context.Context, id string) error {
	return s.moveRun(ctx, id, 0, tracking.Active)
}

func (s *Store) moveRun(ctx context.Context, id string, at int64, to tracking.Lifecycle) error {
	return s.db.WithTx(ctx, func(tx *sqldb.Tx) error {
		if _, err := lockedRun(ctx, tx, id); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE runs SET lifecycle_stage = ?, deleted_time = ? WHERE run_uuid = ?", string(to), deletedTime(to, at), id)
		return err
	})
}

// LogBatch implements tracking.RunWriter.
func (s *Store) LogBatch(ctx context.Context, runID string, b tracking.Batch) error {
	rows := metricRows(runID, b.Metrics)
	return s.db.WithTx(ctx, func(tx *sqldb.Tx) error {
		r, err := activeRun(ctx, tx, runID)
		if err != nil {
			return err
		}
		if err := s.writeParams(ctx, tx, runID, b.Params); err != nil {
			return err
		}
		if err := writeMetrics(ctx, tx, rows); err != nil {
			return err
		}
		if err := s.writeModelMetrics(ctx, tx, r, b.Metrics); err != nil {
			return err
		}
		return writeNamedTags(ctx, tx, runID, b.Tags)
	})
}

// writeParams inserts new params. It inserts first and looks afterwards, so that of two writers one surely sees the other.
func (s *Store) writeParams(ctx context.Context, tx *sqldb.Tx, runID string, params []tracking.Param) error {
	if len(params) == 0 {
		return nil
	}
	sorted := slices.Clone(params)
	slices.SortFunc(sorted, func(a, b tracking.Param) int { return strings.Compare(a.Key, b.Key) })
	var flat []any
	want := make(map[string]string, len(sorted))
	for _, p := range sorted {
		flat = append(flat, p.Key, p.Value, runID)
		want[p.Key] = p.Value
	}
	n, err := insertAll(ctx, tx, "params", []string{"key", "value", "run_uuid"}, tx.Dialect().Upsert([]string{"key", "run_uuid"}), flat)
	if err != nil || n == int64(len(sorted)) {
		return err
	}
	return s.checkParams(ctx, tx, runID, sorted, want)
}

// checkParams compares the params that stand with those that were wanted. It locks what it reads: a plain read of MySQL would
// show the state before the transaction, without the other writer's params.
func (s *Store) checkParams(ctx context.Context, tx *sqldb.Tx, runID string, params []tracking.Param, want map[string]string) error {
	query := "SELECT " + s.q("key") + ", COALESCE(value, '') FROM params WHERE run_uuid = ?" + tx.ForUpdate()
	have, err := valuesByKey(ctx, tx, query, runID)
	if err != nil {
		return err
	}
	return paramConflicts(params, have, want)
}

// valuesByKey reads rows of two texts into a map.
func valuesByKey(ctx context.Context, tx *sqldb.Tx, query string, args ...any) (map[string]string, error) {
	have := map[string]string{}
	err := each(ctx, tx, query, args, func(rows *sql.Rows) error {
		var k, v string
		err := rows.Scan(&k, &v)
		have[k] = v
		return err
	})
	return have, err
}

func paramConflicts(params []tracking.Param, have, want map[string]string) error {
	var conflicts []tracking.ParamConflict
	for _, p := range params {
		if have[p.Key] != want[p.Key] {
			conflicts = append(conflicts, tracking.ParamConflict{Key: p.Key, Old: have[p.Key], New: want[p.Key]})
		}
	}
	if conflicts == nil {
		return nil
	}
	return &tracking.ParamConflictError{Conflicts: conflicts}
}

// writeNamedTags writes tags of which the later wins; a run name that is not empty renames the run, an empty one is left out,
// as in MLflow.
func writeNamedTags(ctx context.Context, tx *sqldb.Tx, runID string, tags []tracking.Tag) error {
	last := make(map[string]string, len(tags))
	for _, t := range tags {
		if t.Key != tracking.RunNameTag || t.Value != "" {
			last[t.Key] = t.Value
		}
	}
	distinct := make([]tracking.Tag, 0, len(last))
	for k, v := range last {
		distinct = append(distinct, tracking.Tag{Key: k, Value: v})
	}
	if name := last[tracking.RunNameTag]; name != "" {
		if _, err := tx.ExecContext(ctx, "UPDATE runs SET name = ? WHERE run_uuid = ?", name, runID); err != nil {
			return err
		}
	}
	return writeTags(ctx, tx, runID, distinct)
}

// writeTags writes or overwrites tags with distinct keys.
func writeTags(ctx context.Context, tx *sqldb.Tx, runID string, tags []tracking.Tag) error {
	sorted := slices.Clone(tags)
	slices.SortFunc(sorted, func(a, b tracking.Tag) int { return strings.Compare(a.Key, b.Key) })
	var flat []any
	for _, t := range sorted {
		flat = append(flat, t.Key, t.Value, runID)
	}
	_, err := insertAll(ctx, tx, "tags", []string{"key", "value", "run_uuid"}, tx.Dialect().Upsert([]string{"key", "run_uuid"}, "value"), flat)
	return err
}

// DeleteTag implements tracking.RunWriter.
func (s *Store) DeleteTag(ctx context.Context, runID, key string) error {
	return s.db.WithTx(ctx, func(tx *sqldb.Tx) error {
		if _, err := activeRun(ctx, tx, runID); err != nil {
			return err
		}
		unknown := mlflow.Missingf("No tag with name: %s in run with id %s", key, runID)
		return deleteOne(ctx, tx, unknown, "DELETE FROM tags WHERE run_uuid = ? AND "+s.q("key")+" = ?", runID, key)
	})
}

// EditTag implements tracking.RunWriter.
func (s *Store) EditTag(ctx context.Context, runID, key string, edit func(old string) (string, error)) error {
	return s.db.WithTx(ctx, func(tx *sqldb.Tx) error {
		if _, err := activeRun(ctx, tx, runID); err != nil {
			return err
		}
		var old string
		query := "SELECT COALESCE(value, '') FROM tags WHERE run_uuid = ? AND " + s.q("key") + " = ?" + tx.ForUpdate()
		if _, err := found(tx.QueryRowContext(ctx, query, runID, key).Scan(&old)); err != nil {
			return err
		}
		value, err := edit(old)
		if err != nil {
			return err
		}
		return writeTags(ctx, tx, runID, []tracking.Tag{{Key: key, Value: value}})
	})
}
