package sqlstore

import (
	"context"

	"sluice/tracking"
	"sluice/tracking/filter"
	"sluice/tracking/page"
	"sluice/tracking/sqldb"
)

// indexes are ours on MLflow's tables: the order in which runs are asked for most, and the values of one metric in order. MLflow's
// migrations take them along. Servers are left to those who run them.
var indexes = []string{
	"CREATE INDEX IF NOT EXISTS sluice_runs_start ON runs (experiment_id, lifecycle_stage, start_time DESC, run_uuid)",
	"CREATE INDEX IF NOT EXISTS sluice_latest_metrics_value ON latest_metrics (key, is_nan, value, run_uuid)",
}

// Prepare makes the indexes that searches want, on SQLite. Without them they are answered all the same.
func Prepare(ctx context.Context, db *sqldb.DB) error {
	if db.Dialect() != sqldb.SQLite {
		return nil
	}
	return db.WithTx(ctx, func(tx *sqldb.Tx) error {
		for _, statement := range indexes {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

// byMetric says whether runs are searched in the order of a metric where SQLite can walk an index of its values.
func (s *Store) byMetric(order []filter.Order) bool {
	return s.db.Dialect() == sqldb.SQLite && len(order) > 0 && order[0].Entity == filter.Metric
}

// readByMetric is readPage for runs in the order of a metric: first those with a value, by walking the values in their order until the
// page is full, then, only if it is not, NaN and the runs without the metric, which takes all runs to be looked at.
func (s *Store) readByMetric(ctx context.Context, w *where, search tracking.RunSearch, o ordering) (found page.Found[tracking.Run], err error) {
	generic := sqldb.PageQuery{Columns: runColumns, From: "runs r" + o.joins, FromArgs: o.args, WhereArgs: w.args, Keys: o.keys, Limit: search.Limit}
	err = s.db.ReadLong(ctx, func(q sqldb.Querier) error {
		if generic.After, err = o.keys.Resolve(ctx, q, generic.From, generic.FromArgs, search.After); err != nil {
			return err
		}
		if rank := generic.After; len(rank) == 0 || rank[0] == int64(0) {
			if found, err = s.withValue(ctx, q, w, o, generic.After, search.Limit); err != nil || found.More {
				return s.loadRest(ctx, q, found.Rows, err)
			}
			generic.After = nil
		}
		generic.Where = w.sql() + " AND " + o.keys.Keys[0].Expr + " > 0"
		generic.Limit -= len(found.Rows)
		rest, err := sqldb.ReadPage(ctx, q, generic, scanFoundRun)
		if rest.End != nil {
			found.End = rest.End
		}
		found.Rows, found.More = append(found.Rows, rest.Rows...), rest.More
		return s.loadRest(ctx, q, found.Rows, err)
	})
	return found, err
}

func (s *Store) loadRest(ctx context.Context, q sqldb.Querier, rows []tracking.Run, err error) error {
	if err != nil {
		return err
	}
	return s.loadRuns(ctx, q, rows)
}

// withValue reads the page of runs that have a value of the metric. The join's order is fixed, so that the index is walked.
func (s *Store) withValue(ctx context.Context, q sqldb.Querier, w *where, o ordering, after page.Place, limit int) (page.Found[tracking.Run], error) {
	keys := o.keys
	keys.Keys = append([]sqldb.SortKey{}, keys.Keys[1:]...) // the first, the rank, is 0
	keys.Keys[0].NotNull = true
	where := "o0." + s.q("key") + " = ? AND o0.is_nan = 0 AND " + w.sql()
	args := append([]any{o.args[0]}, w.args...)
	if after != nil {
		term, more, err := keys.After(after[1:])
		if err != nil {
			return page.Found[tracking.Run]{}, err
		}
		op := " >= ?"
		if keys.Keys[0].Desc {
			op = " <= ?"
		}
		where += " AND o0.value" + op + " AND " + term // the first term says it to the index
		args = append(append(args, more[0]), more...)
	}
	query := "SELECT " + runColumns + ", " + o.keys.Columns() + " FROM latest_metrics o0 CROSS JOIN runs r ON r.run_uuid = o0.run_uuid" + o.moreJoins() +
		" WHERE " + where + " ORDER BY " + keys.OrderBy() + " LIMIT ?"
	args = append(append(append([]any{}, o.args[1:]...), args...), limit+1)
	return sqldb.Page(ctx, q, o.keys, limit, scanFoundRun, query, args...)
}

func scanFoundRun(row *sqldb.Row) (tracking.Run, error) {
	info, err := scanRun(row)
	return tracking.Run{Info: info}, err
}
