package onnx

import (
	"context"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	ort "github.com/yalue/onnxruntime_go"

	"sluice/runtime/tensor"
)

// Bounds of what a runner keeps bound.
const (
	maxBoundRows   = 64       // each of these row counts has a place of its own
	maxLarge       = 4        // places for all larger ones
	maxBoundBytes  = 1 << 20  // of one binding
	maxRunnerBytes = 16 << 20 // of all together; what comes then makes a runner start over
)

// runner is a set of bindings, one a row count, used by one prediction at a time.
type runner struct {
	at    [maxBoundRows + 1]*binding
	large [maxLarge]largeBinding
	next  int // place of large that is given up next
	bytes int
}

// largeBinding is a binding and the row count it is for.
type largeBinding struct {
	rows  int
	bound *binding
}

// find returns the binding for a row count, or nil.
func (r *runner) find(rows int) *binding {
	if rows <= maxBoundRows {
		return r.at[rows]
	}
	for i := range r.large {
		if r.large[i].rows == rows {
			return r.large[i].bound
		}
	}
	return nil
}

// keep takes a binding that was not there.
func (r *runner) keep(rows int, bound *binding) {
	n := bound.bytes()
	if r.bytes+n > maxRunnerBytes {
		r.destroy()
	}
	r.bytes += n
	if rows <= maxBoundRows {
		r.at[rows] = bound
		return
	}
	old := r.large[r.next].bound
	r.large[r.next] = largeBinding{rows, bound}
	r.next = (r.next + 1) % maxLarge
	if old != nil {
		r.bytes -= old.bytes()
		old.destroy()
	}
}

// runners keeps idle runners for reuse; each place is empty or holds one. It is safe for concurrent use and has no lock, which on a small
// model would be felt. The first places are used most, so that what they hold stays in the processor's caches.
type runners []atomic.Pointer[runner]

// take returns an idle runner, or a new one.
func (s runners) take() *runner {
	for i := range s {
		if s[i].Load() == nil {
			continue
		}
		if r := s[i].Swap(nil); r != nil {
			return r
		}
	}
	return new(runner)
}

// give keeps the runner, or destroys it if all places are taken.
func (s runners) give(r *runner) {
	for i := range s {
		if s[i].CompareAndSwap(nil, r) {
			return
		}
	}
	r.destroy()
}

// destroy empties all places; nobody takes or gives any more.
func (s runners) destroy() {
	for i := range s {
		if r := s[i].Swap(nil); r != nil {
			r.destroy()
		}
	}
}

// binding is tensors bound to the session. Their memory is Go's and is held by ONNX Runtime until destroy: a binding must stay
// reachable as long as it lives, which being in a runner sees to.
type binding struct {
	session *ort.DynamicAdvancedSession // that io belongs to
	io      *ort.IoBinding
	ins     []tensor.Tensor
	outs    []tensor.Tensor
	inVals  []ort.Value
	outVals []ort.Value
}

// boundRows is the row count to bind for, and whether the batch can run bound.
func (b *Backend) boundRows(in *tensor.Batch) (rows int, ok bool) {
	if !b.bindable || b.unbound.Load() || b.shapes.Load() == nil {
		return 0, false
	}
	for i := range b.inputs {
		src := b.source(in, i)
		if src == nil && in.Form != tensor.Table {
			return 0, false // missing: the general way says so
		}
		n := in.Rows
		if src != nil {
			n = src.Tensor.Rows()
		}
		if i > 0 && n != rows {
			return 0, false
		}
		rows = n
	}
	return rows, rows > 0 && b.affordable(rows)
}

// maxElements bounds what is allocated because a model declares it: the model's author may have written anything. What clients send,
// and what ONNX Runtime makes of it, has its own bounds.
const maxElements = 1 << 26

// affordable reports whether a tensor of this shape, −1 standing for rows, has at most maxElements; it does not overflow.
func affordable(shape []int64, rows int) bool {
	n := int64(1)
	for _, d := range shape {
		if d == -1 {
			d = int64(rows)
		}
		if d > 0 && n > maxElements/d {
			return false
		}
		n *= d
	}
	return true
}

