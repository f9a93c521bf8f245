package wire

import (
	"crypto/rand"
	"log/slog"
	mathrand "math/rand/v2"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// HeaderRequestID carries the request id in both directions.
const HeaderRequestID = "X-Request-Id"

const maxRequestID = 128 // characters

// keyRequestID is HeaderRequestID for the engine, which would otherwise normalize it on every request. Read only.
var keyRequestID = []byte(HeaderRequestID)

// RequestID returns the middleware that gives each request an id: the client's own X-Request-Id if it is 1 to 128 printable
// ASCII characters without blanks, else a random UUID. The id stands in the answer's X-Request-Id header from then on.
// random returns uniformly random bits, from many goroutines at once; nil means math/rand/v2's: an id is no secret.
func RequestID(random func() uint64) fiber.Handler {
	if random == nil {
		random = mathrand.Uint64
	}
	return func(c *fiber.Ctx) error {
		id := c.Request().Header.PeekCanonical(keyRequestID)
		if !validRequestID(id) {
			var text [36]byte
			id = AppendUUID(text[:0], random()&^0xf000|0x4000, random()&^(3<<62)|1<<63) // version 4 (source: RFC 9562, section 5.4)
		}
		c.Response().Header.SetCanonical(keyRequestID, id) // copies
		return c.Next()
	}
}

// RequestIDOf returns the id that RequestID gave to the request, or "" without that middleware. The string is a copy.
func RequestIDOf(c *fiber.Ctx) string { return strings.Clone(c.GetRespHeader(HeaderRequestID)) }

// ensureRequestID also covers requests that failed before any middleware ran (broken headers, say).
func ensureRequestID(c *fiber.Ctx) string {
	if id := RequestIDOf(c); id != "" {
		return id
	}
	id := rand.Text()
	c.Set(HeaderRequestID, id)
	return id
}

func validRequestID(id []byte) bool {
	if len(id) == 0 || len(id) > maxRequestID {
		return false
	}
	for _, b := range id {
		if b <= ' ' || b > '~' {
			return false
		}
	}
	return true
}

// Recover returns the middleware that turns a panic of a later handler into an error for ErrorHandler. The stack is logged.
func Recover(log *slog.Logger) fiber.Handler {
	return func(c *fiber.Ctx) (err error) {
		defer func() {
			if r := recover(); r != nil {
				err = panicked(c, log, r)
			}
		}()
		return c.Next()
	}
}
