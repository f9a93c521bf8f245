package registry

import (
	"context"

	"sluice/tracking/page"
)

// WebhookStore keeps webhooks. Methods return UnknownWebhook for one that is not there or deleted; they are safe for concurrent use,
// atomic, and durable when they return nil. at is the time of the change, Unix milliseconds.
type WebhookStore interface {
	// CreateWebhook stores w as it is. Returns TooManyWebhooks.
	CreateWebhook(ctx context.Context, w Webhook) error
	Webhook(ctx context.Context, id string) (Webhook, error)
	// Webhooks returns one page of webhooks by creation, the latest first, behind a place.
	Webhooks(ctx context.Context, after page.Place, limit int) (page.Found[Webhook], error)
	UpdateWebhook(ctx context.Context, id string, patch WebhookPatch, at int64) (Webhook, error)
	// DeleteWebhook hides the webhook for good and deletes its deliveries.
	DeleteWebhook(ctx context.Context, id string, at int64) error
	DeliveryReader
}

// DeliveryReader shows deliveries and sends them again.
type DeliveryReader interface {
	// Deliveries returns deliveries of a webhook in a state with a revision above after, in order.
	Deliveries(ctx context.Context, webhookID string, state DeliveryState, after int64, limit int) ([]Delivery, error)
	// Replay makes dead deliveries pending again, due at once and with no attempt counted: the one with the revision, or all for 0.
	// It returns how many.
	Replay(ctx context.Context, webhookID string, revision, at int64) (int, error)
}

// DeliveryStore is what carries deliveries out. Only a stream's oldest pending delivery is ever handed out.
type DeliveryStore interface {
	// Due returns streams of active webhooks whose oldest pending delivery may be tried now, at most perWebhook of one webhook.
	Due(ctx context.Context, now int64, perWebhook int) ([]Stream, error)
	// Claim hands out the oldest pending delivery of the stream, with its webhook, counts the attempt, and lets nobody else have it
	// before until. ok is false if it is not due or nothing is there.
	Claim(ctx context.Context, stream Stream, now, until int64) (d Delivery, w Webhook, ok bool, err error)
	// Delivered deletes the delivery.
	Delivered(ctx context.Context, d Delivery) error
	// Postpone notes why the attempt failed and when the next may begin.
	Postpone(ctx context.Context, d Delivery, due int64, status int, reason string) error
	// Bury gives the delivery up.
	Bury(ctx context.Context, d Delivery, status int, reason string) error
	// Trim keeps the bounds of every webhook and returns how many deliveries it gave up and how many dead ones it deleted.
	Trim(ctx context.Context, bounds DeliveryBounds) (buried, deleted int, err error)
}

// DeliveryBounds bound what waits.
type DeliveryBounds struct {
	OldestMS   int64 // pending deliveries of changes before this time (Unix milliseconds) are given up
	MaxPending int   // of one webhook; the oldest are given up
	MaxDead    int   // of one webhook; the oldest are deleted
}
