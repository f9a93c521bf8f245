package sqlstore

import (
	"context"

	"sluice/registry"
	"sluice/tracking/sqldb"
)

// note adds an event to the change; its revision and time are filled when the change is flushed.
func (w *writer) note(e registry.Event) { w.events = append(w.events, e) }

// announce notes an event that webhooks may hear of.
func (w *writer) announce(e registry.Event, about registry.Subject) {
	w.said = append(w.said, said{len(w.events), about})
	w.note(e)
}

// flush gives the noted events their revisions and stores them. Raising the one row of the revision table makes writers of all
// processes take turns, so that revisions become visible in order.
func (w *writer) flush(ctx context.Context) error {
	if len(w.events) == 0 {
		return nil
	}
	if _, err := w.exec(ctx, "UPDATE sluice_registry_revision SET revision = revision + ? WHERE id = 1", len(w.events)); err != nil {
		return err
	}
	var last int64
	if err := w.q.QueryRowContext(ctx, "SELECT revision FROM sluice_registry_revision WHERE id = 1").Scan(&last); err != nil {
		return err
	}
	insert := w.dialect.Insert("sluice_registry_events", "revision", "kind", "model", "version", "from_stage", "to_stage",
		"alias", "tag_key", "new_name", "is_prompt", "time_ms")
	for i := range w.events {
		e := &w.events[i]
		e.Revision = last - int64(len(w.events)-1-i)
		e.TimeMS = w.at
		_, err := w.exec(ctx, insert, e.Revision, string(e.Kind), e.Model, e.Version, string(e.From), string(e.To),
			e.Alias, e.Key, e.NewName, boolInt(e.Prompt), e.TimeMS)
		if err != nil {
			return err
		}
	}
	if err := w.enqueue(ctx); err != nil {
		return err
	}
	_, err := w.exec(ctx, "DELETE FROM sluice_registry_events WHERE revision <= ?", last-keptEvents)
	return err
}

// Revision implements registry.EventReader.
func (s *Store) Revision(ctx context.Context) (int64, error) {
	var revision int64
	err := s.db.Read().QueryRowContext(ctx, "SELECT revision FROM sluice_registry_revision WHERE id = 1").Scan(&revision)
	return revision, sqldb.Classify(err)
}

// Events implements registry.EventReader.
func (s *Store) Events(ctx context.Context, after int64, limit int) ([]registry.Event, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT revision, kind, model, version, from_stage, to_stage, alias, tag_key, new_name,
		is_prompt, time_ms FROM sluice_registry_events WHERE revision > ? ORDER BY revision LIMIT ?`, after, limit)
	if err != nil {
		return nil, sqldb.Classify(err)
	}
	defer rows.Close()
	var out []registry.Event
	for rows.Next() {
		var e registry.Event
		var prompt int
		if err := rows.Scan(&e.Revision, &e.Kind, &e.Model, &e.Version, &e.From, &e.To, &e.Alias, &e.Key, &e.NewName, &prompt, &e.TimeMS); err != nil {
			return nil, sqldb.Classify(err)
		}
		e.Prompt = prompt != 0
		out = append(out, e)
	}
	return out, sqldb.Classify(rows.Err())
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
