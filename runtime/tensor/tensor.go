package tensor

import (
	"fmt"
	"math"
	"slices"
	"unsafe"
)

// Tensor is a dense, row-major, n-dimensional array. Elements of fixed size live in one byte buffer that typed views alias;
// String and Binary live in a slice of Go strings. The zero value is an empty tensor of Invalid type; Reset gives it a type.
// A Tensor is not copied by assignment: two copies share memory (see Batch.View for the safe way).
type Tensor struct {
	Type  DType
	Shape []int64 // row-major; Shape[0] is the number of rows where the tensor is a column of a Batch
	raw   []byte  // native byte order (little endian on every supported platform), 8-byte aligned, len = elements × size
	strs  []string
	view  bool // raw and strs belong to another tensor: Reset must not write there
}

// Element is a Go type that a tensor's buffer can be seen as. Float16 and BFloat16 are seen as uint16, Datetime as int64.
type Element interface {
	bool | int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | float32 | float64
}

// Reset makes t a tensor of the given type and shape, keeping its memory for the new elements. Dimensions must be ≥ 0; the caller
// bounds their product. The content is zero (text: empty).
func (t *Tensor) Reset(d DType, shape ...int64) {
	t.Type = d
	t.Shape = append(t.Shape[:0], shape...)
	if t.view {
		t.raw, t.strs, t.view = nil, nil, false
	}
	n := count(t.Shape)
	if d.Text() {
		t.raw = t.raw[:0]
		t.strs = resize(t.strs, n)
		return
	}
	clear(t.strs)
	t.strs = t.strs[:0]
	t.setRawLen(n * d.Size())
	clear(t.raw)
}

// ResetDirty is Reset without clearing: fixed-size elements hold what was there before. For callers that write every element.
func (t *Tensor) ResetDirty(d DType, shape ...int64) {
	if d.Text() || t.view || len(t.strs) > 0 {
		t.Reset(d, shape...)
		return
	}
	t.Type = d
	t.Shape = append(t.Shape[:0], shape...)
	t.setRawLen(count(t.Shape) * d.Size())
}

func resize(s []string, n int) []string {
	clear(s)
	if cap(s) < n {
		return make([]string, n)
	}
	s = s[:n]
	clear(s)
	return s
}

func (t *Tensor) setRawLen(n int) {
	if cap(t.raw) < n {
		t.raw = aligned(n)
	}
	t.raw = t.raw[:n]
}

// aligned returns a buffer of n bytes whose first byte is 8-byte aligned (a []byte alone promises nothing).
func aligned(n int) []byte {
	words := make([]uint64, (n+7)/8)
	if len(words) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), len(words)*8)
}

func count(shape []int64) int {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return int(n)
}

// Len is the number of elements held.
func (t *Tensor) Len() int {
	if t.Type.Text() {
		return len(t.strs)
	}
	if s := t.Type.Size(); s > 0 {
		return len(t.raw) / s
	}
	return 0
}

// Rows is Shape[0], or 0 for a tensor without dimensions.
func (t *Tensor) Rows() int {
	if len(t.Shape) == 0 {
		return 0
	}
	return int(t.Shape[0])
}

// Width is the number of elements per row: the product of the dimensions after the first.
func (t *Tensor) Width() int {
	if len(t.Shape) == 0 {
		return 1
	}
	return count(t.Shape[1:])
}

// Of is the elements of t seen as a slice of T, aliasing t's memory until its next Reset or Append; nil for text. T must have the
// element's size: a view with another size than the type's is a programmer's error and returns nil.
func Of[T Element](t *Tensor) []T {
	var zero T
	size := int(unsafe.Sizeof(zero))
	if size != t.Type.Size() || len(t.raw) == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(t.raw))), len(t.raw)/size)
}

// Strings is the elements of a String or Binary tensor, aliasing t's memory; nil for other types.
func (t *Tensor) Strings() []string {
	if !t.Type.Text() {
		return nil
	}
	return t.strs
}

// Raw is the buffer of a fixed-size type in native byte order, aliasing t's memory; empty for text.
func (t *Tensor) Raw() []byte {
	if t.Type.Text() {
		return nil
	}
	return t.raw
}

