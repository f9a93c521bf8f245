package onnx

import (
	"fmt"
	"slices"
	"strings"

	"sluice/runtime/tensor"
)

// checkForm refuses what has no way into the model at all.
func checkForm(in *tensor.Batch, inputs int) error {
	switch {
	case len(in.Columns) == 0:
		return badInput("no inputs were given")
	case in.Form == tensor.Bare && len(in.Columns) != 1:
		return badInput("%d unnamed tensors were given", len(in.Columns))
	case in.Form == tensor.Bare && inputs != 1:
		return badInput("one unnamed tensor was given, but the model has %d inputs: give them by name", inputs)
	}
	return nil
}

func isEmpty(in *tensor.Batch) bool {
	for i := range in.Columns {
		if slices.Contains(in.Columns[i].Tensor.Shape, 0) {
			return true
		}
	}
	return false
}

// answerEmpty is the answer to no rows: the outputs' types with no rows. ONNX Runtime is not asked, many operators fail on it.
func (b *Backend) answerEmpty(in, out *tensor.Batch) error {
	if err := b.checkNames(in); err != nil {
		return err
	}
	out.Reset(answerForm(in.Form))
	for i := range b.outputs {
		o := &b.outputs[i]
		shape := []int64{0}
		if o.rank && !o.scalar() && !(in.Form == tensor.Table && width(o.shape) == 1) {
			for _, d := range o.shape[1:] {
				shape = append(shape, max(d, 0))
			}
		}
		d := o.dtype
		if o.half != tensor.Invalid {
			d = o.half
		}
		if d == tensor.Invalid { // maps
			d = tensor.Float32
		}
		out.AddColumn(o.name).Reset(d, shape...)
		out.Columns[i].Keys = o.keys
	}
	return out.CountRows()
}

func width(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape[1:] {
		n *= d
	}
	return n
}

func answerForm(f tensor.Form) tensor.Form {
	if f == tensor.Table {
		return tensor.Table
	}
	return tensor.Named
}

// checkNames refuses a feed that lacks an input, or has one too many where MLflow would hand it to ONNX Runtime as it is.
func (b *Backend) checkNames(in *tensor.Batch) error {
	if in.Form == tensor.Bare || (in.Form == tensor.Table && len(b.inputs) == 1) {
		return nil
	}
	for i := range b.inputs {
		if in.Column(b.inputs[i].name) == nil {
			return badInput("the model's input %q is missing", b.inputs[i].name)
		}
	}
	if in.Form != tensor.Named || len(in.Columns) == len(b.inputs) {
		return nil
	}
	for i := range in.Columns {
		if name := in.Columns[i].Name; !slices.ContainsFunc(b.inputs, func(v value) bool { return v.name == name }) {
			return badInput("the model has no input %q", name)
		}
	}
	return nil
}

// source is the column that feeds input i; nil for the matrix of a whole Table.
func (b *Backend) source(in *tensor.Batch, i int) *tensor.Column {
	switch {
	case in.Form == tensor.Table && len(b.inputs) == 1:
		if len(in.Columns) == 1 {
			return &in.Columns[0]
		}
		return nil
	case in.Form == tensor.Bare:
		return &in.Columns[0]
	case i < len(in.Columns) && in.Columns[i].Name == b.inputs[i].name:
		return &in.Columns[i]
	}
	return in.Column(b.inputs[i].name)
}

// accepts says, as ErrBadInput, why elements of type d cannot feed the input.
func (v *value) accepts(d tensor.DType) error {
	if d == v.dtype || (d == tensor.Float64 && v.dtype == tensor.Float32) || (d.Text() && v.dtype == tensor.String) {
		return nil
	}
	return badInput("input %q: data type is %s, the model expects %s", v.name, d, v.dtype)
}

// fits says, as ErrBadInput, why a shape cannot feed the input.
func (v *value) fits(shape []int64) error {
	if !v.rank {
		return nil
	}
	if len(shape) != len(v.shape) {
		return badInput("input %q has shape %v, the model expects %s", v.name, shape, dims(v.shape))
	}
	for i, d := range v.shape {
		if d != -1 && d != shape[i] {
			return badInput("input %q has shape %v, the model expects %s", v.name, shape, dims(v.shape))
		}
	}
	return nil
}

// dims prints a model's shape with "any" for free dimensions.
func dims(shape []int64) string {
	parts := make([]string, len(shape))
	for i, d := range shape {
		parts[i] = fmt.Sprint(d)
		if d == -1 {
			parts[i] = "any"
		}
	}
	return "[" + strings.Join(parts, " ") + "]"
}

// tableShape is the shape that a Table's column, or its matrix, of so many elements a row takes for the input: as it is if that fits,
// else the model's own inner dimensions if they hold as many elements.
func (v *value) tableShape(rows int64, shape []int64, perRow int64) []int64 {
	if !fixedInner(v) || width(v.shape) != perRow {
		return shape
	}
	out := slices.Clone(v.shape)
	out[0] = rows
	return out
}

// checkText refuses text that ONNX Runtime would cut: the binding hands over C strings.
func checkText(name string, texts []string) error {
	for _, s := range texts {
		if strings.IndexByte(s, 0) >= 0 {
			return badInput("input %q holds a text with a NUL character", name)
		}
	}
	return nil
}

func notONNX(name string) error {
	return badInput("%q: nested values and missing texts (null) cannot feed an ONNX model", name)
}

// gather makes dst what input i is fed, with its shape; dst may come to share in's memory.
func (b *Backend) gather(in *tensor.Batch, i int, dst *tensor.Tensor) error {
	v := &b.inputs[i]
	src := b.source(in, i)
	if src != nil && src.JSON {
		return notONNX(v.name)
	}
	var matrix tensor.Tensor
	t := &matrix
	if src == nil {
		if i := slices.IndexFunc(in.Columns, func(c tensor.Column) bool { return c.JSON }); i >= 0 {
			return notONNX(in.Columns[i].Name)
		}
		if err := tensor.Stack(&matrix, in.Columns); err != nil {
			return badInput("the columns do not make a matrix: %v", err)
		}
	} else {
		t = &src.Tensor
	}
	if err := v.accepts(t.Type); err != nil {
		return err
	}
	shape := t.Shape
	if in.Form == tensor.Table {
		shape = v.tableShape(int64(t.Rows()), shape, int64(t.Width()))
		if src != nil && len(b.inputs) == 1 && len(shape) == 1 && (!v.rank || len(v.shape) == 2) {
			shape = []int64{shape[0], 1} // a frame's values are a matrix, be it of one column
		}
	}
	if v.scalar() && t.Len() == 1 {
		shape = nil
	}
	if err := v.fits(shape); err != nil {
		return err
	}
	if err := tensor.Convert(dst, v.dtype, t); err != nil {
		return badInput("input %q: %v", v.name, err)
	}
	if v.dtype == tensor.String {
		if err := checkText(v.name, dst.Strings()); err != nil {
			return err
		}
	}
	return dst.Reshape(shape...)
}
