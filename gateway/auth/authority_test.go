package auth_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway/auth"
	"sluice/gateway/sqlstore"
	"sluice/tracking/sqldb/sqldbtest"
	"sluice/tracking/wire"
)

func openStoreTB(t testing.TB) *sqlstore.Store {
	return openStore(t, filepath.Join(t.TempDir(), "s.db"))
}

func openStore(t testing.TB, path string) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.New(t.Context(), sqldbtest.OpenFile(t, path, nil))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newAuthority(t *testing.T, store auth.Store, opts *auth.Options) *auth.Authority {
	t.Helper()
	a, err := auth.NewAuthority(t.Context(), store, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// newApp mounts one route for each permission at "/<permission>"; it answers who called.
func newApp(a *auth.Authority) *fiber.App {
	app := fiber.New(fiber.Config{ErrorHandler: wire.ErrorHandler(slog.New(slog.DiscardHandler)), DisableStartupMessage: true})
	for _, p := range []wire.Permission{wire.Public, wire.Read, wire.Write, wire.Predict, wire.Manage} {
		r := wire.Route{Method: "GET", Path: "/" + string(p), Permission: p, Audit: "test.thing.do"}
		app.Add(r.Method, r.Path, a.Require(r), func(c *fiber.Ctx) error { return c.SendString("hello " + auth.Who(c)) })
	}
	return app
}

func createKey(t *testing.T, s auth.Store, name string, permissions ...wire.Permission) string {
	t.Helper()
	_, text, err := auth.Create(t.Context(), s, name, permissions, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func get(t *testing.T, app *fiber.App, path, authorization string) (*http.Response, string) {
	t.Helper()
	req := httptest.NewRequest("GET", path, nil)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := app.Test(req, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func errorCode(body string) string {
	var e struct {
		Code string `json:"error_code"`
	}
	_ = json.Unmarshal([]byte(body), &e)
	return e.Code
}

func TestCredentials(t *testing.T) {
	store := openStore(t, filepath.Join(t.TempDir(), "s.db"))
	app := newApp(newAuthority(t, store, nil))

	t.Run("ignored while no key exists", func(t *testing.T) {
		for _, header := range []string{"", "Bearer nonsense", basic("u", "p"), "garbage"} {
			if resp, body := get(t, app, "/manage", header); resp.StatusCode != 200 || body != "hello " {
				t.Errorf("%q: %d %s", header, resp.StatusCode, body)
			}
		}
	})

	all := createKey(t, store, "ann", wire.Manage)
	reader := createKey(t, store, "bob", wire.Read)
	store2 := openStore(t, filepath.Join(t.TempDir(), "other.db"))
	foreign := createKey(t, store2, "eve", wire.Manage)
	a := newAuthority(t, store, nil)
	app = newApp(a)
	if !a.Enforced() {
		t.Fatal("keys exist and do not count")
	}
	wrong := all[:len(all)-1] + "!"
	for _, c := range []struct {
		name, path, header string
		status             int
		want               string // of the body, or the error code
	}{
		{"bearer", "/manage", "Bearer " + all, 200, "hello ann"},
		{"bearer in small letters", "/manage", "bearer " + all, 200, "hello ann"},
		{"basic with any name", "/write", basic("whoever", all), 200, "hello ann"},
		{"basic without a name", "/write", basic("", all), 200, "hello ann"},
		{"manage implies predict", "/predict", "Bearer " + all, 200, "hello ann"},
		{"read may read", "/read", "Bearer " + reader, 200, "hello bob"},
		{"public without", "/public", "", 200, "hello "},
		{"public with a wrong one", "/public", "Bearer " + wrong, 200, "hello "},
		{"missing", "/read", "", 401, "UNAUTHENTICATED"},
		{"missing permission", "/write", "Bearer " + reader, 403, "PERMISSION_DENIED"},
		{"read does not imply predict", "/predict", "Bearer " + reader, 403, "PERMISSION_DENIED"},
		{"another server's key", "/read", "Bearer " + foreign, 401, "UNAUTHENTICATED"},
		{"one character off", "/read", "Bearer " + wrong, 401, "UNAUTHENTICATED"},
		{"cut", "/read", "Bearer " + all[:20], 401, "UNAUTHENTICATED"},
		{"empty password", "/read", basic("ann", ""), 401, "UNAUTHENTICATED"},
		{"key as user name", "/read", basic(all, ""), 401, "UNAUTHENTICATED"},
		{"the default of MLflow", "/read", basic("admin", "password1234"), 401, "UNAUTHENTICATED"},
		{"unknown scheme", "/read", "Digest " + all, 401, "UNAUTHENTICATED"},
		{"no scheme", "/read", all, 401, "UNAUTHENTICATED"},
		{"not base64", "/read", "Basic $$$", 401, "UNAUTHENTICATED"},
		{"huge", "/read", "Basic " + strings.Repeat("QUFB", 800), 401, "UNAUTHENTICATED"},
		{"two bearers in one", "/read", "Bearer " + all + ", " + all, 401, "UNAUTHENTICATED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, body := get(t, app, c.path, c.header)
			got := body
			if resp.StatusCode >= 400 {
				got = errorCode(body)
			}
			if resp.StatusCode != c.status || got != c.want {
				t.Errorf("got %d %s, want %d %s", resp.StatusCode, body, c.status, c.want)
			}
			if challenge := resp.Header.Get("WWW-Authenticate"); (resp.StatusCode == 401) != strings.HasPrefix(challenge, "Basic ") {
				t.Errorf("%d with WWW-Authenticate %q", resp.StatusCode, challenge)
			}
			if strings.Contains(body, all) || strings.Contains(body, reader) {
				t.Errorf("the answer repeats a key: %s", body)
			}
		})
	}
}

// TestKeysOfAnotherProcess: the first key counts within two seconds, a new one at once, a revoked one no longer.
func TestKeysOfAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	app := newApp(newAuthority(t, openStore(t, path), nil))
	cli := openStore(t, path)
	first := createKey(t, cli, "first", wire.Manage)
	status := func(key string) int {
		resp, _ := get(t, app, "/manage", "Bearer "+key)
		return resp.StatusCode
	}
	made := time.Now()
	until(t, func() bool { return status("wrong") == 401 })
	if took := time.Since(made); took > 2*time.Second {
		t.Errorf("the first key counted after %v, want at most 2 s", took)
	}
	if got := status(first); got != 200 {
		t.Errorf("the first key: got %d", got)
	}
	second := createKey(t, cli, "second", wire.Read, wire.Manage)
	until(t, func() bool { return status(second) == 200 })
	if err := cli.RevokeKey(t.Context(), "first", time.Now().UnixMilli()); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return status(first) == 401 })
	if err := cli.RevokeKey(t.Context(), "second", time.Now().UnixMilli()); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return status("") == 200 }) // no key is left: credentials do not count
}

