package pyworker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"sluice/runtime/mlmodel"
	"sluice/runtime/servable"
	"sluice/runtime/tensor"
)

var (
	// ErrModel: the model raised an exception; the wrapping text names it, and the log has the traceback.
	ErrModel = errors.New("the model failed")
)

// Backend is one model in its workers.
type Backend struct {
	pool       *pool
	defaults   map[string]any // the signature's params
	requests   sync.Pool      // of *request
	complaints *complaints
}

var (
	_ servable.Backend = (*Backend)(nil)
	_ servable.Vital   = (*Backend)(nil)
)

// Open starts workers for the model package in dir with the interpreter of its environment, and returns when the first has loaded the model; the
// others follow in the background. ctx ends the wait. Errors: ErrModel, wrapped, if the model cannot be loaded.
func Open(ctx context.Context, interpreter, dir string, model *mlmodel.Model, opts *Options) (*Backend, error) {
	if _, err := model.PyFunc(); err != nil {
		return nil, err
	}
	path, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	o := opts.withDefaults()
	b := &Backend{pool: newPool(interpreter, path, o), complaints: newComplaints(o.Logger, time.Now)}
	b.requests.New = func() any { return new(request) }
	b.defaults, _, _ = model.Signature.EnforceParams(nil) // no value, so no wrong one
	if err := b.pool.open(ctx); err != nil {
		var told *failure
		if errors.As(err, &told) {
			b.pool.opts.Logger.Warn("model cannot be loaded", slog.String("error", told.Message), slog.String("traceback", told.Trace))
			err = fmt.Errorf("%w: %w", ErrModel, err)
		}
		return nil, err
	}
	return b, nil
}

// LoadDir reads a model package and opens it: everything that a servable.Loader has to return, the input example included.
func LoadDir(ctx context.Context, interpreter, dir string, opts *Options) (*servable.Loaded, error) {
	m, err := mlmodel.Load(dir)
	if err != nil {
		return nil, err
	}
	b, err := Open(ctx, interpreter, dir, m, opts)
	if err != nil {
		return nil, err
	}
	l := &servable.Loaded{Model: m, Backend: b, MadeUp: true}
	if l.Sample, l.Params, err = m.ReadExample(dir); err != nil {
		b.pool.opts.Logger.Info("input example is not usable for warm-up", slog.Any("error", err))
	}
	return l, nil
}

// request is a prediction on its way, with the memory that it takes.
type request struct {
	frame  frame
	layout []byte
	body   []byte
}

// maxKept is what a request keeps of its memory for the next.
const maxKept = 1 << 20

// Predict implements servable.Backend. Errors besides those: ErrModel; servable.ErrLost when two workers died over it, servable.ErrNotAvailable when no worker can be started.
func (b *Backend) Predict(ctx context.Context, in *tensor.Batch, params map[string]any, out *tensor.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if params == nil {
		params = b.defaults
	}
	r := b.requests.Get().(*request)
	defer b.release(r)
	if err := r.fill(in, params); err != nil {
		return err
	}
	deaths := 0
	for tries := 0; ; tries++ {
		err := b.once(ctx, r, in.Rows, out)
		var lost *death
		if !errors.As(err, &lost) {
			return err
		}
		if !lost.unread() || tries >= b.pool.opts.Workers {
			deaths++
		}
		if deaths == 2 {
			return fmt.Errorf("%w: %w", servable.ErrLost, err)
		}
	}
}

func (b *Backend) release(r *request) {
	if cap(r.body) > maxKept {
		r.body = nil
	}
	r.frame = frame{}
	b.requests.Put(r)
}

// fill makes the frame of a prediction.
func (r *request) fill(in *tensor.Batch, params map[string]any) (err error) {
	if r.layout, err = appendLayout(r.layout[:0], in); err != nil {
		return err
	}
	r.body = appendBody(r.body[:0], in)
	r.frame = frame{kind: kindPredict, rows: int64(in.Rows), head: r.layout, body: r.body}
	if len(r.layout) > maxHeadBytes || len(r.body) > maxBodyBytes {
		return fmt.Errorf("%w: %d bytes are more than a worker takes at once", servable.ErrBadInput, len(r.body))
	}
	r.frame.extra, err = appendParams(nil, params)
	return err
}

// once runs a prediction on one worker. Errors: *death, unless ctx has ended; those of Predict.
func (b *Backend) once(ctx context.Context, r *request, rows int, out *tensor.Batch) error {
	w, err := b.pool.take(ctx)
	if err != nil {
		return err
	}
	defer b.pool.giveBack(w)
	err = w.exchange(ctx, &r.frame, kindAnswer, b.pool.opts.InterruptGrace)
	w.note(rows)
	var told *failure
	switch {
	case err == nil:
		return w.decode(out)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &told) && told.Kind == "input":
		return fmt.Errorf("%w: %s", servable.ErrBadInput, told.Message)
	case errors.As(err, &told) && told.Kind == "memory" && w.leaks(b.pool.opts.MemoryBytes):
		return w.lost(Memory, err)
	case errors.As(err, &told):
		b.complaints.log(told)
		return fmt.Errorf("%w: %w", ErrModel, err)
	}
	return err
}

// decode makes out the answer that the worker has sent; one that is garbage costs its life.
func (w *worker) decode(out *tensor.Batch) error {
	l, err := w.layoutOf(w.answer.head)
	if err == nil {
		err = l.decode(w.answer.rows, w.answer.body, out)
	}
	if err != nil {
		return w.lost(Garbage, err)
	}
	if cap(w.answer.body) > maxKept {
		w.answer.body = nil
	}
	return nil
}

// Bytes is the resident memory of the workers, as it was seen last; workers that are still starting are counted like the others.
func (b *Backend) Bytes() int64 {
	bytes, n := b.pool.resident()
	if n > 0 && n < b.pool.opts.Workers {
		bytes = bytes / int64(n) * int64(b.pool.opts.Workers)
	}
	return max(bytes, 1)
}

// Down implements servable.Vital: no worker lives, and the next may be long in coming.
func (b *Backend) Down() error { return b.pool.down() }

// RowWise implements servable.RowWise: whether rows are independent is found out by trying.
func (b *Backend) RowWise() bool { return true }

// Slots implements servable.Slotted.
func (b *Backend) Slots() int { return b.pool.opts.Workers }

// Close ends the workers and removes their directories.
func (b *Backend) Close() error {
	b.pool.close()
	return nil
}
