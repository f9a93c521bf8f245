package pyworker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// worker is a process that has loaded the model. It belongs to whoever took it from the pool's idle ones; fields without another word are
// that one's.
type worker struct {
	*process
	born     time.Time
	oomKills int64 // outOfMemoryKills when it was started
	number   uint64
	requests int64
	rows     int64
	limits   workerLimits
	loaded   int64  // bytes that it had allocated when it had loaded the model
	start    []byte // header, head and extra of the frame being sent
	answer   frame
	layouts  map[string]*layout // of answers

	resident atomic.Int64
	busy     atomic.Bool
	retired  atomic.Bool // its successor is there: whoever finds it idle ends it
	due      chan Reason // a wish to be replaced; holds one

	once sync.Once
	dead chan struct{} // closed when it is to be replaced at once; why is set before
	why  Reason
}

// workerLimits are a worker's own bounds for recycling; 0: none.
type workerLimits struct {
	age      time.Duration
	requests int64
	rows     int64
}

// maxLayouts bounds the answers' layouts that are kept parsed: a model may answer each request in another form.
const maxLayouts = 64

// death is the error of an exchange in which the worker was lost.
type death struct {
	why   Reason
	cause error
}

func (d *death) Error() string { return fmt.Sprintf("worker lost (%s): %v", d.why, d.cause) }
func (d *death) Unwrap() error { return d.cause }

// unread reports whether the worker had ended before it read the request, which can have done nothing to it (source: unix(7), and recv(2): a
// connection is reset when the other end closes without having read everything).
func (d *death) unread() bool {
	return errors.Is(d.cause, syscall.EPIPE) || errors.Is(d.cause, syscall.ECONNRESET)
}

// failure is what a worker tells of a load or a prediction that failed.
type failure struct {
	Kind    string `json:"kind"` // "input", "model", "memory" or "interrupted"
	Message string `json:"message"`
	Trace   string `json:"trace"`
}

func (f *failure) Error() string { return f.Message }

// condemn kills the worker for a reason; the first one counts.
func (w *worker) condemn(why Reason) {
	w.once.Do(func() {
		w.why = why
		killGroup(w.pid())
		close(w.dead)
	})
}

// watch condemns the worker when its process ends by itself.
func (w *worker) watch() {
	<-w.exited
	w.condemn(w.verdict())
}

// verdict says why the process has ended.
func (w *worker) verdict() Reason {
	status, ok := w.state.Sys().(syscall.WaitStatus)
	switch {
	case !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL:
		return Crashed
	case outOfMemoryKills() > w.oomKills:
		return OutOfMemory
	}
	return Killed
}

// lost is the error for a worker that is gone. It waits a moment for the process's end, which says more than the socket's.
func (w *worker) lost(why Reason, cause error) error {
	if why == Crashed {
		select {
		case <-w.dead:
		case <-time.After(time.Second):
		}
	}
	w.condemn(why)
	return &death{why: w.why, cause: cause}
}

// exchange sends f and waits for the answer in w.answer. When ctx ends the worker gets SIGINT, and grace to answer all the same.
// Errors: *death; *failure as the worker reports it; ctx's, after which the worker is fit for the next exchange.
func (w *worker) exchange(ctx context.Context, f *frame, want kind, grace time.Duration) error {
	w.number++
	f.number = w.number
	w.busy.Store(true)
	defer w.busy.Store(false)
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		w.signal(syscall.SIGINT)
		_ = w.conn.SetDeadline(time.Now().Add(grace))
	})
	err := w.roundTrip(f)
	if !stop() {
		<-interrupted
		return w.afterInterrupt(ctx, err, grace)
	}
	if err != nil {
		return w.lostBy(err)
	}
	return w.accept(f, want)
}

func (w *worker) roundTrip(f *frame) error {
	w.start = f.appendStart(w.start[:0])
	if len(f.body) <= 64<<10 {
		w.start = append(w.start, f.body...)
		if _, err := w.conn.Write(w.start); err != nil {
			return err
		}
		return w.answer.read(w.conn)
	}
	if _, err := w.conn.Write(w.start); err != nil {
		return err
	}
	if _, err := w.conn.Write(f.body); err != nil {
		return err
	}
	return w.answer.read(w.conn)
}

// afterInterrupt makes sure that the signal is spent: a worker answers a ping only after it has handled the signals sent before.
func (w *worker) afterInterrupt(ctx context.Context, err error, grace time.Duration) error {
	if err != nil {
		if errors.Is(err, errGarbage) {
			return w.lost(Garbage, err)
		}
		return errors.Join(ctx.Err(), w.lost(Hung, err))
	}
	_ = w.conn.SetDeadline(time.Now().Add(grace))
	w.number++
	if err := w.roundTrip(&frame{kind: kindPing, number: w.number}); err != nil {
		return errors.Join(ctx.Err(), w.lost(Hung, err))
	}
	if w.answer.kind != kindPong || w.answer.number != w.number {
		return w.lost(Garbage, fmt.Errorf("%w: kind %d in answer to a ping", errGarbage, w.answer.kind))
	}
	_ = w.conn.SetDeadline(time.Time{})
	return ctx.Err()
}

func (w *worker) lostBy(err error) error {
	if errors.Is(err, errGarbage) {
		return w.lost(Garbage, err)
	}
	return w.lost(Crashed, err)
}

// accept checks that the answer is one to f.
func (w *worker) accept(f *frame, want kind) error {
	a := &w.answer
	switch {
	case a.number != f.number:
		return w.lost(Garbage, fmt.Errorf("%w: an answer to request %d instead of %d", errGarbage, a.number, f.number))
	case a.kind == want:
		return nil
	case a.kind != kindFailed:
		return w.lost(Garbage, fmt.Errorf("%w: kind %d where %d was due", errGarbage, a.kind, want))
	}
	var told failure
	if err := json.Unmarshal(a.head, &told); err != nil {
		return w.lost(Garbage, fmt.Errorf("%w: %w", errGarbage, err))
	}
	return &told
}

// layoutOf is the parsed layout of the answer.
func (w *worker) layoutOf(text []byte) (*layout, error) {
	if l, ok := w.layouts[string(text)]; ok {
		return l, nil
	}
	l, err := parseLayout(text)
	if err != nil {
		return nil, err
	}
	if len(w.layouts) >= maxLayouts {
		clear(w.layouts)
	}
	w.layouts[string(text)] = l
	return l, nil
}

// wish asks for a planned replacement; only the first wish is heard.
func (w *worker) wish(why Reason) {
	select {
	case w.due <- why:
	default:
	}
}

// leaks reports whether a worker that was refused memory has lost most of what its bound leaves to predictions, so that the next would be refused
// it as well. One that still has it was asked for too much at once.
func (w *worker) leaks(bound int64) bool {
	return bound > 0 && w.loaded > 0 && allocated(w.pid()) > w.loaded+(bound-w.loaded)/2
}

// note counts a prediction, and wishes for a replacement when the worker has done its share.
func (w *worker) note(rows int) {
	w.requests++
	w.rows += int64(max(rows, 0))
	switch {
	case w.limits.requests > 0 && w.requests >= w.limits.requests:
		w.wish(Requests)
	case w.limits.rows > 0 && w.rows >= w.limits.rows:
		w.wish(Rows)
	}
}
