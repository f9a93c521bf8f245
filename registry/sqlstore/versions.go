package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"sluice/registry"
)

// Version implements registry.VersionReader.
func (s *Store) Version(ctx context.Context, name string, version int) (v registry.Version, err error) {
	err = s.read(ctx, func(r reader) error {
		v, err = r.fullVersion(ctx, name, version)
		return err
	})
	return v, err
}

// VersionByAlias implements registry.VersionReader.
func (s *Store) VersionByAlias(ctx context.Context, name, alias string) (v registry.Version, err error) {
	err = s.read(ctx, func(r reader) error {
		if _, err := r.model(ctx, name); err != nil {
			return err
		}
		version, err := r.aliased(ctx, name, alias)
		if errors.Is(err, sql.ErrNoRows) {
			return registry.UnknownAlias(alias)
		}
		if err != nil {
			return err
		}
		v, err = r.fullVersion(ctx, name, version)
		return err
	})
	return v, err
}

// aliased returns the version that the alias names, sql.ErrNoRows if there is no such alias.
func (r reader) aliased(ctx context.Context, name, alias string) (int, error) {
	var version int
	err := r.q.QueryRowContext(ctx, "SELECT version FROM registered_model_aliases WHERE workspace = ? AND name = ? AND alias = ?", workspace, name, alias).Scan(&version)
	return version, err
}

// LatestVersions implements registry.VersionReader.
func (s *Store) LatestVersions(ctx context.Context, name string) (out []registry.Version, err error) {
	err = s.read(ctx, func(r reader) error {
		if _, err := r.model(ctx, name); err != nil {
			return err
		}
		if out, err = r.latest(ctx, []string{name}); err != nil {
			return err
		}
		aliases, err := r.aliases(ctx, name)
		for i := range out {
			out[i].Aliases = aliasesOf(aliases, out[i].Version)
		}
		return err
	})
	return out, err
}

// CreateVersion implements registry.VersionWriter.
func (s *Store) CreateVersion(ctx context.Context, v registry.Version, at int64) (made registry.Version, events []registry.Event, err error) {
	events, err = s.changeModel(ctx, v.Name, at, func(w *writer, prompt bool) error {
		number := 0
		err := w.q.QueryRowContext(ctx, "SELECT COALESCE(MAX(version), 0) + 1 FROM model_versions WHERE workspace = ? AND name = ?", workspace, v.Name).Scan(&number)
		if err != nil {
			return err
		}
		_, err = w.exec(ctx, w.dialect.Insert("model_versions", "workspace", "name", "version", "creation_time", "last_updated_time",
			"description", "current_stage", "source", "storage_location", "run_id", "run_link", "status"),
			workspace, v.Name, number, at, at, v.Description, string(registry.StageNone), v.Source, v.StorageLocation, v.RunID, v.RunLink,
			string(registry.StatusReady))
		if err != nil {
			return err
		}
		for _, t := range v.Tags {
			if err := w.putVersionTag(ctx, v.Name, number, t); err != nil {
				return err
			}
		}
		if err := w.touch(ctx, v.Name); err != nil {
			return err
		}
		w.announce(registry.Event{Kind: registry.VersionCreated, Model: v.Name, Version: number, To: registry.StageNone, Prompt: prompt || v.IsPrompt()},
			registry.Subject{Source: v.Source, RunID: text(v.RunID), Description: text(v.Description), Tags: v.Tags})
		made, err = w.fullVersion(ctx, v.Name, number)
		return err
	})
	return made, events, err
}

// changeVersion runs fn on a version that exists.
func (s *Store) changeVersion(ctx context.Context, name string, version int, at int64, fn func(w *writer, v registry.Version, prompt bool) error) ([]registry.Event, error) {
	return s.write(ctx, at, func(w *writer) error {
		v, err := w.version(ctx, name, version)
		if err != nil {
			return err
		}
		prompt, err := w.isPrompt(ctx, name)
		if err != nil {
			return err
		}
		return fn(w, v, prompt)
	})
}

