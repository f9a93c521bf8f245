package payload

import (
	"math"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"sluice/runtime/tensor"
	"sluice/tracking/mlflow"
)

// maxInferOutputs bounds how many outputs a message may ask for.
const maxInferOutputs = 10_000

// DecodeInferMessage reads a request of the Open Inference Protocol as gRPC carries it, a ModelInferRequest in protocol buffers' encoding, with
// raw or typed contents. It reads the tensors out of the message straight into the batch; the rules and the errors are DecodeInfer's.
// Outputs are answered as bytes.
func (p *Plan) DecodeInferMessage(message []byte, in *Input, req *InferRequest) error {
	*req = InferRequest{outputs: req.outputs[:0], binary: true}
	in.Params = p.defaults
	d := inferDecoder{p: p, in: in, req: req, cells: p.maxCells}
	return d.message(message)
}

func (d *inferDecoder) message(message []byte) error {
	inputs, raws, err := d.head(message)
	if err != nil {
		return err
	}
	if inputs == 0 {
		return badf("An inference request must have 'inputs', a list of tensors.")
	}
	if raws != 0 && raws != inputs {
		return badf("The request has %d inputs and %d raw_input_contents: each input must have one, or none.", inputs, raws)
	}
	d.req.all = len(d.req.outputs) == 0
	d.in.Batch.Reset(tensor.Named)
	next, raw := parts{rest: message}, parts{rest: message}
	for f := (part{}); next.find(requestInputs, &f); {
		var bytes part
		if raws > 0 {
			raw.find(requestRaw, &bytes)
		}
		if err := d.messageInput(f.bytes, bytes.bytes, raws > 0); err != nil {
			return err
		}
	}
	return d.finish()
}

// head reads everything but the tensors, and counts those.
func (d *inferDecoder) head(message []byte) (inputs, raws int, err error) {
	var params map[string]any
	w := parts{rest: message}
	for f := (part{}); w.next(&f); {
		if f.wire != protowire.BytesType {
			continue
		}
		switch f.number {
		case requestID:
			var id string
			id, err = f.text("id")
			d.req.ID = strings.Clone(id)
		case requestParameters:
			params, err = d.messageParameter(f.bytes, params)
		case requestInputs:
			inputs++
		case requestOutputs:
			err = d.messageOutput(f.bytes)
		case requestRaw:
			raws++
		}
		if err != nil {
			return 0, 0, err
		}
	}
	if w.err == nil && params != nil {
		w.err = d.modelParams(params)
	}
	return inputs, raws, w.err
}

// messageParameter reads one of the request's parameters: the protocol's own, or one for the model, which it adds to params.
func (d *inferDecoder) messageParameter(entry []byte, params map[string]any) (map[string]any, error) {
	key, value, err := readParameter(entry)
	if err != nil {
		return nil, err
	}
	switch key {
	case "sequence_id", "sequence_start", "sequence_end":
		if value != nil && value != int64(0) && value != "" && value != false {
			return nil, mlflow.Errorf(mlflow.InvalidParameterValue, "the parameter %q is not supported: models here keep no state between requests", key)
		}
	}
	if d.p.defaults == nil { // the model has none
		return nil, nil
	}
	if params == nil {
		params = map[string]any{}
	}
	if _, known := d.p.defaults[key]; known { // others are ignored, as everywhere
		params[strings.Clone(key)] = value
	}
	return params, nil
}

func (d *inferDecoder) modelParams(given map[string]any) error {
	out, _, err := d.p.sig.EnforceParams(given)
	if err != nil {
		return mlflow.Errorf(mlflow.InvalidParameterValue, "%w", err)
	}
	d.in.Params = out
	return nil
}

// readParameter reads an entry of a map of InferParameter; nil for one without a choice. key aliases the message, value does not.
func readParameter(entry []byte) (key string, value any, err error) {
	w := parts{rest: entry}
	for f := (part{}); w.next(&f) && err == nil; {
		switch f.number {
		case entryKey:
			key, err = f.text("a parameter's name")
		case entryValue:
			value, err = readChoice(f.bytes)
		}
	}
	if err == nil {
		err = w.err
	}
	return key, value, err
}

func readChoice(message []byte) (value any, err error) {
	w := parts{rest: message}
	for f := (part{}); w.next(&f); { // the last one counts
		switch f.number {
		case choiceBool:
			value = f.word != 0
		case choiceInt64:
			value = int64(f.word)
		case choiceUint64:
			if value = int64(f.word); int64(f.word) < 0 {
				value = float64(f.word)
			}
		case choiceDouble:
			value = math.Float64frombits(f.word)
		case choiceString:
			var s string
			if s, err = f.text("a parameter"); err != nil {
				return nil, err
			}
			value = strings.Clone(s)
		}
	}
	return value, w.err
}

