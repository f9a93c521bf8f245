package oip

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"sluice/gateway/invoke"
	"sluice/gateway/oip/pb"
	"sluice/gateway/payload"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo answers every request with its id, or fails.
type echo struct {
	fails   *mlflow.Error
	unready atomic.Bool
	hold    chan struct{} // not nil: every prediction waits for it
	begun   chan struct{} // not nil: told of every prediction
}

func (e *echo) InferMessage(ctx context.Context, m *invoke.Message) invoke.Reply {
	if e.begun != nil {
		e.begun <- struct{}{}
	}
	if e.hold != nil {
		select {
		case <-e.hold:
		case <-ctx.Done():
			return invoke.Reply{Headers: map[string][]string{}, Err: &mlflow.Error{Code: mlflow.DeadlineExceeded, Message: "late"}}
		}
	}
	model, version, id, err := payload.InferTarget(m.Body)
	if model == "panic" {
		panic("as asked")
	}
	r := invoke.Reply{Headers: map[string][]string{"x-request-id": m.Metadata["x-request-id"]}}
	if e.fails != nil || err != nil {
		r.Err, r.RetryAfter = e.fails, 1500*time.Millisecond
		return r
	}
	answer, err := proto.MarshalOptions{}.MarshalAppend(m.Buffer, &pb.ModelInferResponse{ModelName: model, ModelVersion: version, Id: id, RawOutputContents: [][]byte{m.Body}})
	if err != nil {
		panic(err)
	}
	r.Body = answer
	return r
}

func (e *echo) Describe(_ context.Context, endpoint, _ string) (*invoke.Description, error) {
	if endpoint != "wine" {
		return nil, &mlflow.Error{Code: mlflow.ResourceDoesNotExist, Message: "no such endpoint"}
	}
	return &invoke.Description{Name: endpoint, Versions: []string{"1"}, Platform: "mlflow", Inputs: []invoke.TensorDescription{{Name: "a", Datatype: "FP64", Shape: []int64{-1, 1}}}}, nil
}

func (e *echo) Routed(endpoint, _ string) error {
	if endpoint != "wine" {
		return errors.New("not routed")
	}
	return nil
}

func (e *echo) Ready() bool     { return !e.unready.Load() }
func (e *echo) Version() string { return "7" }

// start serves on a port of its own, until the test ends.
func start(t *testing.T, e *echo, opts *Options) (*Server, *grpc.ClientConn) {
	t.Helper()
	s := New(e, opts)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s, conn
}

func request(id string) *pb.ModelInferRequest {
	return &pb.ModelInferRequest{ModelName: "wine", ModelVersion: "2", Id: id, RawInputContents: [][]byte{make([]byte, 5000)}}
}

func TestCalls(t *testing.T) {
	e := &echo{}
	_, conn := start(t, e, nil)
	c := pb.NewGRPCInferenceServiceClient(conn)
	ctx := t.Context()
	for range 20 { // memory is reused
		for _, id := range []string{"a", "b"} {
			var head metadata.MD
			got, err := c.ModelInfer(metadata.AppendToOutgoingContext(ctx, "x-request-id", "r-"+id), request(id), grpc.Header(&head))
			if err != nil || got.GetId() != id || got.GetModelName() != "wine" || got.GetModelVersion() != "2" || head.Get("x-request-id")[0] != "r-"+id {
				t.Fatalf("got %v %v, %v", got.GetId(), head, err)
			}
			var back pb.ModelInferRequest
			if err := proto.Unmarshal(got.GetRawOutputContents()[0], &back); err != nil || !proto.Equal(&back, request(id)) {
				t.Fatalf("the message arrived as %v, %v", back.GetId(), err)
			}
		}
	}
	if got, err := c.ModelInfer(ctx, request("z"), grpc.UseCompressor(gzip.Name)); err != nil || got.GetId() != "z" {
		t.Errorf("compressed: %v, %v", got, err)
	}
	if got, err := c.ServerLive(ctx, &pb.ServerLiveRequest{}); err != nil || !got.GetLive() {
		t.Errorf("live: %v, %v", got, err)
	}
	if got, err := c.ServerMetadata(ctx, &pb.ServerMetadataRequest{}); err != nil || got.GetName() != "sluice" || got.GetVersion() != "7" {
		t.Errorf("metadata: %v, %v", got, err)
	}
	for name, want := range map[string]bool{"wine": true, "beer": false} {
		if got, err := c.ModelReady(ctx, &pb.ModelReadyRequest{Name: name}); err != nil || got.GetReady() != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if got, err := c.ModelMetadata(ctx, &pb.ModelMetadataRequest{Name: "wine"}); err != nil || got.GetInputs()[0].GetShape()[0] != -1 {
		t.Errorf("describe: %v, %v", got, err)
	}
	if _, err := c.ModelMetadata(ctx, &pb.ModelMetadataRequest{Name: "beer"}); status.Code(err) != codes.NotFound {
		t.Errorf("describe: %v", err)
	}
	for _, unready := range []bool{false, true} {
		e.unready.Store(unready)
		got, err := c.ServerReady(ctx, &pb.ServerReadyRequest{})
		check, checked := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "inference.GRPCInferenceService"})
		if err != nil || checked != nil || got.GetReady() == unready || (check.GetStatus() == grpc_health_v1.HealthCheckResponse_SERVING) == unready {
			t.Errorf("unready %v: %v %v, %v %v", unready, got, check, err, checked)
		}
	}
	if _, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "wine"}); status.Code(err) != codes.NotFound {
		t.Errorf("an endpoint's name is told: %v", err)
	}
}

