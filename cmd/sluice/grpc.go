package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"syscall"

	"sluice/gateway/oip"
)

// grpcPort is the gRPC server with its port. A nil one, of a server that has no such port, does nothing.
type grpcPort struct {
	server   *oip.Server
	listener net.Listener
	served   chan error
}

// openGRPC opens the port of the Open Inference Protocol over gRPC, unless it is switched off.
func (a *App) openGRPC(context.Context) error {
	if a.cfg.GRPCPort == 0 {
		return nil
	}
	config, err := tlsConfig(&a.cfg, "h2")
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(a.cfg.Host, strconv.Itoa(a.cfg.GRPCPort)))
	if errors.Is(err, syscall.EADDRINUSE) && !a.cfg.grpcPortSet {
		a.log.Warn("gRPC is off: its default port is taken, by another server maybe; choose one with --grpc-port, or 0 for none", slog.Int("port", a.cfg.GRPCPort))
		return nil
	}
	if err != nil {
		return fmt.Errorf("--grpc-port: %w", err)
	}
	server := oip.New(a.data.Load(), &oip.Options{
		MaxMessageBytes: a.cfg.MaxBodyBytes, MaxConnections: socketsOf(grpcSockets), Arrival: readTimeout, Idle: idleTimeout,
		TLS: config, Check: a.authority.Check, Logger: a.log,
	})
	a.grpc = &grpcPort{server: server, listener: l}
	a.onClose("gRPC port", func(context.Context) error { _ = l.Close(); return nil })
	a.log.Info("gRPC", slog.String("address", l.Addr().String()), slog.Bool("tls", config != nil))
	return nil
}

// serve answers until leave. What it returns delivers the error that ended it before that, if one does.
func (g *grpcPort) serve() <-chan error {
	failed := make(chan error, 1)
	if g == nil {
		return failed
	}
	g.served = make(chan error, 1)
	go func() {
		err := g.server.Serve(g.listener)
		if err != nil {
			failed <- err
		}
		g.served <- err
	}()
	return failed
}

// leave tells those who ask that the server is not ready, and lets the calls under way finish.
func (g *grpcPort) leave(ctx context.Context) error {
	if g == nil {
		return nil
	}
	if err := g.server.Shutdown(ctx); err != nil {
		return fmt.Errorf("gRPC calls were cut off: %w", err)
	}
	return <-g.served
}
