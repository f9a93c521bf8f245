package payload

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"sluice/runtime/tensor"
	"sluice/tracking/mlflow"
)

// infer decodes a request for a model that echoes its input, and encodes the answer.
func infer(t testing.TB, sig *signature, head int, body []byte) (answer string, tail []byte, err error) {
	t.Helper()
	var in Input
	var req InferRequest
	if err := sig.compile(t).DecodeInfer(head, body, &in, &req); err != nil {
		var e *mlflow.Error
		if e, _ = asPayload(err).(*mlflow.Error); e == nil || e.HTTPStatus() < 400 || e.HTTPStatus() > 499 {
			t.Fatalf("%s: %v", body, err)
		}
		return "", nil, err
	}
	out, n, err := EncodeInfer([]byte("before"), &in.Batch, &req, "wine", "3")
	if err != nil {
		return "", nil, err
	}
	out, found := bytes.CutPrefix(out, []byte("before"))
	if !found {
		t.Fatalf("what was in the buffer is gone: %q", out)
	}
	if n < 0 {
		n = len(out)
	}
	if !json.Valid(out[:n]) {
		t.Fatalf("not JSON: %s", out[:n])
	}
	return string(out[:n]), out[n:], nil
}

func TestInferInJSON(t *testing.T) {
	const prefix = `{"model_name":"wine","model_version":"3",`
	for name, c := range map[string]struct {
		sig  *signature
		body string
		want string // the answer after prefix, or what the error says
	}{
		"flat data":       {nil, `{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[1,2,3,4.5]}]}`, `"outputs":[{"name":"x","datatype":"FP32","shape":[2,2],"data":[1.0,2.0,3.0,4.5]}]}`},
		"nested data, id": {nil, `{"id":"a\"1","inputs":[{"name":"x","shape":[2,1],"datatype":"INT8","data":[[-1],[2]]}]}`, `"id":"a\"1","outputs":[{"name":"x","datatype":"INT8","shape":[2,1],"data":[-1,2]}]}`},
		"text":            {nil, `{"inputs":[{"name":"x","shape":[2],"datatype":"BYTES","data":["é","b"]}]}`, `"outputs":[{"name":"x","datatype":"BYTES","shape":[2],"data":["\u00e9","b"]}]}`},
		"booleans":        {nil, `{"inputs":[{"name":"x","shape":[2],"datatype":"BOOL","data":[true,false]}]}`, `"outputs":[{"name":"x","datatype":"BOOL","shape":[2],"data":[true,false]}]}`},
		"half floats":     {nil, `{"inputs":[{"name":"x","shape":[1],"datatype":"FP16","data":[1.5]},{"name":"y","shape":[1],"datatype":"BF16","data":[2]}]}`, `"outputs":[{"name":"x","datatype":"FP16","shape":[1],"data":[1.5]},{"name":"y","datatype":"BF16","shape":[1],"data":[2.0]}]}`},
		"largest integer": {nil, `{"inputs":[{"name":"x","shape":[1],"datatype":"UINT64","data":[18446744073709551615]}]}`, `"outputs":[{"name":"x","datatype":"UINT64","shape":[1],"data":[18446744073709551615]}]}`},
		"no elements":     {nil, `{"inputs":[{"name":"x","shape":[0,3],"datatype":"FP32","data":[]}]}`, `"outputs":[{"name":"x","datatype":"FP32","shape":[0,3],"data":[]}]}`},
		"one output of two": {nil, `{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]},{"name":"y","shape":[1],"datatype":"FP32","data":[2]}],"outputs":[{"name":"y"}]}`,
			`"outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":[2.0]}]}`},
		"columns": {schemaOf(columnJSON("a", "double"), columnJSON("b", "long")),
			`{"inputs":[{"name":"b","shape":[2,1],"datatype":"INT64","data":[1,2]},{"name":"a","shape":[2],"datatype":"FP64","data":[0.5,1.5]},{"name":"more","shape":[2],"datatype":"FP64","data":[0,0]}]}`,
			`"outputs":[{"name":"a","datatype":"FP64","shape":[2],"data":[0.5,1.5]},{"name":"b","datatype":"INT64","shape":[2],"data":[1,2]}]}`},
		"unnamed tensor": {schemaOf(tensorJSON("", "float32", "[-1,2]")), `{"inputs":[{"name":"input-0","shape":[1,2],"datatype":"FP32","data":[1,2]}]}`, `"outputs":[{"name":"output-0","datatype":"FP32","shape":[1,2],"data":[1.0,2.0]}]}`},
		"dates":          {schemaOf(columnJSON("a", "datetime")), `{"inputs":[{"name":"a","shape":[1],"datatype":"BYTES","data":["2020-01-02T03:04:05"]}]}`, `"outputs":[{"name":"a","datatype":"BYTES","shape":[1],"data":["2020-01-02T03:04:05"]}]}`},

		"no inputs":             {nil, `{}`, "must have 'inputs'"},
		"not an object":         {nil, `[]`, "must be an object"},
		"unknown datatype":      {nil, `{"inputs":[{"name":"x","shape":[1],"datatype":"FP8","data":[1]}]}`, `unknown datatype "FP8"`},
		"too few values":        {nil, `{"inputs":[{"name":"x","shape":[3],"datatype":"FP32","data":[1,2]}]}`, "2 values where its shape says 3"},
		"a negative dimension":  {nil, `{"inputs":[{"name":"x","shape":[-1],"datatype":"FP32","data":[1]}]}`, "dimension of 0 or more"},
		"a broken dimension":    {nil, `{"inputs":[{"name":"x","shape":["1"],"datatype":"FP32","data":[1]}]}`, "dimension of 0 or more"},
		"no shape":              {nil, `{"inputs":[{"name":"x","datatype":"FP32","data":[1]}]}`, "must have a shape"},
		"no data":               {nil, `{"inputs":[{"name":"x","shape":[1],"datatype":"FP32"}]}`, "neither data nor"},
		"no name":               {nil, `{"inputs":[{"shape":[1],"datatype":"FP32","data":[1]}]}`, "has no name"},
		"a name twice":          {nil, `{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]},{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}`, "stands twice"},
		"out of range":          {nil, `{"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":[128]}]}`, "out of the type's range"},
		"huge":                  {nil, `{"inputs":[{"name":"x","shape":[1000000,1000000,1000000],"datatype":"FP32","data":[]}]}`, "more than the limit"},
		"missing column":        {schemaOf(columnJSON("a", "double"), columnJSON("b", "long")), `{"inputs":[{"name":"a","shape":[1],"datatype":"FP64","data":[1]}]}`, "missing inputs"},
		"wrong type":            {schemaOf(columnJSON("a", "long")), `{"inputs":[{"name":"a","shape":[1],"datatype":"FP64","data":[1]}]}`, "column a"},
		"a wide column":         {schemaOf(columnJSON("a", "double")), `{"inputs":[{"name":"a","shape":[1,2],"datatype":"FP64","data":[1,2]}]}`, "shape"},
		"wrong shape":           {schemaOf(tensorJSON("x", "float32", "[-1,2]")), `{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}`, "does not match expected shape"},
		"unknown output":        {nil, `{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}],"outputs":[{"name":"z"}]}`, `no output "z"`},
		"state":                 {nil, `{"parameters":{"sequence_id":7},"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}`, "sequence_id"},
		"classification":        {nil, `{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}],"outputs":[{"name":"x","parameters":{"classification":2}}]}`, "classification"},
		"shared memory":         {nil, `{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","parameters":{"shared_memory_region":"r"}}]}`, "shared memory"},
		"bytes that are absent": {nil, `{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}}]}`, "does not hold"},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, err := infer(t, c.sig, len(c.body), []byte(c.body))
			if err != nil {
				got = err.Error()
				if !strings.Contains(got, c.want) {
					t.Errorf("got %s\nwant %s", got, c.want)
				}
				return
			}
			if got != prefix+c.want {
				t.Errorf("got %s\nwant %s", got, prefix+c.want)
			}
		})
	}
}

