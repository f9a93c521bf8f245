package storetest

import (
	"slices"
	"testing"

	"sluice/registry"
	"sluice/tracking/mlflow"
)

// Told is a store that tells webhooks of its changes.
type Told interface {
	registry.Store
	registry.WebhookStore
	registry.DeliveryStore
}

// RunWebhooks tests the promises of registry.WebhookStore and registry.DeliveryStore. New returns an empty store.
func RunWebhooks(t *testing.T, New func(t testing.TB) Told) {
	for _, c := range []struct {
		name string
		test func(s *suite, st Told)
	}{{"webhooks", testWebhooks}, {"deliveries", testDeliveries}, {"bounds of deliveries", testDeliveryBounds}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			st := New(t)
			c.test(&suite{T: t, store: st, clock: 1000}, st)
		})
	}
}

var (
	modelMade   = registry.WebhookEvent{Entity: "registered_model", Action: "created"}
	versionMade = registry.WebhookEvent{Entity: "model_version", Action: "created"}
)

func (s *suite) webhook(st Told, id string, events ...registry.WebhookEvent) registry.Webhook {
	s.Helper()
	at := s.tick()
	w := registry.Webhook{ID: id, Name: "n", URL: "https://example.com", Status: registry.WebhookActive, Events: events, CreatedMS: at, UpdatedMS: at}
	s.ok(st.CreateWebhook(s.Context(), w))
	return w
}

func testWebhooks(s *suite, st Told) {
	ctx := s.Context()
	a, b := s.webhook(st, "a", modelMade), s.webhook(st, "b", versionMade, modelMade)
	b.Events = []registry.WebhookEvent{versionMade, modelMade}
	got, err := st.Webhook(ctx, "a")
	s.ok(err)
	equal(s, "webhook", got, a)
	all, err := st.Webhooks(ctx, nil, 10)
	s.ok(err)
	equal(s, "list", all.Rows, []registry.Webhook{b, a})
	first, err := st.Webhooks(ctx, nil, 1)
	s.ok(err)
	second, err := st.Webhooks(ctx, first.End, 1)
	s.ok(err)
	equal(s, "second page", second.Rows, []registry.Webhook{a})
	equal(s, "more follow", []bool{first.More, second.More}, []bool{true, false})
	name, text, secret, off, at := "m", "d", "sealed", registry.WebhookDisabled, s.tick()
	patch := registry.WebhookPatch{Name: &name, Description: &text, SealedSecret: &secret, Status: &off, Events: []registry.WebhookEvent{versionMade}}
	a.Name, a.Description, a.SealedSecret, a.Status, a.Events, a.UpdatedMS = name, text, secret, off, patch.Events, at
	got, err = st.UpdateWebhook(ctx, "a", patch, at)
	s.ok(err)
	equal(s, "updated", got, a)
	got, err = st.Webhook(ctx, "a")
	s.ok(err)
	equal(s, "stored", got, a)
	s.ok(st.DeleteWebhook(ctx, "a", s.tick()))
	_, err = st.Webhook(ctx, "a")
	s.code(err, mlflow.ResourceDoesNotExist)
	s.code(st.DeleteWebhook(ctx, "a", s.tick()), mlflow.ResourceDoesNotExist)
	_, err = st.UpdateWebhook(ctx, "nobody", registry.WebhookPatch{}, at)
	s.code(err, mlflow.ResourceDoesNotExist)
}

// streams returns the models of the streams that are due, sorted.
func (s *suite) streams(st Told, now int64, perWebhook int) []string {
	s.Helper()
	due, err := st.Due(s.Context(), now, perWebhook)
	s.ok(err)
	var out []string
	for _, d := range due {
		out = append(out, d.Model)
	}
	slices.Sort(out)
	return out
}

