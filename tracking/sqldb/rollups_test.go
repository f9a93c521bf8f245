package sqldb_test

import (
	"strings"
	"testing"

	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
	"sluice/tracking/sqldb/sqldbtest"
)

// TestRollupsAreRefused: traces written beside MLflow's rollups would make them wrong.
func TestRollupsAreRefused(t *testing.T) {
	t.Parallel()
	for _, d := range []sqldb.Dialect{sqldb.SQLite, sqldb.Postgres, sqldb.MySQL} {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			uri := sqldbtest.URI(t, d, true)
			fill := func(statement string) {
				db := sqldbtest.OpenURI(t, uri, nil)
				execOn(t, db, statement)
				db.Close()
			}
			const queued = "INSERT INTO sql_trace_rollup_rebuild_queue (experiment_id, rollup_day, rollup_family) VALUES (1, '2026-01-02', 'assessment')"
			for table, statement := range map[string]string{
				"sql_trace_metric_daily_rollups": "INSERT INTO sql_trace_metric_daily_rollups (experiment_id, rollup_day, metric_name, grouping_set, sample_count) VALUES (1, '2026-01-02', 'trace_count', 'global', 3)",
				"sql_span_cost_daily_rollups":    "INSERT INTO sql_span_cost_daily_rollups (experiment_id, rollup_day, metric_name, grouping_set, sample_count) VALUES (1, '2026-01-02', 'total_cost', 'global', 3)",
				"sql_assessment_daily_rollups":   "INSERT INTO sql_assessment_daily_rollups (experiment_id, rollup_day, metric_name, grouping_set, sample_count) VALUES (1, '2026-01-02', 'assessment_count', 'global', 3)",
			} {
				fill(queued) // days to rebuild alone are no rollups
				fill(statement)
				_, err := sqldb.Open(t.Context(), uri, nil)
				if mlflow.CodeOf(err) != mlflow.InvalidState || !strings.Contains(err.Error(), table) || !strings.Contains(err.Error(), "sluice db delete-trace-rollups") {
					t.Fatalf("%s: open: %v", table, err)
				}
				found, err := sqldb.Inspect(t.Context(), uri)
				if err != nil || len(found.Problems) != 1 || !strings.HasPrefix(found.Problems[0], table+" holds") {
					t.Errorf("%s: inspect: %q, %v", table, found.Problems, err)
				}
				db := sqldbtest.OpenURI(t, uri, &sqldb.Options{Existing: true, DropRollups: true})
				for _, emptied := range []string{table, "sql_trace_rollup_rebuild_queue"} {
					var n int
					if err := db.Read().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+emptied).Scan(&n); err != nil || n != 0 {
						t.Errorf("%s: %d rows left in %s, %v", table, n, emptied, err)
					}
				}
				db.Close()
			}
			sqldbtest.OpenURI(t, uri, nil).Close()
		})
	}
}
