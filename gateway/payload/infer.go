package payload

import (
	"slices"
	"strings"

	"sluice/runtime/tensor"
	"sluice/tracking/mlflow"
)

// InferRequest is what a request of the Open Inference Protocol says beside its tensors.
type InferRequest struct {
	ID      string // the client's; "" if it gave none
	outputs []inferOutput
	all     bool // no outputs were named: answer with all
	binary  bool // outputs that do not say otherwise travel as bytes
}

// inferOutput is an output that was asked for.
type inferOutput struct {
	name   string
	binary bool
}

// inferNames are the protocol's names of element types. Bytes are BYTES as text is, and so are times, as ISO 8601 text.
var inferNames = [...]string{
	tensor.Bool: "BOOL", tensor.Uint8: "UINT8", tensor.Uint16: "UINT16", tensor.Uint32: "UINT32", tensor.Uint64: "UINT64",
	tensor.Int8: "INT8", tensor.Int16: "INT16", tensor.Int32: "INT32", tensor.Int64: "INT64",
	tensor.Float16: "FP16", tensor.BFloat16: "BF16", tensor.Float32: "FP32", tensor.Float64: "FP64",
	tensor.String: "BYTES", tensor.Binary: "BYTES", tensor.Datetime: "BYTES",
}

// InferType is the protocol's name of an element type; "" for one that it lacks.
func InferType(d tensor.DType) string {
	if int(d) >= len(inferNames) {
		return ""
	}
	return inferNames[d]
}

// inferDType is the element type of a protocol's name; BYTES are text. Invalid for a name that it lacks.
func inferDType(name string) tensor.DType {
	if name == "BYTES" {
		return tensor.String
	}
	if i := slices.Index(inferNames[:], name); i > 0 {
		return tensor.DType(i)
	}
	return tensor.Invalid
}

// DecodeInfer reads a request of the Open Inference Protocol (REST, version 2, with the binary tensor data extension): jsonLength bytes of
// JSON, then the bytes of the tensors that say so, in the order of the inputs. The tensors must have the types and shapes of the signature;
// columns may have the shape [n] or [n, 1]. req is overwritten.
//
// Errors are *mlflow.Error, as Decode's.
func (p *Plan) DecodeInfer(jsonLength int, body []byte, in *Input, req *InferRequest) error {
	*req = InferRequest{outputs: req.outputs[:0]}
	in.Params = p.defaults
	if jsonLength < 0 || jsonLength > len(body) {
		return badf("The header Inference-Header-Content-Length says %d in a body of %d bytes.", jsonLength, len(body))
	}
	d := inferDecoder{p: p, in: in, req: req, rest: body[jsonLength:], cells: p.maxCells}
	if len(d.rest) == 0 && d.quick(body) {
		return d.finish()
	}
	d.cells, *req = p.maxCells, InferRequest{outputs: req.outputs[:0]}
	tape, err := scan(in.tape[:0], body[:jsonLength], p.maxDepth)
	in.tape = tape
	if err != nil {
		return err
	}
	d.t = &text{b: body[:jsonLength], tape: tape}
	if d.t.first(0) != '{' {
		return badf("An inference request must be an object. Received %s.", d.t.describe(0))
	}
	return d.decode()
}

// inferDecoder reads one request.
type inferDecoder struct {
	p     *Plan
	t     *text
	in    *Input
	req   *InferRequest
	rest  []byte // tensor bytes not taken yet
	cells int    // values that are left
}

func (d *inferDecoder) decode() (err error) {
	var inputs, outputs, params uint32
	d.t.fields(0, func(key string, v uint32) bool {
		switch key {
		case "id":
			if d.t.first(v) == '"' {
				d.req.ID = d.t.str(v)
			}
		case "inputs":
			inputs = v
		case "outputs":
			outputs = v
		case "parameters":
			params = v
		}
		return true
	})
	if inputs == 0 || d.t.first(inputs) != '[' {
		return badf("An inference request must have 'inputs', a list of tensors.")
	}
	if err := d.parameters(params); err != nil {
		return err
	}
	if err := d.outputs(outputs); err != nil {
		return err
	}
	d.in.Batch.Reset(tensor.Named)
	d.t.children(inputs, func(n uint32) bool {
		err = d.input(n)
		return err == nil
	})
	if err != nil {
		return err
	}
	if len(d.rest) > 0 {
		return badf("%d bytes are left after the last tensor.", len(d.rest))
	}
	return d.finish()
}

