package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"github.com/google/uuid"

	"sluice/registry"
)

var _ registry.DeliveryStore = (*Store)(nil)

// createDeliveries makes the table of what is on its way to webhooks.
var createDeliveries = []string{
	`CREATE TABLE sluice_webhook_deliveries (
			webhook_id VARCHAR(256) NOT NULL,
			revision BIGINT NOT NULL,
			delivery_id VARCHAR(36) NOT NULL,
			entity VARCHAR(50) NOT NULL,
			action VARCHAR(50) NOT NULL,
			model VARCHAR(256) NOT NULL,
			payload TEXT NOT NULL,
			time_ms BIGINT NOT NULL,
			state VARCHAR(10) NOT NULL,
			attempts INTEGER NOT NULL,
			due_ms BIGINT NOT NULL,
			last_status INTEGER NOT NULL,
			last_error VARCHAR(1000) NOT NULL,
			CONSTRAINT sluice_webhook_deliveries_pk PRIMARY KEY (webhook_id, revision)
		)`,
	`CREATE INDEX sluice_webhook_deliveries_order ON sluice_webhook_deliveries (state, webhook_id, model, revision)`,
}

// maxReason is how much of an error is kept, characters.
const maxReason = 1000

// enqueue writes a delivery for every active webhook that hears of an event of this change, whose revisions are known.
func (w *writer) enqueue(ctx context.Context) error {
	for _, s := range w.said {
		e := w.events[s.event]
		event, payload, ok, err := registry.Announce(e, s.about)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		ids, err := collect(ctx, w.q, scanText, `SELECT w.webhook_id FROM webhook_events e JOIN webhooks w ON w.webhook_id = e.webhook_id
			WHERE e.entity = ? AND e.action = ? AND w.workspace = ? AND w.status = ? AND w.deleted_timestamp IS NULL ORDER BY w.webhook_id`,
			event.Entity, event.Action, workspace, string(registry.WebhookActive))
		if err != nil {
			return err
		}
		for _, id := range ids {
			_, err := w.exec(ctx, w.dialect.Insert("sluice_webhook_deliveries", "webhook_id", "revision", "delivery_id", "entity", "action", "model",
				"payload", "time_ms", "state", "attempts", "due_ms", "last_status", "last_error"),
				id, e.Revision, uuid.NewString(), event.Entity, event.Action, e.Model, payload, e.TimeMS, string(registry.DeliveryPending), 0, 0, 0, "")
			if err != nil {
				return err
			}
		}
	}
	return nil
}

const deliveryColumns = "webhook_id, revision, delivery_id, entity, action, model, payload, time_ms, state, attempts, due_ms, last_status, last_error"

func scanDelivery(row interface{ Scan(...any) error }) (registry.Delivery, error) {
	var d registry.Delivery
	err := row.Scan(&d.WebhookID, &d.Revision, &d.ID, &d.Event.Entity, &d.Event.Action, &d.Model, &d.Payload, &d.TimeMS, &d.State, &d.Attempts,
		&d.DueMS, &d.LastStatus, &d.LastError)
	return d, err
}

// Due implements registry.DeliveryStore.
func (s *Store) Due(ctx context.Context, now int64, perWebhook int) (out []registry.Stream, err error) {
	err = s.read(ctx, func(r reader) error {
		out, err = collect(ctx, r.q, scanStream, `SELECT webhook_id, model FROM (
				SELECT d.webhook_id, d.model, d.revision, ROW_NUMBER() OVER (PARTITION BY d.webhook_id ORDER BY d.due_ms, d.revision) AS place
				FROM (SELECT webhook_id, model, MIN(revision) AS revision FROM sluice_webhook_deliveries WHERE state = ? GROUP BY webhook_id, model) h
				JOIN sluice_webhook_deliveries d ON d.webhook_id = h.webhook_id AND d.revision = h.revision
				JOIN webhooks w ON w.webhook_id = d.webhook_id
				WHERE d.due_ms <= ? AND w.status = ? AND w.deleted_timestamp IS NULL
			) ranked WHERE place <= ? ORDER BY place, revision`,
			string(registry.DeliveryPending), now, string(registry.WebhookActive), perWebhook)
		return err
	})
	return out, err
}

func scanStream(row interface{ Scan(...any) error }) (registry.Stream, error) {
	var s registry.Stream
	err := row.Scan(&s.WebhookID, &s.Model)
	return s, err
}

// Claim implements registry.DeliveryStore.
func (s *Store) Claim(ctx context.Context, stream registry.Stream, now, until int64) (d registry.Delivery, hook registry.Webhook, ok bool, err error) {
	_, err = s.write(ctx, now, func(w *writer) error {
		hook, ok = registry.Webhook{}, false
		d, err = scanDelivery(w.q.QueryRowContext(ctx, "SELECT "+deliveryColumns+` FROM sluice_webhook_deliveries
			WHERE state = ? AND webhook_id = ? AND model = ? ORDER BY revision LIMIT 1`, string(registry.DeliveryPending), stream.WebhookID, stream.Model))
		if errors.Is(err, sql.ErrNoRows) || err == nil && d.DueMS > now {
			return nil
		}
		if err != nil {
			return err
		}
		if hook, err = w.webhook(ctx, stream.WebhookID); err != nil || hook.Status != registry.WebhookActive {
			return err
		}
		n, err := w.exec(ctx, "UPDATE sluice_webhook_deliveries SET attempts = attempts + 1, due_ms = ?"+thisDelivery+" AND attempts = ?",
			until, d.WebhookID, d.Revision, string(registry.DeliveryPending), d.Attempts)
		d.Attempts++
		ok = n == 1 // somebody else may have been quicker
		return err
	})
	return d, hook, ok && err == nil, err
}

