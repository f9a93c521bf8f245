package payload

import (
	"math"

	"sluice/runtime/tensor"
)

// quickArrays reads the value of "inputs" or "instances".
func (p *Plan) quickArrays(c *cursor, in *Input) bool {
	c.skipSpace()
	if c.i >= len(c.b) {
		return false
	}
	switch {
	case p.columns == nil:
		return p.quickTensors(c, in)
	case c.b[c.i] == '{':
		return p.quickColumnArrays(c, in)
	case len(p.columns) == 1 && c.b[c.i] == '[' && !c.objectsFollow():
		in.words, in.head = in.words[:0], in.head[:0]
		p.forget(in)
		in.seen[0] = 0
		n := c.list(p.columns[0].dtype, in)
		return n >= 0 && p.finishTable(in, n, 1)
	}
	return p.quickRecords(c, in)
}

// objectsFollow reports whether the list at the cursor begins with an object.
func (c *cursor) objectsFollow() bool {
	ahead := *c
	return ahead.take('[') && ahead.take('{')
}

// list reads a list of plain values into words and returns how many; −1 if it is something else.
func (c *cursor) list(d tensor.DType, in *Input) int {
	if !c.take('[') {
		return -1
	}
	if c.take(']') {
		return 0
	}
	for n := 1; ; n++ {
		w, ok := c.word(d)
		if !ok {
			return -1
		}
		in.words = append(in.words, w)
		if c.take(',') {
			continue
		}
		if !c.take(']') {
			return -1
		}
		return n
	}
}

// quickColumnArrays reads an object of one list a column, all of one length, or of one bare value a column.
func (p *Plan) quickColumnArrays(c *cursor, in *Input) bool {
	in.words, in.head = in.words[:0], in.head[:0]
	p.forget(in)
	c.take('{')
	rows, bare, next := -1, false, 0
	for more := true; more; {
		i, ok := p.key(c, next)
		if !ok || in.seen[i] >= 0 || len(in.words) > math.MaxInt32 {
			return false
		}
		in.seen[i] = int32(len(in.words))
		next = i + 1
		n := 1
		if c.skipSpace(); c.i < len(c.b) && c.b[c.i] == '[' {
			if n = c.list(p.columns[i].dtype, in); rows >= 0 && bare {
				return false
			}
		} else {
			w, ok := c.word(p.columns[i].dtype)
			if !ok || (rows >= 0 && !bare) {
				return false
			}
			in.words, bare = append(in.words, w), true
		}
		if n < 0 || (rows >= 0 && n != rows) {
			return false
		}
		rows = n
		if more, ok = c.separator('}'); !ok {
			return false
		}
	}
	return p.complete(in) && p.finishTable(in, rows, 1)
}

// quickTensors reads the tensors of a tensor schema: a nested list, or an object of them in the schema's order.
func (p *Plan) quickTensors(c *cursor, in *Input) bool {
	if p.byName == nil {
		in.Batch.Reset(tensor.Bare)
		return p.quickTensor(c, 0, in) && in.Batch.CountRows() == nil && in.Batch.Rows >= 0
	}
	if !c.take('{') {
		return false
	}
	in.Batch.Reset(tensor.Named)
	for i := range p.tensors {
		if got, ok := p.key(c, i); !ok || got != i || !p.quickTensor(c, i, in) {
			return false
		}
		if i < len(p.tensors)-1 && !c.take(',') {
			return false
		}
	}
	return c.take('}') && in.Batch.CountRows() == nil && in.Batch.Rows >= 0
}

// quickTensor reads one nested list of the depth that the schema asks for.
func (p *Plan) quickTensor(c *cursor, i int, in *Input) bool {
	spec := &p.tensors[i]
	in.words, in.shape = in.words[:0], in.shape[:0]
	for range spec.shape {
		in.shape = append(in.shape, -1)
	}
	if len(in.shape) == 0 || !c.nested(spec.dtype, 0, in) || !spec.fits(in.shape) {
		return false
	}
	store(in.Batch.AddColumn(spec.name), spec.dtype, in.shape, in.words, 0, 1)
	return true
}

// nested reads a list of dimension dim of in.shape, where −1 is a length not yet known.
func (c *cursor) nested(d tensor.DType, dim int, in *Input) bool {
	n := 0
	if dim == len(in.shape)-1 {
		n = c.list(d, in)
	} else {
		if !c.take('[') {
			return false
		}
		for more := true; more; n++ {
			if !c.nested(d, dim+1, in) {
				return false
			}
			var ok bool
			if more, ok = c.separator(']'); !ok {
				return false
			}
		}
	}
	if n < 0 || (in.shape[dim] >= 0 && in.shape[dim] != int64(n)) {
		return false
	}
	in.shape[dim] = int64(n)
	return true
}
