package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"

	"sluice/tracking/mlflow"
)

// MLflow can keep daily sums over traces beside the traces and then answers from them (MLFLOW_SQL_TRACE_ROLLUPS_ENABLED of MLflow 3.17, off by
// default). They go wrong under a writer that does not keep them. So MLflow without that setting starts on no database that holds some, and
// Open, which never keeps them, refuses it too. Deleting them loses nothing: MLflow builds them again from the traces.

// rollupTables hold the sums, rebuildQueue the days whose sums are out of date.
var rollupTables = [...]string{"sql_trace_metric_daily_rollups", "sql_span_cost_daily_rollups", "sql_assessment_daily_rollups"}

const rebuildQueue = "sql_trace_rollup_rebuild_queue"

// settleRollups refuses a database that holds rollups, or deletes them if that is asked for.
func (db *DB) settleRollups(ctx context.Context) error {
	if db.opts.DropRollups {
		return db.dropRollups(ctx)
	}
	for _, table := range rollupTables {
		if !db.HasTable(table) {
			continue
		}
		held, err := found(ctx, db.Read(), anyRow(table))
		if err != nil {
			return err
		}
		if held {
			return mlflow.Errorf(mlflow.InvalidState, "the database holds MLflow's rollups of traces (%s), which would go wrong, since this server does not "+
				"keep them. Stop all servers on it and run: sluice db delete-trace-rollups. The traces stay, and MLflow can make its rollups anew", table)
		}
	}
	return nil
}

func (db *DB) dropRollups(ctx context.Context) error {
	var rows int64
	err := db.WithTx(ctx, func(tx *Tx) error {
		rows = 0
		for _, table := range append(rollupTables[:], rebuildQueue) {
			if !db.HasTable(table) {
				continue
			}
			res, err := tx.ExecContext(ctx, "DELETE FROM "+table)
			if err != nil {
				return err
			}
			n, err := res.RowsAffected()
			if err != nil {
				return err
			}
			rows += n
		}
		return nil
	})
	if err == nil {
		db.opts.Logger.Info("rollups of traces deleted", slog.Int64("rows", rows))
	}
	return err
}

// rowQuerier runs a query for one row; a Querier and a *sql.DB are that.
type rowQuerier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// found says whether the query, which selects one number, selects a row.
func found(ctx context.Context, q rowQuerier, query string) (bool, error) {
	var one int
	err := q.QueryRowContext(ctx, query).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, Classify(err)
}

func anyRow(table string) string { return "SELECT 1 FROM " + table + " LIMIT 1" }

// heldRollups returns a problem for each of the tables that are there and hold rollups.
func heldRollups(ctx context.Context, d Dialect, db *sql.DB) ([]string, error) {
	tables, err := lines(ctx, db, "SELECT name FROM ("+d.tables()+") a WHERE name LIKE 'sql!_%!_daily!_rollups' ESCAPE '!' ORDER BY name")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, table := range tables {
		held, err := found(ctx, db, anyRow(table))
		if err != nil {
			return nil, err
		}
		if held {
			out = append(out, table+" holds MLflow's rollups of traces, which no server here keeps: stop all servers and run sluice db delete-trace-rollups")
		}
	}
	return out, nil
}
