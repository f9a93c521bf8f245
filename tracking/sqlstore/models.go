package sqlstore

import (
	"context"
	"database/sql"
	"strconv"

	"sluice/tracking"
	"sluice/tracking/mlflow"
	"sluice/tracking/page"
	"sluice/tracking/sqldb"
)

const modelColumns = "lm.model_id, lm.experiment_id, lm.name, lm.artifact_location, lm.creation_timestamp_ms, lm.last_updated_timestamp_ms, " +
	"lm.status, COALESCE(lm.status_message, ''), COALESCE(lm.model_type, ''), COALESCE(lm.source_run_id, ''), COALESCE(lm.lifecycle_stage, 'active')"

func scanModel(rows interface{ Scan(...any) error }) (tracking.LoggedModel, error) {
	var m tracking.LoggedModel
	var experiment int64
	var status int
	err := rows.Scan(&m.ID, &experiment, &m.Name, &m.ArtifactLocation, &m.CreatedMS, &m.UpdatedMS, &status, &m.StatusMessage, &m.ModelType,
		&m.SourceRunID, &m.Lifecycle)
	m.ExperimentID, m.Status = strconv.FormatInt(experiment, 10), tracking.ModelStatusOf(status)
	return m, err
}

// modelHead returns a logged model without params, tags and metrics.
func modelHead(ctx context.Context, q sqldb.Querier, id string) (tracking.LoggedModel, error) {
	return modelWhere(ctx, q, id, "")
}

// modelWhere is modelHead with an end of the statement that may lock the row.
func modelWhere(ctx context.Context, q sqldb.Querier, id, lock string) (tracking.LoggedModel, error) {
	m, err := scanModel(q.QueryRowContext(ctx, "SELECT "+modelColumns+" FROM logged_models lm WHERE lm.model_id = ?"+lock, id))
	if ok, err := found(err); err != nil {
		return m, err
	} else if !ok {
		return m, tracking.UnknownLoggedModel(id)
	}
	return m, nil
}

// LoggedModel implements tracking.LoggedModelReader.
func (s *Store) LoggedModel(ctx context.Context, id string, allowDeleted bool) (tracking.LoggedModel, error) {
	var out tracking.LoggedModel
	err := s.db.ReadTx(ctx, func(q sqldb.Querier) (err error) {
		out, err = s.fullModel(ctx, q, id)
		if err == nil && out.Lifecycle == tracking.Deleted && !allowDeleted {
			err = tracking.UnknownLoggedModel(id)
		}
		return err
	})
	return out, err
}

func (s *Store) fullModel(ctx context.Context, q sqldb.Querier, id string) (tracking.LoggedModel, error) {
	m, err := modelHead(ctx, q, id)
	if err != nil {
		return m, err
	}
	list := []tracking.LoggedModel{m}
	err = s.loadModels(ctx, q, list)
	return list[0], err
}

// SearchLoggedModels implements tracking.LoggedModelReader.
func (s *Store) SearchLoggedModels(ctx context.Context, search tracking.LoggedModelSearch) (page.Found[tracking.LoggedModel], error) {
	var none page.Found[tracking.LoggedModel]
	in, err := experimentIDs(search.ExperimentIDs)
	if err != nil {
		return none, err
	}
	w := s.newWhere()
	w.add("lm.experiment_id IN (" + in + ")")
	w.add("lm.lifecycle_stage != 'deleted'")
	if err := w.modelFilter(search.Filter, search.Datasets); err != nil {
		return none, err
	}
	order, err := s.modelOrder(search.Order)
	if err != nil {
		return none, err
	}
	return readPage(ctx, s.db.ReadLong, modelColumns, "logged_models lm", w, order, search.After, search.Limit, scanModel, s.loadModels)
}

