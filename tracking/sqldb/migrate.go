package sqldb

import (
	"context"
	"fmt"
	"log/slog"

	"sluice/tracking/mlflow"
)

// Migration is one step of a component's own tables. Steps are never edited after a release: add another.
type Migration struct {
	// ID is the step's number inside its component, 1 for the first; each step's is one higher.
	ID int
	// Name says what the step does, for the record.
	Name string
	// SQL are the statements, run in order.
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
// Two processes may call it at once. Returns INVALID_STATE if the database is newer than steps (a downgrade), and an error
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
	err := db.WithTx(ctx, func(tx *Tx) error {
		if _, err := tx.ExecContext(ctx, migrationsTable); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "SELECT COALESCE(MAX(id), 0) FROM sluice_migrations WHERE component = ?", component).Scan(&newest)
	})
	return newest, err
}

func (db *DB) apply(ctx context.Context, component string, s Migration) error {
	return db.WithTx(ctx, func(tx *Tx) error {
		var done int
		if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM sluice_migrations WHERE component = ? AND id = ?", component, s.ID).Scan(&done); err != nil || done > 0 {
			return err
		}
		for _, stmt := range s.SQL {
			if _, err := tx.ExecContext(ctx, stmt); err != nil {
				return err
			}
		}
		if s.Do != nil {
			if err := s.Do(ctx, tx); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, db.dialect.Insert("sluice_migrations", "component", "id", "name", "applied_ms"),
			component, s.ID, s.Name, db.opts.Now().UnixMilli())
		if err == nil {
			db.opts.Logger.Info("migration applied", slog.String("component", component), slog.Int("step", s.ID), slog.String("name", s.Name))
		}
		return err
	})
}
