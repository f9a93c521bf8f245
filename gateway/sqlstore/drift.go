package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"sluice/gateway/drift"
	"sluice/gateway/predlog"
	"sluice/tracking/sqldb"
)

// Drift implements drift.Store over SQL: a row for each version at each endpoint.
type Drift struct{ db *sqldb.DB }

var _ drift.Store = (*Drift)(nil)

// NewDrift returns a store over db after it brought its table up to date. The database stays the caller's to close.
func NewDrift(ctx context.Context, db *sqldb.DB) (*Drift, error) {
	if err := db.Migrate(ctx, "drift", driftMigrations); err != nil {
		return nil, err
	}
	return &Drift{db: db}, nil
}

// driftMigrations of the component "drift"; steps are never edited after a release. The report stands beside the state, which is larger.
var driftMigrations = []sqldb.Migration{{ID: 1, Name: "states", SQL: []string{
	`CREATE TABLE sluice_drift_states (
		endpoint VARCHAR(256) NOT NULL,
		model VARCHAR(256) NOT NULL,
		version INTEGER NOT NULL,
		seq BIGINT NOT NULL,
		updated_ms BIGINT NOT NULL,
		report TEXT NOT NULL,
		state TEXT NOT NULL,
		PRIMARY KEY (endpoint, model, version)
	)`,
	`CREATE INDEX sluice_drift_states_updated ON sluice_drift_states (updated_ms)`,
}}}

// Update implements drift.Store.
func (s *Drift) Update(ctx context.Context, series predlog.Series, nowMS int64, change func(*drift.State) error) error {
	return s.db.WithTx(ctx, func(tx *sqldb.Tx) error {
		if err := tx.Lock(ctx, "drift"); err != nil {
			return err
		}
		var text string
		err := tx.QueryRowContext(ctx, `SELECT state FROM sluice_drift_states WHERE endpoint = ? AND model = ? AND version = ?`,
			series.Endpoint, series.Model, series.Version).Scan(&text)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		var state drift.State
		if text != "" {
			if err := json.Unmarshal([]byte(text), &state); err != nil {
				return fmt.Errorf("stored drift of endpoint %q: %w", series.Endpoint, err)
			}
		}
		if err := change(&state); err != nil {
			return err
		}
		return putDrift(ctx, tx, series, nowMS, &state)
	})
}

func putDrift(ctx context.Context, tx *sqldb.Tx, series predlog.Series, nowMS int64, state *drift.State) error {
	report, err := json.Marshal(state.Report)
	if err != nil {
		return err
	}
	text, err := json.Marshal(state)
	if err != nil {
		return err
	}
	key := []string{"endpoint", "model", "version"}
	values := []string{"seq", "updated_ms", "report", "state"}
	_, err = tx.ExecContext(ctx, tx.Dialect().Insert("sluice_drift_states", append(key, values...)...)+tx.Dialect().Upsert(key, values...),
		series.Endpoint, series.Model, series.Version, state.Seq, nowMS, string(report), string(text))
	return err
}

// Reports implements drift.Store.
func (s *Drift) Reports(ctx context.Context) ([]drift.SeriesReport, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT endpoint, model, version, seq, updated_ms, report FROM sluice_drift_states`)
	if err != nil {
		return nil, sqldb.Classify(err)
	}
	defer rows.Close()
	var out []drift.SeriesReport
	for rows.Next() {
		var r drift.SeriesReport
		var report string
		if err := rows.Scan(&r.Endpoint, &r.Model, &r.Version, &r.Seq, &r.UpdatedMS, &report); err != nil {
			return nil, sqldb.Classify(err)
		}
		if err := json.Unmarshal([]byte(report), &r.Report); err != nil {
			return nil, fmt.Errorf("stored drift of endpoint %q: %w", r.Endpoint, err)
		}
		out = append(out, r)
	}
	return out, sqldb.Classify(rows.Err())
}

// Forget implements drift.Store.
func (s *Drift) Forget(ctx context.Context, beforeMS int64) error {
	return s.db.WithTx(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM sluice_drift_states WHERE updated_ms < ?`, beforeMS)
		return err
	})
}