func testDeliveries(s *suite, st Told) {
	ctx := s.Context()
	s.webhook(st, "w", versionMade)
	for _, name := range []string{"a", "b"} {
		s.model(name)
		s.version(name)
		s.version(name)
	}
	s.stage("a", 1, registry.StageProduction, false) // no webhook hears of it
	equal(s, "due", s.streams(st, 5000, 10), []string{"a", "b"})
	equal(s, "one of a webhook", len(s.streams(st, 5000, 1)), 1)
	stream := registry.Stream{WebhookID: "w", Model: "a"}
	first, w, ok, err := st.Claim(ctx, stream, 5000, 6000)
	s.ok(err)
	if !ok || first.Payload == "" || first.Attempts != 1 || first.Event != versionMade || w.ID != "w" || len(w.Events) != 1 {
		s.Fatalf("claimed %+v of %+v, %v", first, w, ok)
	}
	_, _, ok, err = st.Claim(ctx, stream, 5999, 7000)
	s.ok(err)
	equal(s, "claimed twice", ok, false)
	equal(s, "due while claimed", s.streams(st, 5999, 10), []string{"b"})
	again, _, ok, err := st.Claim(ctx, stream, 6000, 7000) // its lease has ended
	s.ok(err)
	if !ok || again.ID != first.ID || again.Attempts != 2 {
		s.Errorf("after the lease: %+v, %v", again, ok)
	}
	s.ok(st.Postpone(ctx, again, 8000, 503, "later"))
	equal(s, "due while postponed", s.streams(st, 7999, 10), []string{"b"})
	pending, err := st.Deliveries(ctx, "w", registry.DeliveryPending, 0, 10)
	s.ok(err)
	equal(s, "pending", len(pending), 4)
	equal(s, "postponed", []any{pending[0].DueMS, pending[0].LastStatus, pending[0].LastError}, []any{int64(8000), 503, "later"})
	s.ok(st.Bury(ctx, again, 410, "gone"))
	second, _, ok, err := st.Claim(ctx, stream, 8000, 9000)
	s.ok(err)
	if !ok || second.Revision <= first.Revision || second.Model != "a" {
		s.Errorf("next of the stream: %+v, %v", second, ok)
	}
	s.ok(st.Delivered(ctx, second))
	equal(s, "due at the end", s.streams(st, 9000, 10), []string{"b"})
	n, err := st.Replay(ctx, "w", first.Revision, 9000)
	s.ok(err)
	equal(s, "replayed", n, 1)
	equal(s, "due after the replay", s.streams(st, 9000, 10), []string{"a", "b"})
	off := registry.WebhookDisabled
	_, err = st.UpdateWebhook(ctx, "w", registry.WebhookPatch{Status: &off}, s.tick())
	s.ok(err)
	equal(s, "due while disabled", len(s.streams(st, 9000, 10)), 0)
	s.ok(st.DeleteWebhook(ctx, "w", s.tick()))
	pending, err = st.Deliveries(ctx, "w", registry.DeliveryPending, 0, 10)
	s.ok(err)
	equal(s, "pending of the deleted", len(pending), 0)
}

func testDeliveryBounds(s *suite, st Told) {
	ctx := s.Context()
	s.webhook(st, "w", modelMade)
	for _, name := range []string{"a", "b", "c", "d"} {
		s.model(name)
	}
	for _, c := range []struct {
		bounds          registry.DeliveryBounds
		buried, deleted int
	}{
		{registry.DeliveryBounds{MaxPending: 4, MaxDead: 4}, 0, 0},
		{registry.DeliveryBounds{MaxPending: 3, MaxDead: 4}, 1, 0},
		{registry.DeliveryBounds{MaxPending: 1, MaxDead: 2}, 2, 1},
		{registry.DeliveryBounds{MaxPending: 1, MaxDead: 2, OldestMS: 1 << 40}, 1, 1},
	} {
		buried, deleted, err := st.Trim(ctx, c.bounds)
		s.ok(err)
		equal(s, "trimmed", []int{buried, deleted}, []int{c.buried, c.deleted})
	}
	dead, err := st.Deliveries(ctx, "w", registry.DeliveryDead, 0, 10)
	s.ok(err)
	equal(s, "dead", []string{dead[0].Model, dead[1].Model}, []string{"c", "d"})
}
