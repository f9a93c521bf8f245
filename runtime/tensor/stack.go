package tensor

import "fmt"

// Stack makes dst the matrix of a frame's columns: shape [rows, width], where a column of shape [rows] is one wide and one of shape
// [rows, k] is k wide. Its type is the one NumPy gives a frame's values: the common type of all columns, Promote by Promote.
// A single column is copied. Returns ErrShape if the columns have different row counts or no common type.
func Stack(dst *Tensor, columns []Column) error {
	if len(columns) == 0 {
		return fmt.Errorf("%w: no columns", ErrShape)
	}
	d, rows, width, err := stackType(columns)
	if err != nil {
		return err
	}
	dst.ResetDirty(d, int64(rows), int64(width))
	var tmp *Tensor
	at := 0
	for i := range columns {
		t := &columns[i].Tensor
		if t.Type != d {
			if tmp == nil {
				tmp = new(Tensor)
			}
			if err := Convert(tmp, d, t); err != nil {
				return err
			}
			t = tmp
		}
		w := t.Width()
		scatter(dst, t, rows, width, w, at)
		at += w
	}
	return nil
}

func stackType(columns []Column) (d DType, rows, width int, err error) {
	d, rows = columns[0].Tensor.Type, columns[0].Tensor.Rows()
	for i := range columns {
		t := &columns[i].Tensor
		if len(t.Shape) == 0 || t.Rows() != rows {
			return d, rows, width, fmt.Errorf("%w: column %q has shape %v, want %d rows", ErrShape, columns[i].Name, t.Shape, rows)
		}
		var ok bool
		if d, ok = Promote(d, t.Type); !ok {
			return d, rows, width, fmt.Errorf("%w: column %q of type %s cannot stand beside columns of other types",
				ErrShape, columns[i].Name, t.Type)
		}
		width += t.Width()
	}
	return d, rows, width, nil
}

// scatter writes t, w elements a row, into columns [at, at+w) of dst, width elements a row.
func scatter(dst, t *Tensor, rows, width, w, at int) {
	if dst.Type.Text() {
		for r := range rows {
			copy(dst.strs[r*width+at:r*width+at+w], t.strs[r*w:])
		}
		return
	}
	if w == 1 && dst.Type == Float32 { // the shape of nearly every tabular request
		out, in := Of[float32](dst), Of[float32](t)
		for r := range rows {
			out[r*width+at] = in[r]
		}
		return
	}
	size := dst.Type.Size()
	for r := range rows {
		copy(dst.raw[(r*width+at)*size:(r*width+at+w)*size], t.raw[r*w*size:])
	}
}

// Promote is the common type of two (source: numpy.result_type): a wider one of the same family, a signed integer wide enough for an
// unsigned one, a float wide enough for an integer. Text, Datetime and Bool join only their own; false means there is none (pandas
// would fall back to objects).
func Promote(a, b DType) (DType, bool) {
	switch {
	case a == b:
		return a, true
	case a.Text() && b.Text():
		return String, true
	case !a.Numeric() || !b.Numeric():
		return Invalid, false
	case a.Float() != b.Float():
		return promoteMixed(a, b), true
	case a.Float():
		return promoteFloat(a, b), true
	}
	return promoteInteger(a, b), true
}

func promoteFloat(a, b DType) DType {
	if a.Size() == 2 && b.Size() == 2 { // float16 with bfloat16
		return Float32
	}
	return max(a, b)
}

// promoteMixed joins a float with an integer.
func promoteMixed(a, b DType) DType {
	if b.Float() {
		a, b = b, a
	}
	switch {
	case b.Size() >= 4:
		return Float64
	case b.Size() == 2 || a == BFloat16:
		return max(a, Float32)
	}
	return a
}

func promoteInteger(a, b DType) DType {
	aUnsigned, bUnsigned := a >= Uint8, b >= Uint8
	if aUnsigned == bUnsigned {
		return max(a, b)
	}
	if aUnsigned {
		a, b = b, a
	}
	switch { // a is signed, b unsigned
	case a.Size() > b.Size():
		return a
	case b == Uint64:
		return Float64
	}
	return map[DType]DType{Uint8: Int16, Uint16: Int32, Uint32: Int64}[b]
}
