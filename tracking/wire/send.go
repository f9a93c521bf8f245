package wire

import (
	"bytes"
	"encoding/json"

	"github.com/gofiber/fiber/v2"
)

// Send answers v as JSON with the status that was set before (200 by default). Struct tags name the fields as MLflow does, in
// snake_case; doubles are declared as Float. Returns an error (for ErrorHandler) if v cannot be encoded; nothing is sent then.
func Send(c *fiber.Ctx, v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	b := buf.Bytes()
	c.Response().SetBodyRaw(b[:len(b)-1]) // without the encoder's line feed
	c.Response().Header.SetContentType(fiber.MIMEApplicationJSON)
	return nil
}

// Appender is a large answer that encodes itself, as the tags of its fields say. It is sent by Buffers.Send.
type Appender interface {
	AppendJSON(b []byte) ([]byte, error)
}

// Empty answers {}: what MLflow answers to a write that returns nothing.
func Empty(c *fiber.Ctx) error {
	c.Response().Header.SetContentType(fiber.MIMEApplicationJSON)
	return c.SendString("{}")
}
