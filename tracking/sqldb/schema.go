package sqldb

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"strings"

	"sluice/tracking/mlflow"
)

// The DDL of each dialect; schema/generate.py makes it from databases that MLflow's own migrations made.
var (
	//go:embed schema/sqlite.sql
	sqliteDDL string
	//go:embed schema/postgresql.sql
	postgresDDL string
	//go:embed schema/mysql.sql
	mysqlDDL string
)

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
	err := db.exclusively(ctx, func(tx *Tx) error {
		empty, err := db.isEmpty(ctx, tx)
		if err != nil {
			return err
		}
		if empty && db.opts.Existing {
			return ErrEmpty
		}
		if db.dialect == MySQL && !db.opts.Existing {
			if _, err := tx.ExecContext(ctx, db.dialect.Portable(lockTable)); err != nil {
				return err
			}
		}
		if empty {
			return db.createSchema(ctx, tx)
		}
		db.revision, err = db.readRevision(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	if err := db.checkRevision(); err != nil {
		return err
	}
	if err := db.loadColumns(ctx); err != nil {
		return err
	}
	if err := db.checkWorkspaces(ctx); err != nil {
		return err
	}
	return db.settleRollups(ctx)
}

// tables selects the name of every table but SQLite's own.
func (d Dialect) tables() string {
	switch d {
	case Postgres:
		return "SELECT name FROM (SELECT table_name AS name FROM information_schema.tables WHERE table_schema = current_schema() AND table_type = 'BASE TABLE') t"
	case MySQL:
		return "SELECT name FROM (SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE') t"
	}
	return "SELECT name FROM (SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!') t"
}

// creatingTable stands in a MySQL database while its tables are being made, which no transaction holds together there.
const creatingTable = "sluice_creating"

// isEmpty says whether the database holds no table but ours and Alembic's own, empty one, or an unfinished creation's.
func (db *DB) isEmpty(ctx context.Context, tx *Tx) (bool, error) {
	var foreign, creating int
	err := tx.QueryRowContext(ctx, "SELECT COALESCE(SUM(CASE WHEN name LIKE 'sluice!_%' ESCAPE '!' OR name = 'alembic_version' THEN 0 ELSE 1 END), 0), "+
		"COALESCE(SUM(CASE WHEN name = '"+creatingTable+"' THEN 1 ELSE 0 END), 0) FROM ("+db.dialect.tables()+") a").Scan(&foreign, &creating)
	return foreign == 0 || creating > 0, err
}

// createSchema makes MLflow's tables at the head revision, with the rows that its migrations leave in a fresh database.
//
// On MySQL each statement that makes a table commits by itself: creatingTable marks the database until the last one, and an
// interrupted creation is taken up again by the next Open.
func (db *DB) createSchema(ctx context.Context, tx *Tx) error {
	if err := db.createTables(ctx, tx); err != nil {
		return fmt.Errorf("create MLflow's tables: %w", err)
	}
	if err := db.createRows(ctx, tx); err != nil {
		return err
	}
	if db.dialect == MySQL {
		if _, err := tx.ExecContext(ctx, "DROP TABLE "+creatingTable); err != nil {
			return err
		}
	}
	db.revision = HeadRevision()
	db.opts.Logger.Info("database created", slog.String("revision", db.revision))
	return nil
}

func (db *DB) createTables(ctx context.Context, tx *Tx) error {
	if db.dialect == MySQL {
		if _, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+creatingTable+" (id INTEGER)"); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, "DROP TABLE IF EXISTS alembic_version"); err != nil {
		return err
	}
	for _, stmt := range ddlStatements(db.dialect) {
		if db.dialect == MySQL {
			stmt = strings.Replace(stmt, "CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ", 1)
			if err := dropTrigger(ctx, tx, stmt); err != nil {
				return err
			}
		}
		if _, err := tx.conn.ExecContext(ctx, stmt); err != nil {
			return err
		}
	}
	return nil
}

// dropTrigger makes room for the trigger that the statement creates, if it creates one: MySQL before 8.0.29 has no CREATE TRIGGER
// IF NOT EXISTS.
func dropTrigger(ctx context.Context, tx *Tx, stmt string) error {
	rest, ok := strings.CutPrefix(stmt, "CREATE TRIGGER ")
	if !ok {
		return nil
	}
	name, _, _ := strings.Cut(rest, "\n")
	_, err := tx.conn.ExecContext(ctx, "DROP TRIGGER IF EXISTS "+name)
	return err
}

// createRows writes what MLflow's migrations leave in a fresh database.
func (db *DB) createRows(ctx context.Context, tx *Tx) error {
	if _, err := tx.ExecContext(ctx, "INSERT INTO alembic_version (version_num) VALUES (?)", HeadRevision()); err != nil {
		return err
	}
	insert := db.dialect.InsertIgnore("workspaces", []string{"name"}, "name", "description")
	_, err := tx.ExecContext(ctx, insert, defaultWorkspace, defaultWorkspaceText)
	return err
}

// The row that MLflow's workspace migration writes (source: a database made by MLflow 3.17.2).
const (
	defaultWorkspace     = "default"
	defaultWorkspaceText = "Default workspace for legacy resources"
)

func ddlStatements(d Dialect) []string {
	_, body, _ := strings.Cut(map[Dialect]string{SQLite: sqliteDDL, Postgres: postgresDDL, MySQL: mysqlDDL}[d], "\n")
	var out []string
	for s := range strings.SplitSeq(body, "\n--\n") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// readRevision returns the revision in alembic_version, "" if the table is missing or empty.
func (db *DB) readRevision(ctx context.Context, tx *Tx) (string, error) {
	var n int
	if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM ("+db.dialect.tables()+") a WHERE name = 'alembic_version'").Scan(&n); err != nil || n == 0 {
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

// allColumns selects table and name of every column.
func (d Dialect) allColumns() string {
	switch d {
	case Postgres:
		return "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
	case MySQL:
		return "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = DATABASE()"
	}
	return "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c WHERE m.type = 'table'"
}

func (db *DB) loadColumns(ctx context.Context) error {
	rows, err := db.Read().QueryContext(ctx, db.dialect.allColumns())
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
