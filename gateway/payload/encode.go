package payload

import (
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"sluice/runtime/tensor"
)

// Encode appends the answer {"predictions": …} to dst and returns it, as Python's json.dumps writes it: ", " and ": " between
// things, floats by their shortest repr (a float32 as the float64 of the same value), text in ASCII with \u escapes.
//
// A Table is a list of records keyed by column name in the batch's order; a column of more dimensions than one gives each record its
// slice as nested lists, except that a slice of a single element is written as the element, as MLflow's ONNX flavor does. Named is an
// object of nested lists; Bare is a nested list. A column with Keys gives a map a row; JSON texts are copied as they
// are, so a Bare batch of one text without dimensions is an answer of any form. NaN, infinities and NaT are null; times are
// ISO 8601 in a Table and nanoseconds elsewhere; bytes are Base64 in lines of 76 characters.
//
// On error (a Table column with another row count than the batch; a value with an impossible shape) dst is returned as it was given.
func Encode(dst []byte, out *tensor.Batch) ([]byte, error) {
	start := len(dst)
	dst = append(dst, `{"predictions": `...)
	var err error
	switch out.Form {
	case tensor.Table:
		dst, err = appendTable(dst, out)
	case tensor.Named:
		dst, err = appendNamed(dst, out)
	default:
		dst, err = appendBare(dst, out)
	}
	if err != nil {
		return dst[:start], err
	}
	return append(dst, '}'), nil
}

