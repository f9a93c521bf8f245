package batch

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"sluice/runtime/tensor"
)

var (
	// ErrQueueFull: more calls wait than MaxQueue, or more bytes than MaxQueueBytes. Nothing was executed.
	ErrQueueFull = errors.New("prediction queue full")
	// ErrClosed: the Batcher accepts no calls any more. Nothing was executed.
	ErrClosed = errors.New("batcher closed")
	// ErrPanic: the Predictor panicked; the wrapping text has the value and the stack.
	ErrPanic = errors.New("model panicked")
)

// Predictor runs one batch: it reads in, and resets and fills out.
type Predictor interface {
	Predict(ctx context.Context, in *tensor.Batch, params map[string]any, out *tensor.Batch) error
}

// Timing says where a prediction's time went.
type Timing struct {
	Queue     time.Duration // from the call to the start of its execution
	Execute   time.Duration // of the execution that held its rows (with re-runs, their sum)
	BatchRows int           // rows of that execution, the caller's own included
}

// Options of a Batcher; nil and the zero value work.
type Options struct {
	// Join joins calls into batches. Default: pass through. Let Calibrate decide.
	Join bool
	// MaxRows of a joined batch. A single call with more rows runs alone. Default (0): 64.
	MaxRows int
	// MaxBytes of a joined batch's input. Default (0): 16 MiB.
	MaxBytes int
	// MaxDelay caps how long a leader waits for others. Default (0): 300 µs; an idle process rounds it up to about 1 ms.
	MaxDelay time.Duration
	// MaxQueue is how many calls may wait before ErrQueueFull. Default (0): 1024.
	MaxQueue int
	// MaxQueueBytes is how many bytes of input may wait, in joining mode. Default (0): 256 MiB.
	MaxQueueBytes int
	// Slots is how many calls, or joined batches, run at once. Default (0): GOMAXPROCS.
	Slots int
	// Tokens is shared by the Batchers of models that run on this process's processors. Default: tokens of its own, one a slot.
	Tokens *Tokens
	// Threads is how many tokens a run takes. Default (0): 1.
	Threads int
}

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	for _, f := range []struct {
		field *int
		value int
	}{{&out.MaxRows, 64}, {&out.MaxBytes, 16 << 20}, {&out.MaxQueue, 1024}, {&out.MaxQueueBytes, 256 << 20},
		{&out.Slots, runtime.GOMAXPROCS(0)}} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	if out.MaxDelay <= 0 {
		out.MaxDelay = 300 * time.Microsecond
	}
	if out.Tokens == nil {
		out.Tokens = NewTokens(out.Slots * max(out.Threads, 1))
	}
	return out
}

// Batcher is a bounded, optionally joining Predictor. Use New.
type Batcher struct {
	next   Predictor
	opts   Options
	runs   *share // of the tokens
	closed atomic.Bool
	spare  sync.Pool // of *call

	// Joining. mu guards everything below. Calls that were given the lead stay in queue until they take their batch.
	mu      sync.Mutex
	queue   []*call
	bytes   int  // input held by queue
	rows    int  // rows held by queue
	leaders int  // calls that lead: queued still, or executing their batch
	pending int  // leaders that are queued still
	calls   int  // accepted and not yet returned
	joining bool // false once the model has shown that its rows are not independent
	idle    chan struct{}
	rest    []*lane // memory of leaders that are not there
	pace    pace
	times   times
	done    Executions
	watch   watch
}

// New returns a Batcher over next.
func New(next Predictor, opts *Options) *Batcher {
	b := &Batcher{next: next, opts: opts.withDefaults()}
	b.runs = b.opts.Tokens.share(b.opts.Threads, b.opts.Slots)
	b.joining = b.opts.Join
	b.pace.init(b.opts.Tokens.total)
	b.watch = newWatch(b.look)
	return b
}

// Joins reports whether calls are joined at present.
func (b *Batcher) Joins() bool {
	if !b.opts.Join {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.joining
}

// Executions counts what a Batcher that joins has run.
type Executions struct {
	Runs int64 // of the Predictor that succeeded
	Rows int64 // in them
}

// Executions is what was run so far; zero for a Batcher that passes through, which does not count.
func (b *Batcher) Executions() Executions {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.done
}

// MaxRows is the bound on the rows of a joined batch, at least 1.
func (b *Batcher) MaxRows() int { return b.opts.MaxRows }

// Waiting is how many calls wait for their execution at present.
func (b *Batcher) Waiting() int {
	if !b.opts.Join {
		return b.runs.waits()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue)
}

// Predict runs in through the Predictor, alone or joined with others, and fills out; both stay the caller's and must not be touched
// until Predict returns. t, which may be nil, is filled whatever the outcome. A call whose ctx ends while it waits is dropped without
// being executed and returns ctx's error, at its deadline or at most 10 ms after a cancellation; once executing, it returns when the
// execution does.
// Errors: ErrQueueFull, ErrClosed, ErrPanic, context errors, and whatever the Predictor returns.
func (b *Batcher) Predict(ctx context.Context, in *tensor.Batch, params map[string]any, out *tensor.Batch, t *Timing) error {
	if t != nil {
		*t = Timing{}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.opts.Join {
		return b.join(ctx, in, params, out, t)
	}
	return b.pass(ctx, in, params, out, t)
}

func (b *Batcher) pass(ctx context.Context, in *tensor.Batch, params map[string]any, out *tensor.Batch, t *Timing) error {
	var start time.Time
	if t != nil {
		start = time.Now()
	}
	ok, err := b.runs.try()
	if !ok && err == nil {
		err = b.runs.take(ctx, b.opts.MaxQueue)
		if t != nil {
			now := time.Now()
			t.Queue, start = now.Sub(start), now
		}
	}
	if err != nil {
		return err
	}
	err = protect(b.next, ctx, in, params, out)
	b.runs.give()
	if t != nil {
		t.Execute, t.BatchRows = time.Since(start), max(in.Rows, 0)
	}
	return err
}

// protect calls p and turns a panic into ErrPanic.
func protect(p Predictor, ctx context.Context, in *tensor.Batch, params map[string]any, out *tensor.Batch) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v\n%s", ErrPanic, r, debug.Stack())
		}
	}()
	return p.Predict(ctx, in, params, out)
}

// Close stops accepting calls and waits for those accepted. It returns ctx's error if they outlast ctx; calls already waiting in front
// of a passing Batcher get ErrClosed, those queued for joining are executed. Further calls of Close wait again.
func (b *Batcher) Close(ctx context.Context) error {
	b.closed.Store(true)
	if b.opts.Join {
		return b.closeJoining(ctx)
	}
	return b.runs.close(ctx)
}

func (b *Batcher) closeJoining(ctx context.Context) error {
	b.mu.Lock()
	if b.calls == 0 {
		b.mu.Unlock()
		return nil
	}
	if b.idle == nil {
		b.idle = make(chan struct{})
	}
	idle := b.idle
	b.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