// affordable reports whether a binding for so many rows may be allocated.
func (b *Backend) affordable(rows int) bool {
	for i := range b.inputs {
		if !affordable(b.inputs[i].shape, rows) {
			return false
		}
	}
	for _, shape := range *b.shapes.Load() {
		if !affordable(shape, rows) {
			return false
		}
	}
	return true
}

func (b *Backend) predictBound(ctx context.Context, in *tensor.Batch, rows int, out *tensor.Batch) error {
	if err := b.checkNames(in); err != nil {
		return err
	}
	r := b.runners.take()
	bound, kept, err := b.bindingFor(r, rows)
	if err == nil {
		err = b.predictOn(ctx, bound, in, rows, out)
	}
	if bound != nil && !kept {
		bound.destroy()
	}
	b.runners.give(r)
	return err
}

// predictOn fills a binding, runs it and copies the outputs. If the run fails, the general way is tried: outputs whose shapes depend
// on the values cannot be bound. If that succeeds the model is never bound again.
func (b *Backend) predictOn(ctx context.Context, bound *binding, in *tensor.Batch, rows int, out *tensor.Batch) error {
	if err := b.fill(bound, in, rows); err != nil {
		return err
	}
	err := b.runBound(ctx, bound, rows)
	if err == nil {
		return b.answer(in, bound.outs, bound.outVals, out)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if b.predictGeneral(ctx, in, out) != nil {
		return err
	}
	b.unbound.Store(true)
	return nil
}

func (b *Backend) runBound(ctx context.Context, bound *binding, rows int) error {
	if !b.measured() {
		return b.runOn(ctx, bound, rows)
	}
	start := time.Now()
	err := b.runOn(ctx, bound, rows)
	if err == nil {
		b.note(rows, time.Since(start))
	}
	return err
}

func (b *Backend) runOn(ctx context.Context, bound *binding, rows int) error {
	if !b.interruptible(ctx, rows) {
		return bound.session.RunWithBinding(bound.io)
	}
	return b.run(ctx, rows, func(opts *ort.RunOptions) error {
		return bound.session.RunWithOptions(bound.inVals, bound.outVals, opts)
	})
}

func (r *runner) destroy() {
	for i, bound := range r.at {
		if bound != nil {
			bound.destroy()
			r.at[i] = nil
		}
	}
	for i := range r.large {
		if bound := r.large[i].bound; bound != nil {
			bound.destroy()
		}
	}
	r.large, r.bytes = [maxLarge]largeBinding{}, 0
}

// bindingFor finds or makes the binding for a row count; kept says that the runner holds it.
func (b *Backend) bindingFor(r *runner, rows int) (bound *binding, kept bool, err error) {
	if bound = r.find(rows); bound != nil {
		return bound, true, nil
	}
	bound, err = b.bind(rows)
	if err != nil || bound.bytes() > maxBoundBytes {
		return bound, false, err
	}
	r.keep(rows, bound)
	return bound, true, nil
}

func (c *binding) bytes() int {
	n := 0
	for i := range c.ins {
		n += c.ins[i].Bytes()
	}
	for i := range c.outs {
		n += c.outs[i].Bytes()
	}
	return n
}

func (b *Backend) bind(rows int) (*binding, error) {
	c := &binding{session: b.session, ins: make([]tensor.Tensor, len(b.inputs)), outs: make([]tensor.Tensor, len(b.outputs))}
	if b.quick != nil && rows <= maxBoundRows {
		c.session = b.quick
	}
	var err error
	if c.io, err = c.session.CreateIoBinding(); err != nil {
		return nil, err
	}
	for i := range b.inputs {
		v, err := newValue(&c.ins[i], b.inputs[i].dtype, withRows(b.inputs[i].shape, rows))
		if err == nil {
			c.inVals = append(c.inVals, v)
			err = c.io.BindInput(b.inputs[i].name, v)
		}
		if err != nil {
			c.destroy()
			return nil, err
		}
	}
	shapes := *b.shapes.Load()
	for i := range b.outputs {
		v, err := newValue(&c.outs[i], b.outputs[i].dtype, withRows(shapes[i], rows))
		if err == nil {
			c.outVals = append(c.outVals, v)
			err = c.io.BindOutput(b.outputs[i].session, v)
		}
		if err != nil {
			c.destroy()
			return nil, err
		}
	}
	return c, nil
}

func withRows(shape []int64, rows int) []int64 {
	out := slices.Clone(shape)
	if out[0] == -1 {
		out[0] = int64(rows)
	}
	return out
}

// newValue makes t a tensor and an ONNX Runtime value over its memory; text has no shared memory.
func newValue(t *tensor.Tensor, d tensor.DType, shape []int64) (ort.Value, error) {
	t.Reset(d, shape...)
	return wrap(t)
}

// wrap makes an ONNX Runtime value over the memory of t. The caller keeps t reachable and unchanged in size until it destroys the value.
func wrap(t *tensor.Tensor) (ort.Value, error) {
	if t.Type == tensor.String {
		return ort.NewStringTensor(t.Shape)
	}
	return ort.NewCustomDataTensor(ort.NewShape(t.Shape...), t.Raw(), ort.TensorElementDataType(onnxType(t.Type)))
}

func (c *binding) destroy() {
	if c.io != nil {
		_ = c.io.Destroy() // always nil
	}
	destroyAll(c.inVals)
	destroyAll(c.outVals)
}

func destroyAll(values []ort.Value) {
	for _, v := range values {
		if v != nil && !reflect.ValueOf(v).IsNil() { // a run that fails half way leaves typed nils
			_ = v.Destroy() // always nil
		}
	}
}

// fill copies the batch into the bound inputs.
func (b *Backend) fill(c *binding, in *tensor.Batch, rows int) error {
	for i := range b.inputs {
		dst := &c.ins[i]
		if done, err := b.fillFast(in, i, dst, rows); done || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		var t tensor.Tensor
		if err := b.gather(in, i, &t); err != nil {
			return err
		}
		if !slices.Equal(t.Shape, dst.Shape) {
			return badInput("input %q has shape %v, the model expects %s", b.inputs[i].name, t.Shape, dims(b.inputs[i].shape))
		}
		if t.Type == tensor.String {
			if err := c.inVals[i].(*ort.StringTensor).SetContents(t.Strings()); err != nil {
				return err
			}
			continue
		}
		copy(dst.Raw(), t.Raw())
	}
	return nil
}

// fillFast copies the usual cases without a temporary: float columns into a float32 matrix, and a tensor of the model's own type and
// shape. done is false for everything else, errors included: gather words them.
func (b *Backend) fillFast(in *tensor.Batch, i int, dst *tensor.Tensor, rows int) (done bool, err error) {
	src := b.source(in, i)
	if src == nil {
		return dst.Type == tensor.Float32 && fillMatrix(tensor.Of[float32](dst), in.Columns, rows), nil
	}
	t := &src.Tensor
	if src.JSON || t.Len() != dst.Len() || (in.Form != tensor.Table && !slices.Equal(t.Shape, dst.Shape)) || t.Rows() != dst.Rows() {
		return false, nil
	}
	switch {
	case dst.Type == tensor.String:
		return false, nil
	case t.Type == dst.Type:
		copy(dst.Raw(), t.Raw())
		return true, nil
	case t.Type == tensor.Float64 && dst.Type == tensor.Float32:
		out := tensor.Of[float32](dst)
		for j, v := range tensor.Of[float64](t) {
			out[j] = float32(v)
		}
		return true, nil
	}
	return false, nil
}

// fillMatrix writes columns of float64 or float32, one element a row, side by side; false if some column is anything else.
func fillMatrix(out []float32, columns []tensor.Column, rows int) bool {
	width := len(columns)
	if len(out) != rows*width {
		return false
	}
	for j := range columns {
		t := &columns[j].Tensor
		if len(t.Shape) != 1 || int(t.Shape[0]) != rows || columns[j].JSON {
			return false
		}
		switch t.Type {
		case tensor.Float64:
			for r, v := range tensor.Of[float64](t) {
				out[r*width+j] = float32(v)
			}
		case tensor.Float32:
			for r, v := range tensor.Of[float32](t) {
				out[r*width+j] = v
			}
		default:
			return false
		}
	}
	return true
}
