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

// Request is what every connection sends, over and over.
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
	// Rate is requests per second of an open loop with constant spacing; 0 means closed loop.
	Rate float64
	// Drain bounds the wait for the last answers; default 10 s.
	Drain time.Duration
}

// Result of a run.
type Result struct {
	Sent     int64
	Answered int64 // complete answers, whatever their status
	Failed   int64 // answers with a status other than 2xx, and broken connections
	ByStatus map[int]int64
	Elapsed  time.Duration
	// Latency holds µs; of an open loop from the due time.
	Latency *hdrhistogram.Histogram
	// FirstFailure is the text of the first failure, "" if there was none.
	FirstFailure string
}

// Rate is answers per second.
func (r *Result) Rate() float64 { return float64(r.Answered) / r.Elapsed.Seconds() }

// Quantile returns the latency below which a share q (0–1) of the answers came.
func (r *Result) Quantile(q float64) time.Duration {
	return time.Duration(r.Latency.ValueAtQuantile(q*100)) * time.Microsecond
}

const (
	maxLatency = 60 * time.Second
	digits     = 3
)

// Run drives the server until o.Duration is over or ctx ends, and returns what it saw. A server that cannot be reached is an error;
// failing answers are counted in the result.
func Run(ctx context.Context, r Request, o Options) (*Result, error) {
	if o.Duration <= 0 {
		return nil, errors.New("loadtest: Duration must be above 0")
	}
	if o.Connections <= 0 {
		o.Connections = 64
	}
	if o.Drain <= 0 {
		o.Drain = 10 * time.Second
	}
	wire, host, err := r.encode()
	if err != nil {
		return nil, err
	}
	run := &run{wire: wire, options: o}
	conns := make([]*conn, o.Connections)
	for i := range conns {
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
	req.SetRequestURI(r.URL)
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
	wire    []byte
	options Options
	// next numbers the requests of an open loop: number n is due n/Rate seconds after start.
	next  atomic.Int64
	start time.Time
}

// worker is what one connection saw; merged at the end so that connections share nothing while they run.
type worker struct {
	latency  *hdrhistogram.Histogram
	byStatus map[int]int64
	sent     int64
	failed   int64
	failure  string
}

func (r *run) drive(ctx context.Context, conns []*conn) *Result {
	ctx, cancel := context.WithTimeout(ctx, r.options.Duration)
	defer cancel()
	workers := make([]worker, len(conns))
	r.start = time.Now()
	var wg sync.WaitGroup
	for i, c := range conns {
		w := &workers[i]
		w.latency = hdrhistogram.New(1, maxLatency.Microseconds(), digits)
		w.byStatus = map[int]int64{}
		wg.Go(func() {
			defer c.Close()
			r.work(ctx, c, w)
		})
	}
	wg.Wait()
	return r.merge(workers)
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
		status, err := c.ask(r.wire, &res)
		if err != nil {
			w.fail(err.Error())
			return
		}
		w.byStatus[status]++
		_ = w.latency.RecordValue(min(max(time.Since(due).Microseconds(), 1), maxLatency.Microseconds()))
		if status < 200 || status > 299 {
			w.fail(fmt.Sprintf("status %d: %.300s", status, res.Body()))
		}
	}
}

// wait returns when the next request is due; ok is false when the run is over.
func (r *run) wait(ctx context.Context) (due time.Time, ok bool) {
	if r.options.Rate <= 0 {
		return time.Now(), ctx.Err() == nil
	}
	n := r.next.Add(1) - 1
	after := time.Duration(float64(n) / r.options.Rate * float64(time.Second))
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

func (w *worker) fail(text string) {
	w.failed++
	if w.failure == "" {
		w.failure = text
	}
}

func (r *run) merge(workers []worker) *Result {
	out := &Result{Elapsed: time.Since(r.start), ByStatus: map[int]int64{}, Latency: hdrhistogram.New(1, maxLatency.Microseconds(), digits)}
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
	return out
}
