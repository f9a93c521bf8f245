package payload

import (
	"encoding/binary"
	"math"
	"testing"

	"sluice/runtime/mlmodel"
)

// A logged request is read whatever protocol it came by, with and without a signature.
func TestDecodeLogged(t *testing.T) {
	t.Parallel()
	raw := []byte(`{"inputs": [{"name": "x", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": 16}}]}`)
	for _, x := range []float64{1.5, -2} {
		raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(x))
	}
	inputs, err := mlmodel.ParseSchema(`[{"type": "double", "name": "x", "required": true}]`)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		kind string
		body []byte
	}{
		"MLflow's JSON":                 {"application/json", []byte(`{"dataframe_split": {"columns": ["x"], "data": [[1.5], [-2.0]]}}`)},
		"CSV":                           {"text/csv", []byte("x\n1.5\n-2\n")},
		"tensors as JSON":               {"application/json; charset=utf-8", []byte(`{"id": "7", "inputs": [{"name": "x", "shape": [2], "datatype": "FP64", "data": [1.5, -2]}]}`)},
		"tensors' bytes":                {"application/octet-stream", raw},
		"the word in a row of MLflow's": {"application/json", []byte(`{"dataframe_records": [{"x": 1.5, "datatype": 1}, {"x": -2, "datatype": 2}]}`)},
	} {
		for _, signature := range []*mlmodel.Signature{nil, {Inputs: inputs}} {
			var in Input
			if err := Compile(signature, nil).DecodeLogged(c.kind, c.body, &in); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			x := in.Batch.Column("x")
			if x == nil || in.Batch.Rows != 2 || x.Tensor.At(0) != 1.5 || x.Tensor.At(1) != -2 {
				t.Errorf("%s: %+v", name, in.Batch)
			}
		}
	}
	var in Input
	for _, kind := range []string{"application/json", "application/octet-stream", "application/x-protobuf", "text/csv"} {
		if Compile(&mlmodel.Signature{Inputs: inputs}, nil).DecodeLogged(kind, []byte(`{"datatype"`), &in) == nil {
			t.Errorf("%s: half a body is read", kind)
		}
	}
}
