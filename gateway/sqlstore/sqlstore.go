// Package sqlstore keeps endpoints, arm records, events, rollouts and keys in the SQL database that tracking opened.
//
// It owns the sluice_endpoint…, sluice_rollout… and sluice_key… tables and their migrations. It is called through gateway.Store, gateway.RolloutStore and auth.Store; it must
// not know the rules on what it keeps, nor HTTP. A Store is safe for concurrent use.
package sqlstore

import (
	"context"

	"sluice/gateway"
	"sluice/gateway/auth"
	"sluice/tracking/sqldb"
)

// Store implements gateway.Store and auth.Store over SQL.
type Store struct{ db *sqldb.DB }

var (
	_ gateway.Store = (*Store)(nil)
	_ auth.Store    = (*Store)(nil)
)

// New returns a store over db after it brought its tables up to date. The database stays the caller's to close.
func New(ctx context.Context, db *sqldb.DB) (*Store, error) {
	if err := db.Migrate(ctx, "gateway", migrations); err != nil {
		return nil, err
	}
	return &Store{db: db}, nil
}

// change runs fn in one transaction. Changes of all processes take turns, so that fn may rely on what it reads.
func (s *Store) change(ctx context.Context, fn func(tx *sqldb.Tx) error) error {
	return s.db.WithTx(ctx, func(tx *sqldb.Tx) error {
		if err := tx.Lock(ctx, "gateway"); err != nil {
			return err
		}
		return fn(tx)
	})
}

// migrations of the component "gateway"; steps are never edited after a release. Names have 256 characters because an implicit
// endpoint is called as its registered model, which MLflow bounds there.
var migrations = []sqldb.Migration{{ID: 1, Name: "endpoints, arms, events, keys", SQL: []string{
	`CREATE TABLE sluice_endpoints (
		name VARCHAR(256) NOT NULL PRIMARY KEY,
		description TEXT NOT NULL,
		config TEXT NOT NULL,
		config_version BIGINT NOT NULL,
		creator VARCHAR(256) NOT NULL,
		created_ms BIGINT NOT NULL,
		updated_ms BIGINT NOT NULL
	)`,
	`CREATE TABLE sluice_endpoint_tags (
		endpoint VARCHAR(256) NOT NULL,
		tag_key VARCHAR(250) NOT NULL,
		tag_value TEXT NOT NULL,
		PRIMARY KEY (endpoint, tag_key)
	)`,
	`CREATE TABLE sluice_arm_state (
		endpoint VARCHAR(256) NOT NULL,
		arm VARCHAR(256) NOT NULL,
		model VARCHAR(256) NOT NULL,
		target VARCHAR(300) NOT NULL,
		version INTEGER NOT NULL,
		updated_ms BIGINT NOT NULL,
		PRIMARY KEY (endpoint, arm)
	)`,
	`CREATE TABLE sluice_endpoint_events (
		endpoint VARCHAR(256) NOT NULL,
		seq BIGINT NOT NULL,
		kind VARCHAR(32) NOT NULL,
		arm VARCHAR(256) NOT NULL,
		version INTEGER NOT NULL,
		reason TEXT NOT NULL,
		time_ms BIGINT NOT NULL,
		PRIMARY KEY (endpoint, seq)
	)`,
	`CREATE TABLE sluice_keys (
		id VARCHAR(36) NOT NULL PRIMARY KEY,
		name VARCHAR(64) NOT NULL,
		hash CHAR(64) NOT NULL UNIQUE,
		permissions VARCHAR(128) NOT NULL,
		created_ms BIGINT NOT NULL,
		last_used_ms BIGINT NOT NULL,
		revoked_ms BIGINT NOT NULL
	)`,
	`CREATE TABLE sluice_key_revision (id INTEGER NOT NULL PRIMARY KEY, revision BIGINT NOT NULL)`,
	`INSERT INTO sluice_key_revision (id, revision) VALUES (1, 1)`,
}}, rolloutMigration, shareMigration}
