package drift

import (
	"iter"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"sluice/gateway"
	"sluice/gateway/oip/pb"
	"sluice/gateway/predlog"
)

// The columns of requests and the predictions of answers are taken in whatever protocol carried them.
func TestDigestReadsEveryProtocol(t *testing.T) {
	t.Parallel()
	marshal := func(m proto.Message) []byte {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	raw := [][]byte{{3, 250}}
	for name, r := range map[string]predlog.Record{
		"MLflow's": {
			ContentType: "application/json", Request: []byte(`{"dataframe_split": {"columns": ["x"], "data": [[3], [-6]]}}`),
			ResponseContentType: "application/json", Response: []byte(`{"predictions": [3, -6]}`),
		},
		"CSV": {ContentType: "text/csv", Request: []byte("x\n3\n-6\n"), ResponseContentType: "application/json", Response: []byte(`{"predictions": [3, -6]}`)},
		"tensors as JSON": {
			ContentType: "application/json", Request: []byte(`{"inputs": [{"name": "x", "datatype": "INT8", "shape": [2], "data": [3, -6]}]}`),
			ResponseContentType: "application/json", Response: []byte(`{"outputs": [{"name": "y", "datatype": "INT8", "shape": [2], "data": [3, -6]}]}`),
		},
		"tensors' bytes": {
			ContentType: "application/octet-stream", Request: []byte(`{"inputs": [{"name": "x", "datatype": "INT8", "shape": [2], "parameters": {"binary_data_size": 2}}]}` + string(raw[0])),
			ResponseContentType: "application/octet-stream", Response: []byte(`{"outputs": [{"name": "y", "datatype": "INT8", "shape": [2], "parameters": {"binary_data_size": 2}}]}` + string(raw[0])),
		},
		"gRPC": {
			ContentType: "application/x-protobuf", Request: marshal(&pb.ModelInferRequest{Inputs: []*pb.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: "INT8", Shape: []int64{2}}}, RawInputContents: raw}),
			ResponseContentType: "application/x-protobuf", Response: marshal(&pb.ModelInferResponse{Outputs: []*pb.ModelInferResponse_InferOutputTensor{{Name: "y", Datatype: "INT8", Shape: []int64{2}}}, RawOutputContents: raw}),
		},
	} {
		r.Time, r.Status = time.UnixMilli(1_000_000), 200
		one := iter.Seq2[predlog.Row, error](func(yield func(predlog.Row, error) bool) { yield(predlog.Row{Record: r}, nil) })
		pieces, err := digest(1, one, time.Minute, gateway.GroundTruth{})
		if err != nil || len(pieces) != 1 || pieces[0].Rows != 2 {
			t.Errorf("%s: %+v, %v", name, pieces, err)
			continue
		}
		for _, column := range []string{"x", Prediction} {
			s := pieces[0].Columns[column]
			if s == nil || s.summary().Mean == nil || *s.summary().Mean != -1.5 {
				t.Errorf("%s: column %s is not that of 3 and -6: %+v", name, column, s)
			}
		}
	}
}
