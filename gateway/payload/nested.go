package payload

import (
	"strconv"

	"sluice/runtime/tensor"
)

// convertNested fills a JSON column: every cell is checked against the column's nested kind and kept as canonical JSON text.
func (f *frame) convertNested(out *tensor.Tensor, c *column, name string, cells []uint32) error {
	out.Reset(tensor.String, int64(len(cells)))
	to := out.Strings()
	for row, n := range cells {
		var v any
		if n != 0 {
			v = f.t.value(n)
		}
		if err := c.spec.CheckValue(v); err != nil {
			return badf("Data is not compatible with model signature. Failed to convert column %s to type '%s': row %d: %w",
				quoteName(name), c.want(), row, err)
		}
		to[row] = "null"
		if n != 0 {
			to[row] = string(f.t.appendCanonical(nil, n))
		}
	}
	return nil
}

// appendCanonical writes the value at n as Encode writes values: Python's separators, ASCII, null for what JSON cannot write. Repeated
// keys are written once, with the last value at the first place, as in a Python dict.
func (t *text) appendCanonical(dst []byte, n uint32) []byte {
	switch t.first(n) {
	case '{':
		dst = append(dst, '{')
		for i, m := range lastOf(t, n) {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = appendString(dst, m.name)
			dst = append(dst, ": "...)
			dst = t.appendCanonical(dst, m.value)
		}
		return append(dst, '}')
	case '[':
		dst = append(dst, '[')
		first := true
		t.children(n, func(c uint32) bool {
			if !first {
				dst = append(dst, ", "...)
			}
			first = false
			dst = t.appendCanonical(dst, c)
			return true
		})
		return append(dst, ']')
	case '"':
		return appendString(dst, t.str(n))
	case 't', 'f':
		return strconv.AppendBool(dst, t.first(n) == 't')
	case 'n':
		return append(dst, "null"...)
	}
	if f, _, c := t.number(n); c == classFloat {
		return appendFloat(dst, f)
	}
	return append(dst, t.pythonText(n)...)
}