// loadModels fills tags, params and metrics of logged models: three queries for every chunk.
func (s *Store) loadModels(ctx context.Context, q sqldb.Querier, models []tracking.LoggedModel) error {
	index := make(map[string]*tracking.LoggedModel, len(models))
	ids := make([]string, len(models))
	for i := range models {
		index[models[i].ID], ids[i] = &models[i], models[i].ID
	}
	query := "SELECT model_id, tag_key, tag_value FROM logged_model_tags WHERE model_id IN (%s) ORDER BY model_id, tag_key"
	err := eachOf(ctx, q, query, nil, ids, func(rows *sql.Rows) error {
		var id string
		var t tracking.Tag
		if err := rows.Scan(&id, &t.Key, &t.Value); err != nil {
			return err
		}
		index[id].Tags = append(index[id].Tags, t)
		return nil
	})
	if err != nil {
		return err
	}
	query = "SELECT model_id, param_key, param_value FROM logged_model_params WHERE model_id IN (%s) ORDER BY model_id, param_key"
	err = eachOf(ctx, q, query, nil, ids, func(rows *sql.Rows) error {
		var id string
		var p tracking.Param
		if err := rows.Scan(&id, &p.Key, &p.Value); err != nil {
			return err
		}
		index[id].Params = append(index[id].Params, p)
		return nil
	})
	if err != nil {
		return err
	}
	return loadModelMetrics(ctx, q, ids, index)
}

func loadModelMetrics(ctx context.Context, q sqldb.Querier, ids []string, index map[string]*tracking.LoggedModel) error {
	query := "SELECT model_id, metric_name, COALESCE(metric_value, 0), metric_timestamp_ms, metric_step, run_id, COALESCE(dataset_name, ''), " +
		"COALESCE(dataset_digest, '') FROM logged_model_metrics WHERE model_id IN (%s) " +
		"ORDER BY model_id, metric_name, metric_timestamp_ms, metric_step, run_id"
	return eachOf(ctx, q, query, nil, ids, func(rows *sql.Rows) error {
		var m tracking.Metric
		if err := rows.Scan(&m.ModelID, &m.Key, &m.Value, &m.TimestampMS, &m.Step, &m.RunID, &m.DatasetName, &m.DatasetDigest); err != nil {
			return err
		}
		index[m.ModelID].Metrics = append(index[m.ModelID].Metrics, m)
		return nil
	})
}

// CreateLoggedModel implements tracking.LoggedModelWriter.
func (s *Store) CreateLoggedModel(ctx context.Context, m tracking.LoggedModel) error {
	return s.db.WithTx(ctx, func(tx *sqldb.Tx) error {
		n, err := activeExperiment(ctx, tx, m.ExperimentID)
		if err != nil {
			return err
		}
		insert := tx.Dialect().Insert("logged_models", "model_id", "experiment_id", "name", "artifact_location", "creation_timestamp_ms",
			"last_updated_timestamp_ms", "status", "lifecycle_stage", "model_type", "source_run_id", "status_message")
		_, err = tx.ExecContext(ctx, insert, m.ID, n, m.Name, m.ArtifactLocation, m.CreatedMS, m.UpdatedMS, m.Status.Number(), string(m.Lifecycle),
			m.ModelType, m.SourceRunID, nullEmpty(m.StatusMessage))
		if err != nil {
			return err
		}
		if _, err := insertModelParams(ctx, tx, m.ID, n, m.Params); err != nil {
			return err
		}
		return writeModelTags(ctx, tx, m.ID, n, m.Tags)
	})
}

// insertModelParams inserts params that do not stand yet and returns how many.
func insertModelParams(ctx context.Context, tx *sqldb.Tx, id string, experiment int64, params []tracking.Param) (int64, error) {
	var flat []any
	for _, p := range params {
		flat = append(flat, id, experiment, p.Key, p.Value)
	}
	tail := tx.Dialect().Upsert([]string{"model_id", "param_key"})
	return insertAll(ctx, tx, "logged_model_params", []string{"model_id", "experiment_id", "param_key", "param_value"}, tail, flat)
}

