package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strconv"
	"strings"

	"sluice/tracking"
	"sluice/tracking/filter"
	"sluice/tracking/sqldb"
)

// metricTable is where a view finds its rows: s are spans, a assessments, ti their traces.
var metricTable = map[tracking.MetricView]string{
	tracking.TraceView:      "trace_info ti",
	tracking.SpanView:       "spans s JOIN trace_info ti ON ti.request_id = s.trace_id",
	tracking.AssessmentView: "assessments a JOIN trace_info ti ON ti.request_id = a.trace_id",
}

// metricColumn leads from metrics to what is summed; latencies are milliseconds.
func metricColumn(d sqldb.Dialect, view tracking.MetricView, metric string) string {
	if view == tracking.SpanView && metric == "latency" {
		if d == sqldb.MySQL {
			return "((s.end_time_unix_nano - s.start_time_unix_nano) DIV 1000000)"
		}
		return "((s.end_time_unix_nano - s.start_time_unix_nano) / 1000000)"
	}
	switch metric {
	case "trace_count":
		return "ti.request_id"
	case "session_count":
		return "ti.session_id"
	case "latency":
		return "ti.execution_time_ms"
	case "span_count":
		return "s.span_id"
	case "assessment_count":
		return "a.assessment_id"
	case "assessment_value":
		return "a.aggregate_value"
	}
	if view == tracking.SpanView {
		return "s." + metric // a cost, which the Service has checked
	}
	return "ti." + metric // a count of tokens, which the Service has checked
}

var metricDimension = map[string]string{
	"trace_name": "ti.trace_name", "trace_status": "ti.status", "span_name": "s.name", "span_type": "s.type", "span_status": "s.status",
	"span_model_name": "s.model_name", "span_model_provider": "s.model_provider", "assessment_name": "a.name", "assessment_value": "a.value",
}

// TraceMetrics implements tracking.TraceMetricStore. Sums are the database's; percentiles take a second pass over the values in
// order, of which only those that count are kept.
func (s *Store) TraceMetrics(ctx context.Context, search tracking.TraceMetricSearch) ([]tracking.TraceMetricPoint, error) {
	in, err := experimentIDs(search.ExperimentIDs)
	if err != nil {
		return nil, err
	}
	m := metricStatement{search: search, column: metricColumn(s.db.Dialect(), search.View, search.Metric), where: s.newWhere()}
	m.where.add("ti.experiment_id IN (" + in + ")")
	if err := m.conditions(); err != nil {
		return nil, err
	}
	var groups metricGroups
	err = s.readTraces(ctx, func(q sqldb.Querier) error {
		if groups, err = m.sums(ctx, q); err != nil || !groups.wanted() {
			return err
		}
		return m.percentiles(ctx, q, groups)
	})
	return groups.points, err
}

// metricStatement is a query of sums on its way to SQL.
type metricStatement struct {
	search tracking.TraceMetricSearch
	column string
	where  *where
}

func (m *metricStatement) conditions() error {
	w, q := m.where, m.search
	w.add(m.column + " IS NOT NULL")
	for _, d := range q.Dimensions {
		w.add(metricDimension[d] + " IS NOT NULL")
	}
	if q.View == tracking.AssessmentView {
		w.add("a.valid = TRUE")
	}
	column, unit := "ti.timestamp_ms", int64(1)
	if q.View == tracking.SpanView && strings.HasSuffix(q.Metric, "_cost") {
		column, unit = "s.start_time_unix_nano", 1e6
	}
	if q.StartMS != nil {
		w.add(column+" >= ?", times(*q.StartMS, unit))
	}
	if q.EndMS != nil {
		w.add(column+" < ?", times(satisfying(*q.EndMS), unit))
	}
	for _, e := range q.Where {
		if err := w.equality(e); err != nil {
			return err
		}
	}
	return nil
}

// satisfying returns the first number that is beyond an inclusive bound.
func satisfying(v int64) int64 {
	if v == math.MaxInt64 {
		return v
	}
	return v + 1
}

// times multiplies and stays within 64 bits.
func times(v, unit int64) int64 {
	switch {
	case v > math.MaxInt64/unit:
		return math.MaxInt64
	case v < math.MinInt64/unit:
		return math.MinInt64
	}
	return v * unit
}

// equality adds one filter of sums.
func (w *where) equality(e filter.Equality) error {
	equal := filter.Clause{Op: filter.Equal, Value: filter.Value{Kind: filter.Text, Text: e.Value}, Key: e.Key}
	switch e.View + "." + e.Field {
	case "trace.status":
		return w.compare("ti.status", filter.Equal, equal.Value)
	case "trace.tag":
		return w.traceTag(equal)
	case "trace.metadata":
		return w.traceMetadata(equal)
	case "span.name", "span.status", "span.type":
		return w.compare("s."+e.Field, filter.Equal, equal.Value)
	case "assessment.name":
		return w.compare("a.name", filter.Equal, equal.Value)
	case "assessment.type":
		return w.compare("a.assessment_type", filter.Equal, equal.Value)
	}
	return fmt.Errorf("filter %s.%s reached the store", e.View, e.Field)
}

