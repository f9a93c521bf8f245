package sqldb

import (
	"context"
	"database/sql"
	"fmt"

	"sluice/tracking/mlflow"
)

// MLflow can keep several workspaces in one database, and then shows everybody only the own one. Here is one, the default; whoever opened a
// database with more of them would see and change what is not theirs, under names that may be there twice. So Open refuses it, as MLflow
// without workspaces does.

// workspaceTables hold what MLflow looks at for that (its tracking and registry stores, 3.17.2); each known revision has their column workspace.
var workspaceTables = [...]string{"experiments", "registered_models", "webhooks"}

// foreignRows selects nothing unless the table holds a row of another workspace than the default.
func foreignRows(table string) string {
	return "SELECT 1 FROM " + table + " WHERE workspace <> '" + defaultWorkspace + "' LIMIT 1"
}

func (db *DB) checkWorkspaces(ctx context.Context) error {
	for _, table := range workspaceTables {
		held, err := found(ctx, db.Read(), foreignRows(table))
		if err != nil {
			return err
		}
		if held {
			return mlflow.Errorf(mlflow.InvalidState, "the database holds %s outside the default workspace, and workspaces are left out here. Take a backup, then "+
				"move them: mlflow db migrate-to-default-workspace %s", table, db.URI())
		}
	}
	return nil
}

// foreignWorkspaces returns a problem for each of the tables that holds rows of another workspace.
func foreignWorkspaces(ctx context.Context, db *sql.DB) ([]string, error) {
	var out []string
	for _, table := range workspaceTables {
		held, err := found(ctx, db, foreignRows(table))
		if err != nil {
			return nil, err
		}
		if held {
			out = append(out, fmt.Sprintf("%s holds rows outside the default workspace, which no server here shows: take a backup, then move them with mlflow db migrate-to-default-workspace", table))
		}
	}
	return out, nil
}