// binaryRequest is a request whose tensors travel as bytes.
func binaryRequest(datatype string, shape string, raw []byte) (head int, body []byte) {
	text := fmt.Sprintf(`{"parameters":{"binary_data_output":true},"inputs":[{"name":"x","shape":%s,"datatype":%q,"parameters":{"binary_data_size":%d}}]}`, shape, datatype, len(raw))
	return len(text), append([]byte(text), raw...)
}

func TestInferInBytes(t *testing.T) {
	floats := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, math.Float32bits(1.5)), math.Float32bits(float32(math.NaN())))
	texts := append(append(binary.LittleEndian.AppendUint32(nil, 2), "é"...), 0, 0, 0, 0)
	for datatype, raw := range map[string][]byte{"FP32": floats, "BYTES": texts, "BOOL": {1, 0}, "INT16": {1, 2, 3, 4}, "FP16": {0, 0x3c, 1, 0}} {
		head, body := binaryRequest(datatype, "[2]", raw)
		got, tail, err := infer(t, nil, head, body)
		want := fmt.Sprintf(`"outputs":[{"name":"x","datatype":%q,"shape":[2],"parameters":{"binary_data_size":%d}}]}`, datatype, len(raw))
		if err != nil || !strings.HasSuffix(got, want) || !bytes.Equal(tail, raw) {
			t.Errorf("%s: %s %x, %v", datatype, got, tail, err)
		}
	}
	for name, c := range map[string]struct {
		datatype, shape string
		raw             []byte
		want            string
	}{
		"too short":        {"FP32", "[2]", floats[:7], "7 bytes where its shape and datatype say 8"},
		"a length too far": {"BYTES", "[1]", []byte{255, 255, 255, 255, 'a'}, "does not fit"},
		"text left over":   {"BYTES", "[1]", texts, "behind its last element"},
		"not UTF-8":        {"BYTES", "[1]", []byte{1, 0, 0, 0, 0xff}, "not UTF-8"},
	} {
		head, body := binaryRequest(c.datatype, c.shape, c.raw)
		if _, _, err := infer(t, nil, head, body); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	head, body := binaryRequest("FP32", "[2]", floats)
	if _, _, err := infer(t, nil, head, append(body, 0)); err == nil || !strings.Contains(err.Error(), "left after the last tensor") {
		t.Errorf("bytes left over: %v", err)
	}
	if _, _, err := infer(t, nil, len(body)+1, body); err == nil || !strings.Contains(err.Error(), "Inference-Header-Content-Length") {
		t.Errorf("a header that says too much: %v", err)
	}
	var odd InferRequest
	var in Input
	head, body = binaryRequest("BOOL", "[2]", []byte{7, 0})
	if err := Compile(nil, nil).DecodeInfer(head, body, &in, &odd); err != nil || !tensor.Of[bool](&in.Batch.Columns[0].Tensor)[0] || in.Batch.Columns[0].Tensor.Raw()[0] != 1 {
		t.Errorf("a boolean of 7 must become 1: %v", err)
	}
}

