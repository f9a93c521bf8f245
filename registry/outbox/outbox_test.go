package outbox_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"sluice/registry"
	"sluice/registry/fernet"
	"sluice/registry/outbox"
	"sluice/registry/sqlstore"
	"sluice/tracking/sqldb"
	"sluice/tracking/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "shared secret"

// received is one request that a receiver got.
type received struct {
	header http.Header
	body   string
	Entity string            `json:"entity"`
	Action string            `json:"action"`
	Time   string            `json:"timestamp"`
	Data   map[string]any    `json:"data"`
	_      map[string]string // keeps literals keyed
}

// receiver is a real HTTP server that remembers what it was sent.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []received                                                       // guarded by mu
	answer func(w http.ResponseWriter, r *http.Request, n int, body string) // n is 1 for the first request
}

func newReceiver(t testing.TB, answer func(w http.ResponseWriter, r *http.Request, n int, body string)) *receiver {
	t.Helper()
	rc := &receiver{answer: answer}
	rc.Server = httptest.NewServer(rc)
	t.Cleanup(rc.Close)
	return rc
}

func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	got := received{header: r.Header.Clone(), body: string(body)}
	_ = json.Unmarshal(body, &got)
	rc.mu.Lock()
	rc.got = append(rc.got, got)
	n := len(rc.got)
	rc.mu.Unlock()
	if rc.answer != nil {
		rc.answer(w, r, n, string(body))
	}
}

func (rc *receiver) all() []received {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return slices.Clone(rc.got)
}

// wait polls until the receiver has n requests and returns them.
func (rc *receiver) wait(t testing.TB, n int) []received {
	t.Helper()
	eventually(t, func() bool { return len(rc.all()) >= n }, func() string { return fmt.Sprintf("%d requests of %d", len(rc.all()), n) })
	return rc.all()
}

func eventually(t testing.TB, done func() bool, state func() string) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", state())
		}
		time.Sleep(2 * time.Millisecond) // between looks
	}
}

// bench is a registry with webhooks on a real database.
type bench struct {
	*testing.T
	store  *sqlstore.Store
	models *registry.Service
	hooks  *registry.Webhooks
	sender *outbox.Sender
	opts   outbox.Options
	box    *outbox.Outbox
}

func newBench(t *testing.T, db *sqldb.DB, timeout time.Duration) *bench {
	t.Helper()
	store, err := sqlstore.New(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	key, err := fernet.New("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=", nil)
	if err != nil {
		t.Fatal(err)
	}
	g := guard(t, &outbox.GuardOptions{Schemes: []string{"http"}, AllowPrivate: true})
	sender, err := outbox.NewSender(outbox.SenderOptions{Guard: g, Sealer: key, Timeout: timeout, NewID: uuid.NewString})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, store: store, models: registry.New(store, nil), sender: sender,
		opts: outbox.Options{Poll: 5 * time.Millisecond, Backoff: func(int) time.Duration { return time.Millisecond }}}
	b.hooks = registry.NewWebhooks(store, registry.WebhookOptions{Sealer: key, CheckURL: g.CheckURL, Try: sender.Try, NewID: uuid.NewString})
	return b
}

func fresh(t *testing.T) *bench {
	return newBench(t, sqldbtest.Open(t, &sqldb.Options{RelaxedSync: true}), 10*time.Second)
}

func (b *bench) start() {
	b.Helper()
	b.box = outbox.Start(b.store, b.sender, &b.opts)
	b.Cleanup(b.stop)
}

// stop breaks attempts off at once.
func (b *bench) stop() {
	if b.box == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := b.box.Close(ctx); err != nil {
		b.Error(err)
	}
	b.box = nil
}

func (b *bench) hook(url string, events ...string) registry.Webhook {
	b.Helper()
	spec := registry.WebhookSpec{Name: "hook", URL: url, Secret: secret}
	for _, e := range registry.WebhookEvents() {
		if len(events) == 0 || slices.Contains(events, e.String()) {
			spec.Events = append(spec.Events, e)
		}
	}
	w, err := b.hooks.Create(b.Context(), spec)
	b.ok(err)
	return w
}

