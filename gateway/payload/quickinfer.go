package payload

import (
	"bytes"
	"slices"
	"strings"

	"sluice/runtime/tensor"
)

// quick reads a request whose tensors are numbers in the JSON, and that holds nothing unusual, without a map of the text: ten times as fast
// as the thorough way. It reports false, having changed nothing but the batch and req, for all others; then the thorough way decides.
func (d *inferDecoder) quick(body []byte) bool {
	c := cursor{b: body}
	if !c.take('{') {
		return false
	}
	inputs, outputs := false, false
	for more := true; more; {
		key, ok := c.plainKey()
		if !ok {
			return false
		}
		switch {
		case key == "id" && d.req.ID == "":
			var id string
			id, ok = c.plainString()
			d.req.ID = strings.Clone(id)
		case key == "inputs" && !inputs:
			ok, inputs = d.quickInputs(&c), true
		case key == "outputs" && !outputs:
			ok, outputs = d.quickOutputs(&c), true
		case key == "parameters" && !outputs && d.p.defaults == nil: // outputs go by them
			d.req.binary, ok = c.onlyFlag("binary_data_output")
		default:
			return false
		}
		if !ok {
			return false
		}
		if more, ok = c.separator('}'); !ok {
			return false
		}
	}
	d.req.all = len(d.req.outputs) == 0
	return inputs && c.atEnd()
}

// plainKey reads an object's key with its colon.
func (c *cursor) plainKey() (string, bool) {
	s, ok := c.plainString()
	return s, ok && c.take(':')
}

// plainString reads a string that needs no decoding; it is valid as long as the body.
func (c *cursor) plainString() (string, bool) {
	if !c.take('"') {
		return "", false
	}
	rest := c.b[c.i:]
	end := bytes.IndexByte(rest, '"')
	if end < 0 || !plainText(rest[:end]) {
		return "", false
	}
	c.i += end + 1
	return viewOf(rest[:end]), true
}

// onlyFlag reads an object that holds one boolean of the given name.
func (c *cursor) onlyFlag(name string) (v, ok bool) {
	if !c.take('{') {
		return false, false
	}
	key, ok := c.plainKey()
	if !ok || key != name {
		return false, false
	}
	c.skipSpace()
	w, ok := c.letters(tensor.Bool)
	return w != 0, ok && c.take('}')
}

func (d *inferDecoder) quickOutputs(c *cursor) bool {
	if !c.take('[') {
		return false
	}
	for more := true; more; {
		out := inferOutput{binary: d.req.binary}
		if !c.take('{') {
			return false
		}
		for more := true; more; {
			key, ok := c.plainKey()
			switch {
			case ok && key == "name" && out.name == "":
				out.name, ok = c.plainString()
			case ok && key == "parameters":
				out.binary, ok = c.onlyFlag("binary_data")
			default:
				return false
			}
			if !ok {
				return false
			}
			if more, ok = c.separator('}'); !ok {
				return false
			}
		}
		if out.name == "" {
			return false
		}
		d.req.outputs = append(d.req.outputs, inferOutput{strings.Clone(out.name), out.binary})
		var ok bool
		if more, ok = c.separator(']'); !ok {
			return false
		}
	}
	return true
}

func (d *inferDecoder) quickInputs(c *cursor) bool {
	if !c.take('[') {
		return false
	}
	d.in.Batch.Reset(tensor.Named)
	for more := true; more; {
		if !c.take('{') || !d.quickInput(c) {
			return false
		}
		var ok bool
		if more, ok = c.separator(']'); !ok {
			return false
		}
	}
	return true
}

// quickInput reads the rest of a tensor whose data come last.
func (d *inferDecoder) quickInput(c *cursor) bool {
	var name string
	var dtype tensor.DType
	elements := -1
	for {
		key, ok := c.plainKey()
		switch {
		case ok && key == "name" && name == "":
			if name, ok = c.plainString(); ok {
				name = d.ownName(name)
			}
		case ok && key == "datatype" && dtype == tensor.Invalid:
			var word string
			word, ok = c.plainString()
			dtype = inferDType(word)
		case ok && key == "shape" && elements < 0:
			elements, ok = d.quickShape(c)
		case ok && key == "data" && name != "" && elements > 0 && quickTensor(dtype):
			return d.quickData(c, name, dtype, elements) && c.take('}')
		default:
			return false
		}
		if !ok || !c.take(',') {
			return false
		}
	}
}

// quickShape reads a shape of dimensions over 0 into in.shape and returns the number of elements.
func (d *inferDecoder) quickShape(c *cursor) (elements int, ok bool) {
	if !c.take('[') {
		return 0, false
	}
	d.in.shape = d.in.shape[:0]
	elements = 1
	for more := true; more; {
		w, ok := c.slowWord(tensor.Int64)
		n := int64(w)
		if !ok || n <= 0 || n > int64(d.cells/elements) || len(d.in.shape) == maxInferDims {
			return 0, false
		}
		elements *= int(n)
		d.in.shape = append(d.in.shape, n)
		if more, ok = c.separator(']'); !ok {
			return 0, false
		}
	}
	d.cells -= elements
	return elements, true
}

// quickData reads the numbers, flat or nested as the shape says.
func (d *inferDecoder) quickData(c *cursor, name string, dtype tensor.DType, elements int) bool {
	in := d.in
	in.words = slices.Grow(in.words[:0], elements)
	ahead := *c
	if ahead.take('[') && ahead.take('[') {
		if len(in.shape) < 2 || !c.nested(dtype, 0, in) {
			return false
		}
	} else if c.list(dtype, in) != elements {
		return false
	}
	store(in.Batch.AddColumn(name), dtype, in.shape, in.words, 0, 1)
	return true
}
