package rest

import (
	"reflect"
	"strings"

	"github.com/gofiber/fiber/v2"

	"sluice/registry"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// WebhookRoutes returns the rows of the endpoint table for webhooks, each under /api and /ajax-api, and our own for their deliveries.
// All need the permission to manage, as MLflow's need an administrator: a webhook sends what others do to an address of its own.
func WebhookRoutes(service *registry.Webhooks) []wire.Route {
	h := &webhooks{service}
	var out []wire.Route
	add := func(method, path, audit string, handler fiber.Handler) {
		out = append(out, wire.API("2.0", method, path, wire.Manage, "registry.webhook."+audit, handler)...)
	}
	add("POST", "/webhooks", "create", h.create)
	add("GET", "/webhooks", "list", h.list)
	add("GET", "/webhooks/:webhook_id", "get", h.get)
	add("PATCH", "/webhooks/:webhook_id", "update", h.update)
	add("DELETE", "/webhooks/:webhook_id", "delete", h.delete)
	add("POST", "/webhooks/:webhook_id/test", "test", h.test)
	own := "/api/2.0/sluice/webhooks/:webhook_id/deliveries"
	return append(out,
		wire.Route{
			Method: "GET", Path: own, Permission: wire.Manage, Audit: "registry.webhook.delivery.list", Handler: h.deliveries,
			Doc: wire.Doc{Answers: reflect.TypeFor[deliveriesJSON](), Query: []string{"state", "after", "max_results"}},
		},
		wire.Route{
			Method: "POST", Path: own + "/replay", Permission: wire.Manage, Audit: "registry.webhook.delivery.replay", Handler: h.replay,
			Doc: wire.Doc{Takes: reflect.TypeFor[replayJSON](), Answers: reflect.TypeFor[replayedJSON]()},
		},
	)
}

type webhooks struct{ service *registry.Webhooks }

// webhookEvent is an event in the names of MLflow's protos (source: mlflow/protos/webhooks_pb2.py).
type webhookEvent struct {
	Entity string `json:"entity" enum:"REGISTERED_MODEL,MODEL_VERSION,MODEL_VERSION_TAG,MODEL_VERSION_ALIAS,PROMPT,PROMPT_VERSION,PROMPT_TAG,PROMPT_VERSION_TAG,PROMPT_ALIAS,BUDGET_POLICY"`
	Action string `json:"action" enum:"CREATED,UPDATED,DELETED,SET,EXCEEDED"`
}

func (e webhookEvent) event() registry.WebhookEvent {
	return registry.WebhookEvent{Entity: strings.ToLower(e.Entity), Action: strings.ToLower(e.Action)}
}

func webhookEventOut(e registry.WebhookEvent) webhookEvent {
	return webhookEvent{strings.ToUpper(e.Entity), strings.ToUpper(e.Action)}
}

func webhookEventsIn(in []webhookEvent) []registry.WebhookEvent {
	var out []registry.WebhookEvent
	for _, e := range in {
		out = append(out, e.event())
	}
	return out
}

// webhook is a webhook as MLflow's clients read it; its secret is never sent.
type webhook struct {
	ID          string         `json:"webhook_id"`
	Name        string         `json:"name"`
	Description string         `json:"description,omitempty"`
	URL         string         `json:"url"`
	Events      []webhookEvent `json:"events"`
	Status      string         `json:"status"`
	CreatedMS   int64          `json:"creation_timestamp"`
	UpdatedMS   int64          `json:"last_updated_timestamp"`
}

func webhookOut(w registry.Webhook) webhook {
	out := webhook{ID: w.ID, Name: w.Name, Description: w.Description, URL: w.URL, Status: string(w.Status), CreatedMS: w.CreatedMS, UpdatedMS: w.UpdatedMS}
	for _, e := range w.Events {
		out.Events = append(out.Events, webhookEventOut(e))
	}
	return out
}

func sendWebhook(c *fiber.Ctx, w registry.Webhook, err error) error {
	if err != nil {
		return err
	}
	return wire.Send(c, struct {
		Webhook webhook `json:"webhook"`
	}{webhookOut(w)})
}

func (h *webhooks) create(c *fiber.Ctx) error {
	var in struct {
		Name        string         `json:"name" wire:"required"`
		Description string         `json:"description"`
		URL         string         `json:"url" wire:"required"`
		Events      []webhookEvent `json:"events" wire:"required"`
		Secret      string         `json:"secret"`
		Status      string         `json:"status" enum:"ACTIVE,DISABLED"`
	}
	if err := wire.Bind(c, &in); err != nil {
		return err
	}
	w, err := h.service.Create(c.UserContext(), registry.WebhookSpec{
		Name: in.Name, Description: in.Description, URL: in.URL, Events: webhookEventsIn(in.Events), Secret: in.Secret,
		Status: registry.WebhookStatus(in.Status),
	})
	return sendWebhook(c, w, err)
}

func (h *webhooks) list(c *fiber.Ctx) error {
	var in struct {
		MaxResults int64  `json:"max_results"`
		PageToken  string `json:"page_token"`
	}
	if err := wire.Bind(c, &in); err != nil {
		return err
	}
	page, err := h.service.List(c.UserContext(), in.MaxResults, in.PageToken)
	if err != nil {
		return err
	}
	out := struct {
		Webhooks      []webhook `json:"webhooks,omitempty"`
		NextPageToken string    `json:"next_page_token,omitempty"`
	}{NextPageToken: page.NextPageToken}
	for _, w := range page.Webhooks {
		out.Webhooks = append(out.Webhooks, webhookOut(w))
	}
	return wire.Send(c, out)
}

func (h *webhooks) get(c *fiber.Ctx) error {
	id, err := wire.Param(c, "webhook_id")
	if err != nil {
		return err
	}
	w, err := h.service.Get(c.UserContext(), id)
	return sendWebhook(c, w, err)
}

func (h *webhooks) update(c *fiber.Ctx) error {
	id, err := wire.Param(c, "webhook_id")
	if err != nil {
		return err
	}
	var in struct {
		Name        string         `json:"name"`
		Description *string        `json:"description"`
		URL         string         `json:"url"`
		Events      []webhookEvent `json:"events"`
		Secret      *string        `json:"secret"`
		Status      string         `json:"status" enum:"ACTIVE,DISABLED"`
	}
	if err := wire.Bind(c, &in); err != nil {
		return err
	}
	change := registry.WebhookChange{
		Name: said(in.Name), Description: in.Description, URL: said(in.URL), Events: webhookEventsIn(in.Events), Secret: in.Secret,
	}
	if in.Status != "" {
		status := registry.WebhookStatus(in.Status)
		change.Status = &status
	}
	w, err := h.service.Update(c.UserContext(), id, change)
	return sendWebhook(c, w, err)
}

// said returns nil for a field that is empty, which to MLflow is not said.
func said(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func (h *webhooks) delete(c *fiber.Ctx) error {
	id, err := wire.Param(c, "webhook_id")
	if err != nil {
		return err
	}
	return empty(c, h.service.Delete(c.UserContext(), id))
}

func (h *webhooks) test(c *fiber.Ctx) error {
	id, err := wire.Param(c, "webhook_id")
	if err != nil {
		return err
	}
	var in struct {
		Event *webhookEvent `json:"event"`
	}
	if err := wire.Bind(c, &in); err != nil {
		return err
	}
	var event *registry.WebhookEvent
	if in.Event != nil {
		e := in.Event.event()
		event = &e
	}
	trial, err := h.service.Test(c.UserContext(), id, event)
	if err != nil {
		return err
	}
	type result struct {
		Success bool   `json:"success"`
		Status  int    `json:"response_status,omitempty"`
		Body    string `json:"response_body,omitempty"`
		Error   string `json:"error_message,omitempty"`
	}
	return wire.Send(c, struct {
		Result result `json:"result"`
	}{result{trial.OK, trial.Status, trial.Body, trial.Error}})
}

// delivery is a delivery that waits or was given up; our own shape. Its payload is not shown.
type delivery struct {
	ID         string `json:"delivery_id"`
	Revision   int64  `json:"revision"`
	Event      string `json:"event"`
	Model      string `json:"name"`
	State      string `json:"state"`
	Attempts   int    `json:"attempts"`
	ChangedMS  int64  `json:"event_timestamp"`
	DueMS      int64  `json:"next_attempt_timestamp,omitempty"`
	LastStatus int    `json:"last_response_status,omitempty"`
	LastError  string `json:"last_error,omitempty"`
}

func (h *webhooks) deliveries(c *fiber.Ctx) error {
	id, err := wire.Param(c, "webhook_id")
	if err != nil {
		return err
	}
	in := struct {
		State      string `json:"state"`
		After      int64  `json:"after"` // a revision
		MaxResults int64  `json:"max_results"`
	}{State: string(registry.DeliveryDead)}
	if err := wire.Bind(c, &in); err != nil {
		return err
	}
	state, err := registry.ParseDeliveryState(in.State)
	if err != nil {
		return err
	}
	if in.MaxResults < 0 || in.MaxResults > registry.MaxDeliveries {
		return mlflow.Invalidf("max_results must be between 1 and %d.", registry.MaxDeliveries)
	}
	rows, err := h.service.Deliveries(c.UserContext(), id, state, in.After, int(in.MaxResults))
	if err != nil {
		return err
	}
	out := make([]delivery, len(rows))
	for i, d := range rows {
		out[i] = delivery{d.ID, d.Revision, d.Event.String(), d.Model, string(d.State), d.Attempts, d.TimeMS, d.DueMS, d.LastStatus, d.LastError}
	}
	return wire.Send(c, deliveriesJSON{out})
}

type (
	deliveriesJSON struct {
		Deliveries []delivery `json:"deliveries"`
	}
	replayJSON struct {
		Revision int64 `json:"revision"` // 0 means all that are dead
	}
	replayedJSON struct {
		Replayed int `json:"replayed"`
	}
)

func (h *webhooks) replay(c *fiber.Ctx) error {
	id, err := wire.Param(c, "webhook_id")
	if err != nil {
		return err
	}
	var in replayJSON
	if err := wire.Bind(c, &in); err != nil {
		return err
	}
	n, err := h.service.Replay(c.UserContext(), id, in.Revision)
	if err != nil {
		return err
	}
	return wire.Send(c, replayedJSON{n})
}
