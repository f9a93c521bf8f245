package oip

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"sluice/gateway/invoke"
	"sluice/gateway/oip/pb"
	"sluice/gateway/payload"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// frame is a prediction's message as it arrived: bytes that payload reads in place.
type frame struct{ buffer mem.Buffer }

// answer is a prediction's message on its way out.
type answer struct{ parts mem.BufferSlice }

// codec passes frames and answers through and leaves all other messages to protocol buffers.
type codec struct{ encoding.CodecV2 }

// Unmarshal implements encoding.CodecV2. A message that came in one piece is not copied.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if f, ok := v.(*frame); ok {
		f.buffer = data.MaterializeToBuffer(mem.DefaultBufferPool())
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if a, ok := v.(*answer); ok {
		return a.parts, nil
	}
	return c.CodecV2.Marshal(v)
}

// buffers keeps the memory of answers. It is a mem.BufferPool.
type buffers struct{ pool sync.Pool }

const (
	leastKept = 4 << 10 // the engine recycles no buffer below 1 KiB
	mostKept  = 1 << 20 // one huge answer must not pin its memory for ever
)

// Get implements mem.BufferPool; the buffer is empty, and as long as it happens to be.
func (b *buffers) Get(int) *[]byte {
	if kept, ok := b.pool.Get().(*[]byte); ok {
		return kept
	}
	fresh := make([]byte, 0, leastKept)
	return &fresh
}

// Put implements mem.BufferPool.
func (b *buffers) Put(buffer *[]byte) {
	if cap(*buffer) > mostKept {
		return
	}
	*buffer = (*buffer)[:0]
	b.pool.Put(buffer)
}

// description is the protocol's service with predictions that are not read into generated messages.
func (s *Server) description() *grpc.ServiceDesc {
	d := pb.GRPCInferenceService_ServiceDesc
	d.Methods, d.Streams = slices.Clone(d.Methods), slices.Clone(d.Streams)
	for i := range d.Methods {
		if d.Methods[i].MethodName == "ModelInfer" {
			d.Methods[i].Handler = s.modelInfer
		}
	}
	for i := range d.Streams {
		if d.Streams[i].StreamName == "ModelStreamInfer" {
			d.Streams[i].Handler = s.modelStreamInfer
		}
	}
	return &d
}

// modelInfer is ModelInfer.
func (s *Server) modelInfer(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (_ any, err error) {
	defer s.recover(pb.GRPCInferenceService_ModelInfer_FullMethodName, &err)
	arrived(ctx)
	var in frame
	if err := decode(&in); err != nil {
		return nil, err
	}
	defer in.buffer.Free()
	reply, body := s.infer(ctx, in.buffer.ReadOnlyData())
	if reply.Err != nil {
		reply.Headers["x-sluice-error-code"] = []string{string(reply.Err.Code)}
		if reply.RetryAfter > 0 {
			reply.Headers["retry-after"] = []string{seconds(reply.RetryAfter)}
		}
	}
	if err := grpc.SetHeader(ctx, reply.Headers); err != nil {
		return nil, err
	}
	if reply.Err != nil {
		return nil, statusOf(reply.Err)
	}
	return &answer{mem.BufferSlice{body}}, nil
}

// infer answers one message. The body is the caller's to free; nil when the reply is an error.
func (s *Server) infer(ctx context.Context, message []byte) (invoke.Reply, mem.Buffer) {
	md, _ := metadata.FromIncomingContext(ctx)
	buffer := s.answers.Get(0)
	reply := s.predictor.InferMessage(ctx, &invoke.Message{Body: message, Metadata: md, Buffer: *buffer, May: func(permission string) bool {
		return s.check(ctx, call{permission: wire.Permission(permission)}, md) == nil
	}})
	if reply.Err != nil {
		s.answers.Put(buffer)
		return reply, nil
	}
	*buffer = reply.Body
	return reply, mem.NewBuffer(buffer, &s.answers)
}

// modelStreamInfer is ModelStreamInfer: every message is answered once, in order. The server leaves between two of them.
func (s *Server) modelStreamInfer(_ any, stream grpc.ServerStream) error {
	frames, broken := make(chan *frame), make(chan error, 1)
	ctx := stream.Context()
	s.streams.Go(func() { // ends with the stream: a read ends with its context
		for {
			in := new(frame)
			if err := stream.RecvMsg(in); err != nil {
				broken <- err
				close(frames)
				return
			}
			select {
			case frames <- in:
			case <-ctx.Done():
				in.buffer.Free()
				return
			}
		}
	})
	for {
		select {
		case in, ok := <-frames:
			if !ok {
				return endOf(<-broken)
			}
			if err := s.streamOne(stream, in); err != nil {
				return err
			}
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		case <-s.leaving:
			return errLeaving
		}
	}
}

func (s *Server) streamOne(stream grpc.ServerStream, in *frame) error {
	defer in.buffer.Free()
	message := in.buffer.ReadOnlyData()
	reply, body := s.infer(stream.Context(), message)
	if reply.Err == nil {
		head := protowire.AppendTag(make([]byte, 0, 16), 2, protowire.BytesType)
		head = protowire.AppendVarint(head, uint64(body.Len()))
		return stream.SendMsg(&answer{mem.BufferSlice{mem.SliceBuffer(head), body}})
	}
	_, _, id, _ := payload.InferTarget(message)
	return stream.SendMsg(&pb.ModelStreamInferResponse{ErrorMessage: reply.Err.Message, InferResponse: &pb.ModelInferResponse{Id: id}})
}

func seconds(d time.Duration) string {
	return strconv.FormatInt(max(int64((d+time.Second-1)/time.Second), 1), 10)
}

// statusOf is the status of a refusal; anything but a *mlflow.Error is internal.
func statusOf(err error) error {
	e, ok := err.(*mlflow.Error)
	if !ok {
		return status.Error(codes.Internal, "the call failed")
	}
	return status.Error(codeOf(e), e.Message)
}

// codeOf is gRPC's code of an error, by its HTTP status:
//
//	400, 415      INVALID_ARGUMENT       401  UNAUTHENTICATED      403  PERMISSION_DENIED    404  NOT_FOUND
//	409           ABORTED                413  RESOURCE_EXHAUSTED   429  RESOURCE_EXHAUSTED   499  CANCELLED
//	501           UNIMPLEMENTED          503  UNAVAILABLE          504  DEADLINE_EXCEEDED    else INTERNAL
func codeOf(e *mlflow.Error) codes.Code {
	switch e.HTTPStatus() {
	case http.StatusBadRequest, http.StatusUnsupportedMediaType:
		return codes.InvalidArgument
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusForbidden:
		return codes.PermissionDenied
	case http.StatusNotFound:
		return codes.NotFound
	case http.StatusConflict:
		return codes.Aborted
	case http.StatusRequestEntityTooLarge, http.StatusTooManyRequests:
		return codes.ResourceExhausted
	case 499:
		return codes.Canceled
	case http.StatusNotImplemented:
		return codes.Unimplemented
	case http.StatusServiceUnavailable:
		return codes.Unavailable
	case http.StatusGatewayTimeout:
		return codes.DeadlineExceeded
	}
	return codes.Internal
}
