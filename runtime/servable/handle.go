package servable

import (
	"context"
	"fmt"
	"sync/atomic"

	"sluice/runtime/batch"
	"sluice/runtime/mlmodel"
	"sluice/runtime/tensor"
)

// retired is taken off a Handle's count when the manager lets go of it: the count then reads negative, and nobody acquires any more.
const retired = int64(1) << 40

// Handle is a loaded version, kept alive until Release. It is shared by all who acquired it: each calls Release once.
type Handle struct {
	id      ID
	loaded  *Loaded
	batcher *batch.Batcher
	refs    atomic.Int64  // handles out; minus retired once the manager let go
	uses    atomic.Int32  // since the last looks for something to evict, each of which takes one off; at most maxUses
	drained chan struct{} // closed when the manager let go and the last handle was released

	measured batch.Calibration // when it was loaded first
}

func newHandle(id ID, l *Loaded, b *batch.Batcher) *Handle {
	return &Handle{id: id, loaded: l, batcher: b, drained: make(chan struct{})}
}

// ID names the version.
func (h *Handle) ID() ID { return h.id }

// Model is the parsed model package; nil if the loader had none.
func (h *Handle) Model() *mlmodel.Model { return h.loaded.Model }

// Digest is Loaded's.
func (h *Handle) Digest() string { return h.loaded.Digest }

// Describe is the tensors that the backend takes and answers with; nil where it does not know them.
func (h *Handle) Describe() (inputs, outputs []mlmodel.TensorSpec) {
	if d, ok := h.loaded.Backend.(Describer); ok {
		return d.Describe()
	}
	return nil, nil
}

// Bytes is the resident memory that the version costs, estimated.
func (h *Handle) Bytes() int64 { return h.loaded.Backend.Bytes() }

// Joins reports whether predictions are joined into batches.
func (h *Handle) Joins() bool { return h.batcher.Joins() }

// Batching is the verdict on joining a version's predictions.
type Batching struct {
	batch.Calibration     // what was measured when it was loaded; Join and Reason are those in force
	MaxRows           int // of a joined batch
}

// Batching says whether predictions are joined, and what was measured.
func (h *Handle) Batching() Batching {
	v := Batching{Calibration: h.measured, MaxRows: h.batcher.MaxRows()}
	if v.Join && !h.batcher.Joins() {
		v.Join, v.Reason = false, "the rows turned out not to be independent"
	}
	return v
}

// down says why nothing can be executed at present; empty: something can.
func (h *Handle) down() string {
	if v, ok := h.loaded.Backend.(Vital); ok {
		if err := v.Down(); err != nil {
			return err.Error()
		}
	}
	return ""
}

// Waiting is how many predictions wait for their execution.
func (h *Handle) Waiting() int { return h.batcher.Waiting() }

// Predict runs one batch, joined with others where that pays. in is read, out is reset and filled; both stay the caller's and must not
// be touched until Predict returns. t may be nil.
// Errors: ErrBadInput, batch.ErrQueueFull, batch.ErrPanic, context errors (dropped before execution, or interrupted); anything else is
// the model's failure.
func (h *Handle) Predict(ctx context.Context, in *tensor.Batch, params map[string]any, out *tensor.Batch, t *batch.Timing) error {
	return h.batcher.Predict(ctx, in, params, out, t)
}

// Release gives the handle back. The caller must not use it, or anything that aliases the model's memory, afterwards.
func (h *Handle) Release() {
	if h.refs.Add(-1) == -retired {
		close(h.drained)
	}
}

// maxUses is how many looks a version survives that was in demand before: it keeps what is asked for often above what was asked for once.
const maxUses = 3

// used notes an acquisition. Increments that race may be lost, and a busy version's line of memory is only read.
func (h *Handle) used() {
	if n := h.uses.Load(); n < maxUses {
		h.uses.Store(n + 1)
	}
}

// passed says whether the version survives one look for something to evict.
func (h *Handle) passed() bool {
	if h.refs.Load() > 0 {
		return true
	}
	n := h.uses.Load()
	if n > 0 {
		h.uses.Store(n - 1)
	}
	return n > 0
}

// acquire adds a user, unless the manager let go. It never touches the count of a retired handle: drained must close once.
func (h *Handle) acquire() bool {
	for {
		n := h.refs.Load()
		if n < 0 {
			return false
		}
		if h.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// retire lets go of the handle: from now on acquire fails, and drained closes with the last Release.
func (h *Handle) retire() {
	if h.refs.Add(-retired) == -retired {
		close(h.drained)
	}
}

// close waits for the calls in the batcher, which are none once drained, and frees the backend.
func (h *Handle) close(ctx context.Context) error {
	if err := h.batcher.Close(ctx); err != nil {
		return err
	}
	return h.loaded.close()
}

// safely turns a panic of foreign code into an error.
func safely(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return f()
}
