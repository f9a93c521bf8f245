package oip

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"sluice/gateway/oip/pb"
	"sluice/tracking/wire"
)

// call is what a method asks of its caller.
type call struct {
	permission wire.Permission
	audit      string
	streams    bool // it has no end of its own
}

// calls are the methods that there are; what is below reflection is one. Read only.
var calls = map[string]call{
	pb.GRPCInferenceService_ServerLive_FullMethodName:       {permission: wire.Public, audit: "gateway.server.live"},
	pb.GRPCInferenceService_ServerReady_FullMethodName:      {permission: wire.Public, audit: "gateway.server.ready"},
	pb.GRPCInferenceService_ServerMetadata_FullMethodName:   {permission: wire.Public, audit: "gateway.server.read"},
	pb.GRPCInferenceService_ModelReady_FullMethodName:       {permission: wire.Predict, audit: "gateway.served_model.ready"},
	pb.GRPCInferenceService_ModelMetadata_FullMethodName:    {permission: wire.Predict, audit: "gateway.served_model.read"},
	pb.GRPCInferenceService_ModelInfer_FullMethodName:       {permission: wire.Predict, audit: "gateway.prediction.create"},
	pb.GRPCInferenceService_ModelStreamInfer_FullMethodName: {permission: wire.Predict, audit: "gateway.prediction.create", streams: true},
	"/grpc.health.v1.Health/Check":                          {permission: wire.Public, audit: "gateway.server.ready"},
	"/grpc.health.v1.Health/List":                           {permission: wire.Public, audit: "gateway.server.ready"},
	"/grpc.health.v1.Health/Watch":                          {permission: wire.Public, audit: "gateway.server.ready", streams: true},
}

// reflected is what the methods of the reflection service ask, in each of its versions.
var reflected = call{permission: wire.Predict, audit: "gateway.server.reflect", streams: true}

func find(method string) (call, bool) {
	if c, ok := calls[method]; ok {
		return c, true
	}
	if strings.HasPrefix(method, "/grpc.reflection.") {
		return reflected, true
	}
	return call{}, false
}

// admit decides, before the message of a call is read, whether its caller may make it. It is run under the connection's lock and waits for nothing.
func (s *Server) admit(ctx context.Context, info *tap.Info) (context.Context, error) {
	c, ok := find(info.FullMethodName)
	if !ok {
		// Unknown methods are told so by the engine; a caller without a key learns no names from it.
		c = call{permission: wire.Predict, audit: "gateway.server.read"}
	}
	if err := s.check(ctx, c, info.Header); err != nil {
		return ctx, statusOf(err)
	}
	if c.streams {
		return ctx, nil
	}
	return expect(ctx, s.opts.Arrival), nil
}

// check says whether the caller may make the call.
func (s *Server) check(ctx context.Context, c call, md metadata.MD) error {
	var from net.Addr
	if p, ok := peer.FromContext(ctx); ok {
		from = p.Addr
	}
	_, err := s.opts.Check(c.permission, c.audit, first(md, "authorization"), from)
	return err
}

// arrival ends a call whose message takes too long. It hangs on the call's context.
type arrival struct {
	timer *time.Timer
	quit  func() bool // stops watching for the call's end
}

type arrivalKey struct{}

// expect returns a context that is cancelled unless arrived is called within the time.
func expect(ctx context.Context, within time.Duration) context.Context {
	waiting, cancel := context.WithCancel(ctx)
	a := &arrival{timer: time.AfterFunc(within, cancel)}
	a.quit = context.AfterFunc(ctx, func() { a.timer.Stop() })
	return context.WithValue(waiting, arrivalKey{}, a)
}

// arrived lets a call go on as long as its own deadline allows.
func arrived(ctx context.Context) {
	if a, ok := ctx.Value(arrivalKey{}).(*arrival); ok {
		a.timer.Stop()
		a.quit()
	}
}

// first is the first value of a name.
func first(md metadata.MD, name string) []byte {
	if values := md[name]; len(values) > 0 {
		return []byte(values[0])
	}
	return nil
}

// unary keeps a panic from ending the process.
func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (answer any, err error) {
	defer s.recover(info.FullMethod, &err)
	arrived(ctx)
	return handler(ctx, req)
}

// stream ends a stream that never ends when the server leaves. Predictions see to that themselves, as one must not be cut off.
func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer s.recover(info.FullMethod, &err)
	if info.FullMethod == pb.GRPCInferenceService_ModelStreamInfer_FullMethodName {
		return handler(srv, ss)
	}
	ended := make(chan error, 1)
	s.streams.Go(func() {
		var err error
		defer func() { ended <- err }()
		defer s.recover(info.FullMethod, &err)
		err = handler(srv, ss)
	})
	select {
	case err := <-ended:
		return err
	case <-s.leaving:
		return errLeaving // which ends the handler, whose stream is no more
	}
}

var errLeaving = status.Error(codes.Unavailable, "the server is shutting down")

func (s *Server) recover(method string, err *error) {
	if p := recover(); p != nil {
		s.opts.Logger.Error("panic in a call", slog.String("method", method), slog.String("panic", fmt.Sprint(p)), slog.String("stack", string(debug.Stack())))
		*err = status.Error(codes.Internal, "the call failed; the server's log says more")
	}
}