// Append adds one element to a column (a tensor of one dimension) or to the flat content of a wider one, whose shape the caller then
// sets with Reshape. T must have the element's size.
func Append[T Element](t *Tensor, v T) {
	n := len(t.raw)
	size := int(unsafe.Sizeof(v))
	if n+size > cap(t.raw) || t.view {
		t.growRaw(size)
	}
	t.raw = t.raw[:n+size]
	*(*T)(unsafe.Pointer(&t.raw[n])) = v
	if len(t.Shape) == 1 {
		t.Shape[0]++
	}
}

// AppendString adds one element to a String or Binary tensor; otherwise as Append. The string is kept, not copied.
func (t *Tensor) AppendString(s string) {
	if t.view {
		t.own()
	}
	t.strs = append(t.strs, s)
	if len(t.Shape) == 1 {
		t.Shape[0]++
	}
}

func (t *Tensor) growRaw(more int) {
	grown := aligned(max(64, 2*len(t.raw), len(t.raw)+more))
	copy(grown, t.raw)
	t.raw = grown[:len(t.raw)]
	t.view = false
}

// own gives a view memory of its own.
func (t *Tensor) own() {
	if !t.view {
		return
	}
	t.view = false
	t.strs = slices.Clone(t.strs)
	raw := aligned(len(t.raw))
	copy(raw, t.raw)
	t.raw = raw[:len(t.raw)]
}

// Reshape gives the elements another shape. Returns an error, and changes nothing, unless the product of the dimensions is Len.
func (t *Tensor) Reshape(shape ...int64) error {
	if !Fits(t.Len(), shape) {
		return fmt.Errorf("cannot reshape %d elements to %v", t.Len(), shape)
	}
	t.Shape = append(t.Shape[:0], shape...)
	return nil
}

// Fits reports whether shape has no negative dimension and exactly n elements; it does not overflow.
func Fits(n int, shape []int64) bool {
	have, empty := int64(1), false
	for _, d := range shape {
		switch {
		case d < 0:
			return false
		case d == 0:
			empty = true
		case have > int64(n)/d: // more than n already, unless a zero follows
			have = math.MaxInt64
		default:
			have *= d
		}
	}
	return (empty && n == 0) || (!empty && have == int64(n))
}

// Bytes is the memory held, in bytes: buffers at their capacity and the text of strings in use.
func (t *Tensor) Bytes() int {
	n := cap(t.raw) + 16*cap(t.strs)
	for _, s := range t.strs {
		n += len(s)
	}
	return n
}

// CopyFrom makes t equal to src in memory of its own.
func (t *Tensor) CopyFrom(src *Tensor) {
	t.copyRows(src, 0, src.Len(), src.Shape)
}

// copyRows makes t the elements [from, to) of src with the given shape.
func (t *Tensor) copyRows(src *Tensor, from, to int, shape []int64) {
	if t.view {
		t.raw, t.strs, t.view = nil, nil, false
	}
	t.Type = src.Type
	t.Shape = append(t.Shape[:0], shape...)
	clear(t.strs)
	t.strs = t.strs[:0]
	if src.Type.Text() {
		t.raw = t.raw[:0]
		t.strs = append(t.strs, src.strs[from:to]...)
		return
	}
	size := src.Type.Size()
	t.setRawLen((to - from) * size)
	copy(t.raw, src.raw[from*size:to*size])
}

// viewOf makes t share the elements [from, to) of src with the given row count.
func (t *Tensor) viewOf(src *Tensor, from, to int, rows int64) {
	t.Type = src.Type
	t.Shape = append(t.Shape[:0], src.Shape...)
	if len(t.Shape) > 0 {
		t.Shape[0] = rows
	}
	t.view = true
	t.raw, t.strs = nil, nil
	if src.Type.Text() {
		t.strs = src.strs[from:to:to]
		return
	}
	size := src.Type.Size()
	t.raw = src.raw[from*size : to*size : to*size]
}

// appendAll adds src's elements to t, which has the same type and width.
func (t *Tensor) appendAll(src *Tensor) {
	t.own()
	if t.Type.Text() {
		t.strs = append(t.strs, src.strs...)
	} else {
		n := len(t.raw)
		if n+len(src.raw) > cap(t.raw) {
			t.growRaw(len(src.raw))
		}
		t.raw = t.raw[:n+len(src.raw)]
		copy(t.raw[n:], src.raw)
	}
	t.Shape[0] += src.Shape[0]
}
