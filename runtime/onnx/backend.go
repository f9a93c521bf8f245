package onnx

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	ort "github.com/yalue/onnxruntime_go"

	"sluice/runtime/mlmodel"
	"sluice/runtime/servable"
	"sluice/runtime/tensor"
)

var (
	_ servable.Backend = (*Backend)(nil)
	_ servable.Sampler = (*Backend)(nil)
	_ servable.RowWise = (*Backend)(nil)

	_ servable.Describer = (*Backend)(nil)
	_ servable.FixedRows = (*Backend)(nil)
	_ servable.Threaded  = (*Backend)(nil)
)

// ErrClosed: the backend was closed.
var ErrClosed = errors.New("ONNX backend closed")

// longRun is the expected duration from which a run is made interruptible; shorter ones are over before it would pay.
const longRun = 5 * time.Millisecond

// Backend is one loaded ONNX model.
type Backend struct {
	rt      *Runtime
	session *ort.DynamicAdvancedSession
	// quick is a second session, with an arena, for bound runs of up to maxBoundRows rows of a small model; nil for others.
	quick   *ort.DynamicAdvancedSession
	inputs  []value
	outputs []output
	notes   []string
	bytes   int64
	threads int
	loops   bool // the graph has control flow

	bindable bool // inputs are tensors fixed but for the rows, outputs are tensors
	unsteady bool // a run's cost may depend on more than its rows: control flow, or free inner dimensions
	// shapes are the outputs' shapes, −1 for the rows: declared, or learned from the first run. nil until then.
	shapes  atomic.Pointer[[][]int64]
	unbound atomic.Bool // a bound run failed where the general way did not: stay general
	runners runners
	fixed   fixedRows
	runs    atomic.Uint64
	rowCost atomic.Int64 // ns per row of recent runs; 0: unknown

	mu     sync.RWMutex // held for reading during a run: a session destroyed under a run is a use after free
	closed bool
}

// prepare derives what the inputs and outputs allow.
func (b *Backend) prepare() {
	b.runners = make(runners, b.rt.runners)
	b.bindable = true
	for i := range b.inputs {
		b.bindable = b.bindable && fixedInner(&b.inputs[i])
	}
	declared := make([][]int64, len(b.outputs))
	known := true
	for i := range b.outputs {
		o := &b.outputs[i]
		b.bindable = b.bindable && !o.maps && !o.list
		declared[i] = o.shape
		known = known && fixedInner(&o.value)
	}
	if known {
		b.shapes.Store(&declared)
	}
	b.unsteady = b.loops || !b.bindable
}

// Notes are things about the model that its owner should know: execution providers that are missing, a slow way taken.
func (b *Backend) Notes() []string { return slices.Clone(b.notes) }

// Describe is the model's inputs and outputs, as its file declares them; a map output of a classifier is a matrix.
func (b *Backend) Describe() (inputs, outputs []mlmodel.TensorSpec) {
	for i := range b.inputs {
		v := &b.inputs[i]
		inputs = append(inputs, mlmodel.TensorSpec{Name: v.name, Type: v.dtype, Shape: slices.Clone(v.shape)})
	}
	for i := range b.outputs {
		o := &b.outputs[i]
		spec := mlmodel.TensorSpec{Name: o.name, Type: o.dtype, Shape: slices.Clone(o.shape)}
		if o.maps {
			spec.Type, spec.Shape = tensor.Float32, []int64{-1, -1}
		}
		if o.half != tensor.Invalid {
			spec.Type = o.half
		}
		outputs = append(outputs, spec)
	}
	return inputs, outputs
}

// Threads is how many threads a run keeps busy: one, unless the model's session options ask for more.
func (b *Backend) Threads() int { return b.threads }

// Inputs are the names of the model's inputs, in order.
func (b *Backend) Inputs() []string {
	names := make([]string, len(b.inputs))
	for i := range b.inputs {
		names[i] = b.inputs[i].name
	}
	return names
}

// sessionBytes is what a session holds apart from its weights: measured, some 200 KiB for a model of a few nodes.
const sessionBytes = 256 << 10

// Bytes is an estimate of what ONNX Runtime holds of the model: a session, its file twice (the graph, unfolded) and its external weights.
func (b *Backend) Bytes() int64 { return b.bytes }

// RowWise reports whether all inputs and outputs have a free first axis, or one fixed to more than one row of which each was found to be
// answered for itself. A model for one row at a time is never joined.
func (b *Backend) RowWise() bool {
	if b.fixed.rows > 1 {
		return true
	}
	for i := range b.inputs {
		if v := &b.inputs[i]; !v.rank || v.scalar() || v.shape[0] != -1 {
			return false
		}
	}
	for i := range b.outputs {
		o := &b.outputs[i]
		if o.list || o.scalar() || (!o.maps && o.rank && o.shape[0] != -1) {
			return false
		}
	}
	return true
}

