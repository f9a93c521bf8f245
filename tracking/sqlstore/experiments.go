package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"

	"sluice/tracking"
	"sluice/tracking/mlflow"
	"sluice/tracking/page"
	"sluice/tracking/sqldb"
)

const experimentColumns = "e.experiment_id, e.name, COALESCE(e.artifact_location, ''), COALESCE(e.lifecycle_stage, 'active'), " +
	"COALESCE(e.creation_time, 0), COALESCE(e.last_update_time, 0)"

func scanExperiment(rows interface{ Scan(...any) error }) (tracking.Experiment, error) {
	var e tracking.Experiment
	var id int64
	err := rows.Scan(&id, &e.Name, &e.ArtifactLocation, &e.Lifecycle, &e.CreatedMS, &e.UpdatedMS)
	e.ID = strconv.FormatInt(id, 10)
	return e, err
}

// Experiment implements tracking.ExperimentReader.
func (s *Store) Experiment(ctx context.Context, id string) (tracking.Experiment, error) {
	n, err := storedExperimentID(s.db.Dialect(), id)
	if err != nil {
		return tracking.Experiment{}, err
	}
	return s.experimentWhere(ctx, "e.experiment_id = ?", n, tracking.UnknownExperiment(strconv.FormatInt(n, 10)))
}

// ExperimentByName implements tracking.ExperimentReader.
func (s *Store) ExperimentByName(ctx context.Context, name string) (tracking.Experiment, error) {
	is, args := textCompare(s.db.Dialect(), "e.name", "=", name)
	return s.experimentWhere(ctx, is, args[0], tracking.UnknownExperimentName(name), args[1:]...)
}

func (s *Store) experimentWhere(ctx context.Context, where string, arg any, unknown error, more ...any) (tracking.Experiment, error) {
	var out tracking.Experiment
	err := s.db.ReadTx(ctx, func(q sqldb.Querier) error {
		query := "SELECT " + experimentColumns + " FROM experiments e WHERE " + where
		e, err := scanExperiment(q.QueryRowContext(ctx, query, append([]any{arg}, more...)...))
		if ok, err := found(err); err != nil {
			return err
		} else if !ok {
			return unknown
		}
		list := []tracking.Experiment{e}
		err = s.loadExperimentTags(ctx, q, list)
		out = list[0]
		return err
	})
	return out, err
}

// SearchExperiments implements tracking.ExperimentReader.
func (s *Store) SearchExperiments(ctx context.Context, search tracking.ExperimentSearch) (page.Found[tracking.Experiment], error) {
	w := s.newWhere()
	w.stages("e.lifecycle_stage", search.View)
	if err := w.experimentFilter(search.Filter); err != nil {
		return page.Found[tracking.Experiment]{}, err
	}
	return readPage(ctx, s.db.ReadTx, experimentColumns, "experiments e", w, s.experimentOrder(search), search.After, search.Limit, scanExperiment, s.loadExperimentTags)
}

// experimentOrder compiles order_by; experiment_id DESC breaks ties unless it is ordered by already, as in MLflow.
func (s *Store) experimentOrder(search tracking.ExperimentSearch) ordering {
	out := s.newOrdering("e.experiment_id")
	byID := false
	for _, o := range search.Order {
		out.add(sqldb.SortKey{Expr: "e." + o.Key, Kind: attributeKind(o.Key), Desc: o.Descending, NotNull: o.Key == "experiment_id"})
		byID = byID || o.Key == "experiment_id"
	}
	if !byID {
		out.add(sqldb.SortKey{Expr: "e.experiment_id", Desc: true, NotNull: true})
	}
	return out
}

