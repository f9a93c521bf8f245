package rest_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sluice/tracking/mlflow"
	"sluice/tracking/rest"
	"sluice/tracking/sqldb/sqldbtest"
	"sluice/tracking/wire"
)

func versionSource(uris map[string]string) rest.VersionSource {
	return func(_ context.Context, name, _ string) (string, error) {
		if uri, ok := uris[name]; ok {
			return uri, nil
		}
		return "", mlflow.Missingf("Registered Model with name=%s not found", name)
	}
}

// presence is a store that has evaluation datasets and scorers or not.
type presence struct {
	datasets, scorers, gateway, servers, queues, schemas bool

	err error
}

func (p presence) HasDatasets(context.Context) (bool, error) { return p.datasets, p.err }
func (p presence) HasScorers(context.Context) (bool, error)  { return p.scorers, p.err }
func (p presence) HasGateway(context.Context) (bool, error)  { return p.gateway, p.err }

func (p presence) HasMCPServers(context.Context) (bool, error)   { return p.servers, p.err }
func (p presence) HasReviewQueues(context.Context) (bool, error) { return p.queues, p.err }
func (p presence) HasLabelSchemas(context.Context) (bool, error) { return p.schemas, p.err }

func TestEmptyAnswersAreTheTruth(t *testing.T) {
	t.Parallel()
	search := request("POST", "/ajax-api/3.0/mlflow/datasets/search", "Content-Type: application/json\r\n", `{"max_results":5}`)
	secrets := request("GET", "/ajax-api/3.0/mlflow/gateway/secrets/list?", "", "")
	secret := request("POST", "/ajax-api/3.0/mlflow/gateway/secrets/create", "Content-Type: application/json\r\n", `{"secret_name":"s"}`)
	servers := request("GET", "/ajax-api/3.0/mlflow/mcp-servers?max_results=25", "", "")
	scorers := request("GET", "/ajax-api/3.0/mlflow/scorers/list?experiment_id=1", "", "")
	queues := request("GET", "/ajax-api/3.0/mlflow/review-queues/list?experiment_id=1", "", "")
	queue := request("POST", "/ajax-api/3.0/mlflow/review-queues/get-or-create-user", "Content-Type: application/json\r\n", `{"experiment_id":"1","user":"default"}`)
	schemas := request("GET", "/ajax-api/3.0/mlflow/label-schemas/list?experiment_id=1", "", "")
	for _, c := range []struct {
		name   string
		ask    string
		opts   *rest.Options
		status int
		body   string
	}{
		{"nobody knows", search, nil, 501, "NOT_IMPLEMENTED"},
		{"there are none", search, &rest.Options{Presence: presence{scorers: true}}, 200, "{}"},
		{"there are some", search, &rest.Options{Presence: presence{datasets: true}}, 501, "does not serve evaluation datasets yet"},
		{"the store is broken", search, &rest.Options{Presence: presence{err: errors.New("disk")}}, 500, "INTERNAL_ERROR"},
		{"no scorers", scorers, &rest.Options{Presence: presence{datasets: true}}, 200, "{}"},
		{"no gateway", secrets, &rest.Options{Presence: presence{datasets: true, scorers: true}}, 200, "{}"},
		{"some gateway", secrets, &rest.Options{Presence: presence{gateway: true}}, 501, "does not serve the records of MLflow's AI gateway yet"},
		{"no MCP servers", servers, &rest.Options{Presence: presence{gateway: true}}, 200, `{"mcp_servers":[],"next_page_token":null}`},
		{"some MCP servers", servers, &rest.Options{Presence: presence{servers: true}}, 501, "does not serve MCP servers yet"},
		{"no new secrets", secret, &rest.Options{Presence: presence{}}, 501, "not part of this server"},
		{"no review queues", queues, &rest.Options{Presence: presence{schemas: true}}, 200, "{}"},
		{"some review queues", queues, &rest.Options{Presence: presence{queues: true}}, 501, "does not serve review queues yet"},
		{"no new review queue", queue, &rest.Options{Presence: presence{}}, 501, "Review queues are not stored yet"},
		{"no label schemas", schemas, &rest.Options{Presence: presence{queues: true}}, 200, "{}"},
		{"some label schemas", schemas, &rest.Options{Presence: presence{schemas: true}}, 501, "does not serve label schemas yet"},
		{"some scorers", scorers, &rest.Options{Presence: presence{scorers: true}}, 501, "does not serve scorers yet"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if res, body := newServer(t, c.opts).raw(t, c.ask); res.StatusCode != c.status || !strings.Contains(body, c.body) {
				t.Errorf("got %d %s", res.StatusCode, body)
			}
		})
	}
}

