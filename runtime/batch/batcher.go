package batch

import (
	"context"
	"errors"
	"fmt"
	"math"
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
	// Slots is how many calls run at once when passing through. Default (0): GOMAXPROCS.
	Slots int
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
	return out
}

// Batcher is a bounded, optionally joining Predictor. Use New.
type Batcher struct {
	next Predictor
	opts Options

	// Passing through.
	slots   chan struct{} // holds one token per running call
	waiting atomic.Int64
	closed  atomic.Bool

	spare sync.Pool // of *call

	// Joining. mu guards everything below.
	mu      sync.Mutex
	queue   []*call
	bytes   int     // input held by queue
	rows    int     // rows held by queue
	busy    bool    // somebody leads
	calls   int     // accepted and not yet returned
	want    int     // calls that the waiting leader wants to see; 0: nobody waits
	peak    float64 // recent peak of calls present at once
	joining bool    // false once the model has shown that its rows are not independent
	idle    chan struct{}
	full    chan struct{} // wakes the waiting leader
	timer   *time.Timer   // the leader's
	lead    leaderScratch // the leader's
}

// New returns a Batcher over next.
func New(next Predictor, opts *Options) *Batcher {
	b := &Batcher{next: next, opts: opts.withDefaults(), full: make(chan struct{}, 1)}
	b.slots = make(chan struct{}, b.opts.Slots)
	b.joining = b.opts.Join
	b.timer = time.NewTimer(math.MaxInt64)
	b.timer.Stop()
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

// Waiting is how many calls wait for their execution at present.
func (b *Batcher) Waiting() int {
	if !b.opts.Join {
		return int(b.waiting.Load())
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue)
}

// Predict runs in through the Predictor, alone or joined with others, and fills out; both stay the caller's and must not be touched
// until Predict returns. t, which may be nil, is filled whatever the outcome. A call whose ctx ends while it waits is dropped without
// being executed and returns ctx's error; once executing, it returns when the execution does.
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
	select {
	case b.slots <- struct{}{}:
	default:
		if err := b.await(ctx); err != nil {
			return err
		}
		if t != nil {
			now := time.Now()
			t.Queue, start = now.Sub(start), now
		}
	}
	if b.closed.Load() {
		<-b.slots
		return ErrClosed
	}
	err := protect(b.next, ctx, in, params, out)
	<-b.slots
	if t != nil {
		t.Execute, t.BatchRows = time.Since(start), max(in.Rows, 0)
	}
	return err
}

// await waits for a slot within the bound on waiters.
func (b *Batcher) await(ctx context.Context) error {
	if b.waiting.Add(1) > int64(b.opts.MaxQueue) {
		b.waiting.Add(-1)
		return ErrQueueFull
	}
	defer b.waiting.Add(-1)
	select {
	case b.slots <- struct{}{}:
		if err := ctx.Err(); err != nil { // both were ready
			<-b.slots
			return err
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
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
	for held := range cap(b.slots) {
		select {
		case b.slots <- struct{}{}:
		case <-ctx.Done():
			for range held {
				<-b.slots
			}
			return ctx.Err()
		}
	}
	for range cap(b.slots) {
		<-b.slots
	}
	return nil
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
