package wire_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// lockedLog collects log lines of many goroutines.
type lockedLog struct {
	mu sync.Mutex
	b  strings.Builder // guarded by mu
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// serve runs an app as the server runs it (streamed bodies, case-sensitive routes) on a loopback port and returns its address.
func serve(t *testing.T, log *slog.Logger, mount func(*fiber.App)) string {
	t.Helper()
	app := fiber.New(fiber.Config{
		ErrorHandler: wire.ErrorHandler(log), StreamRequestBody: true, DisablePreParseMultipartForm: true,
		CaseSensitive: true, StrictRouting: true, DisableStartupMessage: true, BodyLimit: 1 << 10,
	})
	app.Use(wire.RequestID(nil), wire.Recover(log))
	mount(app)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- app.Listener(ln) }()
	t.Cleanup(func() {
		if err := app.Shutdown(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

// raw sends text as it stands over one connection and returns the first answer's status and body.
func raw(t *testing.T, addr, text string) (*http.Response, string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

func post(path, headers, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s", path, headers, len(body), body)
}

func chunked(path string, chunks ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", path)
	for _, c := range chunks {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(c), c)
	}
	b.WriteString("0\r\n\r\n")
	return b.String()
}

func mountBodies(app *fiber.App) {
	app.Post("/body", func(c *fiber.Ctx) error {
		first, err := wire.Body(c, 100_000)
		if err != nil {
			return err
		}
		again, err := wire.Body(c, 100_000)
		if err != nil || string(again) != string(first) {
			return fmt.Errorf("second read differs: %v", err)
		}
		return c.SendString(fmt.Sprint(len(first)))
	})
	app.Post("/stream", func(c *fiber.Ctx) error {
		r, err := wire.BodyReader(c, 100_000)
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, r)
		if err != nil {
			return err
		}
		return c.SendString(fmt.Sprint(n))
	})
}

// S12: a limit on the body holds however the body is framed.
func TestBodyLimits(t *testing.T) {
	t.Parallel()
	addr := serve(t, discard(), mountBodies)
	big := strings.Repeat("x", 100_001)
	for _, path := range []string{"/body", "/stream"} {
		for _, c := range []struct {
			name, text string
			status     int
			want       string
		}{
			{"small", post(path, "", "abc"), 200, "3"},
			{"empty", post(path, "", ""), 200, "0"},
			{"beyond the first read", post(path, "", strings.Repeat("x", 60_000)), 200, "60000"},
			{"at the limit", post(path, "", big[1:]), 200, "100000"},
			{"declared above", post(path, "", big), 413, "INVALID_PARAMETER_VALUE"},
			{"chunked", chunked(path, "abc", "de"), 200, "5"},
			{"chunked large", chunked(path, big[:50_000], big[:50_000]), 200, "100000"},
			{"chunked above", chunked(path, big[:60_000], big[:60_000]), 413, "INVALID_PARAMETER_VALUE"},
			{"many small chunks above", chunked(path, strings.Split(strings.Repeat("xxxxxxxxxx,", 10_010), ",")[:10_005]...), 413, "exceeds the limit of 100000 bytes"},
		} {
			t.Run(path+" "+c.name, func(t *testing.T) {
				t.Parallel()
				res, body := raw(t, addr, c.text)
				if res.StatusCode != c.status || !strings.Contains(body, c.want) {
					t.Errorf("got %d %.200s, want %d with %s", res.StatusCode, body, c.status, c.want)
				}
			})
		}
	}
}

func TestBodyCutShort(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/body", "/stream"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			addr := serve(t, discard(), mountBodies)
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 50000\r\n\r\n%s", path, strings.Repeat("x", 20_000))
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.StatusCode != 400 {
				t.Errorf("got %d, want 400: a short body must not pass as complete", res.StatusCode)
			}
		})
	}
}

