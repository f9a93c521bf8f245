package wire

import (
	"crypto/rand"
	"log/slog"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// HeaderRequestID carries the request id in both directions.
const HeaderRequestID = "X-Request-Id"

const maxRequestID = 128 // characters

// RequestID returns the middleware that gives each request an id: the client's own X-Request-Id if it is 1 to 128 printable
// ASCII characters without blanks, else a new one. The id stands in the answer's X-Request-Id header from then on.
// newID makes ids; nil means 26 random letters and digits.
func RequestID(newID func() string) fiber.Handler {
	if newID == nil {
		newID = rand.Text
	}
	return func(c *fiber.Ctx) error {
		id := c.Get(HeaderRequestID)
		if !validRequestID(id) {
			id = newID()
		}
		c.Set(HeaderRequestID, id)
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

func validRequestID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
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
