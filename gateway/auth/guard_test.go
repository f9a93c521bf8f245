package auth_test

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway/auth"
	"sluice/tracking/wire"
)

// serve starts a real server with the guard in front of a few routes and returns its address.
func serve(t *testing.T, opts auth.GuardOptions) string {
	t.Helper()
	guard, err := auth.Guard(opts)
	if err != nil {
		t.Fatal(err)
	}
	app := fiber.New(fiber.Config{ErrorHandler: wire.ErrorHandler(slog.New(slog.DiscardHandler)), DisableStartupMessage: true})
	app.Use(guard)
	for _, path := range []string{"/", "/health", "/version", "/ping", "/ready", "/invocations", "/api/2.0/mlflow/runs/create", "/ajax-api/2.0/mlflow/runs/create"} {
		app.All(path, func(c *fiber.Ctx) error { return c.SendString("ok") })
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- app.Listener(listener) }()
	t.Cleanup(func() {
		if err := app.Shutdown(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// raw sends the lines as they are and returns the answer.
func raw(t *testing.T, addr string, lines ...string) (*http.Response, string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%q: %v", lines, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// TestS23Host: DNS rebinding.
func TestS23Host(t *testing.T) {
	addr := serve(t, auth.GuardOptions{OwnHosts: []string{"models.internal"}})
	for _, c := range []struct {
		line, host string
		status     int
	}{
		{"GET / HTTP/1.1", "localhost", 200}, {"GET / HTTP/1.1", "LocalHost:5000", 200}, {"GET / HTTP/1.1", "127.0.0.1:1", 200},
		{"GET / HTTP/1.1", "127.9.9.9", 200}, {"GET / HTTP/1.1", "[::1]:5000", 200}, {"GET / HTTP/1.1", "10.1.2.3:80", 200},
		{"GET / HTTP/1.1", "172.16.0.1", 200}, {"GET / HTTP/1.1", "192.168.0.9:5000", 200}, {"GET / HTTP/1.1", "[fd00::1]:5000", 200},
		{"GET / HTTP/1.1", "0.0.0.0:5000", 200}, {"GET / HTTP/1.1", "models.internal:5000", 200}, {"GET / HTTP/1.1", "localhost.", 200},
		{"GET / HTTP/1.1", "evil", 403}, {"GET / HTTP/1.1", "evil.com:5000", 403}, {"GET / HTTP/1.1", "localhost.evil", 403},
		{"GET / HTTP/1.1", "localhost:5000.evil.com", 403}, {"GET / HTTP/1.1", "10.evil.com", 403}, {"GET / HTTP/1.1", "192.168.0.1.nip.io", 403},
		{"GET / HTTP/1.1", "172.32.0.1", 403}, {"GET / HTTP/1.1", "8.8.8.8", 403}, {"GET / HTTP/1.1", "[2001:db8::1]", 403},
		{"GET / HTTP/1.1", "evil@localhost", 403}, {"GET / HTTP/1.1", "localhost@evil", 403}, {"GET / HTTP/1.1", "localhost/", 403},
		{"GET / HTTP/1.1", "", 403}, {"GET / HTTP/1.1", "[::1", 403}, {"GET / HTTP/1.1", "localhost:99999999", 403},
		{"GET http://evil.com/ HTTP/1.1", "localhost", 403}, {"GET http://evil.com/health HTTP/1.1", "localhost", 403},
		{"GET /health HTTP/1.1", "evil", 200}, {"GET /version HTTP/1.1", "evil", 200}, {"GET /ping HTTP/1.1", "evil", 200}, {"GET /ready HTTP/1.1", "evil", 200},
		{"POST /health HTTP/1.1", "evil", 403}, {"GET /health/../ HTTP/1.1", "evil", 403}, {"GET /%68ealth HTTP/1.1", "evil", 403},
	} {
		extra := "X-Forwarded-Host: localhost"
		resp, body := raw(t, addr, c.line, "Host: "+c.host, extra, "Content-Length: 0")
		if resp.StatusCode != c.status && !(c.status == 403 && resp.StatusCode == 400) {
			t.Errorf("%s, Host %q: got %d %s, want %d", c.line, c.host, resp.StatusCode, body, c.status)
		}
		if resp.StatusCode == 200 && (resp.Header.Get("X-Frame-Options") != "SAMEORIGIN" || resp.Header.Get("X-Content-Type-Options") != "nosniff") {
			t.Errorf("Host %q: headers %v", c.host, resp.Header)
		}
		if resp.StatusCode == 403 && (errorCode(body) != "PERMISSION_DENIED" || !strings.Contains(body, "--allowed-hosts")) {
			t.Errorf("Host %q: %s", c.host, body)
		}
	}
	for range 2 { // the remembered Host must not let another one in
		if resp, _ := raw(t, addr, "GET / HTTP/1.1", "Host: evil"); resp.StatusCode != 403 {
			t.Errorf("got %d", resp.StatusCode)
		}
	}
}

func TestAllowedHosts(t *testing.T) {
	addr := serve(t, auth.GuardOptions{AllowedHosts: []string{"*.example.com", "models:8080", "::1", "fixed:*"}})
	for host, status := range map[string]int{
		"a.example.com": 200, "a.b.example.com:9": 200, "example.com": 403, "aexample.com": 403, "evil.com": 403,
		"models:8080": 200, "models:8081": 403, "models": 403, "[::1]:4": 200, "fixed:1": 200, "fixed": 200, "localhost": 403,
	} {
		if resp, _ := raw(t, addr, "GET / HTTP/1.1", "Host: "+host); resp.StatusCode != status {
			t.Errorf("%q: got %d, want %d", host, resp.StatusCode, status)
		}
	}
	if resp, _ := raw(t, serve(t, auth.GuardOptions{AllowedHosts: []string{"*"}}), "GET / HTTP/1.1", "Host: evil.com"); resp.StatusCode != 200 {
		t.Errorf("*: got %d", resp.StatusCode)
	}
	for _, bad := range []string{"http://x", "a b", "x:y", "a.*.b", "[::1", "x:99:*"} {
		if _, err := auth.Guard(auth.GuardOptions{AllowedHosts: []string{bad}}); err == nil {
			t.Errorf("allowed host %q was accepted", bad)
		}
	}
	for _, bad := range []string{"example.com", "ftp://x", "https://x/path", "https://", "https://u@x"} {
		if _, err := auth.Guard(auth.GuardOptions{AllowedOrigins: []string{bad}}); err == nil {
			t.Errorf("allowed origin %q was accepted", bad)
		}
	}
}

// TestS23CrossSite: what a browser sends for somebody else's page.
func TestS23CrossSite(t *testing.T) {
	addr := serve(t, auth.GuardOptions{AllowedOrigins: []string{"https://app.example.com"}})
	const api = "/api/2.0/mlflow/runs/create"
	for _, c := range []struct {
		name, method, path string
		headers            []string
		status             int
	}{
		{"no browser", "POST", api, []string{"Content-Type: application/json"}, 200},
		{"no browser, no type", "POST", api, nil, 200},
		{"same origin", "POST", api, []string{"Origin: http://HOST", "Sec-Fetch-Site: same-origin"}, 200},
		{"same origin behind TLS", "POST", api, []string{"Origin: https://HOST"}, 200},
		{"another loopback page", "POST", api, []string{"Origin: http://localhost:3000", "Content-Type: application/json"}, 200},
		{"allowed origin", "PUT", api, []string{"Origin: https://app.example.com", "Sec-Fetch-Site: cross-site"}, 200},
		{"evil origin", "POST", api, []string{"Origin: http://evil"}, 403},
		{"evil origin predicts", "POST", "/invocations", []string{"Origin: http://evil", "Content-Type: text/plain"}, 403},
		{"null origin", "POST", api, []string{"Origin: null"}, 403},
		{"name that begins like ours", "POST", api, []string{"Origin: http://localhost.evil"}, 403},
		{"address in a name", "POST", api, []string{"Origin: http://127.0.0.1.evil:80"}, 403},
		{"our name as user", "POST", api, []string{"Origin: http://localhost@evil"}, 403},
		{"our host in another scheme", "POST", api, []string{"Origin: file://HOST"}, 403},
		{"allowed origin on another port", "POST", api, []string{"Origin: https://app.example.com:444"}, 403},
		{"allowed origin without TLS", "POST", api, []string{"Origin: http://app.example.com"}, 403},
		{"cross-site without origin", "DELETE", api, []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"same-site without origin", "PATCH", api, []string{"Sec-Fetch-Site: same-site"}, 403},
		{"unknown method", "PROPFIND", api, []string{"Origin: http://evil"}, 403},
		{"typed into the address bar", "POST", api, []string{"Sec-Fetch-Site: none"}, 200},
		{"form", "POST", api, []string{"Content-Type: application/x-www-form-urlencoded"}, 400},
		{"form by its twin", "POST", "/ajax-api/2.0/mlflow/runs/create", []string{"Content-Type: Multipart/Form-Data; boundary=x"}, 400},
		{"plain text", "POST", api, []string{"Content-Type: text/plain;charset=UTF-8"}, 400},
		{"plain text to our own page", "POST", api, []string{"Origin: http://HOST", "Content-Type: text/plain"}, 200},
		{"a read from elsewhere", "GET", api, []string{"Origin: http://evil", "Sec-Fetch-Site: cross-site"}, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines := []string{c.method + " " + c.path + " HTTP/1.1", "Host: " + addr, "Content-Length: 0", "X-Forwarded-Proto: https"}
			for _, h := range c.headers {
				lines = append(lines, strings.ReplaceAll(h, "HOST", addr))
			}
			resp, body := raw(t, addr, lines...)
			if resp.StatusCode != c.status && !(c.method == "PROPFIND" && resp.StatusCode >= 400) {
				t.Errorf("got %d %s, want %d", resp.StatusCode, body, c.status)
			}
			acao := resp.Header.Get("Access-Control-Allow-Origin")
			if strings.Contains(c.name, "evil") && acao != "" || resp.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("CORS headers %v", resp.Header)
			}
		})
	}
}

func TestPreflight(t *testing.T) {
	addr := serve(t, auth.GuardOptions{AllowedOrigins: []string{"https://app.example.com"}})
	ask := func(origin string) *http.Response {
		resp, _ := raw(t, addr, "OPTIONS /invocations HTTP/1.1", "Host: "+addr, "Origin: "+origin,
			"Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type, authorization")
		return resp
	}
	good := ask("https://app.example.com")
	if good.StatusCode != 204 || good.Header.Get("Access-Control-Allow-Origin") != "https://app.example.com" ||
		good.Header.Get("Access-Control-Allow-Headers") != "content-type, authorization" || !strings.Contains(good.Header.Get("Vary"), "Origin") {
		t.Errorf("allowed: %d %v", good.StatusCode, good.Header)
	}
	if bad := ask("https://evil.example"); bad.StatusCode != 403 || bad.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("refused: %d %v", bad.StatusCode, bad.Header)
	}
}

// TestS28Smuggling: requests whose end two parsers could see at different places are refused, and the connection ends.
func TestS28Smuggling(t *testing.T) {
	addr := serve(t, auth.GuardOptions{})
	for name, lines := range map[string][]string{
		"length and chunked":     {"POST / HTTP/1.1", "Host: localhost", "Content-Length: 5", "Transfer-Encoding: chunked", "", "0", "", "GET /health HTTP/1.1", "Host: localhost"},
		"two lengths":            {"POST / HTTP/1.1", "Host: localhost", "Content-Length: 0", "Content-Length: 44", "", "GET /health HTTP/1.1", "Host: localhost"},
		"two hosts, good last":   {"GET / HTTP/1.1", "Host: evil", "Host: localhost"},
		"two hosts, good first":  {"GET / HTTP/1.1", "Host: localhost", "Host: evil"},
		"signed length":          {"POST / HTTP/1.1", "Host: localhost", "Content-Length: +5"},
		"space before the colon": {"GET / HTTP/1.1", "Host: localhost", "Content-Length : 5"},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := raw(t, addr, lines...)
			if resp.StatusCode < 400 || resp.StatusCode >= 500 {
				t.Errorf("got %d %s, want a refusal", resp.StatusCode, body)
			}
		})
	}
}

// TestS28ForwardedAddress: the throttle counts peers, whatever X-Forwarded-For says.
func TestS28ForwardedAddress(t *testing.T) {
	store := openStore(t, t.TempDir()+"/s.db")
	createKey(t, store, "ann", wire.Read)
	app := newApp(newAuthority(t, store, &auth.Options{MaxFailures: 2, Poll: time.Hour}))
	var last int
	for i := range 3 {
		req := httptest.NewRequest("GET", "/read", nil)
		req.Header.Set("Authorization", "Bearer guess")
		req.Header.Set("X-Forwarded-For", "10.0.0."+string(rune('1'+i)))
		resp, err := app.Test(req, -1)
		if err != nil {
			t.Fatal(err)
		}
		last = resp.StatusCode
	}
	if last != 429 {
		t.Errorf("got %d for the third guess, want 429", last)
	}
}