// messageOutput reads an output that is asked for.
func (d *inferDecoder) messageOutput(message []byte) (err error) {
	if len(d.req.outputs) == maxInferOutputs {
		return badf("The request asks for more than %d outputs.", maxInferOutputs)
	}
	name := ""
	w := parts{rest: message}
	for f := (part{}); w.next(&f); {
		switch f.number {
		case outputName:
			name, err = f.text("an output's name")
		case outputParameters:
			var key string
			var value any
			if key, value, err = readParameter(f.bytes); err == nil && (key == "shared_memory_region" || key == "classification" && value != int64(0)) {
				err = mlflow.Errorf(mlflow.InvalidParameterValue, "the output parameter %q is not supported", key)
			}
		}
		if err != nil {
			return err
		}
	}
	if w.err == nil && name == "" {
		return badf("An output has no name.")
	}
	d.req.outputs = append(d.req.outputs, inferOutput{name: strings.Clone(name), binary: true})
	return w.err
}

// messageInput reads one tensor into the batch. raw are its bytes outside of the message, where hasRaw says so.
func (d *inferDecoder) messageInput(message, raw []byte, hasRaw bool) (err error) {
	var name, datatype string
	var contents []byte
	d.in.shape = d.in.shape[:0]
	typed := false
	w := parts{rest: message}
	for f := (part{}); w.next(&f); {
		switch f.number {
		case tensorName:
			name, err = f.text("an input's name")
		case tensorDatatype:
			datatype, err = f.text("a datatype")
		case tensorShape:
			err = d.messageShape(&f)
		case tensorContents:
			contents, typed = f.bytes, typed || len(f.bytes) > 0
		case tensorParameters:
			var key string
			if key, _, err = readParameter(f.bytes); err == nil && key == "shared_memory_region" {
				err = mlflow.Errorf(mlflow.InvalidParameterValue, "input %s: shared memory is not supported", quoteName(name))
			}
		}
		if err != nil {
			return err
		}
	}
	if w.err != nil {
		return w.err
	}
	if name == "" {
		return badf("An input has no name.")
	}
	name = d.ownName(name)
	dtype, err := d.inputType(name, datatype)
	if err != nil {
		return err
	}
	elements, err := d.elements(name)
	if err != nil {
		return err
	}
	out := d.in.Batch.AddColumn(name)
	switch {
	case hasRaw && typed:
		return badf("Input %s has both contents and raw_input_contents.", quoteName(name))
	case hasRaw:
		d.rest = raw
		return d.fromBytes(out, name, dtype, elements, len(raw))
	}
	return d.fromContents(out, name, dtype, elements, contents)
}

// inputType is the element type of a datatype's name, for the column that it is to become.
func (d *inferDecoder) inputType(name, datatype string) (tensor.DType, error) {
	dtype := inferDType(datatype)
	if dtype == tensor.Invalid {
		return dtype, badf("Input %s has the unknown datatype %s.", quoteName(name), quoteName(datatype))
	}
	if j := d.p.index(name); dtype == tensor.String && j >= 0 && d.p.columns != nil && d.p.columns[j].dtype == tensor.Binary {
		dtype = tensor.Binary
	}
	return dtype, nil
}

// messageShape appends dimensions to in.shape: a packed list of them, or one.
func (d *inferDecoder) messageShape(f *part) error {
	if f.wire == protowire.VarintType {
		d.in.shape = append(d.in.shape, int64(f.word))
	}
	for rest := f.bytes; len(rest) > 0 && len(d.in.shape) <= maxInferDims; {
		v, n := protowire.ConsumeVarint(rest)
		if n < 0 {
			return badf("The message cannot be read: %v.", protowire.ParseError(n))
		}
		rest = rest[n:]
		d.in.shape = append(d.in.shape, int64(v))
	}
	if len(d.in.shape) > maxInferDims {
		return badf("An input must have a shape of at most %d numbers.", maxInferDims)
	}
	return nil
}

// elements is the number of elements of a tensor of the shape in.shape, which it takes from the cells that are left. An empty tensor costs one.
func (d *inferDecoder) elements(name string) (int, error) {
	total := 1.0
	for _, n := range d.in.shape {
		if n < 0 {
			return 0, badf("The shape of input %s holds %d where a dimension of 0 or more belongs.", quoteName(name), n)
		}
		total *= float64(n)
	}
	if max(total, 1) > float64(d.cells) {
		return 0, tooManyCells(d.p.maxCells)
	}
	d.cells -= max(int(total), 1)
	return int(total), nil
}
