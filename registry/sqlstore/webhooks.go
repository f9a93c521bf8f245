package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"sluice/registry"
	"sluice/tracking/page"
	"sluice/tracking/sqldb"
)

var _ registry.WebhookStore = (*Store)(nil)

const webhookColumns = "webhook_id, name, description, url, status, secret, creation_timestamp, last_updated_timestamp"

const (
	webhookLives = "workspace = ? AND deleted_timestamp IS NULL"
	liveWebhook  = " WHERE " + webhookLives
)

func scanWebhook(row interface{ Scan(...any) error }) (registry.Webhook, error) {
	var w registry.Webhook
	var description, secret sql.NullString
	var created, updated sql.NullInt64
	err := row.Scan(&w.ID, &w.Name, &description, &w.URL, &w.Status, &secret, &created, &updated)
	w.Description, w.SealedSecret, w.CreatedMS, w.UpdatedMS = description.String, secret.String, created.Int64, updated.Int64
	return w, err
}

// webhook returns a webhook with its events.
func (r reader) webhook(ctx context.Context, id string) (registry.Webhook, error) {
	w, err := scanWebhook(r.q.QueryRowContext(ctx, "SELECT "+webhookColumns+" FROM webhooks"+liveWebhook+" AND webhook_id = ?", workspace, id))
	if errors.Is(err, sql.ErrNoRows) {
		return registry.Webhook{}, registry.UnknownWebhook(id)
	}
	if err != nil {
		return registry.Webhook{}, err
	}
	one := []registry.Webhook{w}
	err = r.fillEvents(ctx, one)
	return one[0], err
}

// fillEvents adds the events to the webhooks with one read.
func (r reader) fillEvents(ctx context.Context, hooks []registry.Webhook) error {
	if len(hooks) == 0 {
		return nil
	}
	at := make(map[string]*registry.Webhook, len(hooks))
	ids := make([]string, len(hooks))
	for i := range hooks {
		ids[i] = hooks[i].ID
		at[ids[i]] = &hooks[i]
	}
	rows, err := r.q.QueryContext(ctx, "SELECT webhook_id, entity, action FROM webhook_events WHERE webhook_id IN ("+sqldb.Placeholders(len(ids))+
		") ORDER BY webhook_id, entity, action", anys(ids)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var e registry.WebhookEvent
		if err := rows.Scan(&id, &e.Entity, &e.Action); err != nil {
			return err
		}
		at[id].Events = append(at[id].Events, e)
	}
	return rows.Err()
}

// CreateWebhook implements registry.WebhookStore.
func (s *Store) CreateWebhook(ctx context.Context, hook registry.Webhook) error {
	_, err := s.write(ctx, hook.CreatedMS, func(w *writer) error {
		var n int
		if err := w.q.QueryRowContext(ctx, "SELECT COUNT(*) FROM webhooks"+liveWebhook, workspace).Scan(&n); err != nil {
			return err
		}
		if n >= registry.MaxWebhooks {
			return registry.TooManyWebhooks()
		}
		_, err := w.exec(ctx, w.dialect.Insert("webhooks", "webhook_id", "name", "description", "url", "status", "secret", "creation_timestamp",
			"last_updated_timestamp", "workspace"), hook.ID, hook.Name, orNull(hook.Description), hook.URL, string(hook.Status), orNull(hook.SealedSecret),
			hook.CreatedMS, hook.UpdatedMS, workspace)
		if err != nil {
			return err
		}
		return w.putEvents(ctx, hook.ID, hook.Events)
	})
	return err
}

func (w *writer) putEvents(ctx context.Context, id string, events []registry.WebhookEvent) error {
	for _, e := range events {
		if _, err := w.exec(ctx, w.dialect.Insert("webhook_events", "webhook_id", "entity", "action"), id, e.Entity, e.Action); err != nil {
			return err
		}
	}
	return nil
}

// orNull stores "" as no value.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// Webhook implements registry.WebhookStore.
func (s *Store) Webhook(ctx context.Context, id string) (hook registry.Webhook, err error) {
	err = s.read(ctx, func(r reader) error {
		hook, err = r.webhook(ctx, id)
		return err
	})
	return hook, err
}

// Webhooks implements registry.WebhookStore.
func (s *Store) Webhooks(ctx context.Context, after page.Place, limit int) (found page.Found[registry.Webhook], err error) {
	query := sqldb.PageQuery{
		Columns: webhookColumns, From: "webhooks", Where: webhookLives, WhereArgs: []any{workspace}, After: after, Limit: limit,
		Keys: sqldb.Keyset{Dialect: s.db.Dialect(), Keys: []sqldb.SortKey{{Expr: "creation_timestamp", Desc: true}, {Expr: "webhook_id", Kind: sqldb.TextKey, NotNull: true}}},
	}
	err = s.read(ctx, func(r reader) error {
		found, err = sqldb.ReadPage(ctx, r.q, query, func(row *sqldb.Row) (registry.Webhook, error) { return scanWebhook(row) })
		if err != nil {
			return err
		}
		return r.fillEvents(ctx, found.Rows)
	})
	return found, err
}

// UpdateWebhook implements registry.WebhookStore.
func (s *Store) UpdateWebhook(ctx context.Context, id string, patch registry.WebhookPatch, at int64) (hook registry.Webhook, err error) {
	_, err = s.write(ctx, at, func(w *writer) error {
		if hook, err = w.webhook(ctx, id); err != nil {
			return err
		}
		apply(&hook, patch, at)
		_, err := w.exec(ctx, `UPDATE webhooks SET name = ?, description = ?, url = ?, status = ?, secret = ?, last_updated_timestamp = ?
			WHERE webhook_id = ?`, hook.Name, orNull(hook.Description), hook.URL, string(hook.Status), orNull(hook.SealedSecret), at, id)
		if err != nil || patch.Events == nil {
			return err
		}
		if _, err := w.exec(ctx, "DELETE FROM webhook_events WHERE webhook_id = ?", id); err != nil {
			return err
		}
		return w.putEvents(ctx, id, patch.Events)
	})
	return hook, err
}

func apply(hook *registry.Webhook, patch registry.WebhookPatch, at int64) {
	set := func(to *string, from *string) {
		if from != nil {
			*to = *from
		}
	}
	set(&hook.Name, patch.Name)
	set(&hook.Description, patch.Description)
	set(&hook.URL, patch.URL)
	set(&hook.SealedSecret, patch.SealedSecret)
	if patch.Status != nil {
		hook.Status = *patch.Status
	}
	if patch.Events != nil {
		hook.Events = patch.Events
	}
	hook.UpdatedMS = at
}

// DeleteWebhook implements registry.WebhookStore. The row stays, as in MLflow.
func (s *Store) DeleteWebhook(ctx context.Context, id string, at int64) error {
	_, err := s.write(ctx, at, func(w *writer) error {
		if _, err := w.webhook(ctx, id); err != nil {
			return err
		}
		if _, err := w.exec(ctx, "UPDATE webhooks SET deleted_timestamp = ?, last_updated_timestamp = ? WHERE webhook_id = ?", at, at, id); err != nil {
			return err
		}
		_, err := w.exec(ctx, "DELETE FROM sluice_webhook_deliveries WHERE webhook_id = ?", id)
		return err
	})
	return err
}
