package payload

import (
	"strings"

	"sluice/runtime/tensor"
)

// DecodeOutput reads one output of an answer of the Open Inference Protocol, as the prediction log has it: the one of the name, or the first if name
// is "". The answer is JSON, JSON with tensors' bytes behind it (application/octet-stream), or a ModelInferResponse (application/x-protobuf). What it
// returns is in's until in is used again, and shares no memory with the body; nil if there is no such output.
//
// Errors are *mlflow.Error: BAD_REQUEST for a body that is no such answer.
func DecodeOutput(contentType string, body []byte, name string, in *Input) (*tensor.Tensor, error) {
	d := inferDecoder{p: Compile(nil, nil), in: in, req: &InferRequest{}}
	d.cells = d.p.maxCells
	in.Batch.Reset(tensor.Named)
	var err error
	switch media, _, _ := strings.Cut(contentType, ";"); strings.TrimSpace(media) {
	case "application/x-protobuf":
		err = d.messageAnswer(body, name)
	case "application/octet-stream":
		err = d.answer(body, jsonLength(body), name)
	default:
		err = d.answer(body, len(body), name)
	}
	if err != nil || len(in.Batch.Columns) == 0 {
		return nil, err
	}
	return &in.Batch.Columns[0].Tensor, nil
}

// answer reads an output of jsonLength bytes of JSON and the tensors' bytes behind them.
func (d *inferDecoder) answer(body []byte, jsonLength int, name string) error {
	tape, err := scan(d.in.tape[:0], body[:jsonLength], d.p.maxDepth)
	d.in.tape = tape
	if err != nil {
		return err
	}
	d.t, d.rest = &text{b: body[:jsonLength], tape: tape}, body[jsonLength:]
	if d.t.first(0) != '{' {
		return badf("An inference answer must be an object. Received %s.", d.t.describe(0))
	}
	outputs := d.field(0, "outputs")
	if outputs == 0 || d.t.first(outputs) != '[' {
		return badf("An inference answer must have 'outputs', a list of tensors.")
	}
	d.t.children(outputs, func(n uint32) bool {
		var done bool
		done, err = d.output(n, name)
		return !done && err == nil
	})
	return err
}

// field is the value of an object's field; 0 if it has none.
func (d *inferDecoder) field(object uint32, name string) (value uint32) {
	d.t.fields(object, func(key string, v uint32) bool {
		if key == name {
			value = v
		}
		return true
	})
	return value
}

// output reads the tensor if it is the one of the name, and else leaves its bytes out.
func (d *inferDecoder) output(n uint32, name string) (done bool, err error) {
	if d.t.first(n) != '{' {
		return false, badf("An output must be an object. Received %s.", d.t.describe(n))
	}
	if own := d.field(n, "name"); name == "" || own != 0 && d.t.first(own) == '"' && d.t.str(own) == name {
		return true, d.input(n)
	}
	size, err := d.binarySize("", d.field(n, "parameters"))
	if err == nil && size > 0 {
		d.rest = d.rest[size:]
	}
	return false, err
}

// messageAnswer reads an output of a ModelInferResponse, whose tensors are encoded as those of a request.
func (d *inferDecoder) messageAnswer(message []byte, name string) error {
	raws := 0
	count, raw := parts{rest: message}, parts{rest: message}
	for f := (part{}); count.find(answerRaw, &f); {
		raws++
	}
	if count.err != nil {
		return count.err
	}
	next := parts{rest: message}
	for f := (part{}); next.find(answerOutputs, &f); {
		var bytes part
		if raws > 0 && !raw.find(answerRaw, &bytes) {
			return badf("The answer has more outputs than raw_output_contents.")
		}
		own := ""
		inside := parts{rest: f.bytes}
		for g := (part{}); name != "" && inside.find(tensorName, &g); {
			own = viewOf(g.bytes)
		}
		if inside.err != nil {
			return inside.err
		}
		if own == name {
			return d.messageInput(f.bytes, bytes.bytes, raws > 0)
		}
	}
	return next.err
}
