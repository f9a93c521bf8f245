package payload

import (
	"slices"

	"sluice/runtime/tensor"
)

// acceptTensorFrame makes tensors of a frame's columns (source: mlflow/models/utils.py, _enforce_tensor_schema). An unnamed tensor takes
// one column of numbers or of lists, or several columns of numbers side by side; named tensors take the columns of their names.
func (p *Plan) acceptTensorFrame(f *frame, in *Input) error {
	if p.byName == nil {
		return p.acceptUnnamedFrame(f, in)
	}
	if err := checkTwice(f.names); err != nil {
		return err
	}
	in.Batch.Reset(tensor.Named)
	var lacking []string
	at := make([]int, len(p.tensors))
	for i := range p.tensors {
		if at[i] = slices.Index(f.names, p.tensors[i].name); at[i] < 0 || !f.named {
			lacking = append(lacking, p.tensors[i].name)
		}
	}
	if lacking != nil {
		return schemaf("Model is missing inputs %s.", quoteNames(lacking))
	}
	for i := range p.tensors {
		t := &p.tensors[i]
		if err := f.columnTensor(in.Batch.AddColumn(t.name), t, f.cells[at[i]], in); err != nil {
			return err
		}
	}
	in.Batch.Rows = f.rows
	return nil
}

func (p *Plan) acceptUnnamedFrame(f *frame, in *Input) error {
	in.Batch.Reset(tensor.Bare)
	spec := &p.tensors[0]
	if f.rows == 0 || len(f.cells) == 0 {
		return schemaf("the input DataFrame is empty.")
	}
	out := in.Batch.AddColumn("")
	in.Batch.Rows = f.rows
	if len(f.cells) == 1 {
		return f.columnTensor(out, spec, f.cells[0], in)
	}
	shape := []int64{int64(f.rows), int64(len(f.cells))}
	if !slices.Equal(spec.shape, []int64{-1, shape[1]}) {
		return schemaf("the input has %d columns of numbers, where the model's tensor has the shape %v.", len(f.cells), spec.shape)
	}
	cells := make([]uint32, 0, f.rows*len(f.cells))
	for r := range f.rows {
		for c := range f.cells {
			cells = append(cells, f.cells[c][r])
		}
	}
	return f.fillTensor(out, spec, shape, cells, in)
}

// columnTensor makes a tensor of a column that holds a number, or a list of numbers, in each row.
func (f *frame) columnTensor(out *tensor.Tensor, spec *tensorInput, column []uint32, in *Input) error {
	if len(spec.shape) == 0 || spec.shape[0] != -1 || slices.Contains(spec.shape[1:], -1) {
		return schemaf("a column cannot become a tensor of the shape %v: its first dimension must vary and the others must not.", spec.shape)
	}
	width := int64(1)
	for _, d := range spec.shape[1:] {
		width *= d
	}
	shape := append([]int64{int64(len(column))}, spec.shape[1:]...)
	if len(column) > 0 && column[0] != 0 && f.t.first(column[0]) != '[' {
		if len(shape) > 2 || width != 1 {
			return schemaf("column %s holds one value a row, where the model's tensor has the shape %v.", quoteName(spec.name), spec.shape)
		}
		return f.fillTensor(out, spec, shape, column, in)
	}
	cells := make([]uint32, 0, len(column))
	for row, n := range column {
		if n == 0 || f.t.first(n) != '[' || int64(f.t.count(n)) != width {
			return schemaf("row %d of column %s is not a list of %d values.", row, quoteName(spec.name), width)
		}
		f.t.children(n, func(c uint32) bool { cells = append(cells, c); return true })
	}
	return f.fillTensor(out, spec, shape, cells, in)
}

func (f *frame) fillTensor(out *tensor.Tensor, spec *tensorInput, shape []int64, cells []uint32, in *Input) error {
	name := spec.name
	if err := f.convert(out, spec.dtype, name, spec.dtype.String(), cells, in); err != nil {
		return err
	}
	return out.Reshape(shape...)
}
