package tensor

import (
	"fmt"
	"math"
)

// number is a Go type that arithmetic conversion works on.
type number interface {
	int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | float32 | float64
}

// Convert makes dst the elements of src as type d, with src's shape, as NumPy's astype does: floats are truncated towards zero,
// integers wrap, anything but zero is true. Text converts only to the same type (String and Binary count as one); Datetime converts to
// and from Int64. dst must not be src. Returns ErrShape, wrapped, for any other pair.
func Convert(dst *Tensor, d DType, src *Tensor) error {
	if d == src.Type || (d.Text() && src.Type.Text()) {
		dst.CopyFrom(src)
		dst.Type = d
		return nil
	}
	if !convertible(d) || !convertible(src.Type) || (d == Datetime || src.Type == Datetime) && d.Float() != src.Type.Float() {
		return fmt.Errorf("%w: cannot convert %s to %s", ErrShape, src.Type, d)
	}
	dst.ResetDirty(d, src.Shape...)
	switch d {
	case Bool:
		out := Of[bool](dst)
		for i := range out {
			out[i] = at(src, i) != 0
		}
	case Int8:
		fill(Of[int8](dst), src)
	case Int16:
		fill(Of[int16](dst), src)
	case Int32:
		fill(Of[int32](dst), src)
	case Int64, Datetime:
		fill(Of[int64](dst), src)
	case Uint8:
		fill(Of[uint8](dst), src)
	case Uint16:
		fill(Of[uint16](dst), src)
	case Uint32:
		fill(Of[uint32](dst), src)
	case Uint64:
		fill(Of[uint64](dst), src)
	case Float16, BFloat16:
		fillHalf(Of[uint16](dst), d, src)
	case Float32:
		fill(Of[float32](dst), src)
	case Float64:
		fill(Of[float64](dst), src)
	}
	return nil
}

func convertible(d DType) bool { return d > Invalid && d <= Datetime }

// fill converts src's elements into out, which has as many.
func fill[D number](out []D, src *Tensor) {
	switch src.Type {
	case Bool:
		for i, v := range Of[bool](src) {
			out[i] = 0
			if v {
				out[i] = 1
			}
		}
	case Int8:
		cast(out, Of[int8](src))
	case Int16:
		cast(out, Of[int16](src))
	case Int32:
		cast(out, Of[int32](src))
	case Int64, Datetime:
		cast(out, Of[int64](src))
	case Uint8:
		cast(out, Of[uint8](src))
	case Uint16:
		cast(out, Of[uint16](src))
	case Uint32:
		cast(out, Of[uint32](src))
	case Uint64:
		cast(out, Of[uint64](src))
	case Float16, BFloat16:
		for i, v := range Of[uint16](src) {
			out[i] = D(halfValue(src.Type, v))
		}
	case Float32:
		cast(out, Of[float32](src))
	case Float64:
		cast(out, Of[float64](src))
	}
}

func cast[D, S number](out []D, in []S) {
	for i, v := range in {
		out[i] = D(v)
	}
}

func fillHalf(out []uint16, d DType, src *Tensor) {
	for i := range out {
		if d == Float16 {
			out[i] = Float16Bits(float32(at(src, i)))
		} else {
			out[i] = BFloat16Bits(float32(at(src, i)))
		}
	}
}

// At is the element at flat index i as a float64: false and true are 0 and 1, integers beyond 2^53 lose digits. NaN for text.
func (t *Tensor) At(i int) float64 { return at(t, i) }

func at(t *Tensor, i int) float64 {
	switch t.Type {
	case Bool:
		if Of[bool](t)[i] {
			return 1
		}
		return 0
	case Int8:
		return float64(Of[int8](t)[i])
	case Int16:
		return float64(Of[int16](t)[i])
	case Int32:
		return float64(Of[int32](t)[i])
	case Int64, Datetime:
		return float64(Of[int64](t)[i])
	case Uint8:
		return float64(Of[uint8](t)[i])
	case Uint16:
		return float64(Of[uint16](t)[i])
	case Uint32:
		return float64(Of[uint32](t)[i])
	case Uint64:
		return float64(Of[uint64](t)[i])
	case Float16, BFloat16:
		return float64(halfValue(t.Type, Of[uint16](t)[i]))
	case Float32:
		return float64(Of[float32](t)[i])
	case Float64:
		return Of[float64](t)[i]
	}
	return math.NaN()
}

func halfValue(d DType, bits uint16) float32 {
	if d == BFloat16 {
		return math.Float32frombits(uint32(bits) << 16)
	}
	return Float16Value(bits)
}

// Float16Value is the value of IEEE 754 half-precision bits.
func Float16Value(bits uint16) float32 {
	sign := uint32(bits&0x8000) << 16
	exp := uint32(bits>>10) & 0x1f
	frac := uint32(bits & 0x3ff)
	switch {
	case exp == 0x1f: // infinity, NaN
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	case exp == 0: // zero, subnormal: frac × 2^-24
		v := float32(frac) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(v) | sign)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// Float16Bits rounds v to the nearest half-precision value, ties to even; too large becomes infinity.
func Float16Bits(v float32) uint16 {
	b := math.Float32bits(v)
	sign := uint16(b>>16) & 0x8000
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000:
		return sign | 0x7e00
	case b >= 0x477ff000: // rounds to 65536 or more
		return sign | 0x7c00
	case b < 0x38800000: // below 2^-14: subnormal. Adding 0.5 aligns the fraction so that the FPU rounds to even.
		return sign | uint16(math.Float32bits(math.Float32frombits(b)+0.5)-0x3f000000)
	}
	b += 0xfff + (b>>13)&1
	return sign | uint16((b-0x38000000)>>13)
}

// BFloat16Bits rounds v to the nearest bfloat16 value, ties to even.
func BFloat16Bits(v float32) uint16 {
	b := math.Float32bits(v)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + (b>>16)&1) >> 16)
}