func TestErrors(t *testing.T) {
	e := &echo{fails: &mlflow.Error{Code: mlflow.ResourceExhausted, Message: "too many requests"}}
	_, conn := start(t, e, &Options{MaxMessageBytes: 10_000})
	c := pb.NewGRPCInferenceServiceClient(conn)
	var head metadata.MD
	_, err := c.ModelInfer(t.Context(), request("a"), grpc.Header(&head))
	if s := status.Convert(err); s.Code() != codes.ResourceExhausted || s.Message() != "too many requests" || head.Get("retry-after")[0] != "2" || head.Get("x-sluice-error-code")[0] != "RESOURCE_EXHAUSTED" {
		t.Errorf("got %v, %v", err, head)
	}
	large := request("a")
	large.RawInputContents = [][]byte{make([]byte, 20_000)}
	for name, opts := range map[string][]grpc.CallOption{"large": nil, "large when unpacked": {grpc.UseCompressor(gzip.Name)}} {
		if _, err := c.ModelInfer(t.Context(), large, opts...); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "larger than max") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.ModelInfer(t.Context(), &pb.ModelInferRequest{ModelName: "panic"}); status.Code(err) != codes.Internal {
		t.Errorf("a panic is told as %v", err)
	}
	if err := conn.Invoke(t.Context(), "/inference.GRPCInferenceService/Nothing", &pb.ServerLiveRequest{}, &pb.ServerLiveResponse{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("an unknown method: %v", err)
	}
}

// Every code of MLflow's is a status of its own meaning.
func TestCodes(t *testing.T) {
	for code, want := range map[mlflow.Code]codes.Code{
		mlflow.BadRequest: codes.InvalidArgument, mlflow.InvalidParameterValue: codes.InvalidArgument, mlflow.Unauthenticated: codes.Unauthenticated,
		mlflow.PermissionDenied: codes.PermissionDenied, mlflow.ResourceDoesNotExist: codes.NotFound, mlflow.ResourceExhausted: codes.ResourceExhausted,
		mlflow.RequestLimitExceeded: codes.ResourceExhausted, mlflow.Cancelled: codes.Canceled, mlflow.InternalError: codes.Internal,
		mlflow.NotImplemented: codes.Unimplemented, mlflow.TemporarilyUnavailable: codes.Unavailable, mlflow.DeadlineExceeded: codes.DeadlineExceeded, mlflow.Aborted: codes.Aborted,
	} {
		if got := codeOf(&mlflow.Error{Code: code}); got != want {
			t.Errorf("%s is %v, want %v", code, got, want)
		}
	}
	if got := codeOf(&mlflow.Error{Code: mlflow.BadRequest, Status: 413}); got != codes.ResourceExhausted {
		t.Errorf("413 is %v", got)
	}
}

// Every method asks for the permission that its HTTP twin asks for, before its message is read.
func TestPermissions(t *testing.T) {
	e := &echo{}
	opts := &Options{Check: func(p wire.Permission, audit string, authorization []byte, from net.Addr) (time.Duration, error) {
		if from == nil {
			t.Errorf("%s: nobody calls", audit)
		}
		if p == wire.Public || string(authorization) == "Bearer "+string(p) {
			return 0, nil
		}
		return 0, &mlflow.Error{Code: mlflow.Unauthenticated, Message: "who?"}
	}}
	s, conn := start(t, e, opts)
	public := map[string]bool{"ServerLive": true, "ServerReady": true, "ServerMetadata": true, "Check": true, "Watch": true, "List": true}
	seen := 0
	for service, about := range s.grpc.GetServiceInfo() {
		for _, m := range about.Methods {
			seen++
			for _, key := range []string{"", "Bearer read", "Bearer predict"} {
				ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "authorization", key), time.Minute)
				stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/"+service+"/"+m.Name)
				if err == nil {
					_ = stream.SendMsg(&pb.ModelReadyRequest{Name: "wine"})
					_ = stream.CloseSend()
					err = stream.RecvMsg(&pb.ModelReadyResponse{})
				}
				cancel()
				if denied := status.Code(err) == codes.Unauthenticated; denied == (public[m.Name] || key == "Bearer predict") {
					t.Errorf("%s with key %q: %v", m.Name, key, err)
				}
			}
		}
	}
	if seen < 12 {
		t.Errorf("only %d methods", seen)
	}
}

