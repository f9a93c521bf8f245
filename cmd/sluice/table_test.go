package main

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/gateway/auth"
	"sluice/tracking/wire"
)

// S18: the tests below are made from the table that the server mounts, so a new row is covered the moment it exists.

var auditName = regexp.MustCompile(`^(tracking|registry|gateway|telemetry)(\.[a-z_]+){1,3}$`)

func TestEveryRowHasAPermissionAndAnAuditName(t *testing.T) {
	t.Parallel()
	b := boot(t)
	known := []wire.Permission{wire.Public, wire.Read, wire.Write, wire.Predict, wire.Manage}
	for _, r := range slices.Concat(b.routes, b.refused) {
		if !slices.Contains(known, r.Permission) || !auditName.MatchString(r.Audit) || r.Handler == nil {
			t.Errorf("%s %s: permission %q, audit name %q", r.Method, r.Path, r.Permission, r.Audit)
		}
		if changes := r.Method == "PUT" || r.Method == "PATCH" || r.Method == "DELETE"; changes && !slices.ContainsFunc(b.refused, func(x wire.Route) bool { return x.Path == r.Path && x.Method == r.Method }) &&
			r.Permission != wire.Write && r.Permission != wire.Manage {
			t.Errorf("%s %s changes something with the permission %q", r.Method, r.Path, r.Permission)
		}
	}
}

// public are the rows that need no key, written out: whoever adds one has to say so here.
var public = []string{
	"GET /", "GET /artifact-frame", "GET /static-files/*", "GET /health", "GET /version", "GET /ping", "GET /ready", "GET /.well-known/databricks-config",
	"GET /v2", "GET /v2/health/live", "GET /v2/health/ready", "GET /api/3.0/mlflow/server-info", "GET /ajax-api/3.0/mlflow/server-info",
}

func TestNothingElseIsPublic(t *testing.T) {
	t.Parallel()
	for _, r := range boot(t).routes {
		if row := r.Method + " " + r.Path; (r.Permission == wire.Public) != slices.Contains(public, row) {
			t.Errorf("%s has the permission %q", row, r.Permission)
		}
	}
}

var pathParam = regexp.MustCompile(`:[a-z]+|\*`)

func target(r wire.Route) string { return pathParam.ReplaceAllString(r.Path, "x") }

// bearer is one caller of the tests below.
type bearer struct {
	name    string
	key     auth.Key
	headers string
}

// callers makes a key for each permission and waits until the server asks for keys.
func (b *booted) callers(t *testing.T) []bearer {
	t.Helper()
	all := []bearer{{name: "nobody"}}
	for _, p := range []wire.Permission{wire.Read, wire.Write, wire.Predict, wire.Manage} {
		k, text, err := auth.Create(t.Context(), b.control, "may-"+string(p), []wire.Permission{p}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, bearer{"may-" + string(p), k, "Authorization: Bearer " + text + "\r\n"})
	}
	for deadline := time.Now().Add(30 * time.Second); !b.authority.Enforced(); {
		if time.Now().After(deadline) {
			t.Fatal("the keys are not noticed")
		}
		b.send(t, "GET", message("GET", "/metrics", "Authorization: Bearer none\r\n", "")) // an unknown key makes it look
	}
	return all
}

// expected is what the permission alone decides: 401, 403, or 0 for "the handler answers".
func (c bearer) expected(p wire.Permission) int {
	switch {
	case p == wire.Public:
		return 0
	case c.headers == "":
		return http.StatusUnauthorized
	case !c.key.May(p):
		return http.StatusForbidden
	}
	return 0
}

func TestEveryRowAsksForItsPermission(t *testing.T) {
	t.Parallel()
	b := boot(t)
	for _, caller := range b.callers(t) {
		for _, r := range slices.Concat(b.routes, b.refused) {
			res, body := b.send(t, r.Method, message(r.Method, target(r), caller.headers+"Content-Type: application/json\r\n", ""))
			want := caller.expected(r.Permission)
			denied := res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden
			if denied != (want != 0) || want != 0 && res.StatusCode != want {
				t.Errorf("%s: %s %s: got %d %.150s, want %d", caller.name, r.Method, r.Path, res.StatusCode, body, want)
			}
			if denied && (!strings.Contains(body, `"error_code"`) || (res.Header.Get("WWW-Authenticate") != "") != (want == http.StatusUnauthorized)) {
				t.Errorf("%s: %s %s: %s", caller.name, r.Method, r.Path, body)
			}
		}
	}
}

