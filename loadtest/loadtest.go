// Package loadtest drives an HTTP server with a known load and says what came back.
//
// It owns the pacing (closed loop: each connection asks again when it was answered; open loop: requests leave at a rate whatever the
// answers do), the connections and the histogram. It is called by cmd/bench and tests; it is a black box's user and must not know what runs
// behind the URL. Latencies of an open loop count from the moment a request was due, so a stalled server cannot hide behind requests that
// were never sent (no coordinated omission).
package loadtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/valyala/fasthttp"
)

// Request is what every connection sends, over and over. With several requests, connections send them in turn.
type Request struct {
	// URL is http://host:port/path; only loopback load is meant, and TLS is not spoken.
	URL    string
	Method string // default POST
	Header map[string]string
	Body   []byte
}

// Options of a run.
type Options struct {
	// Connections is the number of keep-alive connections; default 64.
	Connections int
	// Duration is how long requests are sent; required. Answers may come in later, up to Drain.
	Duration time.Duration
	// Rate is requests per second of an open loop with constant spacing; 0 means closed loop, unless Pacer is set.
	Rate float64
	// Pacer says when requests of an open loop are due; it goes before Rate. nil: see Rate.
	Pacer Pacer
	// Drain bounds the wait for the last answers; default 10 s.
	Drain time.Duration
	// Progress is called about once a second with what was seen so far, from one goroutine; may be nil. It must be quick.
	Progress func(Progress)
}

// Progress is a picture of a run under way.
type Progress struct {
	Elapsed                time.Duration
	Sent, Answered, Failed int64
}

// Result of a run.
type Result struct {
	Sent     int64
	Answered int64 // complete answers, whatever their status
	Failed   int64 // answers with a status other than 2xx, and broken connections
	ByStatus map[int]int64
	Elapsed  time.Duration
	// Latency holds ns; of an open loop from the due time.
	Latency *hdrhistogram.Histogram
	// FirstFailure is the text of the first failure, "" if there was none.
	FirstFailure string
	// Seconds is what happened in each second of the run, by the time at which answers came.
	Seconds []Second
}

// Second is one second of a run.
type Second struct {
	Answered, Failed int64
	// P50, P99 and Max are µs; 0 when nothing was answered.
	P50, P99, Max int64
}

// Rate is answers per second.
func (r *Result) Rate() float64 { return float64(r.Answered) / r.Elapsed.Seconds() }

// Quantile returns the latency below which a share q (0–1) of the answers came.
func (r *Result) Quantile(q float64) time.Duration {
	return time.Duration(r.Latency.ValueAtQuantile(q * 100))
}

const (
	maxLatency = 60 * time.Second
	digits     = 3
)

// Run drives the server until o.Duration is over or ctx ends, and returns what it saw. A server that cannot be reached is an error;
// failing answers are counted in the result.
func Run(ctx context.Context, r Request, o Options) (*Result, error) {
	return RunMany(ctx, []Request{r}, o)
}

// RunMany is Run with several requests, all to the host of the first, sent in turn.
func RunMany(ctx context.Context, requests []Request, o Options) (*Result, error) {
	if len(requests) == 0 {
		return nil, errors.New("loadtest: nothing to send")
	}
	if o.Duration <= 0 {
		return nil, errors.New("loadtest: Duration must be above 0")
	}
	if o.Connections <= 0 {
		o.Connections = 64
	}
	if o.Drain <= 0 {
		o.Drain = 10 * time.Second
	}
	if o.Pacer == nil && o.Rate > 0 {
		o.Pacer = Constant(o.Rate)
	}
	run := &run{options: o}
	var host string
	for _, r := range requests {
		wire, at, err := r.encode()
		if err != nil {
			return nil, err
		}
		if host == "" {
			host = at
		}
		if at != host {
			return nil, fmt.Errorf("loadtest: requests go to %s and %s", host, at)
		}
		run.wire = append(run.wire, wire)
	}
	conns := make([]*conn, o.Connections)
	for i := range conns {
		var err error
		if conns[i], err = dial(ctx, host); err != nil {
			for _, c := range conns[:i] {
				c.Close()
			}
			return nil, fmt.Errorf("loadtest: %w", err)
		}
	}
	return run.drive(ctx, conns), nil
}

