package oip

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"sluice/gateway/invoke"
	"sluice/gateway/oip/pb"
)

// service answers the small calls of the protocol; predictions are the server's own.
type service struct {
	pb.UnimplementedGRPCInferenceServiceServer
	server *Server
}

var _ pb.GRPCInferenceServiceServer = (*service)(nil)

// ServerLive implements the protocol.
func (*service) ServerLive(context.Context, *pb.ServerLiveRequest) (*pb.ServerLiveResponse, error) {
	return &pb.ServerLiveResponse{Live: true}, nil
}

// ServerReady implements the protocol.
func (s *service) ServerReady(context.Context, *pb.ServerReadyRequest) (*pb.ServerReadyResponse, error) {
	return &pb.ServerReadyResponse{Ready: s.server.ready()}, nil
}

// ServerMetadata implements the protocol. The extensions are REST's.
func (s *service) ServerMetadata(context.Context, *pb.ServerMetadataRequest) (*pb.ServerMetadataResponse, error) {
	return &pb.ServerMetadataResponse{Name: "sluice", Version: s.server.predictor.Version(), Extensions: []string{"binary_tensor_data"}}, nil
}

// ModelReady implements the protocol: an endpoint that there is not is not ready, as with Triton.
func (s *service) ModelReady(_ context.Context, in *pb.ModelReadyRequest) (*pb.ModelReadyResponse, error) {
	if in.GetName() == "" {
		return nil, status.Error(codes.InvalidArgument, "the request names no model")
	}
	return &pb.ModelReadyResponse{Ready: s.server.predictor.Routed(in.GetName(), in.GetVersion()) == nil}, nil
}

// ModelMetadata implements the protocol.
func (s *service) ModelMetadata(ctx context.Context, in *pb.ModelMetadataRequest) (*pb.ModelMetadataResponse, error) {
	d, err := s.server.predictor.Describe(ctx, in.GetName(), in.GetVersion())
	if err != nil {
		return nil, statusOf(err)
	}
	return &pb.ModelMetadataResponse{
		Name: d.Name, Versions: d.Versions, Platform: d.Platform, Inputs: tensors(d.Inputs), Outputs: tensors(d.Outputs),
	}, nil
}

func tensors(list []invoke.TensorDescription) []*pb.ModelMetadataResponse_TensorMetadata {
	out := make([]*pb.ModelMetadataResponse_TensorMetadata, len(list))
	for i, t := range list {
		out[i] = &pb.ModelMetadataResponse_TensorMetadata{Name: t.Name, Datatype: t.Datatype, Shape: t.Shape}
	}
	return out
}

// health is the standard health service, of the server as a whole ("") and of the protocol's service by its name. It tells nobody which
// endpoints there are: it may be asked without a key.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
	server *Server
}

var _ grpc_health_v1.HealthServer = (*health)(nil)

func (h *health) of(name string) grpc_health_v1.HealthCheckResponse_ServingStatus {
	switch {
	case name != "" && name != pb.GRPCInferenceService_ServiceDesc.ServiceName:
		return grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN
	case h.server.ready():
		return grpc_health_v1.HealthCheckResponse_SERVING
	}
	return grpc_health_v1.HealthCheckResponse_NOT_SERVING
}

// Check implements the health service.
func (h *health) Check(_ context.Context, in *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	state := h.of(in.GetService())
	if state == grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN {
		return nil, status.Errorf(codes.NotFound, "unknown service %q", in.GetService())
	}
	return &grpc_health_v1.HealthCheckResponse{Status: state}, nil
}

// List implements the health service.
func (h *health) List(context.Context, *grpc_health_v1.HealthListRequest) (*grpc_health_v1.HealthListResponse, error) {
	of := func(name string) *grpc_health_v1.HealthCheckResponse {
		return &grpc_health_v1.HealthCheckResponse{Status: h.of(name)}
	}
	protocol := pb.GRPCInferenceService_ServiceDesc.ServiceName
	return &grpc_health_v1.HealthListResponse{Statuses: map[string]*grpc_health_v1.HealthCheckResponse{"": of(""), protocol: of(protocol)}}, nil
}

// watchEvery is how soon a watcher learns of a change.
const watchEvery = 250 * time.Millisecond

// Watch implements the health service: it sends the state, and every change of it.
func (h *health) Watch(in *grpc_health_v1.HealthCheckRequest, stream grpc_health_v1.Health_WatchServer) error {
	look := time.NewTicker(watchEvery)
	defer look.Stop()
	last := grpc_health_v1.HealthCheckResponse_ServingStatus(-1)
	for {
		if state := h.of(in.GetService()); state != last {
			if err := stream.Send(&grpc_health_v1.HealthCheckResponse{Status: state}); err != nil {
				return err
			}
			last = state
		}
		select {
		case <-look.C:
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}

// endOf is how a stream ends whose client sent its last message (nil) or broke off.
func endOf(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