const thisDelivery = " WHERE webhook_id = ? AND revision = ? AND state = ?"

// Delivered implements registry.DeliveryStore.
func (s *Store) Delivered(ctx context.Context, d registry.Delivery) error {
	return s.changeDelivery(ctx, "DELETE FROM sluice_webhook_deliveries"+thisDelivery, d.WebhookID, d.Revision, string(registry.DeliveryPending))
}

// Postpone implements registry.DeliveryStore.
func (s *Store) Postpone(ctx context.Context, d registry.Delivery, due int64, status int, reason string) error {
	return s.changeDelivery(ctx, "UPDATE sluice_webhook_deliveries SET due_ms = ?, last_status = ?, last_error = ?"+thisDelivery,
		due, status, shorten(reason), d.WebhookID, d.Revision, string(registry.DeliveryPending))
}

// Bury implements registry.DeliveryStore.
func (s *Store) Bury(ctx context.Context, d registry.Delivery, status int, reason string) error {
	return s.changeDelivery(ctx, "UPDATE sluice_webhook_deliveries SET state = ?, last_status = ?, last_error = ?"+thisDelivery,
		string(registry.DeliveryDead), status, shorten(reason), d.WebhookID, d.Revision, string(registry.DeliveryPending))
}

func shorten(reason string) string {
	if runes := []rune(reason); len(runes) > maxReason {
		return string(runes[:maxReason])
	}
	return reason
}

func (s *Store) changeDelivery(ctx context.Context, query string, args ...any) error {
	_, err := s.write(ctx, 0, func(w *writer) error {
		_, err := w.exec(ctx, query, args...)
		return err
	})
	return err
}

// Deliveries implements registry.DeliveryReader.
func (s *Store) Deliveries(ctx context.Context, webhookID string, state registry.DeliveryState, after int64, limit int) (out []registry.Delivery, err error) {
	err = s.read(ctx, func(r reader) error {
		out, err = collect(ctx, r.q, scanDelivery, "SELECT "+deliveryColumns+` FROM sluice_webhook_deliveries
			WHERE webhook_id = ? AND state = ? AND revision > ? ORDER BY revision LIMIT ?`, webhookID, string(state), after, limit)
		return err
	})
	return out, err
}

// Replay implements registry.DeliveryReader.
func (s *Store) Replay(ctx context.Context, webhookID string, revision, at int64) (int, error) {
	var n int64
	_, err := s.write(ctx, at, func(w *writer) (err error) {
		query := "UPDATE sluice_webhook_deliveries SET state = ?, attempts = 0, due_ms = 0, time_ms = ? WHERE webhook_id = ? AND state = ?"
		args := []any{string(registry.DeliveryPending), at, webhookID, string(registry.DeliveryDead)}
		if revision != 0 {
			query += " AND revision = ?"
			args = append(args, revision)
		}
		n, err = w.exec(ctx, query, args...)
		return err
	})
	return int(n), err
}

// Trim implements registry.DeliveryStore.
func (s *Store) Trim(ctx context.Context, bounds registry.DeliveryBounds) (buried, deleted int, err error) {
	_, err = s.write(ctx, 0, func(w *writer) error {
		n, err := w.exec(ctx, "UPDATE sluice_webhook_deliveries SET state = ?, last_error = ? WHERE state = ? AND time_ms < ?",
			string(registry.DeliveryDead), "it was not delivered in time", string(registry.DeliveryPending), bounds.OldestMS)
		if err != nil {
			return err
		}
		buried, deleted = int(n), 0
		return w.trimCounts(ctx, bounds, &buried, &deleted)
	})
	return buried, deleted, err
}

func (w *writer) trimCounts(ctx context.Context, bounds registry.DeliveryBounds, buried, deleted *int) error {
	ids, err := collect(ctx, w.q, scanText, "SELECT DISTINCT webhook_id FROM sluice_webhook_deliveries")
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := w.beyond(ctx, id, registry.DeliveryPending, bounds.MaxPending, buried,
			"UPDATE sluice_webhook_deliveries SET state = 'dead', last_error = 'too many deliveries waited behind it'"); err != nil {
			return err
		}
		if err := w.beyond(ctx, id, registry.DeliveryDead, bounds.MaxDead, deleted, "DELETE FROM sluice_webhook_deliveries"); err != nil {
			return err
		}
	}
	return nil
}

// beyond runs change on the webhook's oldest deliveries of a state, so that keep of them remain untouched.
func (w *writer) beyond(ctx context.Context, id string, state registry.DeliveryState, keep int, count *int, change string) error {
	var last int64
	err := w.q.QueryRowContext(ctx, "SELECT revision FROM sluice_webhook_deliveries WHERE webhook_id = ? AND state = ? ORDER BY revision DESC LIMIT 1 OFFSET ?",
		id, string(state), keep).Scan(&last)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	n, err := w.exec(ctx, change+" WHERE webhook_id = ? AND state = ? AND revision <= ?", id, string(state), last)
	*count += int(n)
	return err
}

func scanText(row interface{ Scan(...any) error }) (string, error) {
	var s string
	err := row.Scan(&s)
	return s, err
}