// encode returns the request's bytes and the address to dial.
func (r *Request) encode() ([]byte, string, error) {
	u, err := url.Parse(r.URL)
	if err != nil || u.Scheme != "http" {
		return nil, "", fmt.Errorf("loadtest: %q is not an http:// URL", r.URL)
	}
	req := fasthttp.AcquireRequest()
	defer fasthttp.ReleaseRequest(req)
	req.Header.SetRequestURI(u.RequestURI()) // the path alone: not every server takes a whole URL there
	req.Header.SetMethod("POST")
	if r.Method != "" {
		req.Header.SetMethod(r.Method)
	}
	req.Header.SetHost(u.Host)
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	req.SetBodyRaw(r.Body)
	var buf bytes.Buffer
	w := bufio.NewWriter(&buf)
	if err := req.Write(w); err != nil {
		return nil, "", err
	}
	if err := w.Flush(); err != nil {
		return nil, "", err
	}
	return buf.Bytes(), u.Host, nil
}

type conn struct {
	net.Conn
	in *bufio.Reader
}

func dial(ctx context.Context, host string) (*conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, in: bufio.NewReaderSize(c, 16<<10)}, nil
}

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
		workers[i].latency = hdrhistogram.New(1, int64(maxLatency), digits)
		workers[i].byStatus = map[int]int64{}
	}
	ctx, cancel := context.WithTimeout(ctx, r.options.Duration)
	defer cancel()
	r.start = time.Now()
	stopProgress := r.report()
	var wg sync.WaitGroup
	for i, c := range conns {
		w := &workers[i]
		wg.Go(func() {
			defer c.Close()
			r.work(ctx, c, w)
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
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				r.options.Progress(Progress{Elapsed: time.Since(r.start), Sent: r.sent.Load(), Answered: r.answered.Load(), Failed: r.failed.Load()})
			}
		}
	}()
	return func() { close(done); <-ended }
}

func (r *run) work(ctx context.Context, c *conn, w *worker) {
	_ = c.SetDeadline(r.start.Add(r.options.Duration + r.options.Drain))
	var res fasthttp.Response
	for {
		due, ok := r.wait(ctx)
		if !ok {
			return
		}
		w.sent++
		r.sent.Add(1)
		status, err := c.ask(r.next(), &res)
		at := time.Now()
		if err != nil {
			r.fail(w, at, err.Error())
			return
		}
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
			r.fail(w, at, fmt.Sprintf("status %d: %.300s", status, res.Body()))
		}
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
func (r *run) wait(ctx context.Context) (due time.Time, ok bool) {
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
		time.Sleep(d)
	}
	return due, ctx.Err() == nil
}

func (c *conn) ask(wire []byte, res *fasthttp.Response) (int, error) {
	if _, err := c.Write(wire); err != nil {
		return 0, err
	}
	res.Reset()
	if err := res.Read(c.in); err != nil {
		return 0, err
	}
	return res.StatusCode(), nil
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

func (r *run) merge(workers []worker) *Result {
	out := &Result{Elapsed: time.Since(r.start), ByStatus: map[int]int64{}, Latency: hdrhistogram.New(1, int64(maxLatency), digits)}
	for i := range workers {
		w := &workers[i]
		out.Sent += w.sent
		out.Failed += w.failed
		out.Latency.Merge(w.latency)
		for status, n := range w.byStatus {
			out.ByStatus[status] += n
			out.Answered += n
		}
		if out.FirstFailure == "" {
			out.FirstFailure = w.failure
		}
	}
	out.Seconds = mergeSeconds(workers)
	return out
}

func mergeSeconds(workers []worker) []Second {
	n := 0
	for i := range workers {
		n = max(n, len(workers[i].seconds))
	}
	out := make([]Second, n)
	for s := range out {
		all := hdrhistogram.New(1, int64(maxLatency), coarseDigits)
		for i := range workers {
			if s >= len(workers[i].seconds) {
				continue
			}
			one := &workers[i].seconds[s]
			out[s].Failed += one.failed
			if one.latency != nil {
				all.Merge(one.latency)
			}
		}
		out[s].Answered = all.TotalCount()
		if out[s].Answered > 0 {
			out[s].P50, out[s].P99, out[s].Max = all.ValueAtQuantile(50)/1000, all.ValueAtQuantile(99)/1000, all.Max()/1000
		}
	}
	return out
}
