package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// serveNoop is a Fiber server whose handlers read the body and write a constant: the floor of any prediction over HTTP. Each file NAME.json in
// answers is what POST /NAME answers, so that both servers write the same bytes.
func serveNoop(ctx context.Context, address, answers string) error {
	app := fiber.New(fiber.Config{DisableStartupMessage: true, BodyLimit: 64 << 20, StreamRequestBody: false})
	files, err := filepath.Glob(filepath.Join(answers, "*.json"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("%s holds no answers", answers)
	}
	for _, file := range files {
		answer, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		app.Post("/"+strings.TrimSuffix(filepath.Base(file), ".json"), func(c *fiber.Ctx) error {
			if len(c.Body()) == 0 {
				return fiber.ErrBadRequest
			}
			c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
			return c.Send(answer)
		})
	}
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
