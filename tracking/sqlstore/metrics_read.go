package sqlstore

import (
	"context"
	"math"
	"slices"

	"sluice/tracking"
	"sluice/tracking/page"
	"sluice/tracking/sqldb"
)

// MetricHistory implements tracking.MetricStore. The place is made of the last row.
func (s *Store) MetricHistory(ctx context.Context, runID, key string, after page.Place, limit int) (found page.Found[tracking.Metric], err error) {
	order := sqldb.Keyset{Dialect: s.db.Dialect(), Keys: historyKeys}
	behind, args, err := order.After(after)
	if err != nil {
		return found, err
	}
	if behind != "" {
		behind, args = " AND timestamp >= ? AND "+behind, append([]any{args[0]}, args...) // the first term says it to the index
	}
	most := int64(noLimit)
	if limit > 0 {
		most = int64(limit) + 1
		found.Rows = make([]tracking.Metric, 0, min(limit, historyHint))
	}
	column, err := s.keyColumn(ctx, []string{runID})
	if err != nil {
		return found, err
	}
	query := "SELECT value, timestamp, step, is_nan FROM metrics WHERE run_uuid = ? AND " + column + " = ?" + behind + " ORDER BY " + order.OrderBy() + " LIMIT ?"
	var last float64 // as stored
	err = sqldb.Each(ctx, s.db.Read(), query, append(append([]any{runID, key}, args...), most), func(row *sqldb.Values) error {
		if limit > 0 && len(found.Rows) == limit {
			found.More = true
			return nil
		}
		last = row.Float(0)
		m := tracking.Metric{Key: key, Value: last, TimestampMS: row.Int(1), Step: row.Int(2)}
		if row.Bool(3) {
			m.Value = math.NaN()
		}
		found.Rows = append(found.Rows, m)
		return nil
	})
	if n := len(found.Rows); n > 0 {
		m := found.Rows[n-1]
		mark := int64(0)
		if math.IsNaN(m.Value) {
			mark = 1
		}
		found.End = page.Place{m.TimestampMS, m.Step, last, mark}
	}
	return found, sqldb.Classify(err)
}

// fewMetrics is up to how many stored points runs are read by their ids, and not by the key.
const fewMetrics = 50_000

// keyColumn returns the column to compare keys with where histories of runs are read. SQLite would walk the points that all runs ever
// logged under the key, which come in the order of time: right for a run that logged most of them, but a run of a few thousand points is
// found by its id and sorted. The + takes the key's index out of the choice.
func (s *Store) keyColumn(ctx context.Context, runIDs []string) (string, error) {
	column := s.q("key")
	if s.db.Dialect() != sqldb.SQLite {
		return column, nil
	}
	var points int
	query := inList("SELECT COUNT(*) FROM (SELECT 1 FROM metrics WHERE run_uuid IN (%s) LIMIT ?)", len(runIDs))
	err := s.db.Read().QueryRowContext(ctx, query, append(anys(runIDs), fewMetrics+1)...).Scan(&points)
	if points <= fewMetrics {
		column = "+" + column
	}
	return column, sqldb.Classify(err)
}

// historyHint is how many rows of a history are made room for in advance.
const historyHint = 4096

// historyKeys tell the points of one metric of one run apart.
var historyKeys = []sqldb.SortKey{
	{Expr: "timestamp", NotNull: true}, {Expr: "step", NotNull: true}, {Expr: "value", Kind: sqldb.FloatKey, NotNull: true},
	{Expr: "CASE WHEN is_nan = TRUE THEN 1 ELSE 0 END", NotNull: true},
}

