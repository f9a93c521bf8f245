package payload

import (
	"encoding/binary"
	"unicode/utf8"

	"sluice/runtime/tensor"
)

// fromJSON reads a tensor's elements: flat, or nested as its shape says.
func (d *inferDecoder) fromJSON(out *tensor.Tensor, name string, dtype tensor.DType, elements int, n uint32) error {
	if done, err := d.fromFlat(out, name, dtype, elements, n); done || err != nil {
		return err
	}
	a, err := d.t.readArray(n, "input "+quoteName(name))
	if err != nil {
		return err
	}
	if len(a.leaves) != elements {
		return badf("Input %s has %d values where its shape says %d.", quoteName(name), len(a.leaves), elements)
	}
	a.shape = append([]int64(nil), d.in.shape...)
	return a.store(d.t, out, dtype, name, InferType(dtype), d.in)
}

// fromFlat reads the elements if they are numbers in a flat list of the right length; not done means that they are something else.
func (d *inferDecoder) fromFlat(out *tensor.Tensor, name string, dtype tensor.DType, elements int, n uint32) (done bool, err error) {
	if dtype.Text() || d.t.first(n) != '[' {
		return false, nil
	}
	words, flat := d.in.words[:0], true
	d.t.children(n, func(v uint32) bool {
		if d.t.first(v) == '[' {
			flat = false
			return false
		}
		w, why := d.t.word(v, dtype, rules{})
		if why != "" {
			err = convertError(name, d.row(len(words)), InferType(dtype), why)
			return false
		}
		words = append(words, w)
		return true
	})
	d.in.words = words
	if err != nil || !flat || len(words) != elements {
		return false, err
	}
	store(out, dtype, d.in.shape, words, 0, 1)
	return true, nil
}

// row is the row of element i of the tensor whose shape was read last.
func (d *inferDecoder) row(i int) int {
	per := int64(1)
	for _, n := range d.in.shape[min(1, len(d.in.shape)):] {
		per *= n
	}
	return i / int(max(per, 1))
}

// fromBytes takes a tensor's elements from the bytes behind the JSON: little endian, row-major; text as a length in 4 bytes and the bytes.
func (d *inferDecoder) fromBytes(out *tensor.Tensor, name string, dtype tensor.DType, elements, size int) error {
	raw := d.rest[:size]
	d.rest = d.rest[size:]
	if dtype.Text() {
		return d.texts(out, name, dtype, elements, raw)
	}
	if size != elements*dtype.Size() {
		return badf("Input %s has %d bytes where its shape and datatype say %d.", quoteName(name), size, elements*dtype.Size())
	}
	out.ResetDirty(dtype, d.in.shape...)
	if dtype != tensor.Bool {
		copy(out.Raw(), raw)
		return nil
	}
	to := tensor.Of[bool](out)
	for i, b := range raw {
		to[i] = b != 0
	}
	return nil
}

func (d *inferDecoder) texts(out *tensor.Tensor, name string, dtype tensor.DType, elements int, raw []byte) error {
	out.Reset(dtype, d.in.shape...)
	to := out.Strings()
	for i := range elements {
		if len(raw) < 4 || uint64(binary.LittleEndian.Uint32(raw)) > uint64(len(raw)-4) {
			return badf("Element %d of input %s does not fit its bytes.", i, quoteName(name))
		}
		end := 4 + int(binary.LittleEndian.Uint32(raw))
		if dtype == tensor.String && !utf8.Valid(raw[4:end]) {
			return badf("Element %d of input %s is not UTF-8 text.", i, quoteName(name))
		}
		to[i] = string(raw[4:end])
		raw = raw[end:]
	}
	if len(raw) > 0 {
		return badf("Input %s has %d bytes behind its last element.", quoteName(name), len(raw))
	}
	return nil
}
