package onnx

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	ort "github.com/yalue/onnxruntime_go"

	"sluice/runtime/tensor"
)

// predictGeneral runs any batch on any model: tensors made for this run, outputs allocated by ONNX Runtime.
func (b *Backend) predictGeneral(ctx context.Context, in *tensor.Batch, out *tensor.Batch) error {
	if err := b.checkNames(in); err != nil {
		return err
	}
	feeds := make([]tensor.Tensor, len(b.inputs))
	vals := make([]ort.Value, len(b.inputs))
	defer func() { destroyAll(vals) }()
	rows := 0
	for i := range b.inputs {
		if err := b.gather(in, i, &feeds[i]); err != nil {
			return err
		}
		v, err := feedValue(&feeds[i], b.inputs[i].scalar())
		if err != nil {
			return badInput("input %q: %v", b.inputs[i].name, err)
		}
		vals[i] = v
		rows = feeds[0].Rows()
	}
	outs := make([]ort.Value, len(b.outputs))
	defer func() { destroyAll(outs) }()
	if err := b.allocate(outs, rows); err != nil {
		return err
	}
	start := time.Now()
	err := b.run(ctx, rows, func(opts *ort.RunOptions) error { return b.session.RunWithOptions(vals, outs, opts) })
	if err != nil {
		return err
	}
	b.note(rows, time.Since(start))
	return b.answerGeneral(in, outs, rows, out)
}

func feedValue(t *tensor.Tensor, scalar bool) (ort.Value, error) {
	if scalar {
		return newScalar(t)
	}
	v, err := wrap(t)
	if err != nil {
		return nil, err
	}
	if s, ok := v.(*ort.StringTensor); ok {
		err = s.SetContents(t.Strings())
	}
	return v, err
}

// allocate makes the outputs that ONNX Runtime's own allocation cannot hand over: scalars, and 16-bit floats, of which the binding library copies
// half. Those with free inner dimensions were widened when the model was loaded, so their shape is known here.
func (b *Backend) allocate(outs []ort.Value, rows int) error {
	for i := range b.outputs {
		o := &b.outputs[i]
		if o.scalar() {
			var zero tensor.Tensor
			zero.Reset(o.dtype)
			v, err := newScalar(&zero)
			if err != nil {
				return fmt.Errorf("output %q: %w", o.name, err)
			}
			outs[i] = v
			continue
		}
		if o.maps || (o.dtype != tensor.Float16 && o.dtype != tensor.BFloat16) {
			continue
		}
		if !affordable(o.shape, rows) {
			return fmt.Errorf("output %q is too large: %s", o.name, dims(o.shape))
		}
		var t tensor.Tensor
		v, err := newValue(&t, o.dtype, withRows(o.shape, rows))
		if err != nil {
			return fmt.Errorf("output %q: %w", o.name, err)
		}
		outs[i] = v
	}
	return nil
}

// answerGeneral copies the values of a run into out.
func (b *Backend) answerGeneral(in *tensor.Batch, vals []ort.Value, rows int, out *tensor.Batch) error {
	out.Reset(answerForm(in.Form))
	shapes := make([][]int64, len(vals))
	for i, v := range vals {
		t := out.AddColumn(b.outputs[i].name)
		if seq, ok := v.(*ort.Sequence); ok {
			keys, err := b.copySequence(i, seq, t)
			if err != nil {
				return fmt.Errorf("output %q: %w", b.outputs[i].name, err)
			}
			out.Columns[i].Keys = keys
			continue
		}
		var src tensor.Tensor
		src.Type, src.Shape = b.outputs[i].dtype, v.GetShape()
		if src.Type != tensor.String {
			if err := viewValue(v, &src); err != nil {
				return fmt.Errorf("output %q: %w", b.outputs[i].name, err)
			}
		}
		if err := b.copyOutput(i, &src, vals, t); err != nil {
			return err
		}
		out.Columns[i].Keys = b.outputs[i].keys
		shapes[i] = slices.Clone([]int64(v.GetShape()))
	}
	b.learn(shapes, rows)
	return finish(out)
}

// learn keeps the outputs' shapes for bound runs, with the rows left free; a wrong guess shows when a bound run fails. One row alone
// teaches nothing: 1 may be the rows or a constant.
func (b *Backend) learn(shapes [][]int64, rows int) {
	if !b.bindable || rows < 2 || b.shapes.Load() != nil {
		return
	}
	for _, s := range shapes {
		if len(s) == 0 || slices.Contains(s, 0) {
			return
		}
		if s[0] == int64(rows) {
			s[0] = -1
		}
	}
	b.shapes.Store(&shapes)
}