func until(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen in time")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestAServerThatOthersReachDoesNotOpenUp(t *testing.T) {
	store := openStore(t, filepath.Join(t.TempDir(), "s.db"))
	key := createKey(t, store, "last", wire.Manage)
	a := newAuthority(t, store, &auth.Options{Always: true, Poll: time.Millisecond})
	app := newApp(a)
	if resp, body := get(t, app, "/manage", "Bearer "+key); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	if err := store.RevokeKey(t.Context(), "last", time.Now().UnixMilli()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); a.Enforced(); {
		if time.Now().After(deadline) {
			t.Fatal("the revocation is not noticed")
		}
	}
	for _, header := range []string{"", "Bearer " + key, "Bearer nonsense", "garbage"} {
		if resp, body := get(t, app, "/read", header); resp.StatusCode != 401 || errorCode(body) != "UNAUTHENTICATED" {
			t.Errorf("%q: %d %s", header, resp.StatusCode, body)
		}
	}
	if resp, _ := get(t, app, "/public", ""); resp.StatusCode != 200 {
		t.Errorf("public: %d", resp.StatusCode)
	}
}

func TestThrottle(t *testing.T) {
	store := openStore(t, filepath.Join(t.TempDir(), "s.db"))
	key := createKey(t, store, "ann", wire.Read)
	var later atomic.Int64 // a duration
	start := time.Now()
	clock := func() time.Time { return start.Add(time.Duration(later.Load())) }
	app := newApp(newAuthority(t, store, &auth.Options{MaxFailures: 3, Poll: time.Hour, Now: clock}))
	for i, want := range []int{401, 401, 401, 429, 429} {
		if resp, body := get(t, app, "/read", "Bearer guess"); resp.StatusCode != want || want == 429 && (resp.Header.Get("Retry-After") == "" || errorCode(body) != "REQUEST_LIMIT_EXCEEDED") {
			t.Errorf("guess %d: got %d %s, Retry-After %q, want %d", i, resp.StatusCode, body, resp.Header.Get("Retry-After"), want)
		}
	}
	if resp, _ := get(t, app, "/read", "Bearer "+key); resp.StatusCode != 200 {
		t.Errorf("a right key is throttled: %d", resp.StatusCode)
	}
	later.Store(int64(time.Minute))
	if resp, _ := get(t, app, "/read", "Bearer guess"); resp.StatusCode != 401 {
		t.Errorf("a minute later: got %d", resp.StatusCode)
	}
}

