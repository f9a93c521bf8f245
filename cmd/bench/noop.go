package main

import (
	"context"
	"errors"
	"net"

	"github.com/gofiber/fiber/v2"
)

// noopAnswer is as long as the answer of the example model, so that both servers write the same bytes.
const noopAnswer = `{"predictions": [{"label": 0, "probabilities": [0.9990000128746033, 0.0005000000237487257, 0.0005000000237487257]}]}`

// serveNoop is a Fiber server whose handler reads the body and writes a constant: the floor of any prediction over HTTP.
func serveNoop(ctx context.Context, address string) error {
	app := fiber.New(fiber.Config{DisableStartupMessage: true, BodyLimit: 64 << 20, StreamRequestBody: false})
	answer := []byte(noopAnswer)
	app.Post("/invocations", func(c *fiber.Ctx) error {
		if len(c.Body()) == 0 {
			return fiber.ErrBadRequest
		}
		c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
		return c.Send(answer)
	})
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- app.Listener(listener) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errors.Join(app.Shutdown(), <-done)
	}
}
