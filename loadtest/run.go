package loadtest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/valyala/fasthttp"
)

type run struct {
	wire    [][]byte
	options Options
	start   time.Time

	turn   atomic.Int64 // numbers the requests
	pacing sync.Mutex   // guards options.Pacer

	sent, answered, failed atomic.Int64 // for Progress
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

func (r *run) drive(ctx context.Context, conns []*conn) *Result {
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
			r.work(ctx, sending, c, w)
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
func (r *run) work(ctx, sending context.Context, c *conn, w *worker) {
	c.until = r.start.Add(r.options.Duration + r.options.Drain)
	var res fasthttp.Response
	for {
		due, ok := r.wait(sending, c.alarm)
		if !ok {
			return
		}
		w.sent++
		r.sent.Add(1)
		status, err := c.ask(ctx, r.next(), &res)
		at := time.Now()
		if err != nil {
			r.fail(w, at, err.Error())
			c.alarm.sleep(afterFailure)
			continue
		}
		r.record(w, status, due, at, &res)
	}
}

// record counts an answer.
func (r *run) record(w *worker, status int, due, at time.Time, res *fasthttp.Response) {
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
		r.fail(w, at, fmt.Sprintf("status %d: %.300s", status, res.Body()))
	}
}

// next returns the bytes of the request whose turn it is.
func (r *run) next() []byte {
	if len(r.wire) == 1 {
		return r.wire[0]
	}
	return r.wire[(r.turn.Add(1)-1)%int64(len(r.wire))]
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

// ask sends a request and reads its answer, on a new connection if the one before was closed.
func (c *conn) ask(ctx context.Context, wire []byte, res *fasthttp.Response) (int, error) {
	if c.Conn == nil {
		ctx, cancel := context.WithDeadline(ctx, c.until)
		defer cancel()
		if err := c.dial(ctx); err != nil {
			return 0, err
		}
	}
	if !c.deadlined {
		if err := c.SetDeadline(c.until); err != nil {
			return 0, c.drop(err)
		}
		c.deadlined = true
	}
	if _, err := c.Write(wire); err != nil {
		return 0, c.drop(err)
	}
	res.Reset()
	if err := res.Read(c.in); err != nil {
		return 0, c.drop(err)
	}
	if res.ConnectionClose() {
		_ = c.drop(nil)
	}
	return res.StatusCode(), nil
}

// drop closes the connection; the next request makes another. It returns why.
func (c *conn) drop(why error) error {
	_ = c.Conn.Close()
	c.Conn = nil
	return why
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