// finish checks the batch that was read.
func (d *inferDecoder) finish() error {
	if err := d.checkTwice(); err != nil {
		return err
	}
	return d.enforce()
}

// checkTwice refuses two tensors of one name.
func (d *inferDecoder) checkTwice() error {
	columns := d.in.Batch.Columns
	if len(columns) <= 64 {
		for i := range columns {
			for j := range i {
				if columns[i].Name == columns[j].Name {
					return checkTwice([]string{columns[j].Name, columns[i].Name})
				}
			}
		}
		return nil
	}
	names := make([]string, len(columns))
	for i := range columns {
		names[i] = columns[i].Name
	}
	return checkTwice(names)
}

// enforce makes what was read what the signature asks for.
func (d *inferDecoder) enforce() error {
	b := &d.in.Batch
	if len(d.p.tensors) > 0 && d.p.byName == nil && len(b.Columns) == 1 {
		b.Form, b.Columns[0].Name = tensor.Bare, ""
	}
	if len(d.p.columns) > 0 {
		for i := range b.Columns {
			c := &b.Columns[i]
			n := len(c.Tensor.Shape)
			if n != 1 && (n != 2 || c.Tensor.Shape[1] != 1) {
				return schemaf("input %s has the shape %v, where a column of the model takes [n] or [n, 1].", quoteName(c.Name), c.Tensor.Shape)
			}
			if n == 1 {
				continue
			}
			if err := c.Tensor.Reshape(c.Tensor.Shape[0]); err != nil {
				return schemaf("%v", err)
			}
		}
	}
	if err := b.CountRows(); err != nil {
		return schemaf("%v", err)
	}
	if !d.p.typed {
		return nil
	}
	if err := d.p.sig.Inputs.Enforce(b); err != nil {
		return schemaf("%v", err)
	}
	d.in.dropEmpty()
	return nil
}

// parameters reads the request's parameters: the protocol's own, and the model's.
func (d *inferDecoder) parameters(n uint32) error {
	if n == 0 {
		return nil
	}
	if d.t.first(n) != '{' {
		return badf("'parameters' must be an object. Received %s.", d.t.describe(n))
	}
	refused := ""
	d.t.fields(n, func(key string, v uint32) bool {
		switch key {
		case "binary_data_output":
			d.req.binary = d.t.first(v) == 't'
		case "sequence_id", "sequence_start", "sequence_end":
			if c := d.t.first(v); c != '0' && c != 'f' && !(c == '"' && d.t.str(v) == "") {
				refused = strings.Clone(key)
			}
		}
		return true
	})
	if refused != "" {
		return mlflow.Errorf(mlflow.InvalidParameterValue, "the parameter %q is not supported: models here keep no state between requests", refused)
	}
	if d.p.sig == nil || d.p.defaults == nil {
		return nil
	}
	params, err := d.p.readParams(d.t, n)
	if err != nil {
		return err
	}
	d.in.Params = params
	return nil
}

// outputs reads which outputs are asked for, and how.
func (d *inferDecoder) outputs(n uint32) (err error) {
	if n == 0 || d.t.first(n) == 'n' {
		d.req.all = true
		return nil
	}
	if d.t.first(n) != '[' {
		return badf("'outputs' must be a list. Received %s.", d.t.describe(n))
	}
	d.req.all = d.t.count(n) == 0
	d.t.children(n, func(o uint32) bool {
		out := inferOutput{binary: d.req.binary}
		if d.t.first(o) != '{' {
			err = badf("An output must be an object. Received %s.", d.t.describe(o))
			return false
		}
		d.t.fields(o, func(key string, v uint32) bool {
			switch {
			case key == "name" && d.t.first(v) == '"':
				out.name = d.t.str(v)
			case key == "parameters" && d.t.first(v) == '{':
				d.t.fields(v, func(key string, v uint32) bool {
					switch {
					case key == "binary_data":
						out.binary = d.t.first(v) == 't'
					case key == "classification" && d.t.first(v) != '0', key == "shared_memory_region":
						err = mlflow.Errorf(mlflow.InvalidParameterValue, "the output parameter %q is not supported", key)
					}
					return true
				})
			}
			return true
		})
		if err == nil && out.name == "" {
			err = badf("An output has no name.")
		}
		d.req.outputs = append(d.req.outputs, out)
		return err == nil
	})
	return err
}

