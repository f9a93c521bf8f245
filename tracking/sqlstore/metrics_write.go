package sqlstore

import (
	"context"
	"database/sql"
	"math"
	"slices"
	"strings"

	"sluice/tracking"
	"sluice/tracking/sqldb"
)

// metricRow is a metric as the tables keep it: NaN is 0 with a mark, ±Inf is ±math.MaxFloat64 (as MLflow does).
type metricRow struct {
	runID, key      string
	value           float64
	timestamp, step int64
	nan             bool
}

func toRow(runID string, m tracking.Metric) metricRow {
	r := metricRow{runID: runID, key: m.Key, value: stored(m.Value), timestamp: m.TimestampMS, step: m.Step, nan: math.IsNaN(m.Value)}
	return r
}

// stored is a value as a FLOAT column keeps it.
func stored(v float64) float64 {
	switch {
	case math.IsNaN(v):
		return 0
	case math.IsInf(v, 0):
		return math.Copysign(math.MaxFloat64, v)
	case v == 0:
		return 0 // -0 and 0 are one row
	}
	return v
}

// newer reports whether a is later than b by step, timestamp and value: the order that latest_metrics goes by.
func (a metricRow) newer(b metricRow) bool {
	switch {
	case a.step != b.step:
		return a.step > b.step
	case a.timestamp != b.timestamp:
		return a.timestamp > b.timestamp
	}
	return a.value > b.value
}

// metricRows returns the rows of metrics, sorted by key so that writers take rows in one order. A metric may be among them twice: the
// table's key takes it once.
func metricRows(runID string, metrics []tracking.Metric) []metricRow {
	rows := make([]metricRow, len(metrics))
	for i, m := range metrics {
		rows[i] = toRow(runID, m)
	}
	slices.SortStableFunc(rows, func(a, b metricRow) int { return strings.Compare(a.key, b.key) })
	return rows
}

var (
	metricColumns = []string{"key", "value", "timestamp", "run_uuid", "step", "is_nan"}
	metricKey     = []string{"key", "timestamp", "step", "run_uuid", "value", "is_nan"}
)

// writeMetrics inserts the history and moves the latest values.
func writeMetrics(ctx context.Context, tx *sqldb.Tx, rows []metricRow) error {
	if err := insertMetrics(ctx, tx, "metrics", tx.Dialect().Upsert(metricKey), rows); err != nil {
		return err
	}
	return insertMetrics(ctx, tx, "latest_metrics", latestTail(tx.Dialect()), latestOf(rows))
}

func insertMetrics(ctx context.Context, tx *sqldb.Tx, table, tail string, rows []metricRow) error {
	_, err := tx.Insert(ctx, sqldb.Into{Table: table, Columns: metricColumns, Tail: tail}, len(rows), func(i int, to *sqldb.NewRow) {
		r := &rows[i]
		to.Text(r.key)
		to.Float(r.value)
		to.Int(r.timestamp)
		to.Text(r.runID)
		to.Int(r.step)
		to.Bool(r.nan)
	})
	return err
}

// latestOf returns the newest row of each key; rows are sorted by key.
func latestOf(rows []metricRow) []metricRow {
	var out []metricRow
	for _, r := range rows {
		last := len(out) - 1
		switch {
		case last < 0 || out[last].key != r.key:
			out = append(out, r)
		case r.newer(out[last]):
			out[last] = r
		}
	}
	return out
}

// latestTail makes an INSERT into latest_metrics overwrite the row with the same key and run if the new one is newer.
//
// MySQL assigns from left to right and reads what it has assigned: the mark and the value are decided on the old row; when the
// timestamp is decided only the value has changed, which counts only if step and timestamp are equal, and then there is nothing
// to assign; likewise for the step.
func latestTail(d sqldb.Dialect) string {
	if d != sqldb.MySQL {
		return d.Upsert([]string{"key", "run_uuid"}, "value", "timestamp", "step", "is_nan") +
			" WHERE (excluded.step, excluded.timestamp, excluded.value) > (latest_metrics.step, latest_metrics.timestamp, latest_metrics.value)"
	}
	const newer = "(VALUES(step), VALUES(`timestamp`), VALUES(value)) > (step, `timestamp`, value)"
	var parts []string
	for _, c := range []string{"is_nan", "value", "`timestamp`", "step"} {
		parts = append(parts, c+" = IF("+newer+", VALUES("+c+"), "+c+")")
	}
	return " ON DUPLICATE KEY UPDATE " + strings.Join(parts, ", ")
}

// writeModelMetrics stores the metrics that name a logged model under that model too.
func (s *Store) writeModelMetrics(ctx context.Context, tx *sqldb.Tx, run tracking.RunInfo, metrics []tracking.Metric) error {
	var flat []any
	var models []string
	n, err := experimentID(run.ExperimentID)
	if err != nil {
		return err
	}
	for _, m := range metrics {
		if m.ModelID == "" {
			continue
		}
		models = append(models, m.ModelID)
		flat = append(flat, m.ModelID, m.Key, m.TimestampMS, m.Step, stored(m.Value), n, run.ID, nullEmpty(m.DatasetName), nullEmpty(m.DatasetDigest))
	}
	if err := modelsExist(ctx, tx, models); err != nil || flat == nil {
		return err
	}
	key := []string{"model_id", "metric_name", "metric_timestamp_ms", "metric_step", "run_id"}
	columns := []string{"model_id", "metric_name", "metric_timestamp_ms", "metric_step", "metric_value", "experiment_id", "run_id", "dataset_name", "dataset_digest"}
	_, err = insertAll(ctx, tx, "logged_model_metrics", columns, tx.Dialect().Upsert(key), flat)
	return err
}

// modelsExist returns MetricOfUnknownModel for the first id without a row.
func modelsExist(ctx context.Context, tx *sqldb.Tx, ids []string) error {
	have := make(map[string]bool, len(ids))
	query := "SELECT model_id FROM logged_models WHERE model_id IN (%s)"
	err := eachOf(ctx, tx, query, nil, ids, func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		have[id] = true
		return err
	})
	for _, id := range ids {
		if err == nil && !have[id] {
			return tracking.MetricOfUnknownModel(id)
		}
	}
	return err
}

func nullEmpty(s string) any {
	if s == "" {
		return nil
	}
	return s
}
