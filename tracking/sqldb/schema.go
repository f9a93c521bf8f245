package sqldb

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"strings"

	"sluice/tracking/mlflow"
)

//go:embed schema/sqlite.sql
var sqliteDDL string

// revisionList holds the accepted Alembic revisions, the head (MLflow 3.17.2) first, MLflow 3.12's head last.
//
//go:embed schema/revisions.txt
var revisionList string

// HeadRevision returns the Alembic revision of the schema that fresh databases get.
func HeadRevision() string { return KnownRevisions()[0] }

// KnownRevisions returns the accepted Alembic revisions, newest first.
func KnownRevisions() []string { return strings.Fields(revisionList) }

// prepareSchema creates MLflow's tables in an empty database, checks the revision of any other, and learns the columns.
func (db *DB) prepareSchema(ctx context.Context) error {
	err := db.WithTx(ctx, func(tx *Tx) error {
		empty, err := hasNoTables(ctx, tx)
		if err != nil {
			return err
		}
		if empty {
			return db.createSchema(ctx, tx)
		}
		db.revision, err = readRevision(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	if err := db.checkRevision(); err != nil {
		return err
	}
	return db.loadColumns(ctx)
}

// hasNoTables says whether the database holds no table but ours and Alembic's own, empty one.
func hasNoTables(ctx context.Context, tx *Tx) (bool, error) {
	var n int
	err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM sqlite_master WHERE type = 'table'
		AND name NOT LIKE 'sluice!_%' ESCAPE '!' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' AND name <> 'alembic_version'`).Scan(&n)
	return n == 0, err
}

// createSchema makes MLflow's tables at the head revision, with the rows that its migrations leave in a fresh database.
func (db *DB) createSchema(ctx context.Context, tx *Tx) error {
	if _, err := tx.ExecContext(ctx, "DROP TABLE IF EXISTS alembic_version"); err != nil {
		return err
	}
	for _, stmt := range ddlStatements() {
		if _, err := tx.conn.ExecContext(ctx, stmt); err != nil {
			return fmt.Errorf("create MLflow's tables: %w", err)
		}
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO alembic_version (version_num) VALUES (?)", HeadRevision()); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO workspaces (name, description) VALUES (?, ?)", defaultWorkspace, defaultWorkspaceText)
	if err != nil {
		return err
	}
	db.revision = HeadRevision()
	db.opts.Logger.Info("database created", slog.String("revision", db.revision))
	return nil
}

// The row that MLflow's workspace migration writes (source: a database made by MLflow 3.17.2).
const (
	defaultWorkspace     = "default"
	defaultWorkspaceText = "Default workspace for legacy resources"
)

func ddlStatements() []string {
	_, body, _ := strings.Cut(sqliteDDL, "\n")
	var out []string
	for s := range strings.SplitSeq(body, "\n--\n") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// readRevision returns the revision in alembic_version, "" if the table is missing or empty.
func readRevision(ctx context.Context, tx *Tx) (string, error) {
	var n int
	if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'").Scan(&n); err != nil || n == 0 {
		return "", err
	}
	var rev string
	err := tx.QueryRowContext(ctx, "SELECT COALESCE(MAX(version_num), '') FROM alembic_version").Scan(&rev)
	return rev, err
}

func (db *DB) checkRevision() error {
	for _, r := range KnownRevisions() {
		if r == db.revision {
			return nil
		}
	}
	if db.revision == "" {
		return mlflow.Errorf(mlflow.InvalidState, "the database holds tables, but not MLflow's (no revision in alembic_version): name an empty or an MLflow database")
	}
	return mlflow.Errorf(mlflow.InvalidState,
		"the database has schema revision %s; known are %s (MLflow 3.12) to %s (MLflow %s). If it is older: take a backup, then run: mlflow db upgrade %s",
		db.revision, KnownRevisions()[len(KnownRevisions())-1], HeadRevision(), mlflow.Version, db.URI())
}

// HasTable says whether the table exists; learned at Open and after Migrate.
func (db *DB) HasTable(table string) bool {
	db.mu.RLock()
	defer db.mu.RUnlock()
	return db.columns[table] != nil
}

// HasColumn says whether the table exists and has the column; learned at Open and after Migrate.
func (db *DB) HasColumn(table, column string) bool {
	db.mu.RLock()
	defer db.mu.RUnlock()
	return db.columns[table][column]
}

func (db *DB) loadColumns(ctx context.Context) error {
	rows, err := db.Read().QueryContext(ctx, `SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c WHERE m.type = 'table'`)
	if err != nil {
		return Classify(err)
	}
	defer rows.Close()
	columns := map[string]map[string]bool{}
	for rows.Next() {
		var table, column string
		if err := rows.Scan(&table, &column); err != nil {
			return Classify(err)
		}
		if columns[table] == nil {
			columns[table] = map[string]bool{}
		}
		columns[table][column] = true
	}
	if err := rows.Err(); err != nil {
		return Classify(err)
	}
	db.mu.Lock()
	db.columns = columns
	db.mu.Unlock()
	return nil
}
