package truth

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"sluice/gateway/payload"
	"sluice/runtime/tensor"
)

func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, output, body string
		want               []string // JSON; "" is None
	}{
		{name: "values", body: `{"predictions": [1, 2.5, "a", true, null]}`, want: []string{"1", "2.5", `"a"`, "true", ""}},
		{name: "records, the first field", body: `{"predictions": [{"label": 2, "p": [0.1]}, {"label": 0}]}`, want: []string{"2", "0"}},
		{name: "records, a field", output: "p", body: `{"predictions": [{"label": 2, "p": [0.25, 1]}, {"label": 0}]}`, want: []string{"0.25", ""}},
		{name: "lists", body: `{"predictions": [[3.5], [[4.5, 1]], []]}`, want: []string{"3.5", "4.5", ""}},
		{name: "fields of lists", output: "label", body: `{"predictions": {"p": [[1, 0]], "label": [7, 8]}}`, want: []string{"7", "8"}},
		{name: "the first field of lists", body: `{"predictions": {"label": [7, 8]}}`, want: []string{"7", "8"}},
		{name: "a single value", body: `{"predictions": 3}`, want: []string{"3"}},
		{name: "inference protocol", body: `{"outputs": [{"name": "a", "datatype": "INT64", "shape": [2, 1], "data": [1, 2]}]}`, want: []string{"1", "2"}},
		{name: "inference protocol, wide", output: "b", body: `{"outputs": [{"name": "a", "datatype": "BYTES", "shape": [1], "data": ["x"]}, {"name": "b", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, null, 4]}]}`, want: []string{"1", ""}},
		{name: "inference protocol, no such output", output: "x", body: `{"outputs": [{"name": "a", "datatype": "INT64", "shape": [1], "data": [1]}]}`},
		{name: "inference protocol, fewer values than the shape says", body: `{"outputs": [{"name": "a", "datatype": "INT64", "shape": [3], "data": [1]}]}`},
		{name: "an error", body: `{"error_code": "BAD_REQUEST"}`},
		{name: "not JSON", body: `{`},
		{name: "a field that is not there", output: "x", body: `{"predictions": {"label": [7, 8]}}`},
	} {
		var got []string
		for _, v := range Answers("application/json", []byte(c.body), c.output) {
			text := ""
			if v.Kind != None {
				text = v.JSON()
			}
			got = append(got, text)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// Types that requests may have and answers never do are not read, whatever they hold.
func TestAnswersOfOtherTypes(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"text/csv", "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet", "application/jsonlines", "text/html", "", ";"} {
		if got := Answers(kind, []byte(`{"predictions": [1]}`), ""); got != nil {
			t.Errorf("%q: got %v", kind, got)
		}
	}
}

// outputs is an answer with an output of each kind that a value may be.
func outputs() *tensor.Batch {
	var b tensor.Batch
	b.Reset(tensor.Named)
	label := b.AddColumn("label")
	label.Reset(tensor.String, 3)
	copy(label.Strings(), []string{"é", "b", strings.Repeat("x", maxValueText+1)})
	number := b.AddColumn("p")
	number.Reset(tensor.Float32, 3, 2)
	copy(tensor.Of[float32](number), []float32{0.25, 9, 2, 9, float32(math.NaN()), 9})
	whole := b.AddColumn("n")
	whole.Reset(tensor.Int16, 3, 1)
	copy(tensor.Of[int16](whole), []int16{-7, 0, 300})
	flag := b.AddColumn("flag")
	flag.Reset(tensor.Bool, 3)
	copy(tensor.Of[bool](flag), []bool{true, false, true})
	half := b.AddColumn("half")
	half.Reset(tensor.Float16, 3)
	copy(tensor.Of[uint16](half), []uint16{0x3E00, 0xC000, 0x7C00}) // 1.5, -2, infinity
	when := b.AddColumn("when")
	when.Reset(tensor.Datetime, 3)
	return &b
}

// The same predictions are found in an answer whatever the protocol carried it as.
func TestAnswersOfTheInferenceProtocol(t *testing.T) {
	t.Parallel()
	want := map[string][]Value{
		"":      {{Kind: Text, Text: "é"}, {Kind: Text, Text: "b"}, {}},
		"label": {{Kind: Text, Text: "é"}, {Kind: Text, Text: "b"}, {}},
		"p":     {{Kind: Number, Number: 0.25}, {Kind: Number, Number: 2}, {}},
		"n":     {{Kind: Whole, Number: -7}, {Kind: Whole}, {Kind: Whole, Number: 300}},
		"flag":  {{Kind: Bool, Number: 1}, {Kind: Bool}, {Kind: Bool, Number: 1}},
		"half":  {{Kind: Number, Number: 1.5}, {Kind: Number, Number: -2}, {}},
		"other": nil,
	}
	for name, asked := range map[string]string{
		"JSON":                 `{}`,
		"bytes":                `{"parameters": {"binary_data_output": true}}`,
		"one as bytes":         `{"outputs": [{"name": "label"}, {"name": "n", "parameters": {"binary_data": true}}, {"name": "p"}, {"name": "flag"}, {"name": "half"}]}`,
		"all but one as bytes": `{"parameters": {"binary_data_output": true}, "outputs": [{"name": "label"}, {"name": "n"}, {"name": "p", "parameters": {"binary_data": false}}, {"name": "flag"}, {"name": "half"}]}`,
	} {
		var in payload.Input
		var req payload.InferRequest
		body := strings.Replace(asked, "{", `{"inputs": [{"name": "x", "datatype": "INT8", "shape": [1], "data": [1]}], `, 1)
		body = strings.Replace(body, ", }", "}", 1)
		if err := payload.Compile(nil, nil).DecodeInfer(len(body), []byte(body), &in, &req); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		answer, head, err := payload.EncodeInfer(nil, outputs(), &req, "m", "1")
		if err != nil {
			t.Fatal(err)
		}
		kind := "application/octet-stream"
		if head < 0 {
			kind = "application/json"
		}
		for output, values := range want {
			if got := Answers(kind, answer, output); !reflect.DeepEqual(got, values) {
				t.Errorf("%s, output %q: got %v, want %v", name, output, got, values)
			}
		}
		if got := Answers(kind, answer[:len(answer)-1], "when"); name == "bytes" && got != nil {
			t.Errorf("%s: half an answer says %v", name, got)
		}
	}
	var in payload.Input
	var req payload.InferRequest
	message := protowire.AppendBytes(protowire.AppendTag(nil, 5, protowire.BytesType), messageInput())
	if err := payload.Compile(nil, nil).DecodeInferMessage(message, &in, &req); err != nil {
		t.Fatal(err)
	}
	answer, err := payload.EncodeInferMessage(nil, outputs(), &req, "m", "1")
	if err != nil {
		t.Fatal(err)
	}
	for output, values := range want {
		if got := Answers("application/x-protobuf", answer, output); !reflect.DeepEqual(got, values) {
			t.Errorf("gRPC, output %q: got %v, want %v", output, got, values)
		}
	}
}

// messageInput is an InferInputTensor: x, INT8, shape [1], contents [1].
func messageInput() []byte {
	in := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "x")
	in = protowire.AppendString(protowire.AppendTag(in, 2, protowire.BytesType), "INT8")
	in = protowire.AppendBytes(protowire.AppendTag(in, 3, protowire.BytesType), []byte{1})
	return protowire.AppendBytes(protowire.AppendTag(in, 5, protowire.BytesType), []byte{2 << 3, 1})
}

func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{`{"predictions": [1, {"a": [2]}]}`, `{"predictions": {"a": [1]}}`, `{"outputs": [{"shape": [9223372036854775807], "data": [1]}]}`, `{"outputs": [{"shape": [-1, 2], "data": []}]}`} {
		f.Add("application/json", []byte(seed), "a")
	}
	f.Add("application/octet-stream", []byte(`{"outputs": [{"name": "a", "datatype": "INT8", "shape": [1], "parameters": {"binary_data_size": 1}}]}x`), "a")
	f.Add("application/x-protobuf", protowire.AppendBytes(protowire.AppendTag(nil, 5, protowire.BytesType), messageInput()), "x")
	f.Fuzz(func(t *testing.T, kind string, body []byte, output string) {
		for _, v := range Answers(kind, body, output) {
			if v.Kind == None {
				continue
			}
			if back, ok := ParseValue(json.RawMessage(v.JSON())); !ok || back.Number != v.Number || back.Text != v.Text {
				t.Errorf("%+v came back as %+v", v, back)
			}
		}
	})
}