func TestLastUseIsWritten(t *testing.T) {
	store := openStore(t, filepath.Join(t.TempDir(), "s.db"))
	key := createKey(t, store, "ann", wire.Read)
	a, err := auth.NewAuthority(t.Context(), store, nil)
	if err != nil {
		t.Fatal(err)
	}
	get(t, newApp(a), "/read", "Bearer "+key)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	keys, _, err := store.Keys(t.Context())
	if err != nil || time.Since(time.UnixMilli(keys[0].LastUsedMS)) > time.Minute {
		t.Errorf("last use %d (%v)", keys[0].LastUsedMS, err)
	}
}

func TestNewKey(t *testing.T) {
	for _, c := range []struct {
		name, permissions string
		ok                bool
	}{
		{"ci", "", true}, {"ann@example.com", "read,predict", true}, {"a", " read , manage ", true},
		{"", "", false}, {"a b", "", false}, {strings.Repeat("a", 65), "", false}, {"-x", "", false},
		{"x", "root", false}, {"x", "public", false},
	} {
		k, text, err := auth.NewKey(c.name, auth.ParsePermissions(c.permissions), zeros{}, time.UnixMilli(5))
		if (err == nil) != c.ok {
			t.Errorf("%q %q: %v", c.name, c.permissions, err)
		}
		if err == nil && (len(text) != 47 || !strings.HasPrefix(text, "slk_") || k.CreatedMS != 5 || len(k.Permissions) == 0) {
			t.Errorf("%q: key %+v with text of %d characters", c.name, k, len(text))
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestCheckBind(t *testing.T) {
	for _, c := range []struct {
		host              string
		haveKey, insecure bool
		ok                bool
	}{
		{"127.0.0.1", false, false, true}, {"localhost", false, false, true}, {"::1", false, false, true}, {"[::1]", false, false, true},
		{"127.8.9.1", false, false, true}, {"::ffff:127.0.0.1", false, false, true},
		{"0.0.0.0", false, false, false}, {"", false, false, false}, {"::", false, false, false}, {"192.168.1.2", false, false, false},
		{"localhost.evil", false, false, false}, {"example.com", false, false, false},
		{"0.0.0.0", true, false, true}, {"0.0.0.0", false, true, true},
	} {
		err := auth.CheckBind(c.host, c.haveKey, c.insecure)
		if (err == nil) != c.ok {
			t.Errorf("%q key %v insecure %v: %v", c.host, c.haveKey, c.insecure, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "sluice keys create") || !strings.Contains(err.Error(), "--insecure-no-auth")) {
			t.Errorf("the refusal does not say what to do: %v", err)
		}
	}
}
