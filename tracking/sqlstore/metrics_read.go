package sqlstore

import (
	"context"
	"database/sql"
	"slices"

	"sluice/tracking"
	"sluice/tracking/sqldb"
)

// MetricHistory implements tracking.MetricStore.
func (s *Store) MetricHistory(ctx context.Context, runID, key string, offset, limit int) ([]tracking.Metric, error) {
	most := int64(limit)
	if limit == 0 {
		most = noLimit
	}
	k := s.q("key")
	query := "SELECT run_uuid, " + k + ", value, timestamp, step, is_nan FROM metrics WHERE run_uuid = ? AND " + k + " = ? " +
		"ORDER BY timestamp, step, value LIMIT ? OFFSET ?"
	var out []tracking.Metric
	err := each(ctx, s.db.Read(), query, []any{runID, key, most, offset}, func(rows *sql.Rows) error {
		var id string
		m, err := scanMetric(rows, &id)
		out = append(out, m)
		return err
	})
	return out, sqldb.Classify(err)
}

// MetricHistories implements tracking.MetricStore.
func (s *Store) MetricHistories(ctx context.Context, runIDs []string, key string, limit int) ([]tracking.RunMetric, error) {
	k := s.q("key")
	query := "SELECT run_uuid, " + k + ", value, timestamp, step, is_nan FROM metrics WHERE " + k + " = ? AND run_uuid IN (%s) " +
		"ORDER BY run_uuid, timestamp, step, value"
	ids := distinct(runIDs)
	slices.Sort(ids) // chunks of sorted ids come out sorted
	var out []tracking.RunMetric
	for len(ids) > 0 && len(out) < limit {
		n := min(chunk, len(ids))
		rows, err := s.runMetrics(ctx, query+" LIMIT ?", []any{key}, ids[:n], limit-len(out))
		if err != nil {
			return nil, err
		}
		out = append(out, rows...)
		ids = ids[n:]
	}
	return out, nil
}

func (s *Store) runMetrics(ctx context.Context, query string, args []any, ids []string, more ...any) ([]tracking.RunMetric, error) {
	var out []tracking.RunMetric
	args = append(append(args, anys(ids)...), more...)
	err := each(ctx, s.db.Read(), inList(query, len(ids)), args, func(rows *sql.Rows) error {
		var r tracking.RunMetric
		var err error
		r.Metric, err = scanMetric(rows, &r.RunID)
		out = append(out, r)
		return err
	})
	return out, sqldb.Classify(err)
}

// SampleMetricHistory implements tracking.MetricStore: the database cuts each history into MaxResults buckets of equal size and
// keeps the first row of each; the very last row is added, and replaces the one before it if the answer would get too long.
func (s *Store) SampleMetricHistory(ctx context.Context, q tracking.IntervalQuery) ([]tracking.RunMetric, error) {
	ids := distinct(q.RunIDs)
	query, args := s.sampleQuery(q)
	byRun := make(map[string][]tracking.RunMetric, len(ids))
	for rest := ids; len(rest) > 0; {
		n := min(chunk, len(rest))
		rows, err := s.runMetrics(ctx, query, slices.Clone(args), rest[:n])
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

// sampleQuery returns the statement with "%s" for the run ids, which come last among its parameters.
func (s *Store) sampleQuery(q tracking.IntervalQuery) (string, []any) {
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
		"FROM metrics WHERE " + k + " = ?" + bounds + " AND run_uuid IN (%s)"
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