// input reads one tensor into the batch.
func (d *inferDecoder) input(n uint32) error {
	if d.t.first(n) != '{' {
		return badf("An input must be an object. Received %s.", d.t.describe(n))
	}
	var name, datatype string
	var shape, data, params uint32
	d.t.fields(n, func(key string, v uint32) bool {
		switch {
		case key == "name" && d.t.first(v) == '"':
			name = d.name(v)
		case key == "datatype" && d.t.first(v) == '"':
			datatype = d.t.view(v)
		case key == "shape":
			shape = v
		case key == "data":
			data = v
		case key == "parameters":
			params = v
		}
		return true
	})
	if name == "" {
		return badf("An input has no name.")
	}
	dtype, err := d.inputType(name, datatype)
	if err != nil {
		return err
	}
	elements, err := d.shape(name, shape)
	if err != nil {
		return err
	}
	size, err := d.binarySize(name, params)
	if err != nil {
		return err
	}
	out := d.in.Batch.AddColumn(name)
	switch {
	case size >= 0 && data != 0:
		return badf("Input %s has both data and binary_data_size.", quoteName(name))
	case size >= 0:
		return d.fromBytes(out, name, dtype, elements, size)
	case data == 0:
		return badf("Input %s has neither data nor binary_data_size.", quoteName(name))
	}
	return d.fromJSON(out, name, dtype, elements, data)
}

// name reads an input's name.
func (d *inferDecoder) name(n uint32) string { return d.ownName(d.t.view(n)) }

// ownName is a text that outlives the body: the schema's own where it has it.
func (d *inferDecoder) ownName(view string) string {
	if i := d.p.index(view); i >= 0 {
		return d.p.nameOf(i)
	}
	return strings.Clone(view)
}

// maxInferDims is how many dimensions a tensor may have, as in NumPy.
const maxInferDims = 32

// shape reads a tensor's shape into in.shape and returns the number of its elements.
func (d *inferDecoder) shape(name string, n uint32) (elements int, err error) {
	if n == 0 || d.t.first(n) != '[' || d.t.count(n) > maxInferDims {
		return 0, badf("Input %s must have a shape, a list of at most %d numbers.", quoteName(name), maxInferDims)
	}
	d.in.shape = d.in.shape[:0]
	total := 1.0
	d.t.children(n, func(v uint32) bool {
		w, bad := d.t.word(v, tensor.Int64, rules{})
		if c := d.t.first(v); bad != "" || c == '"' || c == 't' || c == 'f' || int64(w) < 0 {
			err = badf("The shape of input %s holds %s where a dimension of 0 or more belongs.", quoteName(name), d.t.describe(v))
			return false
		}
		d.in.shape = append(d.in.shape, int64(w))
		total *= float64(w)
		return true
	})
	if err != nil {
		return 0, err
	}
	if total > float64(d.cells) {
		return 0, tooManyCells(d.p.maxCells)
	}
	d.cells -= int(total)
	return int(total), nil
}

// binarySize is the parameter binary_data_size; −1 where there is none.
func (d *inferDecoder) binarySize(name string, n uint32) (size int, err error) {
	if n == 0 {
		return -1, nil
	}
	if d.t.first(n) != '{' {
		return 0, badf("The parameters of input %s are not an object.", quoteName(name))
	}
	size = -1
	d.t.fields(n, func(key string, v uint32) bool {
		switch key {
		case "binary_data_size":
			w, bad := d.t.word(v, tensor.Int64, rules{})
			if bad != "" || int64(w) < 0 || int64(w) > int64(len(d.rest)) {
				err = badf("Input %s has a binary_data_size that the body does not hold.", quoteName(name))
			}
			size = int(w)
		case "shared_memory_region":
			err = mlflow.Errorf(mlflow.InvalidParameterValue, "input %s: shared memory is not supported", quoteName(name))
		}
		return true
	})
	return size, err
}