func writeModelTags(ctx context.Context, tx *sqldb.Tx, id string, experiment int64, tags []tracking.Tag) error {
	var flat []any
	for _, t := range tags {
		flat = append(flat, id, experiment, t.Key, t.Value)
	}
	tail := tx.Dialect().Upsert([]string{"model_id", "tag_key"}, "tag_value")
	_, err := insertAll(ctx, tx, "logged_model_tags", []string{"model_id", "experiment_id", "tag_key", "tag_value"}, tail, flat)
	return err
}

// withModel runs fn on a logged model, a deleted one too, in one transaction, which others that change it wait for.
func (s *Store) withModel(ctx context.Context, id string, fn func(tx *sqldb.Tx, experiment int64) error) error {
	return s.db.WithTx(ctx, func(tx *sqldb.Tx) error {
		m, err := modelWhere(ctx, tx, id, tx.ForUpdate())
		if err != nil {
			return err
		}
		n, err := experimentID(m.ExperimentID)
		if err != nil {
			return err
		}
		return fn(tx, n)
	})
}

// FinalizeLoggedModel implements tracking.LoggedModelWriter.
func (s *Store) FinalizeLoggedModel(ctx context.Context, id string, status tracking.ModelStatus, at int64) (tracking.LoggedModel, error) {
	var out tracking.LoggedModel
	err := s.withModel(ctx, id, func(tx *sqldb.Tx, _ int64) error {
		query := "UPDATE logged_models SET status = ?, last_updated_timestamp_ms = ? WHERE model_id = ?"
		if _, err := tx.ExecContext(ctx, query, status.Number(), at, id); err != nil {
			return err
		}
		var err error
		out, err = s.fullModel(ctx, tx, id)
		return err
	})
	return out, err
}

// DeleteLoggedModel implements tracking.LoggedModelWriter.
func (s *Store) DeleteLoggedModel(ctx context.Context, id string, at int64) error {
	return s.withModel(ctx, id, func(tx *sqldb.Tx, _ int64) error {
		_, err := tx.ExecContext(ctx, "UPDATE logged_models SET lifecycle_stage = 'deleted', last_updated_timestamp_ms = ? WHERE model_id = ?", at, id)
		return err
	})
}

// SetLoggedModelTags implements tracking.LoggedModelWriter.
func (s *Store) SetLoggedModelTags(ctx context.Context, id string, tags []tracking.Tag) error {
	return s.withModel(ctx, id, func(tx *sqldb.Tx, experiment int64) error {
		return writeModelTags(ctx, tx, id, experiment, tags)
	})
}

// DeleteLoggedModelTag implements tracking.LoggedModelWriter.
func (s *Store) DeleteLoggedModelTag(ctx context.Context, id, key string) error {
	return s.withModel(ctx, id, func(tx *sqldb.Tx, _ int64) error {
		unknown := mlflow.Missingf("No tag with key %s found for model with ID %s.", mlflow.Repr(key), mlflow.Repr(id))
		return deleteOne(ctx, tx, unknown, "DELETE FROM logged_model_tags WHERE model_id = ? AND tag_key = ?", id, key)
	})
}

// LogLoggedModelParams implements tracking.LoggedModelWriter.
func (s *Store) LogLoggedModelParams(ctx context.Context, id string, params []tracking.Param) error {
	return s.withModel(ctx, id, func(tx *sqldb.Tx, experiment int64) error {
		n, err := insertModelParams(ctx, tx, id, experiment, params)
		if err != nil || n == int64(len(params)) {
			return err
		}
		have, err := valuesByKey(ctx, tx, "SELECT param_key, param_value FROM logged_model_params WHERE model_id = ?"+tx.ForUpdate(), id)
		if err != nil {
			return err
		}
		want := make(map[string]string, len(params))
		for _, p := range params {
			want[p.Key] = p.Value
		}
		return paramConflicts(params, have, want)
	})
}
