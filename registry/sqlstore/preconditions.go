package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"sluice/registry"
)

// SetStageFrom implements registry.VersionWriter.
func (s *Store) SetStageFrom(ctx context.Context, name string, version int, stage registry.Stage, archiveOthers bool, from int, at int64) (registry.Version, []registry.Event, error) {
	return s.setStage(ctx, name, version, stage, archiveOthers, at, func(w *writer) error {
		var now int
		err := w.q.QueryRowContext(ctx, "SELECT COALESCE(MAX(version), 0) FROM model_versions WHERE workspace = ? AND name = ? AND current_stage = ?", workspace, name, string(stage)).Scan(&now)
		if err == nil && now != from {
			err = registry.Moved("stage "+string(stage)+" of "+name, from, now)
		}
		return err
	})
}

// SetAliasFrom implements registry.AliasWriter.
func (s *Store) SetAliasFrom(ctx context.Context, name, alias string, version, from int, at int64) ([]registry.Event, error) {
	return s.setAlias(ctx, name, alias, version, at, func(w *writer) error {
		now, err := w.aliased(ctx, name, alias)
		if errors.Is(err, sql.ErrNoRows) {
			now, err = 0, nil
		}
		if err == nil && now != from {
			err = registry.Moved("alias "+alias+" of "+name, from, now)
		}
		return err
	})
}