// A request that only resembles a row's must not reach its handler with less than the row asks for.
func TestVariantsDoNotSlipThrough(t *testing.T) {
	t.Parallel()
	b := boot(t)
	callers := b.callers(t)
	isPublic := map[string]bool{}
	for _, r := range b.routes {
		if r.Permission == wire.Public {
			isPublic[target(r)] = true
		}
	}
	for _, r := range b.routes {
		if r.Permission == wire.Public {
			continue
		}
		at := target(r)
		for _, v := range []struct{ method, target, headers string }{
			{"HEAD", at, ""}, {"OPTIONS", at, ""}, {"TRACE", at, ""}, {"CONNECT", at, ""}, {"get", at, ""}, {"BREW", at, ""},
			{r.Method, at + "/", ""}, {r.Method, "/" + at, ""}, {r.Method, strings.ToUpper(at), ""}, {r.Method, strings.Title(at), ""}, //nolint:staticcheck // ASCII paths
			{r.Method, strings.Replace(at[1:], "/", "//", 1), ""}, {r.Method, "/x/.." + at, ""}, {r.Method, "/." + at, ""}, {r.Method, "/health/.." + at, ""},
			{r.Method, at + "%00", ""}, {r.Method, at + ";/health", ""}, {r.Method, at + "?/health", ""}, {r.Method, "/%2e" + at, ""}, {r.Method, "http://localhost" + at, ""},
			{"GET", at, "X-HTTP-Method-Override: " + r.Method + "\r\n"}, {"POST", at, "X-HTTP-Method-Override: " + r.Method + "\r\nContent-Type: application/json\r\n"},
			{"GET", "/health", "X-Original-URL: " + at + "\r\nX-Rewrite-URL: " + at + "\r\n"},
		} {
			if !strings.HasPrefix(v.target, "/") && !strings.HasPrefix(v.target, "http") {
				v.target = "/" + v.target
			}
			res, body := b.send(t, v.method, message(v.method, v.target, v.headers, ""))
			if v.target == "/health" {
				if body != "OK" {
					t.Errorf("%s: another URL was answered: %s", at, body)
				}
				continue
			}
			if isPublic[v.target] {
				continue
			}
			switch res.StatusCode {
			case http.StatusUnauthorized, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusBadRequest, http.StatusNotImplemented:
			case http.StatusPermanentRedirect:
				if to := res.Header.Get("Location"); strings.Contains(to, "//") || !strings.HasPrefix(to, "/") {
					t.Errorf("%s %s leads to %s", v.method, v.target, to)
				}
			default:
				t.Errorf("%s %s without a key: %d %.100s", v.method, v.target, res.StatusCode, body)
			}
			if strings.Contains(body, "Content-Length") || strings.Contains(res.Header.Get("Allow"), "TRACE") {
				t.Errorf("%s %s: the request comes back: %s", v.method, v.target, body)
			}
		}
	}
	// With a key that may read: what changes something stays out of its reach, whatever the request looks like.
	reader := callers[1]
	for _, v := range [][2]string{
		{"DELETE", "/api/2.0/mlflow-artifacts/artifacts/"}, {"DELETE", "/api/2.0/mlflow-artifacts/artifacts//"}, {"PUT", "/ajax-api/2.0/mlflow-artifacts/artifacts/a/b"},
		{"DELETE", "/ajax-api/2.0/mlflow-artifacts/artifacts/%61"}, {"POST", "/ajax-api/2.0/mlflow/upload-artifact?run_uuid=x&path=y"},
		{"POST", "/api/2.0/mlflow-artifacts/mpu/create/x"}, {"POST", "/ajax-api/2.0/mlflow-artifacts/mpu/complete/x"}, {"POST", "/api/2.0/mlflow-artifacts/mpu/abort/x"},
	} {
		if res, body := b.send(t, v[0], message(v[0], v[1], reader.headers, "")); res.StatusCode != http.StatusForbidden {
			t.Errorf("%s %s with a reader's key: %d %.100s", v[0], v[1], res.StatusCode, body)
		}
	}
}
