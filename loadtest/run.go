package loadtest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

type run struct {
	outgoing []outgoing
	options  Options
	start    time.Time

	turn   atomic.Int64 // numbers the requests
	pacing sync.Mutex   // guards options.Pacer

	sent, answered, failed atomic.Int64 // for Progress
}

// outgoing is a request as a connection sends it.
type outgoing struct {
	wire   []byte          // of HTTP the whole request, of gRPC the message
	header context.Context // of gRPC: what carries the metadata; nil of HTTP
}

// connection is one keep-alive connection, made anew when it breaks. It is used by one worker.
type connection interface {
	// ask sends a request and reads its answer: a status of HTTP and, of a failure, what it said, until the next call.
	ask(ctx context.Context, until time.Time, o outgoing) (status int, said []byte, err error)
	Close() error
}

// worker is what one connection saw; merged at the end so that connections share nothing but counters while they run.
type worker struct {
	latency  *hdrhistogram.Histogram
	seconds  []second
	failures *hdrhistogram.Histogram // nil until there was an answer that is none
	byStatus map[int]int64
	sent     int64
	failed   int64
	failure  string
}

// second is one second of one worker.
type second struct {
	failed  int64
	latency *hdrhistogram.Histogram // coarse; nil until something was answered
}

// coarseDigits keep the histograms of seconds small.
const coarseDigits = 2

func (r *run) drive(ctx context.Context, conns []connection, alarms []*alarm) *Result {
	workers := make([]worker, len(conns))
	for i := range workers {
		workers[i].latency = newLatency()
		workers[i].byStatus = map[int]int64{}
	}
	sending, cancel := context.WithTimeout(ctx, r.options.Duration)
	defer cancel()
	r.start = time.Now()
	stopProgress := r.report()
	var wg sync.WaitGroup
	for i, c := range conns {
		w := &workers[i]
		wg.Go(func() {
			defer c.Close()
			defer alarms[i].close()
			r.work(ctx, sending, c, alarms[i], w)
		})
	}
	wg.Wait()
	stopProgress()
	return r.merge(workers)
}

// report calls Progress every second until the returned function is called, which waits for the last call.
func (r *run) report() (stop func()) {
	if r.options.Progress == nil {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		var before Progress
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				now := Progress{Elapsed: time.Since(r.start), Sent: r.sent.Load(), Answered: r.answered.Load(), Failed: r.failed.Load()}
				now.Rate = float64(now.Answered-before.Answered) / (now.Elapsed - before.Elapsed).Seconds()
				r.options.Progress(now)
				before = now
			}
		}
	}()
	return func() { close(done); <-ended }
}

// afterFailure is how long a connection rests after it broke or could not be made, so that a server that is gone is not asked in a tight loop.
const afterFailure = 10 * time.Millisecond

// work asks until sending is over; ctx ends when nobody wants the result any more.
func (r *run) work(ctx, sending context.Context, c connection, a *alarm, w *worker) {
	until := r.start.Add(r.options.Duration + r.options.Drain)
	for {
		due, ok := r.wait(sending, a)
		if !ok {
			return
		}
		w.sent++
		r.sent.Add(1)
		status, said, err := c.ask(ctx, until, r.next())
		at := time.Now()
		if err != nil {
			r.fail(w, at, err.Error())
			a.sleep(afterFailure)
			continue
		}
		r.record(w, status, due, at, said)
	}
}

// record counts an answer.
func (r *run) record(w *worker, status int, due, at time.Time, said []byte) {
	w.byStatus[status]++
	r.answered.Add(1)
	latency := int64(min(max(at.Sub(due), 1), maxLatency))
	_ = w.latency.RecordValue(latency)
	s := w.second(at.Sub(r.start))
	if s.latency == nil {
		s.latency = hdrhistogram.New(1, int64(maxLatency), coarseDigits)
	}
	_ = s.latency.RecordValue(latency)
	if status < 200 || status > 299 {
		if w.failures == nil {
			w.failures = newLatency()
		}
		_ = w.failures.RecordValue(latency)
		r.fail(w, at, fmt.Sprintf("status %d: %.300s", status, said))
	}
}

// next returns the request whose turn it is.
func (r *run) next() outgoing {
	if len(r.outgoing) == 1 {
		return r.outgoing[0]
	}
	return r.outgoing[(r.turn.Add(1)-1)%int64(len(r.outgoing))]
}

// wait returns when the next request is due; ok is false when the run is over.
func (r *run) wait(ctx context.Context, a *alarm) (due time.Time, ok bool) {
	if r.options.Pacer == nil {
		return time.Now(), ctx.Err() == nil
	}
	r.pacing.Lock()
	after := r.options.Pacer.Next()
	r.pacing.Unlock()
	if after >= r.options.Duration {
		return time.Time{}, false
	}
	due = r.start.Add(after)
	if d := time.Until(due); d > 0 {
		a.sleep(d)
	}
	return due, ctx.Err() == nil
}

// second returns the worker's account of the second in which the run is.
func (w *worker) second(elapsed time.Duration) *second {
	for i := int(elapsed / time.Second); len(w.seconds) <= i; {
		w.seconds = append(w.seconds, second{})
	}
	return &w.seconds[elapsed/time.Second]
}

func (r *run) fail(w *worker, at time.Time, text string) {
	w.failed++
	r.failed.Add(1)
	w.second(at.Sub(r.start)).failed++
	if w.failure == "" {
		w.failure = text
	}
}
