package rest_test

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking"
	"sluice/tracking/artifact"
	"sluice/tracking/artifact/fileartifact"
	"sluice/tracking/rest"
	"sluice/tracking/sqldb/sqldbtest"
	"sluice/tracking/sqlstore"
	"sluice/tracking/wire"
)

// server is the real thing on a loopback port: Fiber as cmd configures it, the service, SQLite and a folder of artifacts.
type server struct {
	addr  string
	files string // the folder of proxied artifacts
	local string // a folder that file: locations may name
	api   *rest.API
}

func newServer(t *testing.T, opts *rest.Options) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{files: filepath.Join(dir, "artifacts"), local: filepath.Join(dir, "local")}
	store := sqlstore.New(sqldbtest.Open(t, nil), nil)
	service, err := tracking.New(store, &tracking.Options{WorkDir: dir, Now: ticking()})
	must(t, err)
	must(t, service.EnsureDefaultExperiment(t.Context()))
	big := tracking.Experiment{ID: firstID, Name: "makes later ids long", ArtifactLocation: "mlflow-artifacts:/x", Lifecycle: tracking.Deleted}
	_, err = store.CreateExperiment(t.Context(), big, nil)
	must(t, err)
	driver, err := fileartifact.New(s.files, nil)
	must(t, err)
	folders, err := fileartifact.OpenFolders([]string{s.local}, nil)
	must(t, err)
	t.Cleanup(func() { must(t, driver.Close()); must(t, folders.Close()) })
	resolver := artifact.NewResolver(artifact.NewRepo(driver), map[string]artifact.Opener{"file": folders.Open})
	s.api, err = rest.New(service, resolver, opts)
	must(t, err)
	t.Cleanup(func() { must(t, s.api.Close()) })
	s.listen(t)
	return s
}

// ticking is the time, but a millisecond later at least with every look: what was made one after the other is in that order.
func ticking() func() time.Time {
	var last atomic.Int64
	return func() time.Time {
		for {
			before := last.Load()
			now := max(time.Now().UnixMilli(), before+1)
			if last.CompareAndSwap(before, now) {
				return time.UnixMilli(now)
			}
		}
	}
}

// firstID makes the ids of later experiments long enough to be told from other numbers in golden answers.
const firstID = "770000"

func (s *server) listen(t *testing.T) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelError}))
	app := fiber.New(fiber.Config{
		ErrorHandler: wire.ErrorHandler(log), StreamRequestBody: true, DisablePreParseMultipartForm: true, BodyLimit: 64 << 10,
		CaseSensitive: true, StrictRouting: true, DisableStartupMessage: true, ReadBufferSize: 16 << 10,
	})
	app.Use(wire.RequestID(nil), wire.Recover(log))
	for _, r := range append(s.api.Routes(), s.api.Refused()...) {
		app.Add(r.Method, r.Path, r.Handler)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s.addr = ln.Addr().String()
	done := make(chan error, 1)
	go func() { done <- app.Listener(ln) }()
	t.Cleanup(func() { must(t, app.Shutdown()); must(t, <-done) })
	if res, _ := s.raw(t, request("GET", "/health", "", "")); res.StatusCode != http.StatusOK { // Shutdown needs a server that runs
		t.Fatalf("not healthy: %d", res.StatusCode)
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}

// raw sends text as it stands, so that no client cleans up its path, and returns the answer.
func (s *server) raw(t *testing.T, text string) (*http.Response, string) {
	t.Helper()
	for attempt := 1; ; attempt++ {
		res, body, err := s.ask(text)
		// A server that answers before it has read everything may close before the rest arrives; then the system takes the answer back.
		if reset := errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE); reset && attempt < 50 {
			continue
		}
		must(t, err)
		return res, body
	}
}

// ask sends text on a connection of its own.
func (s *server) ask(text string) (*http.Response, string, error) {
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		return nil, "", err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		return nil, "", err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res, string(b), err
}

func write(t *testing.T, path, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o750))
	must(t, os.WriteFile(path, []byte(content), 0o600))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
