package loadtest

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

// rawServer answers the protocol's calls with bytes: every tenth prediction is refused.
type rawServer struct {
	asked    atomic.Int64
	messages chan []byte
}

// v2 lets the codec of bytes serve a server, too.
type v2 struct{ asBytes }

func (c v2) Marshal(v any) (mem.BufferSlice, error) {
	b, err := c.asBytes.Marshal(v)
	return mem.BufferSlice{mem.SliceBuffer(b)}, err
}

func (c v2) Unmarshal(data mem.BufferSlice, v any) error {
	return c.asBytes.Unmarshal(data.Materialize(), v)
}

var _ encoding.CodecV2 = v2{}

func (s *rawServer) handle(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	var in []byte
	if err := stream.RecvMsg(&in); err != nil {
		return err
	}
	md, _ := metadata.FromIncomingContext(stream.Context())
	out := []byte{}
	switch method {
	case rpcMetadata:
		tensor := appendText(appendText(nil, 1, "x"), 2, "FP32")
		tensor = appendMessage(tensor, 3, protowire.AppendVarint(protowire.AppendVarint(nil, ^uint64(0)), 3))
		out = appendMessage(appendText(nil, 1, "m"), 4, tensor)
	case rpcInfer:
		if md.Get("x-key")[0] != "secret" {
			return status.Error(codes.Unauthenticated, "who are you")
		}
		select {
		case s.messages <- in:
		default:
		}
		if s.asked.Add(1)%10 == 0 {
			return status.Error(codes.ResourceExhausted, "too much")
		}
	}
	return stream.SendMsg(&out)
}

func startRaw(t *testing.T) (*rawServer, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rawServer{messages: make(chan []byte, 1)}
	server := grpc.NewServer(grpc.UnknownServiceHandler(s.handle), grpc.ForceServerCodecV2(v2{}))
	go func() { _ = server.Serve(l) }() // ends with Stop
	t.Cleanup(server.Stop)
	return s, "grpc://" + l.Addr().String()
}

func TestLoadOverGRPC(t *testing.T) {
	s, base := startRaw(t)
	url := base + "/v2/models/m/infer"
	header := map[string]string{"X-Key": "secret", "Content-Type": "application/json"}
	payloads, err := Source{Header: header}.FromInferenceRPC(t.Context(), base, "m", "4", Make{Requests: 3, Rows: 2, Seed: 1}, Options{})
	if err != nil || len(payloads) != 3 {
		t.Fatal(len(payloads), err)
	}
	got, err := RunMany(t.Context(), Requests(url, payloads, header), Options{Connections: 3, Duration: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if got.Answered == 0 || got.Answered != s.asked.Load() || got.Sent != got.Answered || got.ByStatus[200] != got.Answered-s.asked.Load()/10 {
		t.Errorf("closed: answered %d of %d, asked %d, %v", got.Answered, got.Sent, s.asked.Load(), got.ByStatus)
	}
	if got.ByStatus[429] != got.Failed || got.FirstFailure != "status 429: ResourceExhausted: too much" {
		t.Errorf("failed %d, %q", got.Failed, got.FirstFailure)
	}
	paced, err := RunMany(t.Context(), Requests(url, payloads, header), Options{Connections: 2, Duration: 400 * time.Millisecond, Rate: 100})
	if err != nil || paced.Answered == 0 || paced.Sent > 40 || paced.Answered != paced.Sent {
		t.Errorf("open: %d of %d (%v)", paced.Answered, paced.Sent, err)
	}
	anonymous, err := RunMany(t.Context(), Requests(url, payloads, map[string]string{"X-Key": ""}), Options{Connections: 1, Duration: 50 * time.Millisecond})
	if err != nil || anonymous.ByStatus[401] == 0 || anonymous.ByStatus[200] != 0 {
		t.Errorf("without a key: %v (%v)", anonymous, err)
	}
	checkMessage(t, <-s.messages)
}

// checkMessage: model, version, one tensor of 2 × 3 floats and its 24 bytes.
func checkMessage(t *testing.T, message []byte) {
	t.Helper()
	texts, raw := map[protowire.Number]string{}, 0
	err := eachField(message, func(number protowire.Number, _ uint64, value []byte) error {
		if number == 7 {
			raw = len(value)
		}
		texts[number] = string(value)
		return nil
	})
	if err != nil || texts[1] != "m" || texts[2] != "4" || raw != 24 {
		t.Errorf("%q, %d bytes of content (%v)", texts, raw, err)
	}
}

func TestGRPCWithoutAServer(t *testing.T) {
	request := Request{URL: "grpc://127.0.0.1:1/v2/models/m/infer", Body: []byte{}}
	if _, err := Run(t.Context(), request, Options{Connections: 1, Duration: time.Second}); err == nil {
		t.Error("an unreachable server is no error")
	}
	_, base := startRaw(t)
	request = Request{URL: base, Method: "GET"}
	if _, err := Run(t.Context(), request, Options{Connections: 1, Duration: time.Second}); err == nil {
		t.Error("a method is no error")
	}
}

func FuzzInputsOf(f *testing.F) {
	f.Add(appendMessage(appendText(nil, 1, "m"), 4, appendMessage(appendText(nil, 1, "x"), 3, []byte{2, 255})))
	f.Add([]byte{0x22, 0x80})
	f.Fuzz(func(t *testing.T, message []byte) {
		if inputs, err := inputsOf(message); err == nil && len(inputs) > len(message) {
			t.Errorf("%d inputs out of %d bytes", len(inputs), len(message))
		}
	})
}
