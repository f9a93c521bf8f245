package wire_test

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking/mlflow"
)

// Overload must not turn into a flood of log lines, and is nothing that somebody must act on; a broken handler is.
func TestOverloadIsLoggedSparingly(t *testing.T) {
	var log lockedLog
	addr := serve(t, slog.New(slog.NewTextHandler(&log, nil)), func(app *fiber.App) {
		app.Get("/busy", func(*fiber.Ctx) error {
			return &mlflow.Error{Code: mlflow.TemporarilyUnavailable, Message: "busy"}
		})
		app.Get("/late", func(*fiber.Ctx) error { return &mlflow.Error{Code: mlflow.DeadlineExceeded, Message: "late"} })
		app.Get("/broken", func(*fiber.Ctx) error { return io.ErrUnexpectedEOF })
	})
	start := time.Now()
	const n = 200
	for i := range n {
		path := "/busy"
		if i%2 == 1 {
			path = "/late"
		}
		get(t, addr, path)
	}
	seconds := int(time.Since(start)/time.Second) + 1
	if got := strings.Count(log.String(), "level=WARN"); got < 10 || got > 10*seconds {
		t.Errorf("%d warnings in %d s", got, seconds)
	}
	if strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("an error in the log:\n%s", log.String())
	}
	for range 20 {
		get(t, addr, "/broken")
	}
	if got := strings.Count(log.String(), "level=ERROR"); got != 20 {
		t.Errorf("%d of 20 internal errors in the log", got)
	}
}

func get(t *testing.T, addr, path string) {
	t.Helper()
	answer, err := http.Get("http://" + addr + path)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
}
