package sqlstore

import (
	"context"

	"sluice/registry"
	"sluice/tracking/sqldb"
)

// Model implements registry.ModelReader.
func (s *Store) Model(ctx context.Context, name string) (m registry.Model, err error) {
	err = s.read(ctx, func(r reader) error {
		m, err = r.fullModel(ctx, name)
		return err
	})
	return m, err
}

// CreateModel implements registry.ModelWriter.
func (s *Store) CreateModel(ctx context.Context, spec registry.ModelSpec, at int64) (m registry.Model, events []registry.Event, err error) {
	prompt := registry.Model{Tags: spec.Tags}.IsPrompt()
	events, err = s.write(ctx, at, func(w *writer) error {
		insert := w.dialect.InsertIgnore("registered_models", []string{"workspace", "name"}, "workspace", "name", "creation_time", "last_updated_time", "description")
		n, err := w.exec(ctx, insert, workspace, spec.Name, at, at, spec.Description)
		if err != nil {
			return err
		}
		if n == 0 {
			existing, err := w.isPrompt(ctx, spec.Name)
			if err != nil {
				return err
			}
			return registry.ModelExists(spec.Name, existing, prompt)
		}
		for _, t := range spec.Tags {
			if err := w.putModelTag(ctx, spec.Name, t); err != nil {
				return err
			}
		}
		w.announce(registry.Event{Kind: registry.ModelCreated, Model: spec.Name, Prompt: prompt},
			registry.Subject{Description: spec.Description, Tags: spec.Tags})
		m, err = w.fullModel(ctx, spec.Name)
		return err
	})
	return m, events, err
}

// changeModel runs fn on a registered model that exists and returns it as fn left it.
func (s *Store) changeModel(ctx context.Context, name string, at int64, fn func(w *writer, prompt bool) error) ([]registry.Event, error) {
	return s.write(ctx, at, func(w *writer) error {
		if _, err := w.model(ctx, name); err != nil {
			return err
		}
		prompt, err := w.isPrompt(ctx, name)
		if err != nil {
			return err
		}
		return fn(w, prompt)
	})
}

// SetModelDescription implements registry.ModelWriter.
func (s *Store) SetModelDescription(ctx context.Context, name, description string, at int64) (m registry.Model, events []registry.Event, err error) {
	events, err = s.changeModel(ctx, name, at, func(w *writer, prompt bool) error {
		_, err := w.exec(ctx, "UPDATE registered_models SET description = ?, last_updated_time = ? WHERE workspace = ? AND name = ?", description, at, workspace, name)
		if err != nil {
			return err
		}
		w.note(registry.Event{Kind: registry.ModelUpdated, Model: name, Prompt: prompt})
		m, err = w.fullModel(ctx, name)
		return err
	})
	return m, events, err
}

// RenameModel implements registry.ModelWriter. The foreign keys carry the new name to versions, tags and aliases.
func (s *Store) RenameModel(ctx context.Context, name, newName string, at int64) (m registry.Model, events []registry.Event, err error) {
	events, err = s.changeModel(ctx, name, at, func(w *writer, prompt bool) error {
		_, err := w.exec(ctx, "UPDATE registered_models SET name = ?, last_updated_time = ? WHERE workspace = ? AND name = ?", newName, at, workspace, name)
		if sqldb.IsUniqueViolation(err) {
			return registry.NameTaken(newName)
		}
		if err != nil {
			return err
		}
		if _, err := w.exec(ctx, "UPDATE model_versions SET last_updated_time = ? WHERE workspace = ? AND name = ?", at, workspace, newName); err != nil {
			return err
		}
		w.note(registry.Event{Kind: registry.ModelRenamed, Model: name, NewName: newName, Prompt: prompt})
		m, err = w.fullModel(ctx, newName)
		return err
	})
	return m, events, err
}

// DeleteModel implements registry.ModelWriter.
func (s *Store) DeleteModel(ctx context.Context, name string, at int64) ([]registry.Event, error) {
	return s.changeModel(ctx, name, at, func(w *writer, prompt bool) error {
		for _, table := range []string{"registered_model_aliases", "model_version_tags", "model_versions", "registered_model_tags", "registered_models"} {
			if _, err := w.exec(ctx, "DELETE FROM "+table+" WHERE workspace = ? AND name = ?", workspace, name); err != nil {
				return err
			}
		}
		w.note(registry.Event{Kind: registry.ModelDeleted, Model: name, Prompt: prompt})
		return nil
	})
}

// SetModelTag implements registry.ModelWriter.
func (s *Store) SetModelTag(ctx context.Context, name string, tag registry.Tag, at int64) ([]registry.Event, error) {
	return s.changeModel(ctx, name, at, func(w *writer, prompt bool) error {
		w.announce(registry.Event{Kind: registry.ModelTagSet, Model: name, Key: tag.Key, Prompt: prompt}, registry.Subject{Value: tag.Value})
		return w.putModelTag(ctx, name, tag)
	})
}

// DeleteModelTag implements registry.ModelWriter.
func (s *Store) DeleteModelTag(ctx context.Context, name, key string, at int64) ([]registry.Event, error) {
	return s.changeModel(ctx, name, at, func(w *writer, prompt bool) error {
		n, err := w.exec(ctx, "DELETE FROM registered_model_tags WHERE workspace = ? AND name = ? AND "+w.dialect.Quote("key")+" = ?", workspace, name, key)
		if n > 0 {
			w.announce(registry.Event{Kind: registry.ModelTagDeleted, Model: name, Key: key, Prompt: prompt}, registry.Subject{})
		}
		return err
	})
}

func (w *writer) putModelTag(ctx context.Context, name string, tag registry.Tag) error {
	_, err := w.exec(ctx, w.dialect.Insert("registered_model_tags", "workspace", "name", "key", "value")+
		w.dialect.Upsert([]string{"workspace", "key", "name"}, "value"), workspace, name, tag.Key, tag.Value)
	return err
}

// touch moves the time of the registered model's last update.
func (w *writer) touch(ctx context.Context, name string) error {
	_, err := w.exec(ctx, "UPDATE registered_models SET last_updated_time = ? WHERE workspace = ? AND name = ?", w.at, workspace, name)
	return err
}
