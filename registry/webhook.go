package registry

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"sluice/tracking/mlflow"
)

// WebhookStatus says whether a webhook hears of changes.
type WebhookStatus string

// The statuses. Changes made while a webhook is disabled are never told to it; what waited already waits on.
const (
	WebhookActive   WebhookStatus = "ACTIVE"
	WebhookDisabled WebhookStatus = "DISABLED"
)

// WebhookEvent is a kind of change that a webhook can hear of, in MLflow's words.
type WebhookEvent struct {
	Entity string // "model_version"
	Action string // "created"
}

// String returns "entity.action".
func (e WebhookEvent) String() string { return e.Entity + "." + e.Action }

// The entities and actions (source: mlflow/entities/webhook.py, MLflow 3.17). In the order of MLflow's protos, from 1 on.
var (
	webhookEntities = []string{"registered_model", "model_version", "model_version_tag", "model_version_alias", "prompt", "prompt_version",
		"prompt_tag", "prompt_version_tag", "prompt_alias", "budget_policy"}
	webhookActions = map[string][]string{ // sorted
		"registered_model":    {"created"},
		"model_version":       {"created"},
		"model_version_tag":   {"deleted", "set"},
		"model_version_alias": {"created", "deleted"},
		"prompt":              {"created"},
		"prompt_version":      {"created"},
		"prompt_tag":          {"deleted", "set"},
		"prompt_version_tag":  {"deleted", "set"},
		"prompt_alias":        {"created", "deleted"},
		"budget_policy":       {"exceeded"}, // this server has no budgets: accepted, never said
	}
)

// WebhookEvents returns every kind of change, entities in MLflow's order.
func WebhookEvents() []WebhookEvent {
	var out []WebhookEvent
	for _, entity := range webhookEntities {
		for _, action := range webhookActions[entity] {
			out = append(out, WebhookEvent{entity, action})
		}
	}
	return out
}

// Check returns INVALID_PARAMETER_VALUE for an entity and an action that do not go together.
func (e WebhookEvent) Check() error {
	actions := webhookActions[e.Entity]
	if slices.Contains(actions, e.Action) {
		return nil
	}
	quoted := make([]string, len(actions))
	for i, a := range actions {
		quoted[i] = mlflow.Repr(a)
	}
	return mlflow.Invalidf("Invalid action '%s' for entity '%s'. Valid actions are: [%s]", e.Action, e.Entity, strings.Join(quoted, ", "))
}

// Webhook is an address that hears of changes.
type Webhook struct {
	ID          string
	Name        string // need not be unique
	Description string
	URL         string
	Events      []WebhookEvent // at least one, none twice, sorted
	Status      WebhookStatus
	// SealedSecret is the key of the signatures, encrypted by a Sealer; "" means deliveries are not signed.
	SealedSecret string
	CreatedMS    int64 // Unix time, milliseconds
	UpdatedMS    int64 // Unix time, milliseconds
}

// WebhookPatch changes a webhook; nil fields stay.
type WebhookPatch struct {
	Name, Description, URL *string
	Events                 []WebhookEvent
	SealedSecret           *string // "" ends the signatures
	Status                 *WebhookStatus
}

// Bounds of webhooks. Name, description and URL are as long as MLflow's columns; the sealed secret must fit into its 1000
// characters.
const (
	MaxWebhooks           = 1000
	maxWebhookDescription = 1000
	maxWebhookURL         = 500
	maxWebhookSecret      = 512 // bytes
)

// UnknownWebhook is RESOURCE_DOES_NOT_EXIST for a webhook.
func UnknownWebhook(id string) error {
	return mlflow.Missingf("Webhook with ID %s not found.", id)
}

// TooManyWebhooks is RESOURCE_EXHAUSTED for one webhook more than MaxWebhooks.
func TooManyWebhooks() error {
	return mlflow.Errorf(mlflow.ResourceExhausted, "There are %d webhooks already: delete one first.", MaxWebhooks)
}

// webhookName is MLflow's rule, in any letter case, with its bound of 63 characters.
var webhookName = regexp.MustCompile(`^(?i:[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)$`)

func checkWebhookName(name string) error {
	if len(name) <= 63 && webhookName.MatchString(name) {
		return nil
	}
	return mlflow.Invalidf("Webhook name %s is invalid. It must start and end with a letter or digit, be less than 63 characters long, "+
		"and contain only letters, digits, dots (.), underscores (_), and hyphens (-).", mlflow.Repr(name))
}

// checkWebhookEvents checks the events and returns them sorted, none twice.
func checkWebhookEvents(events []WebhookEvent) ([]WebhookEvent, error) {
	if len(events) == 0 {
		return nil, mlflow.Invalidf("Webhook events must be a non-empty list of WebhookEvent objects: [].")
	}
	for _, e := range events {
		if err := e.Check(); err != nil {
			return nil, err
		}
	}
	events = slices.Clone(events)
	slices.SortFunc(events, compareWebhookEvents)
	return slices.Compact(events), nil
}

func compareWebhookEvents(a, b WebhookEvent) int { return strings.Compare(a.String(), b.String()) }

func checkWebhookText(param, text string, most int) error {
	if n := utf8.RuneCountInString(text); n > most {
		return mlflow.Invalidf("Webhook %s is %d characters long; at most %d are allowed.", param, n, most)
	}
	return nil
}

func checkWebhookSecret(secret string) error {
	if len(secret) > maxWebhookSecret {
		return mlflow.Invalidf("Webhook secret is %d bytes long; at most %d are allowed.", len(secret), maxWebhookSecret)
	}
	return nil
}

// DeliveryState says what happens to a delivery.
type DeliveryState string

// The states of deliveries; one that arrived is deleted.
const (
	DeliveryPending DeliveryState = "pending"
	DeliveryDead    DeliveryState = "dead" // given up; stays to be looked at and replayed
)

// ParseDeliveryState returns INVALID_PARAMETER_VALUE for anything but a state.
func ParseDeliveryState(text string) (DeliveryState, error) {
	if s := DeliveryState(text); s == DeliveryPending || s == DeliveryDead {
		return s, nil
	}
	return "", mlflow.Invalidf("Invalid state %s: must be pending or dead.", mlflow.Repr(text))
}

// Delivery is one change on its way to one webhook, written in the change's own transaction.
type Delivery struct {
	WebhookID string
	Revision  int64  // of the change's Event; with WebhookID the key
	ID        string // a UUID, the same at every attempt
	Event     WebhookEvent
	Model     string // deliveries of one webhook and one registered model keep their order
	Payload   string // the "data" of the message, JSON
	TimeMS    int64  // of the change, Unix time, milliseconds
	State     DeliveryState
	Attempts  int   // begun so far
	DueMS     int64 // when the next attempt may begin, Unix time, milliseconds
	// LastStatus and LastError tell of the last attempt that failed: the HTTP status, 0 for none, and a sentence.
	LastStatus int
	LastError  string
}

func (d Delivery) String() string {
	return fmt.Sprintf("delivery %s of %s to webhook %s", d.ID, d.Event, d.WebhookID)
}

// Stream is the order that deliveries keep: those of one registered model to one webhook follow each other.
type Stream struct{ WebhookID, Model string }
