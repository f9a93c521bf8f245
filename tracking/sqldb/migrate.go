package sqldb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"

	"github.com/go-sql-driver/mysql"

	"sluice/tracking/mlflow"
)

// Migration is one step of a component's own tables. Steps are never edited after a release: add another.
type Migration struct {
	// ID is the step's number inside its component, 1 for the first; each step's is one higher.
	ID int
	// Name says what the step does, for the record.
	Name string
	// SQL are the statements, run in order, in the SQL that all dialects share: see Dialect.Portable.
	SQL []string
	// Do runs after SQL in the same transaction; may be nil.
	Do func(ctx context.Context, tx *Tx) error
}

const migrationsTable = `CREATE TABLE IF NOT EXISTS sluice_migrations (
	component VARCHAR(64) NOT NULL,
	id INTEGER NOT NULL,
	name VARCHAR(256) NOT NULL,
	applied_ms BIGINT NOT NULL,
	CONSTRAINT sluice_migrations_pk PRIMARY KEY (component, id)
)`

// Migrate applies the component's steps that are not yet recorded, each in its own transaction together with its record.
// Two processes may call it at once. On MySQL, where a statement that makes a table commits by itself, a step that was
// interrupted runs again, and what stands already is left alone: there, UPDATE statements and Do must bear a repetition. Returns INVALID_STATE if the database is newer than steps (a downgrade), and an error
// if the IDs are not 1, 2, 3, ….
func (db *DB) Migrate(ctx context.Context, component string, steps []Migration) error {
	for i, s := range steps {
		if s.ID != i+1 {
			return fmt.Errorf("migrations of %s: step %d has ID %d", component, i+1, s.ID)
		}
	}
	newest, err := db.migrated(ctx, component)
	if err != nil {
		return err
	}
	if newest > len(steps) {
		return mlflow.Errorf(mlflow.InvalidState,
			"the tables of %s are at step %d, this program knows %d: a newer sluice wrote this database", component, newest, len(steps))
	}
	for _, s := range steps[newest:] {
		if err := db.apply(ctx, component, s); err != nil {
			return fmt.Errorf("migrate %s step %d (%s): %w", component, s.ID, s.Name, err)
		}
	}
	if newest < len(steps) {
		return db.loadColumns(ctx)
	}
	return nil
}

// migrated returns the newest recorded step of the component, 0 if none.
func (db *DB) migrated(ctx context.Context, component string) (int, error) {
	var newest int
	err := db.exclusively(ctx, func(tx *Tx) error {
		if _, err := tx.ExecContext(ctx, db.dialect.Portable(migrationsTable)); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "SELECT COALESCE(MAX(id), 0) FROM sluice_migrations WHERE component = ? AND applied_ms > ?", component, unfinished).Scan(&newest)
	})
	return newest, err
}

// unfinished is the applied_ms of a step that has begun on MySQL.
const unfinished = -1

func (db *DB) apply(ctx context.Context, component string, s Migration) error {
	return db.exclusively(ctx, func(tx *Tx) error {
		var done int
		query := "SELECT COUNT(*) FROM sluice_migrations WHERE component = ? AND id = ? AND applied_ms > ?"
		if err := tx.QueryRowContext(ctx, query, component, s.ID, unfinished).Scan(&done); err != nil || done > 0 {
			return err
		}
		again, err := db.beginStep(ctx, tx, component, s)
		if err != nil {
			return err
		}
		for _, stmt := range s.SQL {
			if _, err := tx.ExecContext(ctx, db.dialect.Portable(stmt)); err != nil && !(again && standsAlready(err)) {
				return err
			}
		}
		if s.Do != nil {
			if err := s.Do(ctx, tx); err != nil {
				return err
			}
		}
		return db.endStep(ctx, tx, component, s)
	})
}

// beginStep marks a step as begun on MySQL and says whether it was before.
func (db *DB) beginStep(ctx context.Context, tx *Tx, component string, s Migration) (again bool, err error) {
	if db.dialect != MySQL {
		return false, nil
	}
	insert := db.dialect.InsertIgnore("sluice_migrations", []string{"component", "id"}, "component", "id", "name", "applied_ms")
	res, err := tx.ExecContext(ctx, insert, component, s.ID, s.Name, unfinished)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 0, err
}

// endStep records the step.
func (db *DB) endStep(ctx context.Context, tx *Tx, component string, s Migration) error {
	insert := db.dialect.Insert("sluice_migrations", "component", "id", "name", "applied_ms") + db.dialect.Upsert([]string{"component", "id"}, "applied_ms")
	_, err := tx.ExecContext(ctx, insert, component, s.ID, s.Name, db.opts.Now().UnixMilli())
	if err == nil {
		db.opts.Logger.Info("migration applied", slog.String("component", component), slog.Int("step", s.ID), slog.String("name", s.Name))
	}
	return err
}

// standsAlready says whether MySQL refused a statement because its table, column, index or row is there.
func standsAlready(err error) bool {
	var e *mysql.MySQLError
	return errors.As(err, &e) && (e.Number == 1050 || e.Number == 1060 || e.Number == 1061 || e.Number == 1062)
}

// schemaLock is what those who make tables take turns by.
const schemaLock = "schema"

// exclusively is WithTx for changes of the schema: one process at a time, on MySQL by a lock of the connection, because the
// transaction ends with the first table that it makes.
func (db *DB) exclusively(ctx context.Context, fn func(tx *Tx) error) error {
	if db.dialect != MySQL {
		return db.WithTx(ctx, func(tx *Tx) error {
			if err := tx.Lock(ctx, schemaLock); err != nil {
				return err
			}
			return fn(tx)
		})
	}
	conn, err := db.writers.Conn(ctx)
	if err != nil {
		return Classify(err)
	}
	defer conn.Close()
	if err := lockSchemaMySQL(ctx, conn, db.opts.BusyTimeout); err != nil {
		return Classify(err)
	}
	defer unlockSchemaMySQL(context.WithoutCancel(ctx), conn)
	tx := &Tx{dialect: db.dialect, conn: conn, stmts: newStmtCache(0, nil)}
	return Classify(inTransaction(ctx, conn, db.beginServer(false), func() error { return fn(tx) }))
}

// Portable writes a statement of a migration in the dialect. The SQL that all dialects share, and that migrations keep to:
// CREATE TABLE with columns of VARCHAR(n), CHAR(n), TEXT (any length; not in keys), BLOB (any length; not in keys), INTEGER,
// BIGINT, DOUBLE PRECISION and BOOLEAN; primary, unique and foreign keys and checks; CREATE [UNIQUE] INDEX without IF NOT
// EXISTS or WHERE; ALTER TABLE … ADD COLUMN; INSERT, UPDATE and DELETE. Keys have up to 768 characters together. On MySQL
// the texts of our tables compare byte by byte, as they do elsewhere.
func (d Dialect) Portable(stmt string) string {
	switch d {
	case Postgres:
		return blobType.ReplaceAllString(stmt, "BYTEA")
	case MySQL:
		stmt = textType.ReplaceAllString(blobType.ReplaceAllString(stmt, "LONGBLOB"), "LONGTEXT")
		if strings.HasPrefix(strings.TrimSpace(stmt), "CREATE TABLE") {
			stmt += " ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
		}
	}
	return stmt
}

var (
	blobType = regexp.MustCompile(`\bBLOB\b`)
	textType = regexp.MustCompile(`\bTEXT\b`)
)
