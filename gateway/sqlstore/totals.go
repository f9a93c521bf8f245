package sqlstore

import (
	"context"
	"fmt"

	"sluice/gateway/monitor"
	"sluice/tracking/sqldb"
)

// Totals implements monitor.Totals over SQL: a row for each serving run.
type Totals struct{ db *sqldb.DB }

var _ monitor.Totals = (*Totals)(nil)

// NewTotals returns a store over db after it brought its table up to date. The database stays the caller's to close.
func NewTotals(ctx context.Context, db *sqldb.DB) (*Totals, error) {
	if err := db.Migrate(ctx, "serving runs", totalMigrations); err != nil {
		return nil, err
	}
	return &Totals{db: db}, nil
}

// totalMigrations of the component "serving runs"; steps are never edited after a release.
var totalMigrations = []sqldb.Migration{{ID: 1, Name: "totals", SQL: []string{
	`CREATE TABLE sluice_serving_totals (
		run_id VARCHAR(64) NOT NULL PRIMARY KEY,
		step BIGINT NOT NULL,
		requests BIGINT NOT NULL,
		errors BIGINT NOT NULL,
		rows_logged BIGINT NOT NULL,
		dropped BIGINT NOT NULL,
		sampled_out BIGINT NOT NULL
	)`,
}}}

// Add implements monitor.Totals.
func (s *Totals) Add(ctx context.Context, runID string, base, delta monitor.Sums) (monitor.Sums, error) {
	for range 2 {
		if sums, known, err := s.add(ctx, runID, delta); known || err != nil {
			return sums, err
		}
		if err := s.begin(ctx, runID, base); err != nil {
			return monitor.Sums{}, err
		}
	}
	return monitor.Sums{}, fmt.Errorf("the sums of serving run %s do not stay", runID)
}

// add adds to a row, which it locks, and says whether it is there.
func (s *Totals) add(ctx context.Context, runID string, delta monitor.Sums) (sums monitor.Sums, known bool, err error) {
	err = s.db.WithTx(ctx, func(tx *sqldb.Tx) error {
		changed, err := tx.ExecContext(ctx, `UPDATE sluice_serving_totals SET step = step + 1, requests = requests + ?, errors = errors + ?,
			rows_logged = rows_logged + ?, dropped = dropped + ?, sampled_out = sampled_out + ? WHERE run_id = ?`,
			delta.Requests, delta.Errors, delta.Rows, delta.Dropped, delta.SampledOut, runID)
		if err != nil {
			return err
		}
		n, err := changed.RowsAffected()
		if known = n > 0; err != nil || !known {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT step, requests, errors, rows_logged, dropped, sampled_out FROM sluice_serving_totals WHERE run_id = ?`, runID).
			Scan(&sums.Step, &sums.Requests, &sums.Errors, &sums.Rows, &sums.Dropped, &sums.SampledOut)
	})
	return sums, known, err
}

// begin makes the row, unless another process was faster.
func (s *Totals) begin(ctx context.Context, runID string, base monitor.Sums) error {
	return s.db.WithTx(ctx, func(tx *sqldb.Tx) error {
		if err := tx.Lock(ctx, "serving totals"); err != nil {
			return err
		}
		var n int
		err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM sluice_serving_totals WHERE run_id = ?`, runID).Scan(&n)
		if err != nil || n > 0 {
			return err
		}
		_, err = tx.ExecContext(ctx, tx.Dialect().Insert("sluice_serving_totals", "run_id", "step", "requests", "errors", "rows_logged", "dropped", "sampled_out"),
			runID, base.Step, base.Requests, base.Errors, base.Rows, base.Dropped, base.SampledOut)
		return err
	})
}