func TestErrorHandler(t *testing.T) {
	t.Parallel()
	var log lockedLog
	addr := serve(t, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError})), func(app *fiber.App) {
		fails := map[string]error{
			"known": mlflow.Missingf("No Experiment with id=%d exists", 9), "secret": errors.New("password=hunter2"),
			"wrapped": fmt.Errorf("store: %w", mlflow.Invalidf("bad")), "deadline": fmt.Errorf("q: %w", context.DeadlineExceeded),
			"quota":  &mlflow.Error{Code: mlflow.ResourceExhausted, Message: "full", Details: map[string]any{"limit": 3}},
			"teapot": fiber.NewError(418, "secret tea"), "gone": &mlflow.Error{Code: mlflow.NotImplemented, Message: "no"},
			"internal": &mlflow.Error{Code: mlflow.InternalError, Message: "The store is broken.", Cause: errors.New("disk 7")},
		}
		for path, err := range fails {
			app.Get("/"+path, func(*fiber.Ctx) error { return err })
		}
		app.Get("/panic", func(*fiber.Ctx) error { panic("secret plan") })
	})
	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: h\r\nX-Request-Id: r-1\r\n\r\n" }
	const internal = `{"error_class":"CLIENT_INTERNAL_ERROR","error_code":"INTERNAL_ERROR","message":"Internal error. The server's log says more under request id r-1.","sqlstate":"XXM00"}`
	for _, c := range []struct {
		name, text string
		status     int
		want       string
	}{
		{"known", get("/known"), 404, `{"error_class":"RESOURCE_NOT_FOUND","error_code":"RESOURCE_DOES_NOT_EXIST","message":"No Experiment with id=9 exists","sqlstate":"KAM00"}`},
		{"wrapped", get("/wrapped"), 400, `{"error_class":"INVALID_PARAMETER_VALUE","error_code":"INVALID_PARAMETER_VALUE","message":"bad","sqlstate":"KAM00"}`},
		{"details, no class", get("/quota"), 429, `{"error_code":"RESOURCE_EXHAUSTED","limit":3,"message":"full"}`},
		{"deadline", get("/deadline"), 504, `{"error_code":"DEADLINE_EXCEEDED","message":"The request did not finish before its deadline."}`},
		{"not implemented", get("/gone"), 501, `{"error_code":"NOT_IMPLEMENTED","message":"no"}`},
		{"cause stays inside", get("/internal"), 500, `{"error_class":"CLIENT_INTERNAL_ERROR","error_code":"INTERNAL_ERROR","message":"The store is broken.","sqlstate":"XXM00"}`},
		{"unclassified", get("/secret"), 500, internal},
		{"panic", get("/panic"), 500, internal},
		{"engine's own text", get("/teapot"), 418, `{"error_class":"INVALID_PARAMETER_VALUE","error_code":"BAD_REQUEST","message":"Bad request.","sqlstate":"KAM00"}`},
		{"unknown route", get("/api/2.0/mlflow/zz"), 404, `{"error_class":"RESOURCE_NOT_FOUND","error_code":"ENDPOINT_NOT_FOUND","message":"No route for GET /api/2.0/mlflow/zz.","sqlstate":"KAM00"}`},
		{"wrong case", get("/KNOWN"), 404, `{"error_class":"RESOURCE_NOT_FOUND","error_code":"ENDPOINT_NOT_FOUND","message":"No route for GET /KNOWN.","sqlstate":"KAM00"}`},
		{"wrong method", post("/known", "X-Request-Id: r-1\r\n", ""), 405, `{"error_class":"INVALID_PARAMETER_VALUE","error_code":"BAD_REQUEST","message":"The method POST is not allowed for /known.","sqlstate":"KAM00"}`},
		{"header too large", get("/known?" + strings.Repeat("x", 10_000)), 431, `{"error_class":"INVALID_PARAMETER_VALUE","error_code":"BAD_REQUEST","message":"The request's header fields are too large.","sqlstate":"KAM00"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			res, body := raw(t, addr, c.text)
			if res.StatusCode != c.status || body != c.want {
				t.Errorf("got  %d %s\nwant %d %s", res.StatusCode, body, c.status, c.want)
			}
			if got := res.Header.Get("Content-Type"); got != "application/json" {
				t.Errorf("content type %q", got)
			}
			if res.Header.Get("X-Request-Id") == "" {
				t.Error("no request id")
			}
		})
	}
	for _, want := range []string{"password=hunter2", "disk 7", "secret plan", "request_id=r-1"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log lacks %q", want)
		}
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	addr := serve(t, discard(), func(app *fiber.App) {
		app.Get("/", func(c *fiber.Ctx) error { return c.SendString(wire.RequestIDOf(c)) })
	})
	for _, c := range []struct {
		name, header string
		kept         bool
	}{
		{"kept", "abc-1_2.3", true}, {"longest", strings.Repeat("a", 128), true}, {"too long", strings.Repeat("a", 129), false},
		{"blank inside", "a b", false}, {"not ASCII", "é", false}, {"control", "a\tb", false}, {"empty", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			res, body := raw(t, addr, "GET / HTTP/1.1\r\nHost: h\r\nX-Request-Id: "+c.header+"\r\n\r\n")
			if got := res.Header.Get("X-Request-Id"); got != body || (got == c.header) != c.kept || got == "" {
				t.Errorf("got header %q, body %q, sent %q", got, body, c.header)
			}
		})
	}
}

func TestRequestIDIsARandomUUID(t *testing.T) {
	t.Parallel()
	for bits, want := range map[uint64]string{
		0:                  "00000000-0000-4000-8000-000000000000",
		math.MaxUint64:     "ffffffff-ffff-4fff-bfff-ffffffffffff",
		0x0123456789abcdef: "01234567-89ab-4def-8123-456789abcdef",
	} {
		app := fiber.New()
		app.Use(wire.RequestID(func() uint64 { return bits }))
		res, err := app.Test(httptest.NewRequest("GET", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		if got := res.Header.Get("X-Request-Id"); got != want {
			t.Errorf("of %x: got %s, want %s", bits, got, want)
		}
	}
}

func TestParamDecodesOnce(t *testing.T) {
	t.Parallel()
	addr := serve(t, discard(), func(app *fiber.App) {
		app.Get("/a/*", func(c *fiber.Ctx) error {
			p, err := wire.Param(c, "*")
			if err != nil {
				return err
			}
			return c.SendString(p)
		})
	})
	for _, c := range []struct {
		path   string
		status int
		want   string
	}{
		{"/a/x/y.txt", 200, "x/y.txt"}, {"/a/x%20y", 200, "x y"}, {"/a/a+b", 200, "a+b"}, {"/a/%252e%252e", 200, "%2e%2e"},
		{"/a/%2e%2e/b", 200, "../b"}, {"/a/../b", 200, "../b"}, {"/a/b%2Fc", 200, "b/c"}, {"/a/%C3%A9", 200, "é"},
		{"/a/%00", 400, "path"}, {"/a/%0d%0ax", 400, "path"}, {"/a/%ff", 400, "path"}, {"/a/%c0%ae", 400, "path"},
		{"/a/%zz", 400, "path"}, {"/a/%2", 400, "path"}, {"/a/%7f", 400, "path"},
	} {
		res, body := raw(t, addr, "GET "+c.path+" HTTP/1.1\r\nHost: h\r\n\r\n")
		if res.StatusCode != c.status || c.status == 200 && body != c.want || !strings.Contains(body, c.want) {
			t.Errorf("%s: got %d %q, want %d %q", c.path, res.StatusCode, body, c.status, c.want)
		}
	}
}

func TestFloat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v    float64
		want string
	}{ // answers of MLflow 3.17.2
		{0, "0.0"}, {1, "1.0"}, {0.1, "0.1"}, {1e5, "100000.0"}, {1e22, "1e+22"}, {1e-7, "1e-07"}, {1e-4, "0.0001"}, {1e16, "1e+16"},
		{123456789012345680, "1.2345678901234568e+17"}, {-math.MaxFloat64, "-1.7976931348623157e+308"}, {999999999999999.9, "999999999999999.9"},
		{math.NaN(), `"NaN"`}, {math.Inf(1), `"Infinity"`}, {math.Inf(-1), `"-Infinity"`},
	} {
		b, err := json.Marshal(wire.Float(c.v))
		if err != nil || string(b) != c.want {
			t.Errorf("%v: got %s, %v, want %s", c.v, b, err, c.want)
		}
	}
}