func (b *bench) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) model(name string, tags ...registry.Tag) {
	b.Helper()
	_, err := b.models.CreateModel(b.Context(), registry.ModelSpec{Name: name, Description: "about <it>", Tags: tags})
	b.ok(err)
}

func (b *bench) version(name string, tags ...registry.Tag) {
	b.Helper()
	source := "s3://bucket/x"
	if slices.ContainsFunc(tags, func(t registry.Tag) bool { return t.Key == registry.PromptTag }) {
		source = "dummy-source" // as MLflow's client says it
	}
	_, err := b.models.CreateVersion(b.Context(), registry.VersionSpec{Name: name, Source: source, Tags: tags})
	b.ok(err)
}

func (b *bench) deliveries(w registry.Webhook, state registry.DeliveryState) []registry.Delivery {
	b.Helper()
	got, err := b.hooks.Deliveries(b.Context(), w.ID, state, 0, 0)
	b.ok(err)
	return got
}

func (b *bench) empty(w registry.Webhook) {
	b.Helper()
	eventually(b, func() bool { return len(b.deliveries(w, registry.DeliveryPending)) == 0 }, func() string { return "deliveries wait" })
}

// TestMessages makes every change that MLflow has an event for and reads what arrives.
func TestMessages(t *testing.T) {
	t.Parallel()
	b := fresh(t)
	rc := newReceiver(t, nil)
	w := b.hook(rc.URL)
	b.start()
	ctx := t.Context()
	b.model("wine", registry.Tag{Key: "team", Value: "cellar"})
	b.version("wine", registry.Tag{Key: "k", Value: "v"})
	b.ok(b.models.SetVersionTag(ctx, "wine", 1, registry.Tag{Key: "a", Value: "1"}))
	b.ok(b.models.DeleteVersionTag(ctx, "wine", 1, "a"))
	b.ok(b.models.SetAlias(ctx, "wine", "champ", 1))
	b.ok(b.models.DeleteAlias(ctx, "wine", "champ"))
	b.ok(b.models.SetModelTag(ctx, "wine", registry.Tag{Key: "silent", Value: "1"}))
	is := registry.Tag{Key: registry.PromptTag, Value: "true"}
	b.model("hello", is, registry.Tag{Key: "x", Value: "y"})
	b.version("hello", is, registry.Tag{Key: "mlflow.prompt.text", Value: "Hi {{name}}"}, registry.Tag{Key: "x", Value: "z"})
	b.ok(b.models.SetModelTag(ctx, "hello", registry.Tag{Key: "a", Value: "1"}))
	b.ok(b.models.DeleteModelTag(ctx, "hello", "a"))
	b.ok(b.models.SetVersionTag(ctx, "hello", 1, registry.Tag{Key: "a", Value: "1"}))
	b.ok(b.models.DeleteVersionTag(ctx, "hello", 1, "a"))
	b.ok(b.models.SetAlias(ctx, "hello", "champ", 1))
	b.ok(b.models.DeleteAlias(ctx, "hello", "champ"))
	want := map[string][]string{
		"wine": {
			`registered_model.created {"name":"wine","tags":{"team":"cellar"},"description":"about <it>"}`,
			`model_version.created {"name":"wine","version":"1","source":"s3://bucket/x","run_id":null,"tags":{"k":"v"},"description":null}`,
			`model_version_tag.set {"name":"wine","version":"1","key":"a","value":"1"}`,
			`model_version_tag.deleted {"name":"wine","version":"1","key":"a"}`,
			`model_version_alias.created {"name":"wine","alias":"champ","version":"1"}`,
			`model_version_alias.deleted {"name":"wine","alias":"champ"}`,
		},
		"hello": {
			`prompt.created {"name":"hello","tags":{"x":"y"},"description":"about <it>"}`,
			`prompt_version.created {"name":"hello","version":"1","template":"Hi {{name}}","tags":{"x":"z"},"description":null}`,
			`prompt_tag.set {"name":"hello","key":"a","value":"1"}`,
			`prompt_tag.deleted {"name":"hello","key":"a"}`,
			`prompt_version_tag.set {"name":"hello","version":"1","key":"a","value":"1"}`,
			`prompt_version_tag.deleted {"name":"hello","version":"1","key":"a"}`,
			`prompt_alias.created {"name":"hello","alias":"champ","version":"1"}`,
			`prompt_alias.deleted {"name":"hello","alias":"champ"}`,
		},
	}
	got := map[string][]string{}
	for _, r := range rc.wait(t, 14) {
		_, data, _ := strings.Cut(strings.TrimSuffix(r.body, "}"), `"data":`)
		name := fmt.Sprint(r.Data["name"])
		got[name] = append(got[name], r.Entity+"."+r.Action+" "+data)
		checkHead(t, r)
	}
	for name := range want {
		if !slices.Equal(got[name], want[name]) {
			t.Errorf("%s:\ngot  %s\nwant %s", name, strings.Join(got[name], "\n     "), strings.Join(want[name], "\n     "))
		}
	}
	b.empty(w)
}

