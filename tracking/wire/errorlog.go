package wire

import (
	"log/slog"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
)

// maxWarnings is how many failures of overload are logged in one second.
const maxWarnings = 10

// errorLog writes failed requests to the log. It is safe for concurrent use.
type errorLog struct {
	log *slog.Logger

	mu      sync.Mutex
	since   time.Time // guarded by mu: when the current second began
	written int       // guarded by mu: warnings in it
	skipped int       // guarded by mu: warnings left out since the last one written
}

// write logs a failed request at the level that its status deserves.
func (l *errorLog) write(c *fiber.Ctx, id string, status int, err error) {
	level, skipped := slog.LevelDebug, 0
	switch {
	case status == fiber.StatusNotImplemented:
	case status == fiber.StatusServiceUnavailable, status == fiber.StatusGatewayTimeout:
		var ok bool
		if skipped, ok = l.admit(time.Now()); !ok {
			return
		}
		level = slog.LevelWarn
	case status >= fiber.StatusInternalServerError:
		level = slog.LevelError
	}
	ctx := c.UserContext()
	if !l.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request_id", id), slog.String("method", c.Method()),
		slog.String("path", shorten(c.Path(), maxEcho)), slog.Int("status", status), slog.String("error", err.Error()),
	}
	if skipped > 0 {
		attrs = append(attrs, slog.Int("not_logged_before", skipped))
	}
	l.log.LogAttrs(ctx, level, "request failed", attrs...)
}

// admit says whether one more warning may be written now, and how many were left out before it.
func (l *errorLog) admit(now time.Time) (skipped int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.since) >= time.Second {
		l.since, l.written = now, 0
	}
	if l.written >= maxWarnings {
		l.skipped++
		return 0, false
	}
	l.written++
	skipped, l.skipped = l.skipped, 0
	return skipped, true
}
