package sqlstore

import (
	"context"
	"database/sql"
	"strconv"

	"sluice/tracking"
	"sluice/tracking/sqldb"
)

// The words of the table inputs (source: mlflow/store/tracking/sqlalchemy_store.py).
const (
	typeDataset     = "DATASET"
	typeRun         = "RUN"
	typeRunInput    = "RUN_INPUT"
	typeRunOutput   = "RUN_OUTPUT"
	typeModelInput  = "MODEL_INPUT"
	typeModelOutput = "MODEL_OUTPUT"
)

var inputKey = []string{"source_type", "source_id", "destination_type", "destination_id"}

// LogInputs implements tracking.InputStore.
func (s *Store) LogInputs(ctx context.Context, runID string, datasets []tracking.DatasetInput, models []tracking.ModelInput) error {
	return s.db.WithTx(ctx, func(tx *sqldb.Tx) error {
		r, err := activeRun(ctx, tx, runID)
		if err != nil {
			return err
		}
		n, err := experimentID(r.ExperimentID)
		if err != nil {
			return err
		}
		for _, d := range datasets {
			if err := s.logDataset(ctx, tx, n, runID, d); err != nil {
				return err
			}
		}
		for _, m := range models {
			if _, err := s.link(ctx, tx, typeRunInput, runID, typeModelInput, m.ModelID, 0); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) logDataset(ctx context.Context, tx *sqldb.Tx, experiment int64, runID string, in tracking.DatasetInput) error {
	id, err := s.datasetID(ctx, tx, experiment, in.Dataset)
	if err != nil {
		return err
	}
	edge, err := s.link(ctx, tx, typeDataset, id, typeRun, runID, 0)
	if err != nil || edge == "" {
		return err
	}
	var flat []any
	for _, t := range in.Tags {
		flat = append(flat, edge, t.Key, t.Value)
	}
	_, err = insertAll(ctx, tx, "input_tags", []string{"input_uuid", "name", "value"}, "", flat)
	return err
}

// datasetID returns the id of a dataset, which it makes known if need be.
func (s *Store) datasetID(ctx context.Context, tx *sqldb.Tx, experiment int64, d tracking.Dataset) (string, error) {
	insert := tx.Dialect().InsertIgnore("datasets", []string{"experiment_id", "name", "digest"},
		"dataset_uuid", "experiment_id", "name", "digest", "dataset_source_type", "dataset_source", "dataset_schema", "dataset_profile")
	_, err := tx.ExecContext(ctx, insert, s.newID(), experiment, d.Name, d.Digest, d.SourceType, d.Source, nullEmpty(d.Schema), nullEmpty(d.Profile))
	if err != nil {
		return "", err
	}
	var id string
	query := "SELECT dataset_uuid FROM datasets WHERE experiment_id = ? AND name = ? AND digest = ?" + tx.ForUpdate()
	err = tx.QueryRowContext(ctx, query, experiment, d.Name, d.Digest).Scan(&id)
	return id, err
}

// link inserts an edge and returns its id, "" if the edge stands already.
func (s *Store) link(ctx context.Context, tx *sqldb.Tx, sourceType, source, destinationType, destination string, step int64) (string, error) {
	id := s.newID()
	insert := tx.Dialect().InsertIgnore("inputs", inputKey, "input_uuid", "source_type", "source_id", "destination_type", "destination_id", "step")
	res, err := tx.ExecContext(ctx, insert, id, sourceType, source, destinationType, destination, step)
	if err != nil {
		return "", err
	}
	n, err := res.RowsAffected()
	if n == 0 {
		id = ""
	}
	return id, err
}

// LogOutputs implements tracking.InputStore.
func (s *Store) LogOutputs(ctx context.Context, runID string, models []tracking.ModelOutput) error {
	return s.db.WithTx(ctx, func(tx *sqldb.Tx) error {
		if _, err := activeRun(ctx, tx, runID); err != nil {
			return err
		}
		for _, m := range models {
			if _, err := s.link(ctx, tx, typeRunOutput, runID, typeModelOutput, m.ModelID, m.Step); err != nil {
				return err
			}
		}
		return nil
	})
}

// loadDatasets fills the dataset inputs of runs.
func (s *Store) loadDatasets(ctx context.Context, q sqldb.Querier, ids []string, index map[string]*tracking.Run) error {
	query := "SELECT i.destination_id, i.input_uuid, d.name, d.digest, d.dataset_source_type, d.dataset_source, COALESCE(d.dataset_schema, ''), " +
		"COALESCE(d.dataset_profile, ''), it.name, it.value FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id " +
		"LEFT JOIN input_tags it ON it.input_uuid = i.input_uuid " +
		"WHERE i.source_type = 'DATASET' AND i.destination_type = 'RUN' AND i.destination_id IN (%s) " +
		"ORDER BY i.destination_id, " + s.db.Dialect().Arrival("i") + "d.name, d.digest, i.input_uuid, it.name"
	edge := ""
	return eachOf(ctx, q, query, nil, ids, func(rows *sql.Rows) error {
		var run, id string
		var d tracking.Dataset
		var key, value sql.NullString
		if err := rows.Scan(&run, &id, &d.Name, &d.Digest, &d.SourceType, &d.Source, &d.Schema, &d.Profile, &key, &value); err != nil {
			return err
		}
		in := &index[run].Inputs
		if id != edge || len(in.Datasets) == 0 {
			in.Datasets = append(in.Datasets, tracking.DatasetInput{Dataset: d})
			edge = id
		}
		if key.Valid {
			last := &in.Datasets[len(in.Datasets)-1]
			last.Tags = append(last.Tags, tracking.Tag{Key: key.String, Value: value.String})
		}
		return nil
	})
}

// loadOutputs fills the model outputs of runs.
func (s *Store) loadOutputs(ctx context.Context, q sqldb.Querier, ids []string, index map[string]*tracking.Run) error {
	query := "SELECT source_id, destination_id, step FROM inputs WHERE source_type = 'RUN_OUTPUT' AND destination_type = 'MODEL_OUTPUT' " +
		"AND source_id IN (%s) ORDER BY source_id, step, destination_id"
	return eachOf(ctx, q, query, nil, ids, func(rows *sql.Rows) error {
		var run string
		var m tracking.ModelOutput
		if err := rows.Scan(&run, &m.ModelID, &m.Step); err != nil {
			return err
		}
		index[run].Outputs = append(index[run].Outputs, m)
		return nil
	})
}

func modelInputs(ctx context.Context, q sqldb.Querier, runID string) ([]tracking.ModelInput, error) {
	query := "SELECT destination_id FROM inputs WHERE source_type = ? AND source_id = ? AND destination_type = ? ORDER BY destination_id"
	var out []tracking.ModelInput
	err := each(ctx, q, query, []any{typeRunInput, runID, typeModelInput}, func(rows *sql.Rows) error {
		var m tracking.ModelInput
		err := rows.Scan(&m.ModelID)
		out = append(out, m)
		return err
	})
	return out, err
}

// SearchDatasets implements tracking.InputStore.
func (s *Store) SearchDatasets(ctx context.Context, ids []string, limit int) ([]tracking.DatasetSummary, error) {
	in, err := experimentIDs(ids)
	if err != nil {
		return nil, err
	}
	query := "SELECT DISTINCT d.experiment_id, d.name, d.digest, it.value FROM datasets d JOIN inputs i ON i.source_id = d.dataset_uuid " +
		"LEFT JOIN input_tags it ON it.input_uuid = i.input_uuid AND it.name = ? WHERE d.experiment_id IN (" + in + ") " +
		"ORDER BY d.experiment_id, d.name, d.digest, it.value LIMIT ?"
	var out []tracking.DatasetSummary
	err = each(ctx, s.db.Read(), query, []any{tracking.DatasetContextTag, limit}, func(rows *sql.Rows) error {
		var d tracking.DatasetSummary
		var experiment int64
		var usage sql.NullString
		err := rows.Scan(&experiment, &d.Name, &d.Digest, &usage)
		d.ExperimentID, d.Context, d.HasContext = strconv.FormatInt(experiment, 10), usage.String, usage.Valid
		out = append(out, d)
		return err
	})
	return out, sqldb.Classify(err)
}