func checkHead(t *testing.T, r received) {
	t.Helper()
	id, at := r.header.Get(outbox.HeaderDeliveryID), r.header.Get(outbox.HeaderTimestamp)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(id + "." + at + "." + r.body))
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); r.header.Get(outbox.HeaderSignature) != want {
		t.Errorf("signature %s, want %s", r.header.Get(outbox.HeaderSignature), want)
	}
	if _, err := uuid.Parse(id); err != nil || r.header.Get("Content-Type") != "application/json" {
		t.Errorf("head %v", r.header)
	}
	if _, err := time.Parse("2006-01-02T15:04:05.000000+00:00", r.Time); err != nil {
		t.Errorf("timestamp %q", r.Time)
	}
}

// TestFlappingReceiver is R53: errors of every kind between answers; everything arrives, in order, each under one id.
func TestFlappingReceiver(t *testing.T) {
	t.Parallel()
	b := newBench(t, sqldbtest.Open(t, &sqldb.Options{RelaxedSync: true}), 300*time.Millisecond)
	rc := newReceiver(t, func(w http.ResponseWriter, r *http.Request, n int, _ string) {
		switch n {
		case 1, 2, 3, 4, 5:
			w.WriteHeader([]int{500, 502, 503, 504, 429}[n-1])
		case 6:
			<-r.Context().Done() // hangs until the sender has had enough
		case 7:
			panic(http.ErrAbortHandler) // closes without an answer
		case 8:
			w.Header().Set("Content-Length", "100") // closes in the middle of the body: the message has arrived
			w.WriteHeader(200)
		}
	})
	w := b.hook(rc.URL, "model_version.created")
	b.model("wine")
	for range 5 {
		b.version("wine")
	}
	b.start()
	got := rc.wait(t, 12)
	b.empty(w)
	var ids, versions []string
	for _, r := range got {
		if id := r.header.Get(outbox.HeaderDeliveryID); !slices.Contains(ids, id) {
			ids = append(ids, id)
			versions = append(versions, fmt.Sprint(r.Data["version"]))
		}
	}
	if !slices.Equal(versions, []string{"1", "2", "3", "4", "5"}) || len(got) != 12 {
		t.Errorf("%d requests for versions %v", len(got), versions)
	}
	for _, r := range got[:8] {
		if r.Data["version"] != "1" || r.body != got[0].body {
			t.Errorf("got %s before version 1 had arrived", r.body)
		}
	}
}

// TestDeadDeliveries become what cannot be delivered; they stay to be looked at, hold nothing up, and can be sent again.
func TestDeadDeliveries(t *testing.T) {
	t.Parallel()
	b := fresh(t)
	private := newReceiver(t, nil)
	rc := newReceiver(t, func(w http.ResponseWriter, r *http.Request, n int, _ string) {
		switch n {
		case 1:
			w.WriteHeader(404)
		case 2:
			http.Redirect(w, r, private.URL, http.StatusTemporaryRedirect)
		}
	})
	w := b.hook(rc.URL, "model_version.created")
	b.model("wine")
	for range 3 {
		b.version("wine")
	}
	b.start()
	rc.wait(t, 3)
	b.empty(w)
	dead := b.deliveries(w, registry.DeliveryDead)
	if len(dead) != 2 || dead[0].LastStatus != 404 || dead[1].LastStatus != 307 || dead[0].Attempts != 1 || !strings.Contains(dead[1].LastError, "redirects are not followed") {
		t.Fatalf("got %+v", dead)
	}
	if len(private.all()) != 0 {
		t.Error("the redirect was followed")
	}
	if n, err := b.hooks.Replay(t.Context(), w.ID, dead[0].Revision); err != nil || n != 1 {
		t.Fatalf("%d, %v", n, err)
	}
	if got := rc.wait(t, 4)[3]; got.header.Get(outbox.HeaderDeliveryID) != dead[0].ID || got.Data["version"] != "1" {
		t.Errorf("replayed %s", got.body)
	}
	b.empty(w)
	if _, err := b.hooks.Replay(t.Context(), w.ID, dead[0].Revision); err == nil {
		t.Error("what has arrived was replayed")
	}
	if n, err := b.hooks.Replay(t.Context(), w.ID, 0); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
	rc.wait(t, 5)
}