func TestInferMapsAreLabelledMatrices(t *testing.T) {
	var out tensor.Batch
	out.Reset(tensor.Table)
	out.Rows = 1
	out.AddColumn("probabilities").Reset(tensor.Float32, 1, 2)
	out.Columns[0].Keys = []string{"no", "yes"}
	for _, asBytes := range []bool{false, true} {
		answer, n, err := EncodeInfer(nil, &out, &InferRequest{all: true, binary: asBytes}, "m", "1")
		if n < 0 {
			n = len(answer)
		}
		if err != nil || !json.Valid(answer[:n]) || !strings.Contains(string(answer), `"labels":["no","yes"]`) || !strings.Contains(string(answer), `"shape":[1,2]`) {
			t.Errorf("%s, %v", answer, err)
		}
	}
}

func FuzzInfer(f *testing.F) {
	f.Add(0, []byte(`{"inputs":[{"name":"a","shape":[2,1],"datatype":"FP64","data":[1,2]},{"name":"b","shape":[2],"datatype":"INT64","data":[[1],[2]]}],"outputs":[{"name":"a","parameters":{"binary_data":true}}]}`))
	f.Add(0, []byte(`{"id":"a","inputs":[{"name":"a","shape":[2],"datatype":"FP64","data":[1,2.5]},{"name":"b","shape":[2,1],"datatype":"INT64","data":[[1],[2]]}],"outputs":[{"name":"a"}]}`))
	for datatype, raw := range map[string][]byte{"FP32": {0, 0, 0, 0}, "BYTES": {1, 0, 0, 0, 'x'}, "BOOL": {1}} {
		head, body := binaryRequest(datatype, "[1]", raw)
		f.Add(len(body)-head, body)
	}
	plans := fuzzPlans()
	f.Fuzz(func(t *testing.T, tail int, body []byte) {
		if len(body) > maxFuzzBody {
			return
		}
		for _, p := range plans {
			var in Input
			var req InferRequest
			if err := p.DecodeInfer(len(body)-tail, body, &in, &req); err != nil {
				if e, _ := asPayload(err).(*mlflow.Error); e == nil || e.HTTPStatus() < 400 || e.HTTPStatus() > 499 {
					t.Fatalf("%q: %v", body, err)
				}
				continue
			}
			out, n, err := EncodeInfer(nil, &in.Batch, &req, "m", "1")
			if n < 0 {
				n = len(out)
			}
			if err == nil && !json.Valid(out[:n]) {
				t.Fatalf("%q: the answer %q is not JSON", body, out[:n])
			}
			if tail != 0 {
				continue
			}
			// A byte order mark is not plain: it leads the same request the thorough way.
			var slow Input
			if err := p.DecodeInfer(len(body)+3, append([]byte("\xef\xbb\xbf"), body...), &slow, &req); err != nil {
				if bytes.HasPrefix(body, []byte("\xef\xbb\xbf")) {
					continue
				}
				t.Fatalf("%q: taken quickly, but %v", body, err)
			}
			again, _, _ := EncodeInfer(nil, &slow.Batch, &req, "m", "1")
			if !bytes.Equal(out, again) {
				t.Fatalf("%q: quickly %q, thoroughly %q", body, out, again)
			}
		}
	})
}