func (s *Store) loadExperimentTags(ctx context.Context, q sqldb.Querier, list []tracking.Experiment) error {
	index := make(map[string]int, len(list))
	ids := make([]string, len(list))
	for i, e := range list {
		index[e.ID], ids[i] = i, e.ID
	}
	key := s.q("key")
	for len(ids) > 0 {
		n := min(chunk, len(ids))
		in, err := experimentIDs(ids[:n])
		if err != nil {
			return err
		}
		query := "SELECT experiment_id, " + key + ", COALESCE(value, '') FROM experiment_tags WHERE experiment_id IN (" + in + ") ORDER BY " + key
		err = each(ctx, q, query, nil, func(rows *sql.Rows) error {
			var id int64
			var t tracking.Tag
			err := rows.Scan(&id, &t.Key, &t.Value)
			e := &list[index[strconv.FormatInt(id, 10)]]
			e.Tags = append(e.Tags, t)
			return err
		})
		if err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// CreateExperiment implements tracking.ExperimentWriter.
func (s *Store) CreateExperiment(ctx context.Context, e tracking.Experiment, location func(id string) string) (string, error) {
	id := e.ID
	err := s.db.WithTx(ctx, func(tx *sqldb.Tx) error {
		n, err := s.insertExperiment(ctx, tx, e, location)
		if err != nil {
			return err
		}
		id = strconv.FormatInt(n, 10)
		var flat []any
		for _, t := range e.Tags {
			flat = append(flat, t.Key, t.Value, n)
		}
		_, err = insertAll(ctx, tx, "experiment_tags", []string{"key", "value", "experiment_id"}, "", flat)
		return err
	})
	if sqldb.IsUniqueViolation(err) {
		return "", tracking.ExperimentExists(e.Name)
	}
	return id, err
}

func (s *Store) insertExperiment(ctx context.Context, tx *sqldb.Tx, e tracking.Experiment, location func(id string) string) (int64, error) {
	columns := []string{"name", "artifact_location", "lifecycle_stage", "creation_time", "last_update_time"}
	args := []any{e.Name, e.ArtifactLocation, string(e.Lifecycle), e.CreatedMS, e.UpdatedMS}
	if e.ID != "" {
		return s.insertExperimentAs(ctx, tx, e, location, columns, args)
	}
	n, err := insertReturning(ctx, tx, tx.Dialect().Insert("experiments", columns...), "experiment_id", args)
	if err != nil || e.ArtifactLocation != "" {
		return n, err
	}
	_, err = tx.ExecContext(ctx, "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", location(strconv.FormatInt(n, 10)), n)
	return n, err
}

// insertExperimentAs inserts with a chosen id. PostgreSQL must be told not to choose it again later.
func (s *Store) insertExperimentAs(ctx context.Context, tx *sqldb.Tx, e tracking.Experiment, location func(id string) string, columns []string, args []any) (int64, error) {
	n, err := experimentID(e.ID)
	if err != nil {
		return 0, err
	}
	if e.ArtifactLocation == "" {
		args[1] = location(e.ID)
	}
	_, err = tx.ExecContext(ctx, tx.Dialect().Insert("experiments", append(columns, "experiment_id")...), append(args, n)...)
	if err != nil || tx.Dialect() != sqldb.Postgres || n == 0 {
		return n, err
	}
	_, err = tx.ExecContext(ctx, "SELECT setval(pg_get_serial_sequence('experiments', 'experiment_id'), MAX(experiment_id)) FROM experiments")
	return n, err
}

// insertReturning runs an INSERT and returns the number that the database chose for column.
func insertReturning(ctx context.Context, tx *sqldb.Tx, insert, column string, args []any) (int64, error) {
	var n int64
	if tx.Dialect().HasReturning() {
		err := tx.QueryRowContext(ctx, insert+" RETURNING "+column, args...).Scan(&n)
		return n, err
	}
	res, err := tx.ExecContext(ctx, insert, args...)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

// experimentStage returns number and lifecycle stage of an experiment inside a transaction; lock is the end of the statement
// that keeps others from changing it (see sqldb.Tx).
func experimentStage(ctx context.Context, tx *sqldb.Tx, id, lock string) (int64, tracking.Lifecycle, error) {
	n, err := storedExperimentID(tx.Dialect(), id)
	if err != nil {
		return 0, "", err
	}
	var stage tracking.Lifecycle
	err = tx.QueryRowContext(ctx, "SELECT COALESCE(lifecycle_stage, 'active') FROM experiments WHERE experiment_id = ?"+lock, n).Scan(&stage)
	if ok, err := found(err); err != nil {
		return 0, "", err
	} else if !ok {
		return 0, "", tracking.UnknownExperiment(strconv.FormatInt(n, 10))
	}
	return n, stage, nil
}

// activeExperiment is experimentStage for an experiment that must be active, and stays so until the transaction ends.
func activeExperiment(ctx context.Context, tx *sqldb.Tx, id string) (int64, error) {
	n, stage, err := experimentStage(ctx, tx, id, tx.ForShare())
	if err == nil && stage != tracking.Active {
		err = tracking.ExperimentNotActive(strconv.FormatInt(n, 10), stage)
	}
	return n, err
}

// RenameExperiment implements tracking.ExperimentWriter.
func (s *Store) RenameExperiment(ctx context.Context, id, name string, at int64) error {
	err := s.db.WithTx(ctx, func(tx *sqldb.Tx) error {
		n, stage, err := experimentStage(ctx, tx, id, tx.ForUpdate())
		if err != nil {
			return err
		}
		if stage != tracking.Active {
			return mlflow.Errorf(mlflow.InvalidState, "Cannot rename a non-active experiment.")
		}
		_, err = tx.ExecContext(ctx, "UPDATE experiments SET name = ?, last_update_time = ? WHERE experiment_id = ?", name, at, n)
		return err
	})
	if sqldb.IsUniqueViolation(err) {
		return tracking.ExperimentNameTaken(name)
	}
	return err
}

// DeleteExperiment implements tracking.ExperimentWriter.
func (s *Store) DeleteExperiment(ctx context.Context, id string, at int64) error {
	return s.moveExperiment(ctx, id, at, tracking.Active, tracking.Deleted)
}

// RestoreExperiment implements tracking.ExperimentWriter.
func (s *Store) RestoreExperiment(ctx context.Context, id string, at int64) error {
	return s.moveExperiment(ctx, id, at, tracking.Deleted, tracking.Active)
}

func (s *Store) moveExperiment(ctx context.Context, id string, at int64, from, to tracking.Lifecycle) error {
	return s.db.WithTx(ctx, func(tx *sqldb.Tx) error {
		n, stage, err := experimentStage(ctx, tx, id, tx.ForUpdate())
		if err != nil {
			return err
		}
		if stage != from {
			return tracking.UnknownExperiment(strconv.FormatInt(n, 10))
		}
		_, err = tx.ExecContext(ctx, "UPDATE experiments SET lifecycle_stage = ?, last_update_time = ? WHERE experiment_id = ?", string(to), at, n)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE runs SET lifecycle_stage = ?, deleted_time = ? WHERE experiment_id = ?", string(to), deletedTime(to, at), n)
		return err
	})
}

// deletedTime is the runs.deleted_time of a run that moves to a stage.
func deletedTime(to tracking.Lifecycle, at int64) any {
	if to == tracking.Deleted {
		return at
	}
	return nil
}

// SetExperimentTag implements tracking.ExperimentWriter.
func (s *Store) SetExperimentTag(ctx context.Context, id string, tag tracking.Tag) error {
	return s.db.WithTx(ctx, func(tx *sqldb.Tx) error {
		n, err := activeExperiment(ctx, tx, id)
		if err != nil {
			return err
		}
		d := tx.Dialect()
		insert := d.Insert("experiment_tags", "key", "value", "experiment_id") + d.Upsert([]string{"key", "experiment_id"}, "value")
		_, err = tx.ExecContext(ctx, insert, tag.Key, tag.Value, n)
		return err
	})
}

// DeleteExperimentTag implements tracking.ExperimentWriter.
func (s *Store) DeleteExperimentTag(ctx context.Context, id, key string) error {
	return s.db.WithTx(ctx, func(tx *sqldb.Tx) error {
		n, err := activeExperiment(ctx, tx, id)
		if err != nil {
			return err
		}
		unknown := mlflow.Missingf("No tag with name: %s in experiment with id %s", key, id)
		return deleteOne(ctx, tx, unknown, fmt.Sprintf("DELETE FROM experiment_tags WHERE experiment_id = ? AND %s = ?", s.q("key")), n, key)
	})
}

// deleteOne runs a DELETE and returns unknown if it met no row.
func deleteOne(ctx context.Context, tx *sqldb.Tx, unknown error, query string, args ...any) error {
	res, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		return unknown
	}
	return err
}