// TestRestart: what waited when the server stopped, in the middle of an attempt, is delivered after the next start.
func TestRestart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a.db")
	db := sqldbtest.OpenFile(t, file, nil)
	b := newBench(t, db, 10*time.Second)
	rc := newReceiver(t, func(_ http.ResponseWriter, r *http.Request, n int, _ string) {
		if n == 1 {
			<-r.Context().Done()
		}
	})
	b.hook(rc.URL, "model_version.created")
	b.model("wine")
	b.version("wine")
	b.version("wine")
	b.start()
	rc.wait(t, 1)
	b.stop()
	db.Close()
	again := newBench(t, sqldbtest.OpenFile(t, file, nil), 10*time.Second)
	again.start()
	got := rc.wait(t, 3)
	if got[1].header.Get(outbox.HeaderDeliveryID) != got[0].header.Get(outbox.HeaderDeliveryID) || got[2].Data["version"] != "2" {
		t.Errorf("got %s, %s, %s", got[0].body, got[1].body, got[2].body)
	}
}

// TestSlowReceiver holds back only its own deliveries.
func TestSlowReceiver(t *testing.T) {
	t.Parallel()
	b := fresh(t)
	hangs := newReceiver(t, func(_ http.ResponseWriter, r *http.Request, _ int, _ string) { <-r.Context().Done() })
	quick := newReceiver(t, nil)
	b.hook(hangs.URL, "registered_model.created")
	b.hook(quick.URL, "registered_model.created")
	b.start()
	for i := range 20 {
		b.model(fmt.Sprintf("m%02d", i))
	}
	quick.wait(t, 20)
	if n := len(hangs.all()); n > 4 {
		t.Errorf("%d deliveries at once went to one webhook", n)
	}
}

func TestDisabledAndDeleted(t *testing.T) {
	t.Parallel()
	b := fresh(t)
	rc := newReceiver(t, nil)
	w, gone := b.hook(rc.URL, "registered_model.created"), b.hook(rc.URL, "registered_model.created")
	b.model("before")
	b.ok(b.hooks.Delete(t.Context(), gone.ID))
	off, on := registry.WebhookDisabled, registry.WebhookActive
	_, err := b.hooks.Update(t.Context(), w.ID, registry.WebhookChange{Status: &off})
	b.ok(err)
	b.model("while") // never told
	b.start()
	if n := len(b.deliveries(w, registry.DeliveryPending)); n != 1 {
		t.Errorf("%d wait, want the one from before", n)
	}
	_, err = b.hooks.Update(t.Context(), w.ID, registry.WebhookChange{Status: &on})
	b.ok(err)
	b.model("after")
	b.empty(w)
	var told []string
	for _, r := range rc.wait(t, 2) {
		told = append(told, fmt.Sprint(r.Data["name"]))
	}
	slices.Sort(told)
	if !slices.Equal(told, []string{"after", "before"}) {
		t.Errorf("told %v", told)
	}
}

