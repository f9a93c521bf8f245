package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
)

// How a server leaves:
//
//  1. /ready says no, and every answer says Connection: close, so that clients that keep connections come to no harm when they are closed
//     (lameDuck at most, shorter when nobody is connected);
//  2. attempts to connect are ignored until those that had begun are accepted (settle), then the port is closed;
//  3. requests that are complete are answered, those that are still arriving may go on arriving, but not pause for longer than stall;
//  4. after httpShare of the grace what is left is cut off, so that the prediction log and the stores get the rest of it.
//
// gRPC leaves meanwhile, and needs less: its protocol tells clients that a connection takes no further calls.
const (
	lameDuck  = 500 * time.Millisecond
	settle    = 30 * time.Millisecond
	stall     = time.Second
	httpShare = 3.0 / 4
)

// leave ends both ports, at the same time. The error says if requests had to be cut off.
func (a *App) leave(ctx context.Context, serving <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(httpShare*float64(a.cfg.ShutdownGrace)))
	defer cancel()
	left := make(chan error, 1)
	go func() { left <- a.grpc.leave(ctx) }()
	err := a.drain(ctx, serving)
	return errors.Join(err, <-left)
}

// drain ends the HTTP side.
func (a *App) drain(ctx context.Context, serving <-chan error) error {
	a.connections.leave(ctx, lameDuck)
	if err := refuseConnections(a.connections.TCPListener); err != nil {
		a.log.Debug("attempts to connect cannot be ignored", slog.Any("error", err))
	}
	pause(ctx, settle)
	a.connections.hurry()
	err := a.http.ShutdownWithContext(ctx)
	_ = a.listener.Close() // the engine knows the listener only once it serves: a stop right after the start would wait for it
	if err != nil {
		n := a.connections.cut()
		err = fmt.Errorf("%d connections were cut off: %w", n, err)
	}
	return errors.Join(err, <-serving)
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// closing is the middleware that tells clients not to use their connection again once the server is leaving.
func closing(leaving *atomic.Bool) fiber.Handler {
	return func(c *fiber.Ctx) error {
		err := c.Next()
		if leaving.Load() {
			c.Context().SetConnectionClose()
		}
		return err
	}
}
