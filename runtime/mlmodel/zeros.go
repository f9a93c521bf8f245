package mlmodel

import (
	"fmt"

	"sluice/runtime/tensor"
)

// maxZeroElements bounds a generated batch, whatever a signature declares.
const maxZeroElements = 1 << 24

// Zeros fills b with a batch of the given number of rows that fits the schema: zeros, empty texts, the epoch. Wildcards are rows on
// the first axis and 1 on the others; a fixed first dimension stays what it is. Nested columns are empty JSON values.
// Returns ErrSchema if the batch would have over 16 million elements.
func (s *Schema) Zeros(b *tensor.Batch, rows int) error {
	if !s.IsTensor() {
		return s.zeroTable(b, rows)
	}
	form := tensor.Bare
	if s.Named() {
		form = tensor.Named
	}
	b.Reset(form)
	budget := int64(maxZeroElements)
	for i := range s.Tensors {
		spec := &s.Tensors[i]
		shape := make([]int64, len(spec.Shape))
		n := int64(1)
		for j, d := range spec.Shape {
			if d == -1 {
				d = 1
				if j == 0 {
					d = int64(rows)
				}
			}
			if shape[j] = d; d > 0 && n > budget/d {
				return fmt.Errorf("%w: shape %v is too large", ErrSchema, spec.Shape)
			}
			n *= d
		}
		budget -= n
		b.AddColumn(spec.Name).Reset(spec.Type, shape...)
	}
	return b.CountRows()
}

func (s *Schema) zeroTable(b *tensor.Batch, rows int) error {
	b.Reset(tensor.Table)
	if s == nil {
		return nil
	}
	for i := range s.Columns {
		spec := &s.Columns[i]
		t := b.AddColumn(spec.Name)
		if spec.Kind.Scalar() {
			t.Reset(spec.Kind.DType(), int64(rows))
			continue
		}
		t.Reset(tensor.String, int64(rows))
		b.Columns[i].JSON = true
		for r, texts := 0, t.Strings(); r < rows; r++ {
			texts[r] = map[Kind]string{Array: "[]", SparkVector: "[]", Object: "{}", Map: "{}", Any: "null"}[spec.Kind]
		}
	}
	b.Rows = rows
	return nil
}