// TestForeignKey: a secret that cannot be read is never replaced by no signature.
func TestForeignKey(t *testing.T) {
	t.Parallel()
	b := fresh(t)
	rc := newReceiver(t, nil)
	w := b.hook(rc.URL, "registered_model.created")
	b.model("wine")
	other, err := fernet.New(fernet.Generate(), nil)
	b.ok(err)
	b.sender, err = outbox.NewSender(outbox.SenderOptions{Guard: guard(t, &outbox.GuardOptions{Schemes: []string{"http"}, AllowPrivate: true}), Sealer: other})
	b.ok(err)
	b.start()
	b.empty(w)
	if dead := b.deliveries(w, registry.DeliveryDead); len(dead) != 1 || !strings.Contains(dead[0].LastError, "--webhook-secret-key") || len(rc.all()) != 0 {
		t.Errorf("got %+v and %d requests", dead, len(rc.all()))
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	b := fresh(t)
	w := b.hook("http://127.0.0.1:9/", "registered_model.created")
	for i := range 6 {
		b.model(fmt.Sprint("m", i))
	}
	trim := func(bounds registry.DeliveryBounds, buried, deleted, pending, dead int) {
		t.Helper()
		nb, nd, err := b.store.Trim(t.Context(), bounds)
		b.ok(err)
		p, d := b.deliveries(w, registry.DeliveryPending), b.deliveries(w, registry.DeliveryDead)
		if nb != buried || nd != deleted || len(p) != pending || len(d) != dead {
			t.Errorf("%+v: buried %d, deleted %d, %d wait, %d dead; want %d, %d, %d, %d", bounds, nb, nd, len(p), len(d), buried, deleted, pending, dead)
		}
	}
	trim(registry.DeliveryBounds{MaxPending: 6, MaxDead: 10}, 0, 0, 6, 0)
	trim(registry.DeliveryBounds{MaxPending: 4, MaxDead: 10}, 2, 0, 4, 2)
	trim(registry.DeliveryBounds{MaxPending: 4, MaxDead: 1}, 0, 1, 4, 1)
	trim(registry.DeliveryBounds{MaxPending: 4, MaxDead: 5, OldestMS: time.Now().Add(time.Hour).UnixMilli()}, 4, 0, 0, 5)
	if dead := b.deliveries(w, registry.DeliveryDead); dead[0].Model != "m1" || dead[4].Model != "m5" {
		t.Errorf("got %+v", dead)
	}
}

func TestTrial(t *testing.T) {
	t.Parallel()
	b := fresh(t)
	rc := newReceiver(t, func(w http.ResponseWriter, r *http.Request, n int, _ string) {
		switch n {
		case 1:
			fmt.Fprint(w, "thanks")
		case 2:
			http.Error(w, "no", http.StatusTeapot)
		}
	})
	w := b.hook(rc.URL)
	got, err := b.hooks.Test(t.Context(), w.ID, &registry.WebhookEvent{Entity: "prompt_version", Action: "created"})
	if want := (registry.Trial{OK: true, Status: 200, Body: "thanks"}); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if first := rc.all()[0]; first.Data["template"] != "Hello {{name}}!" || first.Data["name"] != "example_prompt" {
		t.Errorf("got %s", first.body)
	} else {
		checkHead(t, first)
	}
	if got, err := b.hooks.Test(t.Context(), w.ID, nil); err != nil || got.OK || got.Status != http.StatusTeapot {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, e := range registry.WebhookEvents() {
		payload, err := registry.ExamplePayload(e)
		if err != nil || !json.Valid([]byte(payload)) {
			t.Errorf("%s: %s, %v", e, payload, err)
		}
	}
	rc.Close()
	if got, err := b.hooks.Test(t.Context(), w.ID, nil); err != nil || got.OK || !strings.HasPrefix(got.Error, "Failed to test webhook: ") {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestPauses(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "-1": 0, "x": 0, "99999999": time.Hour, "99999999999999999999": 0,
		"Fri, 02 Jan 2026 03:04:35 GMT": 30 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0, "Fri, 02 Jan 2099 03:04:00 GMT": time.Hour,
	} {
		if got := outbox.RetryAfter(header, now); got != want {
			t.Errorf("%q: got %v, want %v", header, got, want)
		}
	}
	for attempt, least := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 7: time.Minute, 60: time.Minute, 1 << 30: time.Minute} {
		if got := outbox.DefaultBackoff(attempt); got < least || got > least+time.Second {
			t.Errorf("attempt %d: %v", attempt, got)
		}
	}
}