// Sample fills batch with zeros for the model's inputs; free inner dimensions are guessed as 1.
func (b *Backend) Sample(batch *tensor.Batch, rows int) (guessed bool, err error) {
	batch.Reset(tensor.Named)
	total := 0
	for i := range b.inputs {
		v := &b.inputs[i]
		shape := slices.Clone(v.shape)
		if !v.rank {
			shape, guessed = []int64{-1}, true
		}
		for j, d := range shape {
			if d == -1 {
				shape[j] = 1
				if j == 0 {
					shape[j] = int64(rows)
				}
				guessed = guessed || j > 0
			}
		}
		if !affordable(shape, rows) || total > maxElements {
			return guessed, fmt.Errorf("input %q is too large for a warm-up: %s", v.name, dims(v.shape))
		}
		t := batch.AddColumn(v.name)
		t.Reset(v.dtype, shape...)
		total += t.Len()
	}
	return guessed, batch.CountRows()
}

// Predict runs one batch. params are not known to MLflow's onnx flavor and are ignored. If ctx can end and the run is expected to last
// over 5 ms, or may last for ever (control flow, free inner dimensions), it is interrupted when ctx ends; shorter runs are only refused when
// ctx has ended already.
// Errors: servable.ErrBadInput, ErrClosed, ctx's error; others are the model's.
func (b *Backend) Predict(ctx context.Context, in *tensor.Batch, _ map[string]any, out *tensor.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return ErrClosed
	}
	if err := checkForm(in, len(b.inputs)); err != nil {
		return err
	}
	if isEmpty(in) {
		return b.answerEmpty(in, out)
	}
	if b.fixed.rows > 0 && in.Rows > 0 && in.Rows != b.fixed.rows {
		return b.predictFixed(ctx, in, out)
	}
	return b.predictOne(ctx, in, out)
}

// predictOne runs the model once.
func (b *Backend) predictOne(ctx context.Context, in *tensor.Batch, out *tensor.Batch) error {
	if rows, ok := b.boundRows(in); ok {
		return b.predictBound(ctx, in, rows, out)
	}
	return b.predictGeneral(ctx, in, out)
}

// Close frees the session; it waits for running predictions.
func (b *Backend) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	b.runners.destroy()
	return b.destroySessions()
}

func (b *Backend) destroySessions() error {
	err := b.session.Destroy()
	if b.quick != nil {
		err = errors.Join(err, b.quick.Destroy())
	}
	return err
}

// interruptible reports whether a run of so many rows should be able to end with ctx. The cost is looked at first: ctx may make its
// channel and its timer when it is asked for Done. Recent runs say nothing where cost depends on more than rows.
func (b *Backend) interruptible(ctx context.Context, rows int) bool {
	cost := b.rowCost.Load()
	return (b.unsteady || cost == 0 || cost*int64(max(rows, 1)) > int64(longRun)) && ctx.Done() != nil
}

// measured reports whether this run's duration should be noted: the clock costs as much as a small model does, so that is done for the
// first runs, then for one in 64, and for all of an expensive model.
func (b *Backend) measured() bool {
	n := b.runs.Add(1)
	return n < 8 || n%64 == 0 || b.rowCost.Load() > int64(longRun)/8
}

// note remembers a run's cost: up at once, down slowly.
func (b *Backend) note(rows int, took time.Duration) {
	cost := max(1, int64(took)/int64(max(rows, 1)))
	if old := b.rowCost.Load(); cost < old {
		cost = old - (old-cost)/8
	}
	b.rowCost.Store(cost)
}

// run calls f, interrupting it with ctx if interruptible; f gets the options to run with, or nil.
func (b *Backend) run(ctx context.Context, rows int, f func(*ort.RunOptions) error) error {
	if !b.interruptible(ctx, rows) {
		return f(nil)
	}
	opts, err := ort.NewRunOptions()
	if err != nil {
		return err
	}
	defer opts.Destroy()
	var terminated sync.WaitGroup
	terminated.Add(1)
	stop := context.AfterFunc(ctx, func() {
		defer terminated.Done()
		_ = opts.Terminate() // fails only on a nil pointer
	})
	err = f(opts)
	if !stop() {
		terminated.Wait()
		if err != nil {
			return ctx.Err()
		}
	}
	return err
}

func badInput(format string, args ...any) error {
	return fmt.Errorf("%w: %s", servable.ErrBadInput, fmt.Sprintf(format, args...))
}