const thisVersion = " WHERE workspace = ? AND name = ? AND version = ?"

// SetVersionDescription implements registry.VersionWriter.
func (s *Store) SetVersionDescription(ctx context.Context, name string, version int, description *string, at int64) (v registry.Version, events []registry.Event, err error) {
	events, err = s.changeVersion(ctx, name, version, at, func(w *writer, _ registry.Version, prompt bool) error {
		_, err := w.exec(ctx, "UPDATE model_versions SET description = ?, last_updated_time = ?"+thisVersion, description, at, workspace, name, version)
		if err != nil {
			return err
		}
		w.note(registry.Event{Kind: registry.VersionUpdated, Model: name, Version: version, Prompt: prompt})
		v, err = w.fullVersion(ctx, name, version)
		return err
	})
	return v, events, err
}

// SetStage implements registry.VersionWriter.
func (s *Store) SetStage(ctx context.Context, name string, version int, stage registry.Stage, archiveOthers bool, at int64) (registry.Version, []registry.Event, error) {
	return s.setStage(ctx, name, version, stage, archiveOthers, at, nil)
}

// setStage moves the version if may, where there is one, returns nil.
func (s *Store) setStage(ctx context.Context, name string, version int, stage registry.Stage, archiveOthers bool, at int64, may func(*writer) error) (v registry.Version, events []registry.Event, err error) {
	events, err = s.changeVersion(ctx, name, version, at, func(w *writer, before registry.Version, prompt bool) error {
		if may != nil {
			if err := may(w); err != nil {
				return err
			}
		}
		if archiveOthers {
			if err := w.archive(ctx, name, version, stage, prompt); err != nil {
				return err
			}
		}
		if err := w.move(ctx, name, version, before.Stage, stage, prompt); err != nil {
			return err
		}
		if err := w.touch(ctx, name); err != nil {
			return err
		}
		v, err = w.fullVersion(ctx, name, version)
		return err
	})
	return v, events, err
}