// keys returns the columns that tell sums apart: the time bucket, in the unit of its column, then the dimensions.
func (m *metricStatement) keys() []string {
	var keys []string
	if n := m.search.BucketSeconds; n > 0 {
		column, size := "ti.timestamp_ms", n*1000
		if m.search.View == tracking.SpanView {
			column, size = "s.start_time_unix_nano", n*1e9
		}
		size = max(size, 1)
		keys = append(keys, fmt.Sprintf("(%s - %s %% %d)", column, column, size))
	}
	for _, d := range m.search.Dimensions {
		keys = append(keys, metricDimension[d])
	}
	return keys
}

// from is the part of a statement behind its columns.
func (m *metricStatement) from() string {
	return " FROM " + metricTable[m.search.View] + " WHERE " + m.where.sql()
}

// metricGroups are points with what their percentiles need.
type metricGroups struct {
	points []tracking.TraceMetricPoint
	byKey  map[string]int
	picks  [][]pick
}

// pick is a percentile that waits for two neighbouring values.
type pick struct {
	value    int // index in the point's values
	low      int64
	fraction float64
}

func (g metricGroups) wanted() bool { return len(g.picks) > 0 && len(g.picks[0]) > 0 }

// sums runs the first pass.
func (m *metricStatement) sums(ctx context.Context, q sqldb.Querier) (metricGroups, error) {
	keys := m.keys()
	columns := append([]string{}, keys...)
	for _, a := range m.search.Aggregations {
		columns = append(columns, m.aggregate(a))
	}
	columns = append(columns, "COUNT(*)")
	query := "SELECT " + strings.Join(columns, ", ") + m.from()
	if len(keys) > 0 {
		query += " GROUP BY " + strings.Join(keys, ", ") + " ORDER BY " + strings.Join(keys, ", ")
	}
	g := metricGroups{byKey: map[string]int{}}
	err := each(ctx, q, query+" LIMIT ?", append(append([]any{}, m.where.args...), m.search.MaxResults), func(rows *sql.Rows) error {
		values := make([]sql.NullFloat64, len(m.search.Aggregations))
		key, count := make([]string, len(keys)), int64(0)
		into := append(pointers(key), pointers(values)...)
		if err := rows.Scan(append(into, &count)...); err != nil || count == 0 && m.search.Aggregations[0].Type != "COUNT" {
			return err // nothing has no average, but a count
		}
		return m.add(&g, key, values, count)
	})
	return g, err
}

func pointers[T any](list []T) []any {
	out := make([]any, len(list))
	for i := range list {
		out[i] = &list[i]
	}
	return out
}

// aggregate compiles one aggregation; a percentile comes in the second pass.
func (m *metricStatement) aggregate(a tracking.Aggregation) string {
	switch {
	case a.Type == "PERCENTILE":
		return "NULL"
	case m.search.Metric == "session_count":
		return "COUNT(DISTINCT " + m.column + ")"
	}
	return a.Type + "(" + m.column + ")"
}

func (m *metricStatement) add(g *metricGroups, key []string, values []sql.NullFloat64, count int64) error {
	p := tracking.TraceMetricPoint{Dimensions: key, Values: make([]float64, len(values))}
	g.byKey[strings.Join(key, "\x00")] = len(g.points)
	if m.search.BucketSeconds > 0 {
		at, err := strconv.ParseInt(key[0], 10, 64)
		if err != nil {
			return fmt.Errorf("time bucket: %w", err)
		}
		if m.search.View == tracking.SpanView {
			at /= 1e6
		}
		p.BucketMS, p.Dimensions = at, key[1:]
	}
	var picks []pick
	for i, v := range values {
		p.Values[i] = v.Float64
		if a := m.search.Aggregations[i]; a.Type == "PERCENTILE" {
			place := *a.Percentile / 100 * float64(count-1)
			low := math.Floor(place)
			picks = append(picks, pick{value: i, low: int64(low), fraction: place - low})
		}
	}
	g.points, g.picks = append(g.points, p), append(g.picks, picks)
	return nil
}

// percentiles runs the second pass: all values in order, each group counting its own.
func (m *metricStatement) percentiles(ctx context.Context, q sqldb.Querier, g metricGroups) error {
	keys := m.keys()
	query := "SELECT " + strings.Join(append(keys, m.column), ", ") + m.from() + " ORDER BY " + m.column
	seen := make([]int64, len(g.points))
	key := make([]string, len(keys))
	var value float64
	into := append(pointers(key), &value)
	return each(ctx, q, query, m.where.args, func(rows *sql.Rows) error {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		i, ok := g.byKey[strings.Join(key, "\x00")]
		if !ok {
			return nil // beyond the most points
		}
		for _, p := range g.picks[i] {
			switch seen[i] {
			case p.low:
				g.points[i].Values[p.value] = value
			case p.low + 1:
				low := g.points[i].Values[p.value]
				g.points[i].Values[p.value] = low + p.fraction*(value-low)
			}
		}
		seen[i]++
		return nil
	})
}
