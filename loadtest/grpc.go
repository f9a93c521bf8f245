package loadtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// The calls of the Open Inference Protocol.
// Source: Open Inference Protocol, gRPC, "GRPCInferenceService".
const (
	rpcInfer    = "/inference.GRPCInferenceService/ModelInfer"
	rpcMetadata = "/inference.GRPCInferenceService/ModelMetadata"
)

// defaultRPCPort is the port of grpc:// URLs without one, as Triton's and ours.
const defaultRPCPort = "8001"

// encodeRPC is encode for gRPC.
func (r *Request) encodeRPC(u *url.URL) (outgoing, target, error) {
	to := target{host: u.Host, tls: u.Scheme == "grpcs", rpc: true}
	if u.Port() == "" {
		to.host = net.JoinHostPort(u.Hostname(), defaultRPCPort)
	}
	if r.Method != "" {
		return outgoing{}, to, fmt.Errorf("loadtest: a request of gRPC has no method %s", r.Method)
	}
	return outgoing{wire: r.Body, header: metadata.NewOutgoingContext(context.Background(), metadataOf(r.Header))}, to, nil
}

// metadataOf is a request's header as metadata; what HTTP alone needs is left out.
func metadataOf(header map[string]string) metadata.MD {
	md := metadata.MD{}
	for name, value := range header {
		if name = strings.ToLower(name); name != "content-type" {
			md.Set(name, value)
		}
	}
	return md
}

// asBytes passes messages through, which are made and read elsewhere.
type asBytes struct{}

// Marshal implements encoding.Codec.
func (asBytes) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

// Unmarshal implements encoding.Codec.
func (asBytes) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append((*v.(*[]byte))[:0], data...)
	return nil
}

// Name implements encoding.Codec.
func (asBytes) Name() string { return "proto" }

// maxMessage bounds an answer, bytes.
const maxMessage = 256 << 20

// rpcConn is a connection of gRPC, with one call at a time. gRPC makes it anew when it breaks.
type rpcConn struct {
	*grpc.ClientConn
	answer []byte
}

func newRPC(ctx context.Context, to target, config *tls.Config) (*rpcConn, error) {
	safe := insecure.NewCredentials()
	if to.tls {
		safe = credentials.NewTLS(config)
	}
	again := grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 2, MaxDelay: 500 * time.Millisecond}, MinConnectTimeout: 10 * time.Second}
	c, err := grpc.NewClient("passthrough:///"+to.host, grpc.WithTransportCredentials(safe), grpc.WithConnectParams(again), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(asBytes{}), grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return nil, err
	}
	conn := &rpcConn{ClientConn: c}
	if err := conn.reach(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return conn, nil
}

// reach makes the connection, so that a server that is not there is an error, and no request pays for it.
func (c *rpcConn) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var live []byte
	err := c.Invoke(ctx, "/inference.GRPCInferenceService/ServerLive", new([]byte), &live)
	if status.Code(err) == codes.Unavailable {
		return err
	}
	return nil // whatever else it answers, somebody is there
}

// ask implements connection. The code is told as the status that gRPC's gateways to HTTP give it.
func (c *rpcConn) ask(ctx context.Context, until time.Time, o outgoing) (int, []byte, error) {
	called, cancel := context.WithDeadline(o.header, until)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	var header, trailer metadata.MD
	err := c.Invoke(called, rpcInfer, &o.wire, &c.answer, grpc.Header(&header), grpc.Trailer(&trailer))
	if err == nil {
		return http.StatusOK, nil, nil
	}
	code := status.Code(err)
	ours := code == codes.Unavailable || code == codes.DeadlineExceeded || code == codes.Canceled
	if ours && len(header) == 0 && len(trailer) == 0 { // no server said so
		return 0, nil, err
	}
	return httpOf(code), []byte(code.String() + ": " + status.Convert(err).Message()), nil
}

// httpOf is the status of HTTP that stands for a code.
// Source: google/rpc/code.proto, "HTTP Mapping".
func httpOf(code codes.Code) int {
	switch code {
	case codes.OK:
		return http.StatusOK
	case codes.InvalidArgument, codes.FailedPrecondition, codes.OutOfRange:
		return http.StatusBadRequest
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	case codes.PermissionDenied:
		return http.StatusForbidden
	case codes.NotFound:
		return http.StatusNotFound
	case codes.AlreadyExists, codes.Aborted:
		return http.StatusConflict
	case codes.ResourceExhausted:
		return http.StatusTooManyRequests
	case codes.Canceled:
		return 499
	case codes.Unimplemented:
		return http.StatusNotImplemented
	case codes.Unavailable:
		return http.StatusServiceUnavailable
	case codes.DeadlineExceeded:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}
