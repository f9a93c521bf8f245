package sqldb_test

import (
	"strings"
	"testing"

	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
	"sluice/tracking/sqldb/sqldbtest"
)

// TestOtherWorkspacesAreRefused: what a workspace keeps from others would be seen by everybody.
func TestOtherWorkspacesAreRefused(t *testing.T) {
	t.Parallel()
	for _, d := range []sqldb.Dialect{sqldb.SQLite, sqldb.Postgres, sqldb.MySQL} {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			uri := sqldbtest.URI(t, d, true)
			for table, columns := range map[string]string{
				"experiments":       "(name, lifecycle_stage, workspace) VALUES ('e', 'active', ?)",
				"registered_models": "(name, workspace) VALUES ('m', ?)",
				"webhooks":          "(webhook_id, name, url, creation_timestamp, last_updated_timestamp, workspace) VALUES ('w', 'w', 'https://example.com', 1, 1, ?)",
			} {
				db := sqldbtest.OpenURI(t, uri, nil)
				execOn(t, db, "INSERT INTO workspaces (name) SELECT 'team' FROM workspaces WHERE NOT EXISTS (SELECT 1 FROM workspaces WHERE name = 'team')")
				execOn(t, db, "INSERT INTO "+table+" "+columns, "team")
				_, err := sqldb.Open(t.Context(), uri, nil)
				if mlflow.CodeOf(err) != mlflow.InvalidState || !strings.Contains(err.Error(), "the database holds "+table+" outside the default workspace") {
					t.Errorf("%s: open: %v", table, err)
				}
				seen, err := sqldb.Inspect(t.Context(), uri)
				if err != nil || len(seen.Problems) != 1 || !strings.HasPrefix(seen.Problems[0], table+" holds rows outside the default workspace") {
					t.Errorf("%s: inspect: %q, %v", table, seen.Problems, err)
				}
				execOn(t, db, "UPDATE "+table+" SET workspace = 'default'")
				db.Close()
				sqldbtest.OpenURI(t, uri, nil).Close()
			}
		})
	}
}