// archive moves every other version of the stage to Archived.
func (w *writer) archive(ctx context.Context, name string, keep int, stage registry.Stage, prompt bool) error {
	others, err := collect(ctx, w.q, scanInt, "SELECT version FROM model_versions WHERE workspace = ? AND name = ? AND current_stage = ? AND version <> ? ORDER BY version",
		workspace, name, string(stage), keep)
	if err != nil {
		return err
	}
	for _, other := range others {
		if err := w.move(ctx, name, other, stage, registry.StageArchived, prompt); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) move(ctx context.Context, name string, version int, from, to registry.Stage, prompt bool) error {
	w.note(registry.Event{Kind: registry.VersionStaged, Model: name, Version: version, From: from, To: to, Prompt: prompt})
	_, err := w.exec(ctx, "UPDATE model_versions SET current_stage = ?, last_updated_time = ?"+thisVersion, string(to), w.at, workspace, name, version)
	return err
}

// DeleteVersion implements registry.VersionWriter. The row stays, cleared as MLflow clears it (source:
// delete_model_version in mlflow/store/model_registry/sqlalchemy_store.py, MLflow 3.17).
func (s *Store) DeleteVersion(ctx context.Context, name string, version int, at int64) ([]registry.Event, error) {
	return s.changeVersion(ctx, name, version, at, func(w *writer, before registry.Version, prompt bool) error {
		if err := w.dropAliases(ctx, name, version, prompt); err != nil {
			return err
		}
		_, err := w.exec(ctx, `UPDATE model_versions SET current_stage = ?, last_updated_time = ?, description = NULL, user_id = NULL,
			source = 'REDACTED-SOURCE-PATH', run_id = 'REDACTED-RUN-ID', run_link = 'REDACTED-RUN-LINK', status_message = NULL`+thisVersion,
			deleted, at, workspace, name, version)
		if err != nil {
			return err
		}
		w.note(registry.Event{Kind: registry.VersionDeleted, Model: name, Version: version, From: before.Stage, Prompt: prompt})
		return w.touch(ctx, name)
	})
}

// dropAliases deletes the aliases of a version.
func (w *writer) dropAliases(ctx context.Context, name string, version int, prompt bool) error {
	aliases, err := w.aliases(ctx, name)
	if err != nil {
		return err
	}
	for _, alias := range aliasesOf(aliases, version) {
		w.note(registry.Event{Kind: registry.AliasDeleted, Model: name, Version: version, Alias: alias, Prompt: prompt})
	}
	_, err = w.exec(ctx, "DELETE FROM registered_model_aliases"+thisVersion, workspace, name, version)
	return err
}

// SetVersionTag implements registry.VersionWriter.
func (s *Store) SetVersionTag(ctx context.Context, name string, version int, tag registry.Tag, at int64) ([]registry.Event, error) {
	return s.changeVersion(ctx, name, version, at, func(w *writer, _ registry.Version, prompt bool) error {
		w.announce(registry.Event{Kind: registry.VersionTagSet, Model: name, Version: version, Key: tag.Key, Prompt: prompt},
			registry.Subject{Value: tag.Value})
		return w.putVersionTag(ctx, name, version, tag)
	})
}

func (w *writer) putVersionTag(ctx context.Context, name string, version int, tag registry.Tag) error {
	_, err := w.exec(ctx, w.dialect.Insert("model_version_tags", "workspace", "name", "version", "key", "value")+
		w.dialect.Upsert([]string{"workspace", "key", "name", "version"}, "value"), workspace, name, version, tag.Key, tag.Value)
	return err
}

// DeleteVersionTag implements registry.VersionWriter.
func (s *Store) DeleteVersionTag(ctx context.Context, name string, version int, key string, at int64) ([]registry.Event, error) {
	return s.changeVersion(ctx, name, version, at, func(w *writer, _ registry.Version, prompt bool) error {
		n, err := w.exec(ctx, "DELETE FROM model_version_tags"+thisVersion+" AND "+w.dialect.Quote("key")+" = ?", workspace, name, version, key)
		if n > 0 {
			w.announce(registry.Event{Kind: registry.VersionTagDeleted, Model: name, Version: version, Key: key, Prompt: prompt}, registry.Subject{})
		}
		return err
	})
}

// SetAlias implements registry.AliasWriter.
func (s *Store) SetAlias(ctx context.Context, name, alias string, version int, at int64) ([]registry.Event, error) {
	return s.setAlias(ctx, name, alias, version, at, nil)
}

// setAlias moves the alias if may, where there is one, returns nil.
func (s *Store) setAlias(ctx context.Context, name, alias string, version int, at int64, may func(*writer) error) ([]registry.Event, error) {
	return s.changeVersion(ctx, name, version, at, func(w *writer, _ registry.Version, prompt bool) error {
		if may != nil {
			if err := may(w); err != nil {
				return err
			}
		}
		w.announce(registry.Event{Kind: registry.AliasSet, Model: name, Version: version, Alias: alias, Prompt: prompt}, registry.Subject{})
		_, err := w.exec(ctx, w.dialect.Insert("registered_model_aliases", "workspace", "name", "alias", "version")+
			w.dialect.Upsert([]string{"workspace", "name", "alias"}, "version"), workspace, name, alias, version)
		return err
	})
}

// DeleteAlias implements registry.AliasWriter.
func (s *Store) DeleteAlias(ctx context.Context, name, alias string, at int64) ([]registry.Event, error) {
	return s.changeModel(ctx, name, at, func(w *writer, prompt bool) error {
		version, err := w.aliased(ctx, name, alias)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		w.announce(registry.Event{Kind: registry.AliasDeleted, Model: name, Version: version, Alias: alias, Prompt: prompt}, registry.Subject{})
		_, err = w.exec(ctx, "DELETE FROM registered_model_aliases WHERE workspace = ? AND name = ? AND alias = ?", workspace, name, alias)
		return err
	})
}

func scanInt(row interface{ Scan(...any) error }) (int, error) {
	var n int
	err := row.Scan(&n)
	return n, err
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