func appendTable(dst []byte, out *tensor.Batch) ([]byte, error) {
	for i := range out.Columns {
		if err := checkColumn(&out.Columns[i], out.Rows); err != nil {
			return dst, err
		}
	}
	dst = append(dst, '[')
	for row := range out.Rows {
		if row > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(dst, '{')
		for i := range out.Columns {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			c := &out.Columns[i]
			dst = appendString(dst, c.Name)
			dst = append(dst, ": "...)
			dst = appendCell(dst, c, row)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']'), nil
}

func checkColumn(c *tensor.Column, rows int) error {
	t := &c.Tensor
	if t.Rows() != rows || len(t.Shape) == 0 || t.Len() != rows*t.Width() {
		return fmt.Errorf("output %q has the shape %v and %d elements in a batch of %d rows", c.Name, t.Shape, t.Len(), rows)
	}
	if c.Keys != nil && t.Width() != len(c.Keys) {
		return fmt.Errorf("output %q has %d keys for a shape of %v", c.Name, len(c.Keys), t.Shape)
	}
	return nil
}

func appendCell(dst []byte, c *tensor.Column, row int) []byte {
	t := &c.Tensor
	width := t.Width()
	switch {
	case c.Keys != nil:
		return appendMap(dst, c, row)
	case c.JSON && t.Type == tensor.String && width == 1:
		return append(dst, t.Strings()[row]...)
	case width == 1:
		return appendElement(dst, t, row, true)
	}
	dst, _ = appendNested(dst, t, t.Shape[1:], row*width, true)
	return dst
}

// appendMap writes row i of a column with keys as an object.
func appendMap(dst []byte, c *tensor.Column, row int) []byte {
	dst = append(dst, '{')
	for j, k := range c.Keys {
		if j > 0 {
			dst = append(dst, ", "...)
		}
		dst = appendString(dst, k)
		dst = append(dst, ": "...)
		dst = appendElement(dst, &c.Tensor, row*len(c.Keys)+j, true)
	}
	return append(dst, '}')
}

func appendNamed(dst []byte, out *tensor.Batch) ([]byte, error) {
	dst = append(dst, '{')
	for i := range out.Columns {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = appendString(dst, out.Columns[i].Name)
		dst = append(dst, ": "...)
		var err error
		if dst, err = appendTensor(dst, &out.Columns[i]); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

func appendBare(dst []byte, out *tensor.Batch) ([]byte, error) {
	if len(out.Columns) != 1 {
		return dst, fmt.Errorf("an unnamed output has %d tensors instead of one", len(out.Columns))
	}
	return appendTensor(dst, &out.Columns[0])
}

func appendTensor(dst []byte, c *tensor.Column) ([]byte, error) {
	t := &c.Tensor
	want := 1
	for _, d := range t.Shape {
		want *= int(d)
	}
	if want != t.Len() {
		return dst, fmt.Errorf("output %q has the shape %v but %d elements", c.Name, t.Shape, t.Len())
	}
	if c.JSON && t.Type == tensor.String {
		dst, _ = appendTexts(dst, t.Strings(), t.Shape)
		return dst, nil
	}
	if c.Keys == nil {
		dst, _ = appendNested(dst, t, t.Shape, 0, false)
		return dst, nil
	}
	if err := checkColumn(c, t.Rows()); err != nil {
		return dst, err
	}
	dst = append(dst, '[')
	for row := range t.Rows() {
		if row > 0 {
			dst = append(dst, ", "...)
		}
		dst = appendMap(dst, c, row)
	}
	return append(dst, ']'), nil
}

// appendTexts writes JSON texts as lists of the given shape, and returns those behind them.
func appendTexts(dst []byte, texts []string, shape []int64) ([]byte, []string) {
	if len(shape) == 0 {
		return append(dst, texts[0]...), texts[1:]
	}
	dst = append(dst, '[')
	for i := range shape[0] {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst, texts = appendTexts(dst, texts, shape[1:])
	}
	return append(dst, ']'), texts
}

// appendNested writes the elements from at on as lists of the given shape and returns the index behind them.
func appendNested(dst []byte, t *tensor.Tensor, shape []int64, at int, table bool) ([]byte, int) {
	if len(shape) == 0 {
		return appendElement(dst, t, at, table), at + 1
	}
	dst = append(dst, '[')
	for i := range shape[0] {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst, at = appendNested(dst, t, shape[1:], at, table)
	}
	return append(dst, ']'), at
}

// appendElement writes element i of t.
func appendElement(dst []byte, t *tensor.Tensor, i int, table bool) []byte {
	switch t.Type {
	case tensor.Float32:
		return appendFloat(dst, float64(tensor.Of[float32](t)[i]))
	case tensor.Float64:
		return appendFloat(dst, tensor.Of[float64](t)[i])
	case tensor.Int64:
		return strconv.AppendInt(dst, tensor.Of[int64](t)[i], 10)
	case tensor.Int32:
		return strconv.AppendInt(dst, int64(tensor.Of[int32](t)[i]), 10)
	case tensor.Int16:
		return strconv.AppendInt(dst, int64(tensor.Of[int16](t)[i]), 10)
	case tensor.Int8:
		return strconv.AppendInt(dst, int64(tensor.Of[int8](t)[i]), 10)
	case tensor.Uint64:
		return strconv.AppendUint(dst, tensor.Of[uint64](t)[i], 10)
	case tensor.Uint32:
		return strconv.AppendUint(dst, uint64(tensor.Of[uint32](t)[i]), 10)
	case tensor.Uint16:
		return strconv.AppendUint(dst, uint64(tensor.Of[uint16](t)[i]), 10)
	case tensor.Uint8:
		return strconv.AppendUint(dst, uint64(tensor.Of[uint8](t)[i]), 10)
	case tensor.Bool:
		return strconv.AppendBool(dst, tensor.Of[bool](t)[i])
	case tensor.Float16:
		return appendFloat(dst, float64(tensor.Float16Value(tensor.Of[uint16](t)[i])))
	case tensor.BFloat16:
		return appendFloat(dst, float64(math.Float32frombits(uint32(tensor.Of[uint16](t)[i])<<16)))
	case tensor.Datetime:
		return appendDatetime(dst, tensor.Of[int64](t)[i], table)
	case tensor.String:
		return appendString(dst, t.Strings()[i])
	case tensor.Binary:
		dst = append(dst, '"')
		dst = appendBase64(dst, t.Strings()[i])
		return append(dst, '"')
	}
	return append(dst, "null"...)
}

// appendFloat writes a number of an answer; what JSON cannot write is null.
func appendFloat(dst []byte, f float64) []byte {
	if f-f != 0 {
		return append(dst, "null"...)
	}
	return appendPythonFloat(dst, f)
}

// appendPythonFloat writes Python's repr of a float: the shortest digits that parse back to it, an exponent below 1e-4 and from 1e16,
// and always a fraction or an exponent.
func appendPythonFloat(dst []byte, f float64) []byte {
	abs := math.Abs(f)
	switch {
	case f != f:
		return append(dst, "nan"...)
	case f > math.MaxFloat64:
		return append(dst, "inf"...)
	case f < -math.MaxFloat64:
		return append(dst, "-inf"...)
	case abs < 1e15 && f == math.Trunc(f):
		if f == 0 && math.Signbit(f) {
			dst = append(dst, '-')
		}
		return append(strconv.AppendInt(dst, int64(f), 10), ".0"...)
	case abs != 0 && (abs < 1e-4 || abs >= 1e16):
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	n := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
	for _, c := range dst[n:] {
		if c == '.' {
			return dst
		}
	}
	return append(dst, ".0"...)
}

const hexDigits = "0123456789abcdef"

// appendString writes text as json.dumps does with ensure_ascii: everything beyond ASCII, DEL excepted, as \u escapes. Bytes that are
// not UTF-8 become U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < 0x80 && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[from:i]...)
		r, n := rune(c), 1
		if c >= 0x80 {
			r, n = utf8.DecodeRuneInString(s[i:])
		}
		dst = appendEscaped(dst, r)
		i += n
		from = i
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

func appendEscaped(dst []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	}
	if r > 0xffff {
		r -= 0x10000
		return appendUnit(appendUnit(dst, 0xd800+r>>10), 0xdc00+r&0x3ff)
	}
	return appendUnit(dst, r)
}

func appendUnit(dst []byte, u rune) []byte {
	return append(dst, '\\', 'u', hexDigits[u>>12&15], hexDigits[u>>8&15], hexDigits[u>>4&15], hexDigits[u&15])
}