// Plain requests are read the quick way, and both ways agree on them and on all that only look plain.
func TestInferQuickly(t *testing.T) {
	tensors := func(inputs string) string { return `{"inputs":[` + inputs + `]}` }
	x := func(shape, datatype, data string) string {
		return fmt.Sprintf(`{"name":"x","shape":%s,"datatype":%q,"data":%s}`, shape, datatype, data)
	}
	for name, c := range map[string]struct {
		body  string
		quick bool
	}{
		"flat":                     {tensors(x("[2,2]", "FP32", "[1.5,2,-3e2,null]")), true},
		"nested":                   {tensors(x("[2, 2]", "FP64", "[[1, 2.25], [3, 4]]")), true},
		"integers":                 {tensors(x("[3]", "INT64", "[1,-2,9007199254740993]")), true},
		"small integers":           {tensors(x("[2]", "UINT8", "[0,255]")), true},
		"booleans":                 {tensors(x("[2]", "BOOL", "[true,false]")), false},
		"half floats":              {tensors(x("[2]", "FP16", "[0.1,65504]")), true},
		"several":                  {tensors(x("[1]", "FP32", "[1]") + `, {"datatype":"INT32","name":"y","shape":[1],"data":[7]}`), true},
		"an id and outputs":        {`{"id":"7","parameters":{"binary_data_output":true},"outputs":[{"name":"x","parameters":{"binary_data":false}}],"inputs":[` + x("[1]", "FP32", "[1]") + `]}`, true},
		"numbers out of range":     {tensors(x("[1]", "UINT8", "[256]")), false},
		"too few":                  {tensors(x("[3]", "FP32", "[1,2]")), false},
		"too many":                 {tensors(x("[1]", "FP32", "[1,2]")), false},
		"nested otherwise":         {tensors(x("[4]", "FP32", "[[1,2],[3,4]]")), false},
		"nested by halves":         {tensors(x("[2,2]", "FP32", "[[1,2],3,4]")), false},
		"no rows":                  {tensors(x("[0]", "FP32", "[]")), false},
		"text":                     {tensors(x("[1]", "BYTES", `["a"]`)), false},
		"escapes":                  {tensors(strings.Replace(x("[1]", "FP32", "[1]"), `"x"`, `"\u0078"`, 1)), false},
		"a name twice":             {tensors(x("[1]", "FP32", "[1]") + "," + x("[1]", "FP32", "[2]")), true},
		"data first":               {tensors(`{"data":[1],"name":"x","shape":[1],"datatype":"FP32"}`), false},
		"members nobody knows":     {`{"inputs":[` + x("[1]", "FP32", "[1]") + `],"more":{}}`, false},
		"parameters after outputs": {`{"outputs":[{"name":"x"}],"parameters":{"binary_data_output":true},"inputs":[` + x("[1]", "FP32", "[1]") + `]}`, false},
		"something behind":         {tensors(x("[1]", "FP32", "[1]")) + "x", false},
		"more cells than memory":   {tensors(x("[4000000000,4000000000]", "FP32", "[1]")), false},
		"negative":                 {tensors(x("[-1]", "FP32", "[1]")), false},
	} {
		t.Run(name, func(t *testing.T) {
			var in Input
			var req InferRequest
			d := inferDecoder{p: Compile(nil, nil), in: &in, req: &req, cells: 1 << 30}
			if got := d.quick([]byte(c.body)); got != c.quick {
				t.Fatalf("quick: %v", got)
			}
			fast, tail, err := infer(t, nil, len(c.body), []byte(c.body))
			slow, slowTail, slowErr := infer(t, nil, len(c.body)+3, []byte("\xef\xbb\xbf"+c.body))
			if fast != slow || !bytes.Equal(tail, slowTail) || (err == nil) != (slowErr == nil) {
				t.Errorf("quickly %s %v\nthoroughly %s %v", fast, err, slow, slowErr)
			}
		})
	}
}
