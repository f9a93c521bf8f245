package payload

import (
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"sluice/gateway/oip/pb"
	"sluice/runtime/tensor"
	"sluice/tracking/mlflow"
)

type input = pb.ModelInferRequest_InferInputTensor

// message asks a model that echoes its input, and reads the answer with the generated code.
func inferMessage(t testing.TB, sig *signature, message []byte, in *Input) (*pb.ModelInferResponse, error) {
	t.Helper()
	var req InferRequest
	if err := sig.compile(t).DecodeInferMessage(message, in, &req); err != nil {
		var e *mlflow.Error
		if !errors.As(err, &e) || e.HTTPStatus() < 400 || e.HTTPStatus() > 499 || len(e.Message) > 1<<13 {
			t.Fatalf("%x: %v", message, err)
		}
		return nil, err
	}
	out, err := EncodeInferMessage([]byte("before"), &in.Batch, &req, "wine", "3")
	if err != nil {
		return nil, err
	}
	var answer pb.ModelInferResponse
	if !strings.HasPrefix(string(out), "before") {
		t.Fatalf("what was in the buffer is gone: %q", out)
	}
	if err := proto.Unmarshal(out[len("before"):], &answer); err != nil {
		t.Fatal(err)
	}
	return &answer, nil
}

func marshal(t testing.TB, m *pb.ModelInferRequest) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func texts(all ...string) []byte {
	var b []byte
	for _, s := range all {
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
	}
	return b
}

// Every datatype comes back as it was sent, as typed and as raw contents.
func TestInferMessageTypes(t *testing.T) {
	le := binary.LittleEndian
	for datatype, c := range map[string]struct {
		typed *pb.InferTensorContents // nil: there are none
		raw   []byte
	}{
		"BOOL":   {&pb.InferTensorContents{BoolContents: []bool{true, false}}, []byte{1, 0}},
		"INT8":   {&pb.InferTensorContents{IntContents: []int32{-128, 127}}, []byte{0x80, 0x7f}},
		"INT16":  {&pb.InferTensorContents{IntContents: []int32{-1, 300}}, le.AppendUint16([]byte{0xff, 0xff}, 300)},
		"INT32":  {&pb.InferTensorContents{IntContents: []int32{-1, math.MaxInt32}}, le.AppendUint32([]byte{0xff, 0xff, 0xff, 0xff}, math.MaxInt32)},
		"INT64":  {&pb.InferTensorContents{Int64Contents: []int64{math.MinInt64, 5}}, le.AppendUint64(le.AppendUint64(nil, 1<<63), 5)},
		"UINT8":  {&pb.InferTensorContents{UintContents: []uint32{255, 0}}, []byte{255, 0}},
		"UINT16": {&pb.InferTensorContents{UintContents: []uint32{65535, 1}}, le.AppendUint16([]byte{255, 255}, 1)},
		"UINT32": {&pb.InferTensorContents{UintContents: []uint32{math.MaxUint32, 1}}, le.AppendUint32([]byte{255, 255, 255, 255}, 1)},
		"UINT64": {&pb.InferTensorContents{Uint64Contents: []uint64{math.MaxUint64, 1}}, le.AppendUint64(le.AppendUint64(nil, math.MaxUint64), 1)},
		"FP16":   {nil, le.AppendUint16(le.AppendUint16(nil, 0x3e00), 0x7c00)},
		"BF16":   {nil, le.AppendUint16(le.AppendUint16(nil, 0x3fc0), 0x7f80)},
		"FP32":   {&pb.InferTensorContents{Fp32Contents: []float32{1.5, float32(math.Inf(1))}}, le.AppendUint32(le.AppendUint32(nil, math.Float32bits(1.5)), math.Float32bits(float32(math.Inf(1))))},
		"FP64":   {&pb.InferTensorContents{Fp64Contents: []float64{-2.5, 0}}, le.AppendUint64(le.AppendUint64(nil, math.Float64bits(-2.5)), 0)},
		"BYTES":  {&pb.InferTensorContents{BytesContents: [][]byte{[]byte("é"), nil}}, texts("é", "")},
	} {
		for _, shape := range [][]int64{{2}, {2, 1}, {1, 2}} {
			raw := &pb.ModelInferRequest{ModelName: "m", Id: "i", Inputs: []*input{{Name: "x", Datatype: datatype, Shape: shape}}, RawInputContents: [][]byte{c.raw}}
			requests := []*pb.ModelInferRequest{raw}
			if c.typed != nil {
				requests = append(requests, &pb.ModelInferRequest{Inputs: []*input{{Name: "x", Datatype: datatype, Shape: shape, Contents: c.typed}}})
			}
			for _, r := range requests {
				got, err := inferMessage(t, nil, marshal(t, r), new(Input))
				if err != nil {
					t.Errorf("%s %v: %v", datatype, r, err)
					continue
				}
				o := got.GetOutputs()[0]
				if got.GetModelName() != "wine" || got.GetModelVersion() != "3" || got.GetId() != r.GetId() || o.GetName() != "x" || o.GetDatatype() != datatype ||
					!slices.Equal(o.GetShape(), shape) || string(got.GetRawOutputContents()[0]) != string(c.raw) {
					t.Errorf("%s %v: got %v", datatype, r, got)
				}
			}
		}
	}
}