// The web UI asks for MLflow's coding assistant on every page; the answers are those of a server on which there is none.
func TestNoAssistant(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	for path, want := range map[string]string{
		"config":    `{"providers":{},"projects":{},"remote_access_allowed":false}`,
		"providers": `{"providers":[],"resolved":null,"gateway_vendor_options":{}}`,
	} {
		if res, body := s.raw(t, request("GET", "/ajax-api/3.0/mlflow/assistant/"+path, "", "")); res.StatusCode != 200 || strings.TrimSpace(body) != want {
			t.Errorf("%s: got %d %s", path, res.StatusCode, body)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	for _, target := range []string{"GET /api/2.0/mlflow/unified-traces", "POST /api/3.0/mlflow/gateway/secrets/create", "PATCH /api/3.0/mlflow/mcp-servers/a/versions/1", "POST /gateway/openai/v1/responses", "GET /api/3.0/mlflow/assistant/config", "PUT /ajax-api/3.0/mlflow/assistant/config", "POST /ajax-api/3.0/mlflow/assistant/message"} {
		method, path, _ := strings.Cut(target, " ")
		if res, body := s.raw(t, request(method, path, "", "")); res.StatusCode != 501 || !strings.Contains(body, "NOT_IMPLEMENTED") {
			t.Errorf("%s: got %d %s", target, res.StatusCode, body)
		}
	}
	if res, body := s.raw(t, request("GET", "/api/2.0/mlflow/nothing", "", "")); res.StatusCode != 404 || !strings.Contains(body, "ENDPOINT_NOT_FOUND") {
		t.Errorf("an unknown route: %d %s", res.StatusCode, body)
	}
}

// Every row has what the app demands of it, and none stands twice.
func TestRoutesAreComplete(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range append(newServer(t, nil).api.Routes(), newServer(t, nil).api.Refused()...) {
		key := r.Method + " " + r.Path
		if seen[key] || r.Permission == "" || strings.Count(r.Audit, ".") < 1 || r.Handler == nil || r.Path[0] != '/' {
			t.Errorf("%s: twice or incomplete (%s, %s)", key, r.Permission, r.Audit)
		}
		seen[key] = true
		if r.Permission == wire.Public && r.Method != "GET" {
			t.Errorf("%s is public", key)
		}
	}
}

func TestWebUI(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script := strings.Repeat("console.log('x');", 1000)
	write(t, filepath.Join(dir, "index.html"), "<!doctype html><html><head><title>MLflow</title></head><body></body></html>")
	write(t, filepath.Join(dir, "static", "js", "main.c2f5f8d4.js"), script)
	write(t, filepath.Join(dir, "favicon.ico"), "icon")
	write(t, filepath.Join(filepath.Dir(dir), "secret.js"), "secret")
	must(t, os.Symlink("../secret.js", filepath.Join(dir, "link.js")))
	s := newServer(t, &rest.Options{UIDir: dir})

	res, body := s.raw(t, request("GET", "/", "", ""))
	if res.StatusCode != 200 || !strings.Contains(body, "<head><script>") || !strings.Contains(body, "localStorage") || !strings.Contains(body, "<title>MLflow") {
		t.Errorf("/: %d %s", res.StatusCode, body)
	}
	if res.Header.Get("Cache-Control") != "no-cache" || res.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("/: %v", res.Header)
	}
	if again, _ := s.raw(t, request("GET", "/", "If-None-Match: "+res.Header.Get("ETag")+"\r\n", "")); again.StatusCode != 304 {
		t.Errorf("/ again: %d", again.StatusCode)
	}
	for range 2 { // from the disk, then from memory
		res, body = s.raw(t, request("GET", "/static-files/static/js/main.c2f5f8d4.js", "Accept-Encoding: gzip, deflate, br\r\n", ""))
		if res.Header.Get("Content-Encoding") != "gzip" || len(body) > len(script)/4 || res.Header.Get("Content-Type") != "text/javascript; charset=utf-8" ||
			res.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("script: %d bytes, %v", len(body), res.Header)
		}
		if _, body = s.raw(t, request("GET", "/static-files/static/js/main.c2f5f8d4.js", "", "")); body != script {
			t.Errorf("script without gzip: %d bytes", len(body))
		}
	}
	if res, body = s.raw(t, request("GET", "/static-files/favicon.ico", "", "")); body != "icon" || res.Header.Get("Content-Type") != "image/x-icon" {
		t.Errorf("icon: %q %v", body, res.Header)
	}
	for _, p := range []string{"zz.js", "static", "static/js", "..%2fsecret.js", "%2e%2e/secret.js", "../secret.js", "link.js", "", "static/js/..%2f..%2findex.html%00"} {
		if res, body := s.raw(t, request("GET", "/static-files/"+p, "", "")); res.StatusCode != 404 && res.StatusCode != 400 || strings.Contains(body, "secret\n") {
			t.Errorf("%s: %d %s", p, res.StatusCode, body)
		}
	}
}

func TestWithoutWebUI(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"", filepath.Join(t.TempDir(), "none")} {
		s := newServer(t, &rest.Options{UIDir: dir})
		if res, body := s.raw(t, request("GET", "/", "", "")); res.StatusCode != 200 || !strings.Contains(body, "make setup") {
			t.Errorf("got %d %s", res.StatusCode, body)
		}
		if res, _ := s.raw(t, request("GET", "/static-files/x.js", "", "")); res.StatusCode != 404 {
			t.Errorf("got %d", res.StatusCode)
		}
	}
	if _, err := rest.New(nil, nil, &rest.Options{UIDir: t.TempDir()}); err == nil {
		t.Error("a folder without index.html was taken for a UI")
	}
}

// The UI that the set-up fetches can be served: its page has the place for our presets and its files are found.
func TestRealWebUI(t *testing.T) {
	t.Parallel()
	python := sqldbtest.PythonPath(t)
	found, err := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(python)), "lib", "python3*", "site-packages", "mlflow", "server", "js", "build"))
	if err != nil || len(found) == 0 {
		t.Fatalf("MLflow's UI is not in the environment of %s: run make setup", python)
	}
	s := newServer(t, &rest.Options{UIDir: found[0]})
	_, page := s.raw(t, request("GET", "/", "", ""))
	scripts := regexp.MustCompile(`(?:src|href)="\.?/?(static-files/[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(scripts) < 2 || strings.Index(page, "localStorage") > strings.Index(page, "static-files/static/js") {
		t.Fatalf("the page names %d files: %s", len(scripts), page)
	}
	for _, m := range scripts {
		if res, body := s.raw(t, request("GET", "/"+m[1], "Accept-Encoding: gzip\r\n", "")); res.StatusCode != 200 || len(body) == 0 {
			t.Errorf("%s: %d", m[1], res.StatusCode)
		}
	}
}
