// Package oip answers the Open Inference Protocol, version 2, over gRPC, beside the standard health and reflection services.
//
// It owns the gRPC server: who may call what, the bounds on messages, streams and idle connections, the status of an error, and the way out.
// It is called by cmd; it must not know how a prediction is made, the registry, or a database. Predictions are invoke's, by the same table, bounds,
// records and metrics as those that come by HTTP; a message goes from the network's buffer to tensors, and back, without one in between.
//
// # Names
//
// The protocol's model is an endpoint, its version one of the model versions that the endpoint routes. What is a header in HTTP is metadata
// here, under the same name in lower case: authorization, x-request-id, x-sluice-timeout-ms, x-sluice-priority, x-sluice-sticky-key and
// traceparent in requests, the x-sluice-… ones in answers. The deadline of a call is honoured like x-sluice-timeout-ms.
//
// # Errors
//
// A failed call has the message that HTTP would have, a status (see codeOf), x-sluice-error-code with MLflow's code and, where it may come again,
// retry-after in seconds. In ModelStreamInfer the stream goes on: its answer has an error_message and the request's id.
package oip

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // clients may compress
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"sluice/gateway/invoke"
	"sluice/tracking/wire"
)

// Predictor is what answers; *invoke.Handler does.
type Predictor interface {
	// InferMessage answers one prediction request.
	InferMessage(ctx context.Context, m *invoke.Message) invoke.Reply
	// Describe and Routed return *mlflow.Error.
	Describe(ctx context.Context, endpoint, version string) (*invoke.Description, error)
	Routed(endpoint, version string) error
	// Ready says whether the server as a whole may get traffic.
	Ready() bool
	Version() string
}

// Options of New; nil and the zero value work.
type Options struct {
	// MaxMessageBytes bounds a request's message, decompressed; default 64 MiB. Beyond: RESOURCE_EXHAUSTED.
	MaxMessageBytes int64
	// MaxStreams bounds the calls under way on one connection; further ones wait for it. Default 1024.
	MaxStreams int
	// MaxConnections bounds the connections; further ones wait to be accepted. Default 65536.
	MaxConnections int
	// Arrival is how long a request may take to arrive; default 60 s. Streams may take as long as they like for each further message.
	Arrival time.Duration
	// Idle is how long a connection may be without a call; default 2 min.
	Idle time.Duration
	// TLS serves with a certificate; nil: without encryption.
	TLS *tls.Config
	// Check says whether a caller may do what asks for the permission, as auth.Authority.Check does; it must not wait. nil: everybody may.
	Check func(permission wire.Permission, audit string, authorization []byte, from net.Addr) (wait time.Duration, err error)
	// Logger is told of panics; nil discards.
	Logger *slog.Logger
}

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	if out.MaxMessageBytes <= 0 {
		out.MaxMessageBytes = 64 << 20
	}
	if out.MaxStreams <= 0 {
		out.MaxStreams = 1024
	}
	if out.MaxConnections <= 0 {
		out.MaxConnections = 64 << 10
	}
	if out.Arrival <= 0 {
		out.Arrival = time.Minute
	}
	if out.Idle <= 0 {
		out.Idle = 2 * time.Minute
	}
	if out.Check == nil {
		out.Check = func(wire.Permission, string, []byte, net.Addr) (time.Duration, error) { return 0, nil }
	}
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	return out
}

const (
	maxHeaderBytes = 32 << 10
	pingAfter      = time.Minute      // of silence, to notice peers that are gone
	pingWait       = 20 * time.Second // for the answer
	pingsEvery     = 10 * time.Second // a client that pings more often is sent away
	handshake      = 10 * time.Second // for TLS and the begin of HTTP/2
)

// Server is the gRPC server. Make it with New, let it Serve, end it with Shutdown. It is safe for concurrent use.
type Server struct {
	grpc      *grpc.Server
	predictor Predictor
	opts      Options
	answers   buffers

	leaving   chan struct{} // closed by Shutdown
	leave     sync.Once
	readiness atomic.Bool    // false: not ready whatever the predictor says
	streams   sync.WaitGroup // goroutines that read or watch
}

// New returns a server for the predictor; opts may be nil.
func New(p Predictor, opts *Options) *Server {
	s := &Server{predictor: p, opts: opts.withDefaults(), leaving: make(chan struct{})}
	s.readiness.Store(true)
	settings := []grpc.ServerOption{
		grpc.ForceServerCodecV2(codec{encoding.GetCodecV2("proto")}),
		grpc.InTapHandle(s.admit),
		grpc.UnaryInterceptor(s.unary),
		grpc.StreamInterceptor(s.stream),
		grpc.MaxRecvMsgSize(int(s.opts.MaxMessageBytes)),
		grpc.MaxConcurrentStreams(uint32(s.opts.MaxStreams)),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.ConnectionTimeout(handshake),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: s.opts.Idle, Time: pingAfter, Timeout: pingWait}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingsEvery, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
	}
	if s.opts.TLS != nil {
		settings = append(settings, grpc.Creds(credentials.NewTLS(s.opts.TLS)))
	}
	s.grpc = grpc.NewServer(settings...)
	s.grpc.RegisterService(s.description(), &service{server: s})
	grpc_health_v1.RegisterHealthServer(s.grpc, &health{server: s})
	reflection.Register(s.grpc)
	return s
}

// Serve answers at l until Shutdown, and closes l. It returns nil after Shutdown.
func (s *Server) Serve(l net.Listener) error {
	return s.grpc.Serve(netutil.LimitListener(l, s.opts.MaxConnections))
}

// NotReady makes the health service and ServerReady say no, so that nobody new comes before Shutdown.
func (s *Server) NotReady() { s.readiness.Store(false) }

// ready says whether the server may be sent predictions.
func (s *Server) ready() bool { return s.readiness.Load() && s.predictor.Ready() }

// Shutdown accepts nothing more, ends streams after the message that they are at, and waits for the calls under way; when ctx ends
// they are cut off, which the error says.
func (s *Server) Shutdown(ctx context.Context) error {
	s.NotReady()
	s.leave.Do(func() { close(s.leaving) })
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.grpc.GracefulStop()
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = ctx.Err()
		s.grpc.Stop()
		<-done
	}
	s.streams.Wait()
	return err
}
