package truth_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"sluice/gateway"
	"sluice/gateway/oip/pb"
	"sluice/gateway/predlog"
	"sluice/gateway/truth"
)

// inferred is the record of one order, 2.5 predicted, by a protocol: its body as JSON, with tensors' bytes behind JSON, or a message of gRPC.
func (w *world) inferred(protocol string, order int64) predlog.Row {
	w.t.Helper()
	bytes := binary.LittleEndian.AppendUint64(nil, uint64(order))
	price := []byte{0, 0, 0x20, 0x40} // 2.5
	r := w.predicted("", "", "")
	switch protocol {
	case "json":
		r.Request = fmt.Appendf(nil, `{"inputs": [{"name": "order", "datatype": "INT64", "shape": [1, 1], "data": [%d]}]}`, order)
		r.Response = []byte(`{"model_name": "wine", "outputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [9.0]}, {"name": "price", "datatype": "FP32", "shape": [1], "data": [2.5]}]}`)
	case "bytes":
		r.ContentType, r.ResponseContentType = "application/octet-stream", "application/octet-stream"
		r.Request = append([]byte(`{"inputs": [{"name": "order", "datatype": "INT64", "shape": [1, 1], "parameters": {"binary_data_size": 8}}]}`), bytes...)
		r.Response = append([]byte(`{"outputs": [{"name": "x", "datatype": "INT8", "shape": [3], "parameters": {"binary_data_size": 3}}, {"name": "price", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}}]}abc`), price...)
	case "grpc":
		r.ContentType, r.ResponseContentType = "application/x-protobuf", "application/x-protobuf"
		r.Request = w.message(&pb.ModelInferRequest{ModelName: "wine", Inputs: []*pb.ModelInferRequest_InferInputTensor{{Name: "order", Datatype: "INT64", Shape: []int64{1, 1}}}, RawInputContents: [][]byte{bytes}})
		r.Response = w.message(&pb.ModelInferResponse{ModelName: "wine", Outputs: []*pb.ModelInferResponse_InferOutputTensor{
			{Name: "x", Datatype: "INT8", Shape: []int64{3}}, {Name: "price", Datatype: "FP32", Shape: []int64{1}},
		}, RawOutputContents: [][]byte{[]byte("abc"), price}})
	}
	return r
}

func (w *world) message(m proto.Message) []byte {
	w.t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// Predictions are found by id and by business key, and their answers compared, whatever protocol they came by.
func TestGroundTruthOfTheInferenceProtocol(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"json", "bytes", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.settings = gateway.GroundTruth{Key: "order", Output: "price", Task: gateway.TaskRegression}
			s := w.service(nil)
			one, two := w.inferred(protocol, 17), w.inferred(protocol, 1<<60+1)
			broken := w.inferred(protocol, 19)
			broken.Response = broken.Response[:len(broken.Response)-1]
			w.deliver(one, two, broken)
			want(t, w.submit(s, byID(one, `2`), item(truth.ByKey, "1152921504606846977", `3.5`), byID(broken, `2`), item(truth.ByKey, "18", `2`)),
				truth.Joined, truth.Joined, truth.WithoutPrediction, truth.Pending)
			w.round(s)
			q := s.Quality("wine")
			if len(q) != 1 || q[0].Total.MAE == nil || *q[0].Total.MAE != 0.75 {
				t.Errorf("got %+v, want a mean absolute error of 0.75", q)
			}
		})
	}
}

// A message whose outputs and raw contents do not go together is no answer.
func TestMessagesThatAreNoAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	output := &pb.ModelInferResponse_InferOutputTensor{Name: "x", Datatype: "INT8", Shape: []int64{1}}
	for name, body := range map[string][]byte{
		"raw contents missing":  w.message(&pb.ModelInferResponse{Outputs: []*pb.ModelInferResponse_InferOutputTensor{{Name: "y", Datatype: "INT8", Shape: []int64{1}}, output}, RawOutputContents: [][]byte{{1}}}),
		"no contents":           w.message(&pb.ModelInferResponse{Outputs: []*pb.ModelInferResponse_InferOutputTensor{output}}),
		"an unknown type":       w.message(&pb.ModelInferResponse{Outputs: []*pb.ModelInferResponse_InferOutputTensor{{Name: "x", Datatype: "INT9", Shape: []int64{1}}}}),
		"more than memory":      w.message(&pb.ModelInferResponse{Outputs: []*pb.ModelInferResponse_InferOutputTensor{{Name: "x", Datatype: "INT8", Shape: []int64{1 << 40, 1 << 40}}}}),
		"a negative shape":      w.message(&pb.ModelInferResponse{Outputs: []*pb.ModelInferResponse_InferOutputTensor{{Name: "x", Datatype: "INT8", Shape: []int64{-1}}}}),
		"a field without a end": protowire.AppendVarint(protowire.AppendTag(nil, 5, protowire.BytesType), 9),
		"nothing":               nil,
	} {
		if got := truth.Answers("application/x-protobuf", body, "x"); got != nil {
			t.Errorf("%s: got %v", name, got)
		}
	}
	typed := &pb.InferTensorContents{Int64Contents: []int64{7, 8}}
	body := w.message(&pb.ModelInferResponse{Outputs: []*pb.ModelInferResponse_InferOutputTensor{{Name: "x", Datatype: "INT64", Shape: []int64{2}, Contents: typed}}})
	if got := truth.Answers("application/x-protobuf", body, ""); len(got) != 2 || got[1].Number != 8 || got[1].Kind != truth.Whole {
		t.Errorf("typed contents: got %v", got)
	}
}
