package invoke

import (
	"context"
	"encoding/binary"
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"sluice/gateway/oip/pb"
	"sluice/tracking/mlflow"
)

// twoNumbers asks the endpoint for one row of a and b.
func twoNumbers(t testing.TB, model, version string, a, b float64) []byte {
	t.Helper()
	fp64 := func(name string, v float64) *pb.ModelInferRequest_InferInputTensor {
		return &pb.ModelInferRequest_InferInputTensor{Name: name, Datatype: "FP64", Shape: []int64{1}, Contents: &pb.InferTensorContents{Fp64Contents: []float64{v}}}
	}
	m, err := proto.Marshal(&pb.ModelInferRequest{ModelName: model, ModelVersion: version, Id: "7", Inputs: []*pb.ModelInferRequest_InferInputTensor{fp64("a", a), fp64("b", b)}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func everything(string) bool { return true }

// A message is answered, counted and logged as a request of HTTP is.
func TestMessage(t *testing.T) {
	r := newRig(t, rigOptions{})
	buffer := make([]byte, 0, 4096)
	reply := r.h.InferMessage(t.Context(), &Message{Body: twoNumbers(t, "wine", "2", 1, 2.5), Metadata: map[string][]string{"x-request-id": {"mine"}}, Buffer: buffer, May: everything})
	if reply.Err != nil {
		t.Fatal(reply.Err)
	}
	var got pb.ModelInferResponse
	if err := proto.Unmarshal(reply.Body, &got); err != nil || got.GetModelName() != "wine" || got.GetModelVersion() != "2" || got.GetId() != "7" ||
		math.Float64frombits(binary.LittleEndian.Uint64(got.GetRawOutputContents()[0])) != 7 {
		t.Errorf("got %v, %v", &got, err)
	}
	if &reply.Body[0] != &buffer[:1][0] {
		t.Error("the buffer was not used")
	}
	for name, want := range map[string]string{"x-request-id": "mine", "x-sluice-endpoint": "wine", "x-sluice-model-version": "2"} {
		if v := reply.Headers[name]; len(v) != 1 || v[0] != want {
			t.Errorf("%s is %v, want %s", name, v, want)
		}
	}
	records := r.log.all()
	if len(records) != 1 || records[0].RequestID != "mine" || records[0].Status != 200 || records[0].Version != 2 || records[0].ContentType != TypeMessage || records[0].ResponseContentType != TypeMessage {
		t.Errorf("logged %+v", records)
	}
	if n := r.h.InFlight(); n != 0 || r.versions[2].held() != 0 {
		t.Errorf("%d requests and %d handles are left", n, r.versions[2].held())
	}
}

func TestMessageErrors(t *testing.T) {
	r := newRig(t, rigOptions{})
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for name, c := range map[string]struct {
		ctx      context.Context
		body     []byte
		metadata map[string][]string
		want     mlflow.Code
	}{
		"unknown endpoint": {t.Context(), twoNumbers(t, "beer", "", 1, 2), nil, mlflow.ResourceDoesNotExist},
		"unknown version":  {t.Context(), twoNumbers(t, "wine", "9", 1, 2), nil, mlflow.ResourceDoesNotExist},
		"not a message":    {t.Context(), []byte{0xff}, nil, mlflow.BadRequest},
		"no inputs":        {t.Context(), nil, nil, mlflow.BadRequest},
		"a header twice":   {t.Context(), twoNumbers(t, "wine", "", 1, 2), map[string][]string{"x-sluice-timeout-ms": {"1", "2"}}, mlflow.InvalidParameterValue},
		"a wrong timeout":  {t.Context(), twoNumbers(t, "wine", "", 1, 2), map[string][]string{"x-sluice-timeout-ms": {"soon"}}, mlflow.InvalidParameterValue},
	} {
		reply := r.h.InferMessage(c.ctx, &Message{Body: c.body, Metadata: c.metadata, May: everything})
		if reply.Err == nil || reply.Err.Code != c.want || reply.Body != nil {
			t.Errorf("%s: got %v", name, reply.Err)
		}
	}
	// The caller's own deadline, which passed, is not the model's failure.
	if reply := r.h.InferMessage(late, &Message{Body: twoNumbers(t, "wine", "", 1, 2), May: everything}); reply.Err == nil || reply.Err.HTTPStatus() != 504 && reply.Err.HTTPStatus() != 429 {
		t.Errorf("late: %v", reply.Err)
	}
}

// BenchmarkMessage is one request of one row, without the network.
func BenchmarkMessage(b *testing.B) {
	r := newRig(b, rigOptions{log: discard{}})
	m := &Message{Body: twoNumbers(b, "wine", "", 1, 2), Metadata: map[string][]string{}, May: everything, Buffer: make([]byte, 0, 4096)}
	b.ReportAllocs()
	for b.Loop() {
		if reply := r.h.InferMessage(b.Context(), m); reply.Err != nil {
			b.Fatal(reply.Err)
		}
	}
}
