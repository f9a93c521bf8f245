package sqlstore

import (
	"context"
	"slices"

	"sluice/tracking"
	"sluice/tracking/filter"
	"sluice/tracking/sqldb"
)

// CountMatches implements tracking.TraceMetricStore by one pass over the traces.
func (s *Store) CountMatches(ctx context.Context, experiments []string, base, first, second filter.Expr) (tracking.MatchCounts, error) {
	in, err := experimentIDs(experiments)
	if err != nil {
		return tracking.MatchCounts{}, err
	}
	parts := make([]*where, 3)
	for i, e := range []filter.Expr{first, second, base} {
		parts[i] = s.newWhere()
		if err := parts[i].traceFilter(e, in); err != nil {
			return tracking.MatchCounts{}, err
		}
	}
	query := "SELECT COUNT(*), COALESCE(SUM(a), 0), COALESCE(SUM(b), 0), COALESCE(SUM(a * b), 0) FROM (SELECT " +
		"CASE WHEN " + parts[0].sql() + " THEN 1 ELSE 0 END AS a, CASE WHEN " + parts[1].sql() + " THEN 1 ELSE 0 END AS b " +
		"FROM trace_info ti WHERE ti.experiment_id IN (" + in + ") AND " + parts[2].sql() + ") m"
	args := slices.Concat(parts[0].args, parts[1].args, parts[2].args)
	var n tracking.MatchCounts
	err = s.readTraces(ctx, func(q sqldb.Querier) error {
		return q.QueryRowContext(ctx, query, args...).Scan(&n.Total, &n.First, &n.Second, &n.Joint)
	})
	return n, err
}
