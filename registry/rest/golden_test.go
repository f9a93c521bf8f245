package rest_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"golang.org/x/tools/txtar"

	"sluice/registry"
	"sluice/registry/fernet"
	"sluice/registry/outbox"
	"sluice/registry/rest"
	"sluice/registry/sqlstore"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
	"sluice/tracking/sqldb/sqldbtest"
	"sluice/tracking/wire"
)

var update = flag.Bool("update", false, "record testdata again from a real MLflow server")

// words stand in the recorded cases for ids and places; these are ours.
var words = map[string]string{
	"run": "11111111111111111111111111111111", "root": "mlflow-artifacts:/1/11111111111111111111111111111111/artifacts",
	"localrun": "22222222222222222222222222222222", "localroot": "file:///tmp/sluice-golden/artifacts/22222222222222222222222222222222/artifacts",
	"model": "m-33333333333333333333333333333333", "modelroot": "file:///tmp/sluice-golden/artifacts/models/m-33333333333333333333333333333333/artifacts",
	"tmp": "/tmp/sluice-golden",
}

// origins are the runs and the logged model of words.
type origins struct{}

func (origins) RunArtifactRoot(_ context.Context, id string) (string, error) {
	switch id {
	case words["run"]:
		return words["root"], nil
	case words["localrun"]:
		return words["localroot"], nil
	}
	return "", mlflow.Missingf("Run with id=%s not found", id)
}

func (origins) LoggedModel(_ context.Context, id string) (registry.LoggedModelSource, error) {
	if id == words["model"] {
		return registry.LoggedModelSource{ArtifactLocation: words["modelroot"], SourceRunID: words["localrun"]}, nil
	}
	return registry.LoggedModelSource{}, mlflow.Missingf("Logged model with ID '%s' not found.", id)
}

func (origins) LinkVersion(context.Context, string, string, int) error { return nil }

func newApp(t testing.TB, opts *registry.Options) (*fiber.App, *registry.Service) {
	t.Helper()
	store, err := sqlstore.New(t.Context(), sqldbtest.Open(t, &sqldb.Options{RelaxedSync: true}))
	if err != nil {
		t.Fatal(err)
	}
	service := registry.New(store, opts)
	app := fiber.New(fiber.Config{ErrorHandler: wire.ErrorHandler(slog.New(slog.DiscardHandler)), DisableStartupMessage: true})
	for _, r := range slices.Concat(rest.Routes(service), rest.WebhookRoutes(newWebhooks(t, store))) {
		app.Add(r.Method, r.Path, r.Handler)
	}
	return app, service
}

// newWebhooks returns the rules of webhooks with a real guard and a real key.
func newWebhooks(t testing.TB, store registry.WebhookStore) *registry.Webhooks {
	t.Helper()
	guard, err := outbox.NewGuard(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := fernet.New(fernet.Generate(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return registry.NewWebhooks(store, registry.WebhookOptions{Sealer: key, CheckURL: guard.CheckURL, NewID: uuid.NewString})
}

// call sends one request and returns status and decoded answer.
func call(t testing.TB, app *fiber.App, method, path, body string) (int, any) {
	t.Helper()
	req := httptest.NewRequest(method, "/api/2.0/mlflow"+path, strings.NewReader(body))
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := app.Test(req, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatalf("%s %s answers %q: %v", method, path, raw, err)
	}
	return res.StatusCode, out
}

// TestGolden plays every recorded exchange: our answer is MLflow's, or what the section "ours" says.
func TestGolden(t *testing.T) {
	t.Parallel()
	if *update {
		cmd := exec.Command(sqldbtest.PythonPath(t), "testdata/record.py")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			playFile(t, file)
		})
	}
}

func playFile(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	answers := map[string]txtar.File{}
	for _, f := range archive.Files {
		number, kind, _ := strings.Cut(f.Name, " ")
		if strings.HasPrefix(kind, "answer ") || strings.HasPrefix(kind, "ours ") {
			answers[number] = f // ours comes behind and wins
		}
	}
	app, _ := newApp(t, &registry.Options{Sources: origins{}})
	var webhooks []string // ids of those that were created
	var token string      // of the page before; the recorded requests have MLflow's, which are offsets
	insert := func(text string) string {
		for i, id := range webhooks {
			text = strings.ReplaceAll(text, fmt.Sprintf("{{webhook%d}}", i+1), id)
		}
		return insert(text)
	}
	for _, f := range archive.Files {
		parts := strings.SplitN(f.Name, " ", 3)
		if parts[1] == "answer" || parts[1] == "ours" {
			continue
		}
		want, ok := answers[parts[0]]
		if !ok {
			t.Fatalf("request %s has no answer: run with -update", parts[0])
		}
		target := offsetToken.ReplaceAllLiteralString(insert(parts[2]), "page_token="+url.QueryEscape(token))
		status, got := call(t, app, parts[1], target, insert(strings.TrimSpace(string(f.Data))))
		if next, ok := got.(map[string]any)["next_page_token"].(string); ok {
			token = next
		}
		if made, ok := got.(map[string]any)["webhook"].(map[string]any); ok && parts[1] == "POST" {
			webhooks = append(webhooks, fmt.Sprint(made["webhook_id"]))
		}
		want.Data = []byte(insert(string(want.Data)))
		compare(t, f, want, status, got)
	}
}

func compare(t *testing.T, request, want txtar.File, status int, got any) {
	t.Helper()
	var answer any
	if err := json.Unmarshal([]byte(insert(string(want.Data))), &answer); err != nil {
		t.Fatalf("%s: %v", want.Name, err)
	}
	wantStatus, err := strconv.Atoi(want.Name[strings.LastIndexByte(want.Name, ' ')+1:])
	if err != nil {
		t.Fatal(err)
	}
	anyMessage(answer, got)
	anyToken(answer, got)
	if got = timeless(got); status != wantStatus || !reflect.DeepEqual(got, answer) {
		t.Errorf("%s\n%s\ngot  %d %s\nwant %d %s", request.Name, request.Data, status, pretty(got), wantStatus, pretty(answer))
	}
}

// offsetToken is a whole token of MLflow's in a request: base64 of {"offset": N}.
var offsetToken = regexp.MustCompile(`page_token=eyJvZmZzZXQiOiA[A-Za-z0-9]+(=|%3D)+`)

// anyToken lets the token of an expected answer stand for any other.
func anyToken(want, got any) {
	w, ok := want.(map[string]any)
	g, ok2 := got.(map[string]any)
	if ok && ok2 && w["next_page_token"] != nil && g["next_page_token"] != nil {
		w["next_page_token"] = g["next_page_token"]
	}
}

// anyMessage lets the message "*" of an expected answer stand for any sentence: its wording belongs to another room.
func anyMessage(want, got any) {
	w, ok := want.(map[string]any)
	g, ok2 := got.(map[string]any)
	if ok && ok2 && w["message"] == "*" {
		w["message"] = g["message"]
	}
}

func insert(text string) string {
	for word, value := range words {
		text = strings.ReplaceAll(text, "{{"+word+"}}", value)
	}
	return text
}

// timeless sets every timestamp to 0.
func timeless(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, field := range v {
			if v[k] = timeless(field); strings.HasSuffix(k, "_timestamp") {
				v[k] = 0.0
			}
		}
	case []any:
		for i := range v {
			v[i] = timeless(v[i])
		}
	}
	return v
}

func pretty(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