func TestInferMessageRules(t *testing.T) {
	frame := &signature{Inputs: []byte(`[{"name":"a","type":"double"},{"name":"b","type":"long"}]`), Params: []byte(`[{"name":"k","type":"integer","default":1,"shape":null}]`)}
	fp64 := func(name string, values ...float64) *input {
		return &input{Name: name, Datatype: "FP64", Shape: []int64{int64(len(values))}, Contents: &pb.InferTensorContents{Fp64Contents: values}}
	}
	int64s := func(name string, values ...int64) *input {
		return &input{Name: name, Datatype: "INT64", Shape: []int64{int64(len(values)), 1}, Contents: &pb.InferTensorContents{Int64Contents: values}}
	}
	param := func(v *pb.InferParameter) map[string]*pb.InferParameter { return map[string]*pb.InferParameter{"k": v} }
	integer := func(v int64) *pb.InferParameter {
		return &pb.InferParameter{ParameterChoice: &pb.InferParameter_Int64Param{Int64Param: v}}
	}
	text := func(v string) *pb.InferParameter {
		return &pb.InferParameter{ParameterChoice: &pb.InferParameter_StringParam{StringParam: v}}
	}
	shm := map[string]*pb.InferParameter{"shared_memory_region": text("x")}
	type request = pb.ModelInferRequest
	for name, c := range map[string]struct {
		sig  *signature
		req  *request
		want string // what the error says; "" for none
	}{
		"a frame":            {frame, &request{Inputs: []*input{int64s("b", 1, 2), fp64("a", 1, 2)}}, ""},
		"a parameter":        {frame, &request{Inputs: []*input{int64s("b", 1), fp64("a", 1)}, Parameters: param(integer(3))}, ""},
		"a wrong parameter":  {frame, &request{Inputs: []*input{int64s("b", 1), fp64("a", 1)}, Parameters: param(text("x"))}, "Invalid parameters"},
		"one is missing":     {frame, &request{Inputs: []*input{fp64("a", 1)}}, "missing inputs"},
		"no inputs":          {nil, &request{}, "must have 'inputs'"},
		"no name":            {nil, &request{Inputs: []*input{fp64("", 1)}}, "no name"},
		"two of one name":    {nil, &request{Inputs: []*input{fp64("a", 1), fp64("a", 1)}}, "a"},
		"unknown datatype":   {nil, &request{Inputs: []*input{{Name: "a", Datatype: "FP8", Shape: []int64{1}}}}, "unknown datatype"},
		"too few values":     {nil, &request{Inputs: []*input{{Name: "a", Datatype: "FP64", Shape: []int64{3}, Contents: &pb.InferTensorContents{Fp64Contents: []float64{1}}}}}, "1 values where its shape says 3"},
		"too many values":    {nil, &request{Inputs: []*input{{Name: "a", Datatype: "INT64", Shape: []int64{1}, Contents: &pb.InferTensorContents{Int64Contents: []int64{1, 2}}}}}, "more values than the 1"},
		"another field":      {nil, &request{Inputs: []*input{{Name: "a", Datatype: "BOOL", Shape: []int64{1}, Contents: &pb.InferTensorContents{IntContents: []int32{1}}}}}, "int_contents where the datatype BOOL has bool_contents"},
		"typed FP16":         {nil, &request{Inputs: []*input{{Name: "a", Datatype: "FP16", Shape: []int64{1}, Contents: &pb.InferTensorContents{Fp32Contents: []float32{1}}}}}, "travels in raw_input_contents"},
		"does not fit":       {nil, &request{Inputs: []*input{{Name: "a", Datatype: "INT8", Shape: []int64{1}, Contents: &pb.InferTensorContents{IntContents: []int32{128}}}}}, "does not fit INT8"},
		"negative dimension": {nil, &request{Inputs: []*input{{Name: "a", Datatype: "INT8", Shape: []int64{-1}}}}, "holds -1"},
		"huge shape":         {nil, &request{Inputs: []*input{{Name: "a", Datatype: "INT8", Shape: []int64{1 << 40, 1 << 40}}}}, "more than the limit"},
		"wrong raw size":     {nil, &request{Inputs: []*input{{Name: "a", Datatype: "FP32", Shape: []int64{2}}}, RawInputContents: [][]byte{{1, 2, 3}}}, "has 3 bytes"},
		"raw for some":       {nil, &request{Inputs: []*input{fp64("a", 1), fp64("b", 1)}, RawInputContents: [][]byte{make([]byte, 8)}}, "2 inputs and 1 raw_input_contents"},
		"raw and typed":      {nil, &request{Inputs: []*input{fp64("a", 1)}, RawInputContents: [][]byte{make([]byte, 8)}}, "both"},
		"not UTF-8":          {nil, &request{Inputs: []*input{{Name: "a", Datatype: "BYTES", Shape: []int64{1}, Contents: &pb.InferTensorContents{BytesContents: [][]byte{{0xff}}}}}}, "not UTF-8"},
		"a sequence":         {nil, &request{Inputs: []*input{fp64("a", 1)}, Parameters: map[string]*pb.InferParameter{"sequence_id": integer(4)}}, "no state"},
		"shared memory":      {nil, &request{Inputs: []*input{{Name: "a", Datatype: "FP64", Shape: []int64{1}, Parameters: shm}}}, "shared memory"},
		"shared memory out":  {nil, &request{Inputs: []*input{fp64("a", 1)}, Outputs: []*pb.ModelInferRequest_InferRequestedOutputTensor{{Name: "a", Parameters: shm}}}, "not supported"},
		"unknown output":     {nil, &request{Inputs: []*input{fp64("a", 1)}, Outputs: []*pb.ModelInferRequest_InferRequestedOutputTensor{{Name: "z"}}}, "no output"},
	} {
		_, err := inferMessage(t, c.sig, marshal(t, c.req), new(Input))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	in := new(Input)
	if _, err := inferMessage(t, frame, marshal(t, &request{Inputs: []*input{int64s("b", 1), fp64("a", 1)}, Parameters: param(integer(3))}), in); err != nil || !maps.Equal(in.Params, map[string]any{"k": int64(3)}) {
		t.Errorf("params %v (%T), %v", in.Params, in.Params["k"], err)
	}
}

// A classifier's map is a matrix with its labels beside it.
func TestInferMessageLabels(t *testing.T) {
	var out tensor.Batch
	out.Reset(tensor.Table)
	column := out.AddColumn("p")
	column.Reset(tensor.Float32, 1, 2)
	out.Columns[0].Keys, out.Rows = []string{"a", "\"b"}, 1
	answer, err := EncodeInferMessage(nil, &out, &InferRequest{all: true}, "m", "1")
	if err != nil {
		t.Fatal(err)
	}
	var got pb.ModelInferResponse
	if err := proto.Unmarshal(answer, &got); err != nil {
		t.Fatal(err)
	}
	if labels := got.GetOutputs()[0].GetParameters()["labels"].GetStringParam(); labels != `["a","\"b"]` {
		t.Errorf("labels are %s", labels)
	}
}

func TestInferTarget(t *testing.T) {
	m := marshal(t, &pb.ModelInferRequest{ModelName: "m", ModelVersion: "2", Id: "7", Inputs: []*input{{Name: "x"}}})
	if model, version, id, err := InferTarget(m); model != "m" || version != "2" || id != "7" || err != nil {
		t.Errorf("got %q %q %q, %v", model, version, id, err)
	}
	for _, broken := range [][]byte{{0x0a, 5, 'x'}, {0x0a, 1, 0xff}, {0xff}} {
		if _, _, _, err := InferTarget(broken); mlflow.CodeOf(err) != mlflow.BadRequest {
			t.Errorf("%x: %v", broken, err)
		}
	}
}

// FuzzInferMessage: any bytes are an answer that the generated code reads or an error of ours, and a message that the generated code
// cannot read is never an answer.
func FuzzInferMessage(f *testing.F) {
	f.Add(marshal(f, &pb.ModelInferRequest{ModelName: "m", Id: "1", Inputs: []*input{{Name: "a", Datatype: "FP32", Shape: []int64{1, 2}}}, RawInputContents: [][]byte{make([]byte, 8)}}))
	f.Add(marshal(f, &pb.ModelInferRequest{Inputs: []*input{{Name: "a", Datatype: "BYTES", Shape: []int64{1}, Contents: &pb.InferTensorContents{BytesContents: [][]byte{[]byte("x")}}},
		{Name: "b", Datatype: "INT64", Shape: []int64{1}, Contents: &pb.InferTensorContents{Int64Contents: []int64{1}}}}, Parameters: map[string]*pb.InferParameter{"k": {}}}))
	plans := fuzzPlans()
	f.Fuzz(func(t *testing.T, message []byte) {
		if len(message) > maxFuzzBody {
			return
		}
		var in Input
		for _, p := range plans {
			var req InferRequest
			err := p.DecodeInferMessage(message, &in, &req)
			if err != nil {
				var e *mlflow.Error
				if !errors.As(err, &e) || e.HTTPStatus() < 400 || e.HTTPStatus() > 501 || len(e.Message) > 1<<13 {
					t.Fatalf("%x: %v", message, err)
				}
				continue
			}
			out, err := EncodeInferMessage(nil, &in.Batch, &req, "m", "1")
			if err != nil && mlflow.CodeOf(err) == mlflow.InvalidParameterValue {
				continue
			}
			var answer pb.ModelInferResponse
			if err != nil || proto.Unmarshal(out, &answer) != nil {
				t.Fatalf("%x: the answer %x cannot be read (%v)", message, out, err)
			}
			in.Reset()
		}
	})
}