// viewValue copies the elements of a value that ONNX Runtime allocated.
func viewValue(v ort.Value, t *tensor.Tensor) error {
	shape := t.Shape
	switch x := v.(type) {
	case *ort.CustomDataTensor:
		t.ResetDirty(t.Type, shape...)
		copy(t.Raw(), x.GetData())
	case *ort.Tensor[float32]:
		load(t, tensor.Float32, shape, x.GetData())
	case *ort.Tensor[float64]:
		load(t, tensor.Float64, shape, x.GetData())
	case *ort.Tensor[bool]:
		load(t, tensor.Bool, shape, x.GetData())
	case *ort.Tensor[int8]:
		load(t, tensor.Int8, shape, x.GetData())
	case *ort.Tensor[int16]:
		load(t, tensor.Int16, shape, x.GetData())
	case *ort.Tensor[int32]:
		load(t, tensor.Int32, shape, x.GetData())
	case *ort.Tensor[int64]:
		load(t, tensor.Int64, shape, x.GetData())
	case *ort.Tensor[uint8]:
		load(t, tensor.Uint8, shape, x.GetData())
	case *ort.Tensor[uint16]:
		load(t, tensor.Uint16, shape, x.GetData())
	case *ort.Tensor[uint32]:
		load(t, tensor.Uint32, shape, x.GetData())
	case *ort.Tensor[uint64]:
		load(t, tensor.Uint64, shape, x.GetData())
	default:
		return viewScalar(v, t)
	}
	return nil
}

func load[T tensor.Element](t *tensor.Tensor, d tensor.DType, shape []int64, data []T) {
	t.ResetDirty(d, shape...)
	copy(tensor.Of[T](t), data)
}

// copySequence copies a sequence of maps, or of tensors.
func (b *Backend) copySequence(i int, seq *ort.Sequence, t *tensor.Tensor) (keys []string, err error) {
	items, err := seq.GetValues()
	if err != nil {
		return nil, err
	}
	if b.outputs[i].list {
		return nil, stackValues(items, b.outputs[i].dtype, t)
	}
	return copyMaps(items, t)
}

// stackValues makes one tensor of a sequence's tensors, the sequence as its first axis; they must have one shape.
func stackValues(items []ort.Value, d tensor.DType, t *tensor.Tensor) error {
	t.Reset(d, 0)
	for k, item := range items {
		var one tensor.Tensor
		if err := loadItem(item, d, &one); err != nil {
			return err
		}
		if k == 0 {
			t.Reset(d, append([]int64{int64(len(items))}, one.Shape...)...)
		}
		if one.Type != t.Type || !slices.Equal(one.Shape, t.Shape[1:]) {
			return fmt.Errorf("the sequence holds tensors of shapes %v and %v", t.Shape[1:], one.Shape)
		}
		at := k * one.Len()
		if d == tensor.String {
			copy(t.Strings()[at:], one.Strings())
			continue
		}
		copy(t.Raw()[at*d.Size():], one.Raw())
	}
	return nil
}

// loadItem copies a tensor that ONNX Runtime allocated.
func loadItem(v ort.Value, d tensor.DType, t *tensor.Tensor) error {
	t.Type, t.Shape = d, v.GetShape()
	texts, ok := v.(*ort.StringTensor)
	if !ok {
		return viewValue(v, t)
	}
	contents, err := texts.GetContents()
	if err != nil {
		return err
	}
	t.Reset(tensor.String, slices.Clone(t.Shape)...)
	copy(t.Strings(), contents)
	return nil
}

// copyMaps makes a matrix of a sequence of maps: one column a key, in the order of the first row's keys sorted as ONNX Runtime sorts
// them. ZipMap, the only operator that makes such maps, gives every row the same keys.
func copyMaps(rows []ort.Value, t *tensor.Tensor) (keys []string, err error) {
	for i, row := range rows {
		m, ok := row.(*ort.Map)
		if !ok {
			return nil, fmt.Errorf("element %d is %T, not a map", i, row)
		}
		names, vals, err := m.GetKeysAndValues()
		if err != nil {
			return nil, err
		}
		have, err := mapKeys(names)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			keys = have
			t.Reset(tensor.Float32, int64(len(rows)), int64(len(keys)))
		}
		v, ok := vals.(*ort.Tensor[float32])
		if !ok || !slices.Equal(have, keys) {
			return nil, fmt.Errorf("map %d has other keys than the first, or values that are not float32", i)
		}
		copy(tensor.Of[float32](t)[i*len(keys):], v.GetData())
	}
	return keys, nil
}

func mapKeys(v ort.Value) ([]string, error) {
	switch x := v.(type) {
	case *ort.StringTensor:
		return x.GetContents()
	case *ort.Tensor[int64]:
		keys := make([]string, len(x.GetData()))
		for i, k := range x.GetData() {
			keys[i] = strconv.FormatInt(k, 10)
		}
		return keys, nil
	}
	return nil, fmt.Errorf("map keys of type %T", v)
}