// MetricHistories implements tracking.MetricStore.
func (s *Store) MetricHistories(ctx context.Context, runIDs []string, key string, limit int) ([]tracking.RunMetric, error) {
	ids := distinct(runIDs)
	k := s.q("key")
	column, err := s.keyColumn(ctx, ids[:min(len(ids), chunk)])
	if err != nil {
		return nil, err
	}
	query := "SELECT run_uuid, " + k + ", value, timestamp, step, is_nan FROM metrics WHERE " + column + " = ? AND run_uuid IN (%s) " +
		"ORDER BY run_uuid, timestamp, step, value"
	slices.Sort(ids) // chunks of sorted ids come out sorted
	var out []tracking.RunMetric
	for len(ids) > 0 && len(out) < limit {
		n := min(chunk, len(ids))
		rows, err := s.runMetrics(ctx, key, query+" LIMIT ?", []any{key}, ids[:n], limit-len(out))
		if err != nil {
			return nil, err
		}
		out = append(out, rows...)
		ids = ids[n:]
	}
	return out, nil
}

func (s *Store) runMetrics(ctx context.Context, key, query string, args []any, ids []string, more ...any) ([]tracking.RunMetric, error) {
	var out []tracking.RunMetric
	args = append(append(args, anys(ids)...), more...)
	err := sqldb.Each(ctx, s.db.Read(), inList(query, len(ids)), args, func(row *sqldb.Values) error {
		out = append(out, tracking.RunMetric{RunID: row.Text(0), Metric: metricOf(row, key)})
		return nil
	})
	return out, sqldb.Classify(err)
}

// SampleMetricHistory implements tracking.MetricStore: the database cuts each history into MaxResults buckets of equal size and
// keeps the first row of each; the very last row is added, and replaces the one before it if the answer would get too long.
func (s *Store) SampleMetricHistory(ctx context.Context, q tracking.IntervalQuery) ([]tracking.RunMetric, error) {
	ids := distinct(q.RunIDs)
	column, err := s.keyColumn(ctx, ids[:min(len(ids), chunk)])
	if err != nil {
		return nil, err
	}
	query, args := s.sampleQuery(q, column)
	byRun := make(map[string][]tracking.RunMetric, len(ids))
	for rest := ids; len(rest) > 0; {
		n := min(chunk, len(rest))
		rows, err := s.runMetrics(ctx, q.Key, query, slices.Clone(args), rest[:n])
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			byRun[r.RunID] = append(byRun[r.RunID], r)
		}
		rest = rest[n:]
	}
	var out []tracking.RunMetric
	for _, id := range ids {
		rows := byRun[id]
		if n := len(rows); n > q.MaxResults {
			rows = append(rows[:n-2], rows[n-1])
		}
		out = append(out, rows...)
	}
	return out, nil
}

// sampleQuery returns the statement with "%s" for the run ids, which come last among its parameters; keyColumn is what keys are compared with.
func (s *Store) sampleQuery(q tracking.IntervalQuery, keyColumn string) (string, []any) {
	const order = "step, timestamp, value, is_nan"
	const backwards = "step DESC, timestamp DESC, value DESC, is_nan DESC"
	k := s.q("key")
	bounds, args := "", []any{q.MaxResults, q.Key}
	if q.StartStep != nil && q.EndStep != nil {
		bounds = " AND step >= ? AND step <= ?"
		args = append(args, *q.StartStep, *q.EndStep)
	}
	buckets := "SELECT run_uuid, " + k + ", value, timestamp, step, is_nan, " +
		"NTILE(?) OVER (PARTITION BY run_uuid ORDER BY " + order + ") AS bucket, " +
		"ROW_NUMBER() OVER (PARTITION BY run_uuid ORDER BY " + backwards + ") AS from_end " +
		"FROM metrics WHERE " + keyColumn + " = ?" + bounds + " AND run_uuid IN (%s)"
	ranked := "SELECT b.*, ROW_NUMBER() OVER (PARTITION BY run_uuid, bucket ORDER BY " + order + ") AS in_bucket FROM (" + buckets + ") b"
	return "SELECT run_uuid, " + k + ", value, timestamp, step, is_nan FROM (" + ranked + ") s WHERE in_bucket = 1 OR from_end = 1 " +
		"ORDER BY run_uuid, " + order, args
}

// distinct returns the list without repetitions, in its order.
func distinct(list []string) []string {
	seen := make(map[string]bool, len(list))
	var out []string
	for _, s := range list {
		if !seen[s] {
			out = append(out, s)
		}
		seen[s] = true
	}
	return out
}
