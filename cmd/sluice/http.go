package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway/auth"
	"sluice/tracking/wire"
)

const (
	// readTimeout bounds the arrival of a request's head and body, writeTimeout the departure of its answer, so that slow clients do not
	// hold connections; the transfer of a file has a pace of its own (wire.Pace).
	readTimeout    = 60 * time.Second
	writeTimeout   = 60 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeadBytes   = 32 << 10
	maxConnections = 64 << 10
	// bufferedBody is how much of a body the engine may hold before the handler reads; larger bodies are streamed.
	bufferedBody = 64 << 10
)

// newFiber returns the HTTP engine with everything that stands before the routes. leaving makes every answer its connection's last.
func newFiber(log *slog.Logger, guard fiber.Handler, leaving *atomic.Bool) *fiber.App {
	app := fiber.New(fiber.Config{
		AppName:               "sluice",
		DisableStartupMessage: true,
		StreamRequestBody:     true,
		BodyLimit:             bufferedBody,
		// A multipart upload of an artifact is bytes like any other; nothing may read it before the caller is known.
		DisablePreParseMultipartForm: true,
		ReadBufferSize:               maxHeadBytes,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		Concurrency:                  maxConnections,
		CaseSensitive:                true,
		StrictRouting:                true,
		ErrorHandler:                 wire.ErrorHandler(log),
	})
	app.Server().NoDefaultServerHeader = true
	app.Server().CloseOnShutdown = true
	app.Server().LazyRequestTime = true // nobody asks the engine for it
	app.Use(closing(leaving), wire.RequestID(nil), wire.Recover(log), guard)
	return app
}

// mount adds every route behind its permission, and what is refused behind all of them. A row without a permission, an audit name or a
// handler, or a second row that serves one method and path, is a programming error that the server refuses to start with.
func mount(app *fiber.App, served, refused []wire.Route, authority *auth.Authority) error {
	seen := map[string]bool{}
	for i, r := range slices.Concat(served, refused) {
		at := r.Method + " " + r.Path
		if r.Permission == "" || r.Audit == "" || r.Handler == nil {
			return fmt.Errorf("route %s has no permission, audit name or handler", at)
		}
		if seen[at] {
			if i < len(served) {
				return fmt.Errorf("route %s is there twice", at)
			}
			continue // a refusal of a whole tree, in which this one is served
		}
		seen[at] = true
		require := authority.Require(r)
		app.Add(r.Method, r.Path, require, r.Handler)
		if r.Method == fiber.MethodGet { // what may be read may be asked after (RFC 9110, 9.1)
			app.Add(fiber.MethodHead, r.Path, require, r.Handler)
		}
	}
	return nil
}

// listen opens the port, with TLS if the configuration has a certificate. The connections are those below the TLS.
func listen(cfg *Config, log *slog.Logger) (net.Listener, *connections, string, error) {
	config, err := tlsConfig(cfg, "http/1.1")
	if err != nil {
		return nil, nil, "", err
	}
	watched, err := watch(cfg.address(), socketsOf(httpSockets), log)
	if err != nil {
		return nil, nil, "", err
	}
	var l net.Listener = watched
	scheme := "http"
	if config != nil {
		scheme, l = "https", tls.NewListener(httpsOnly{watched}, config)
	}
	url := scheme + "://" + l.Addr().String()
	return l, watched, url, nil
}
