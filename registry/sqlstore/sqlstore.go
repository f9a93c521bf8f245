// Package sqlstore keeps the registry in MLflow's own tables of a SQL database, and its events in ours.
//
// It owns the statements on registered_models, model_versions, their tags and aliases, and on sluice_registry_…; it is called
// by registry's Service only and must not know a rule that belongs there. A Store is safe for concurrent use.
//
// MLflow on the same database sees every change at once; its own changes are seen here, but leave no event.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"sluice/registry"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
)

// workspace is the only workspace that a server without workspaces reads and writes, as in MLflow.
const workspace = "default"

// deleted is the stage of deleted versions (source: mlflow/entities/model_registry/model_version_stages.py, MLflow 3.17).
const deleted = "Deleted_Internal"

// keptEvents bounds the record of changes: older events are deleted with the next change.
const keptEvents = 1_000_000

// Store implements registry.Store.
type Store struct{ db *sqldb.DB }

var _ registry.Store = (*Store)(nil)

var migrations = []sqldb.Migration{{
	ID: 1, Name: "events of the registry",
	SQL: []string{
		`CREATE TABLE sluice_registry_revision (
			id INTEGER NOT NULL,
			revision BIGINT NOT NULL,
			CONSTRAINT sluice_registry_revision_pk PRIMARY KEY (id)
		)`,
		`INSERT INTO sluice_registry_revision (id, revision) VALUES (1, 0)`,
		`CREATE TABLE sluice_registry_events (
			revision BIGINT NOT NULL,
			kind VARCHAR(64) NOT NULL,
			model VARCHAR(256) NOT NULL,
			version INTEGER NOT NULL,
			from_stage VARCHAR(20) NOT NULL,
			to_stage VARCHAR(20) NOT NULL,
			alias VARCHAR(256) NOT NULL,
			tag_key VARCHAR(250) NOT NULL,
			new_name VARCHAR(256) NOT NULL,
			is_prompt INTEGER NOT NULL,
			time_ms BIGINT NOT NULL,
			CONSTRAINT sluice_registry_events_pk PRIMARY KEY (revision)
		)`,
	},
}, {
	ID: 2, Name: "deliveries to webhooks", SQL: createDeliveries,
}}

// New returns a Store on db, which stays the caller's to close, and brings our own tables up to date. Returns INVALID_STATE if
// registered models lie in a workspace other than the default one, which this server would hide.
func New(ctx context.Context, db *sqldb.DB) (*Store, error) {
	if err := checkWorkspaces(ctx, db); err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, "registry", migrations); err != nil {
		return nil, err
	}
	return &Store{db: db}, nil
}

func checkWorkspaces(ctx context.Context, db *sqldb.DB) error {
	var name, other string
	err := db.Read().QueryRowContext(ctx, "SELECT name, workspace FROM registered_models WHERE workspace <> ? LIMIT 1", workspace).Scan(&name, &other)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return sqldb.Classify(err)
	}
	return mlflow.Errorf(mlflow.InvalidState, "registered models exist outside the default workspace (for example %s in workspace %s), "+
		"and workspaces are not supported: remove or move them with MLflow first", mlflow.Repr(name), mlflow.Repr(other))
}

// read runs fn on one commit and classifies its errors.
func (s *Store) read(ctx context.Context, fn func(r reader) error) error {
	return s.db.ReadTx(ctx, func(q sqldb.Querier) error { return fn(reader{q, s.db.Dialect()}) })
}

// write runs fn in one transaction at one time and writes the events that fn noted. Changes of all processes take turns, so
// that fn may rely on what it reads, and revisions become visible in order.
func (s *Store) write(ctx context.Context, at int64, fn func(w *writer) error) ([]registry.Event, error) {
	var events []registry.Event
	err := s.db.WithTx(ctx, func(tx *sqldb.Tx) error {
		if err := tx.Lock(ctx, "registry"); err != nil {
			return err
		}
		w := &writer{reader: reader{tx, s.db.Dialect()}, at: at}
		if err := fn(w); err != nil {
			return err
		}
		events = w.events
		return w.flush(ctx)
	})
	if err != nil {
		return nil, err
	}
	return events, nil
}

// reader runs the reading statements, inside or outside a writing transaction.
type reader struct {
	q       sqldb.Querier
	dialect sqldb.Dialect
}

// writer runs the statements of one change.
type writer struct {
	reader
	at     int64 // Unix time, milliseconds
	events []registry.Event
	// said is what webhooks are told of some of the events.
	said []said
}

// said is an event of the change, by its place, and what webhooks are told of it.
type said struct {
	event int
	about registry.Subject
}

// exec runs a statement and returns how many rows it touched.
func (w *writer) exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := w.q.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
