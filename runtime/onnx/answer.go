package onnx

import (
	"fmt"

	ort "github.com/yalue/onnxruntime_go"

	"sluice/runtime/tensor"
)

// answer copies the outputs of a run into out, in the form that the input's form asks for.
func (b *Backend) answer(in *tensor.Batch, outs []tensor.Tensor, vals []ort.Value, out *tensor.Batch) error {
	out.Reset(answerForm(in.Form))
	for i := range b.outputs {
		t := out.AddColumn(b.outputs[i].name)
		if err := b.copyOutput(i, &outs[i], vals, t); err != nil {
			return err
		}
		out.Columns[i].Keys = b.outputs[i].keys
	}
	return finish(out)
}

func (b *Backend) copyOutput(i int, src *tensor.Tensor, vals []ort.Value, t *tensor.Tensor) error {
	o := &b.outputs[i]
	switch {
	case src.Type == tensor.String:
		texts, err := vals[i].(*ort.StringTensor).GetContents()
		if err != nil {
			return fmt.Errorf("output %q: %w", o.name, err)
		}
		t.Reset(tensor.String, src.Shape...)
		copy(t.Strings(), texts)
	case o.half != tensor.Invalid:
		return tensor.Convert(t, o.half, src)
	default:
		t.ResetDirty(src.Type, src.Shape...)
		copy(t.Raw(), src.Raw())
	}
	return nil
}

// finish squeezes a Table's columns of one element a row, as the reshape(-1) of MLflow's onnx flavor does, makes a row of a scalar, and
// counts rows.
func finish(out *tensor.Batch) error {
	if out.Form == tensor.Table {
		for i := range out.Columns {
			c := &out.Columns[i]
			switch t := &c.Tensor; {
			case len(t.Shape) == 0:
				t.Shape = append(t.Shape, 1)
			case len(t.Shape) > 1 && t.Width() == 1 && c.Keys == nil:
				t.Shape = t.Shape[:1]
			}
		}
	}
	if err := out.CountRows(); err != nil {
		return fmt.Errorf("the model's outputs do not make a table: %w", err)
	}
	return nil
}
