package sqlstore

import (
	"context"
	"database/sql"

	"sluice/registry"
)

// Snapshot implements registry.ModelReader with two queries on one commit.
func (s *Store) Snapshot(ctx context.Context) (out []registry.ModelSnapshot, err error) {
	err = s.read(ctx, func(r reader) error {
		if out, err = r.snapshotVersions(ctx); err != nil {
			return err
		}
		return r.snapshotAliases(ctx, out)
	})
	return out, err
}

func (r reader) snapshotVersions(ctx context.Context) ([]registry.ModelSnapshot, error) {
	rows, err := r.q.QueryContext(ctx, `SELECT m.name, v.version, v.current_stage, v.status, v.source, v.storage_location, v.run_id,
			v.creation_time, v.last_updated_time
		FROM registered_models m
		LEFT JOIN model_versions v ON v.workspace = m.workspace AND v.name = m.name AND v.current_stage <> ?
		WHERE m.workspace = ? AND NOT EXISTS (SELECT 1 FROM registered_model_tags p WHERE p.workspace = m.workspace
			AND p.`+r.dialect.Quote("key")+` = ? AND LOWER(p.value) = 'true' AND p.name = m.name)
		ORDER BY m.name, v.version`, deleted, workspace, registry.PromptTag)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []registry.ModelSnapshot
	for rows.Next() {
		var name string
		var version, created, updated sql.NullInt64
		var stage, status, source, location, run sql.NullString
		if err := rows.Scan(&name, &version, &stage, &status, &source, &location, &run, &created, &updated); err != nil {
			return nil, err
		}
		if len(out) == 0 || out[len(out)-1].Name != name {
			out = append(out, registry.ModelSnapshot{Name: name})
		}
		if !version.Valid {
			continue
		}
		m := &out[len(out)-1]
		m.Versions = append(m.Versions, registry.NewVersionSnapshot(registry.Version{
			Version: int(version.Int64), Stage: registry.Stage(stage.String), Status: registry.Status(status.String),
			Source: source.String, StorageLocation: location.String, RunID: &run.String,
			CreatedMS: created.Int64, UpdatedMS: updated.Int64,
		}))
	}
	return out, rows.Err()
}

func (r reader) snapshotAliases(ctx context.Context, models []registry.ModelSnapshot) error {
	at := make(map[string]*registry.ModelSnapshot, len(models))
	for i := range models {
		at[models[i].Name] = &models[i]
	}
	aliases, err := collect(ctx, r.q, scanNamedAlias, "SELECT name, alias, version FROM registered_model_aliases WHERE workspace = ? ORDER BY name, alias", workspace)
	for _, a := range aliases {
		if m := at[a.model]; m != nil {
			m.Aliases = append(m.Aliases, a.alias)
		}
	}
	return err
}
