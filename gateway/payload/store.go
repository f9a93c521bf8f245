package payload

import (
	"math"

	"sluice/runtime/tensor"
)

// store makes t a tensor of type d and the given shape from words (see Input.words): element i is words[from+i*stride].
func store(t *tensor.Tensor, d tensor.DType, shape []int64, words []uint64, from, stride int) {
	t.ResetDirty(d, shape...)
	switch d {
	case tensor.Float32:
		out := tensor.Of[float32](t)
		for i := range out {
			out[i] = float32(math.Float64frombits(words[from+i*stride]))
		}
	case tensor.Float64:
		out := tensor.Of[float64](t)
		for i := range out {
			out[i] = math.Float64frombits(words[from+i*stride])
		}
	case tensor.Float16:
		out := tensor.Of[uint16](t)
		for i := range out {
			out[i] = float16Bits(math.Float64frombits(words[from+i*stride]))
		}
	case tensor.BFloat16:
		out := tensor.Of[uint16](t)
		for i := range out {
			out[i] = tensor.BFloat16Bits(float32(math.Float64frombits(words[from+i*stride])))
		}
	case tensor.Int64, tensor.Datetime:
		storeWords(tensor.Of[int64](t), words, from, stride)
	case tensor.Int32:
		storeWords(tensor.Of[int32](t), words, from, stride)
	case tensor.Int16:
		storeWords(tensor.Of[int16](t), words, from, stride)
	case tensor.Int8:
		storeWords(tensor.Of[int8](t), words, from, stride)
	case tensor.Uint64:
		storeWords(tensor.Of[uint64](t), words, from, stride)
	case tensor.Uint32:
		storeWords(tensor.Of[uint32](t), words, from, stride)
	case tensor.Uint16:
		storeWords(tensor.Of[uint16](t), words, from, stride)
	case tensor.Uint8:
		storeWords(tensor.Of[uint8](t), words, from, stride)
	case tensor.Bool:
		out := tensor.Of[bool](t)
		for i := range out {
			out[i] = words[from+i*stride] != 0
		}
	}
}

func storeWords[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64](out []T, words []uint64, from, stride int) {
	for i := range out {
		out[i] = T(words[from+i*stride])
	}
}

// float16Bits rounds a float64 to IEEE 754 binary16, to nearest, ties to even, as NumPy does.
func float16Bits(f float64) uint16 {
	b := math.Float64bits(f)
	sign := uint16(b>>48) & 0x8000
	abs := math.Abs(f)
	switch {
	case f != f:
		return sign | 0x7e00
	case abs >= 65520: // half a step above the largest number, 65504
		return sign | 0x7c00
	case abs < 0x1p-14: // subnormal: steps of 2^-24
		return sign | uint16(math.RoundToEven(abs*0x1p24))
	}
	exp := int(b>>52&0x7ff) - 1023
	steps := math.RoundToEven(math.Ldexp(abs, 10-exp)) // 1024 to 2048 steps of 2^(exp-10)
	return sign | uint16(int(steps)-1024+(exp+15)<<10)
}
