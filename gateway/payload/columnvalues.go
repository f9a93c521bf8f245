package payload

import (
	"math"
	"slices"

	"sluice/runtime/tensor"
)

// columnValues is what a column of a Parquet or Arrow body held: one entry a row.
type columnValues struct {
	words []uint64 // see Input.words; 0 where null
	texts []string // of text columns, "" where null
	nulls []bool
}

// finish gives a column its type. Integers with nulls are floats, as in pandas; booleans and bytes cannot be null. out is of the column
// that was added last.
func (v *columnValues) finish(out *tensor.Tensor, name string, d tensor.DType, in *Input) error {
	if row := slices.Index(v.nulls, true); row >= 0 {
		switch {
		case d == tensor.String:
			v.storeTexts(out, d, in)
			in.withMissing(func(row int) bool { return v.nulls[row] })
			return nil
		case d == tensor.Binary || d == tensor.Bool:
			return convertError(name, row, d.String(), noValue)
		case d.Integer():
			widen(v.words, d)
			d = tensor.Float64
		}
		null, _ := missing(d)
		for i, isNull := range v.nulls {
			if isNull {
				v.words[i] = null
			}
		}
	}
	if d.Text() {
		v.storeTexts(out, d, in)
		return nil
	}
	in.shape = append(in.shape[:0], int64(len(v.nulls)))
	store(out, d, in.shape, v.words, 0, 1)
	return nil
}

func (v *columnValues) storeTexts(out *tensor.Tensor, d tensor.DType, in *Input) {
	in.shape = append(in.shape[:0], int64(len(v.nulls)))
	out.Reset(d, in.shape...)
	copy(out.Strings(), v.texts)
}

// widen makes float64 bits of integers.
func widen(words []uint64, d tensor.DType) {
	for i, w := range words {
		if d == tensor.Uint64 {
			words[i] = math.Float64bits(float64(w))
		} else {
			words[i] = math.Float64bits(float64(int64(w)))
		}
	}
}
