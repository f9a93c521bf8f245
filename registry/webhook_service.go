package registry

import (
	"context"
	"errors"
	"time"

	"sluice/tracking/mlflow"
	"sluice/tracking/page"
)

// Sealer encrypts secrets at rest.
type Sealer interface {
	Seal(plain string) (string, error)
	Open(sealed string) (string, error)
}

// WebhookOptions are the settings of Webhooks.
type WebhookOptions struct {
	// Sealer encrypts secrets; nil refuses them.
	Sealer Sealer
	// CheckURL refuses addresses that must not be called; nil allows all.
	CheckURL func(ctx context.Context, url string) error
	// Try makes one trial delivery and waits for the answer; nil answers NOT_IMPLEMENTED.
	Try func(ctx context.Context, w Webhook, event WebhookEvent) (Trial, error)
	// NewID makes ids of webhooks; required.
	NewID func() string
	// Wake is called after a replay, so that deliveries do not wait for the next look; may be nil.
	Wake func()
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Trial is the outcome of a trial delivery.
type Trial struct {
	OK     bool
	Status int    // of the answer; 0 means there was none
	Body   string // of the answer, its beginning
	Error  string // why there was no answer
}

// WebhookSpec is what Create needs.
type WebhookSpec struct {
	Name, Description, URL string
	Events                 []WebhookEvent
	Secret                 string // plain; "" means none
	Status                 WebhookStatus
}

// WebhookChange is what Update needs; nil fields stay.
type WebhookChange struct {
	Name, Description, URL *string
	Events                 []WebhookEvent
	Secret                 *string // plain; "" ends the signatures
	Status                 *WebhookStatus
}

// WebhookPage is one page of webhooks; NextPageToken is "" on the last.
type WebhookPage struct {
	Webhooks      []Webhook
	NextPageToken string
}

// Webhooks is the rules of webhooks in front of a WebhookStore; safe for concurrent use. Its errors are *mlflow.Error for everything
// that a client did wrong.
type Webhooks struct {
	store WebhookStore
	opts  WebhookOptions
}

// NewWebhooks returns the rules on store.
func NewWebhooks(store WebhookStore, opts WebhookOptions) *Webhooks {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.CheckURL == nil {
		opts.CheckURL = func(context.Context, string) error { return nil }
	}
	if opts.Wake == nil {
		opts.Wake = func() {}
	}
	return &Webhooks{store, opts}
}

// Create makes a webhook; it hears of every change that is made after Create returns.
func (s *Webhooks) Create(ctx context.Context, spec WebhookSpec) (Webhook, error) {
	if err := checkWebhookName(spec.Name); err != nil {
		return Webhook{}, err
	}
	if err := s.checkURL(ctx, spec.URL); err != nil {
		return Webhook{}, err
	}
	events, err := checkWebhookEvents(spec.Events)
	if err != nil {
		return Webhook{}, err
	}
	if err := checkWebhookText("description", spec.Description, maxWebhookDescription); err != nil {
		return Webhook{}, err
	}
	sealed, err := s.seal(spec.Secret)
	if err != nil {
		return Webhook{}, err
	}
	at := s.opts.Now().UnixMilli()
	w := Webhook{
		ID: s.opts.NewID(), Name: spec.Name, Description: spec.Description, URL: spec.URL, Events: events, Status: spec.Status,
		SealedSecret: sealed, CreatedMS: at, UpdatedMS: at,
	}
	if w.Status == "" {
		w.Status = WebhookActive
	}
	return w, s.store.CreateWebhook(ctx, w)
}

// Get returns a webhook, RESOURCE_DOES_NOT_EXIST if there is none.
func (s *Webhooks) Get(ctx context.Context, id string) (Webhook, error) {
	return s.store.Webhook(ctx, id)
}

// List returns one page of webhooks, the latest first; size 0 means 100, at most 1000.
func (s *Webhooks) List(ctx context.Context, size int64, token string) (WebhookPage, error) {
	if size == 0 {
		size = 100
	}
	if size < 1 || size > 1000 {
		return WebhookPage{}, mlflow.Invalidf("max_results must be between 1 and 1000.")
	}
	question := page.NewQuestion("webhooks")
	after, err := question.Read(token)
	if err != nil {
		return WebhookPage{}, err
	}
	found, err := s.store.Webhooks(ctx, after, int(size))
	if err != nil {
		return WebhookPage{}, err
	}
	next, err := page.Next(question, found)
	return WebhookPage{found.Rows, next}, err
}

// Update changes a webhook.
func (s *Webhooks) Update(ctx context.Context, id string, change WebhookChange) (Webhook, error) {
	if _, err := s.store.Webhook(ctx, id); err != nil {
		return Webhook{}, err // first, as in MLflow
	}
	patch := WebhookPatch{Name: change.Name, Description: change.Description, URL: change.URL, Status: change.Status}
	if change.Name != nil {
		if err := checkWebhookName(*change.Name); err != nil {
			return Webhook{}, err
		}
	}
	if change.URL != nil {
		if err := s.checkURL(ctx, *change.URL); err != nil {
			return Webhook{}, err
		}
	}
	if change.Description != nil {
		if err := checkWebhookText("description", *change.Description, maxWebhookDescription); err != nil {
			return Webhook{}, err
		}
	}
	if change.Events != nil {
		events, err := checkWebhookEvents(change.Events)
		if err != nil {
			return Webhook{}, err
		}
		patch.Events = events
	}
	if change.Secret != nil {
		sealed, err := s.seal(*change.Secret)
		if err != nil {
			return Webhook{}, err
		}
		patch.SealedSecret = &sealed
	}
	return s.store.UpdateWebhook(ctx, id, patch, s.opts.Now().UnixMilli())
}

// Delete deletes a webhook with everything that waits for it.
func (s *Webhooks) Delete(ctx context.Context, id string) error {
	return s.store.DeleteWebhook(ctx, id, s.opts.Now().UnixMilli())
}

// Test makes one trial delivery of an example and waits for the answer; nil means the webhook's first event.
func (s *Webhooks) Test(ctx context.Context, id string, event *WebhookEvent) (Trial, error) {
	if event != nil {
		if err := event.Check(); err != nil {
			return Trial{}, err
		}
	}
	w, err := s.store.Webhook(ctx, id)
	if err != nil {
		return Trial{}, err
	}
	if event == nil {
		event = &w.Events[0]
	}
	if s.opts.Try == nil {
		return Trial{}, mlflow.Errorf(mlflow.NotImplemented, "This server delivers no webhooks.")
	}
	return s.opts.Try(ctx, w, *event)
}

// MaxDeliveries is the most deliveries that one call of Deliveries returns.
const MaxDeliveries = 1000

// Deliveries returns deliveries of a webhook in a state with a revision above after, in order; at most limit, or MaxDeliveries for 0.
func (s *Webhooks) Deliveries(ctx context.Context, id string, state DeliveryState, after int64, limit int) ([]Delivery, error) {
	if limit < 0 || limit > MaxDeliveries {
		return nil, mlflow.Invalidf("max_results must be between 1 and %d.", MaxDeliveries)
	}
	if limit == 0 {
		limit = MaxDeliveries
	}
	if _, err := s.store.Webhook(ctx, id); err != nil {
		return nil, err
	}
	return s.store.Deliveries(ctx, id, state, after, limit)
}

// Replay sends dead deliveries again: the one of a revision, or all for 0. It returns how many.
func (s *Webhooks) Replay(ctx context.Context, id string, revision int64) (int, error) {
	if _, err := s.store.Webhook(ctx, id); err != nil {
		return 0, err
	}
	n, err := s.store.Replay(ctx, id, revision, s.opts.Now().UnixMilli())
	if err == nil && n == 0 && revision != 0 {
		return 0, mlflow.Missingf("Webhook %s has no dead delivery of revision %d.", id, revision)
	}
	s.opts.Wake()
	return n, err
}

func (s *Webhooks) checkURL(ctx context.Context, url string) error {
	if err := checkWebhookText("url", url, maxWebhookURL); err != nil {
		return err
	}
	return s.opts.CheckURL(ctx, url)
}

var errNoSealer = errors.New("webhook secrets cannot be encrypted: no key")

func (s *Webhooks) seal(secret string) (string, error) {
	if secret == "" {
		return "", nil
	}
	if err := checkWebhookSecret(secret); err != nil {
		return "", err
	}
	if s.opts.Sealer == nil {
		return "", errNoSealer
	}
	return s.opts.Sealer.Seal(secret)
}