func TestStream(t *testing.T) {
	e := &echo{}
	_, conn := start(t, e, nil)
	stream, err := pb.NewGRPCInferenceServiceClient(conn).ModelStreamInfer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{"a", "b", "c"}
	for _, id := range ids {
		if err := stream.Send(request(id)); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range ids {
		got, err := stream.Recv()
		if err != nil || got.GetInferResponse().GetId() != id || got.GetErrorMessage() != "" || len(got.GetInferResponse().GetRawOutputContents()[0]) < 5000 {
			t.Fatalf("got %v %q, %v", got.GetInferResponse().GetId(), got.GetErrorMessage(), err)
		}
	}
	e.fails = &mlflow.Error{Code: mlflow.BadRequest, Message: "not so"} // nothing is under way
	if err := stream.Send(request("d")); err != nil {
		t.Fatal(err)
	}
	if got, err := stream.Recv(); err != nil || got.GetErrorMessage() != "not so" || got.GetInferResponse().GetId() != "d" {
		t.Errorf("got %v, %v", got, err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err == nil || err.Error() != "EOF" {
		t.Errorf("the stream ended with %v", err)
	}
}

func TestReflection(t *testing.T) {
	_, conn := start(t, &echo{}, nil)
	stream, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := &grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "inference.GRPCInferenceService"}}
	if err := stream.Send(ask); err != nil {
		t.Fatal(err)
	}
	if got, err := stream.Recv(); err != nil || len(got.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

// A server that leaves answers what is under way, ends streams that would never end, and takes nothing more.
func TestShutdown(t *testing.T) {
	e := &echo{hold: make(chan struct{}), begun: make(chan struct{}, 1)}
	s, conn := start(t, e, nil)
	watch, err := grpc_health_v1.NewHealthClient(conn).Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if state, err := watch.Recv(); err != nil || state.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Fatalf("%v, %v", state, err)
	}
	idle, err := pb.NewGRPCInferenceServiceClient(conn).ModelStreamInfer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := pb.NewGRPCInferenceServiceClient(conn).ModelInfer(context.Background(), request("a"))
		answered <- err
	}()
	<-e.begun
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(context.Background()) }()
	for {
		if _, err = watch.Recv(); err != nil {
			break
		}
	}
	if status.Code(err) != codes.Unavailable {
		t.Errorf("the watch ended with %v", err)
	}
	if _, err := idle.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ended with %v", err)
	}
	close(e.hold)
	if err := <-answered; err != nil {
		t.Errorf("the call under way: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

func TestShutdownCutsOff(t *testing.T) {
	e := &echo{hold: make(chan struct{}), begun: make(chan struct{}, 1)}
	s, conn := start(t, e, nil)
	answered := make(chan error, 1)
	go func() {
		_, err := pb.NewGRPCInferenceServiceClient(conn).ModelInfer(context.Background(), request("a"))
		answered <- err
	}()
	<-e.begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown: %v", err)
	}
	if err := <-answered; err == nil {
		t.Error("the call was answered")
	}
}

// A request that never arrives as a whole ends, and leaves its connection to others.
func TestArrival(t *testing.T) {
	_, conn := start(t, &echo{}, &Options{Arrival: 50 * time.Millisecond})
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, pb.GRPCInferenceService_ModelInfer_FullMethodName)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(&pb.ModelInferResponse{}); status.Code(err) != codes.Canceled {
		t.Errorf("got %v", err)
	}
	if _, err := pb.NewGRPCInferenceServiceClient(conn).ServerLive(t.Context(), &pb.ServerLiveRequest{}); err != nil {
		t.Error(err)
	}
}
