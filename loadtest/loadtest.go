// Package loadtest drives an HTTP server with a known load and says what came back.
//
// It owns the pacing (closed loop: each connection asks again when it was answered; open loop: requests leave at a rate whatever the
// answers do), the connections, the histogram, the payloads (from a signature, from a server's metadata, from a prediction log) and the
// reports. It is called by `sluice loadtest`, cmd/bench and tests; it is a black box's user and must not know what runs behind the URL.
//
// Latencies of an open loop count from the moment a request was due, so a stalled server cannot hide behind requests that were never sent
// (no coordinated omission). Those of a closed loop count from the moment of sending: its clients wait, as clients of that kind do.
//
// Run and RunMany are one run, Compare alternates windows of two servers, FindCapacity searches the highest rate that keeps a limit.
package loadtest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/valyala/fasthttp"
)

// Request is what every connection sends, over and over. With several requests, connections send them in turn.
type Request struct {
	// URL is http://host:port/path or https://…
	URL    string
	Method string // default POST
	Header map[string]string
	Body   []byte
}

// Options of a run.
type Options struct {
	// Connections is the number of keep-alive connections; default 64. One that the server closes is made again.
	Connections int
	// Duration is how long requests are sent; required. Answers may come in later, up to Drain.
	Duration time.Duration
	// Rate is requests per second of an open loop with constant spacing; 0 means closed loop, unless Pacer is set.
	Rate float64
	// Pacer says when requests of an open loop are due; it goes before Rate. nil: see Rate.
	Pacer Pacer
	// Drain bounds the wait for the last answers; default 10 s.
	Drain time.Duration
	// TLS is how https:// URLs are called; nil: as the system trusts. HTTP/1.1 is spoken whatever it says.
	TLS *tls.Config
	// Progress is called about once a second with what was seen so far, from one goroutine; may be nil. It must be quick.
	Progress func(Progress)
}

// Progress is a picture of a run under way.
type Progress struct {
	Elapsed                time.Duration
	Sent, Answered, Failed int64 // since the start
	// Rate is answers per second since the picture before.
	Rate float64
}

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
	var to target
	for _, r := range requests {
		wire, at, err := r.encode()
		if err != nil {
			return nil, err
		}
		if to == (target{}) {
			to = at
		}
		if at != to {
			return nil, fmt.Errorf("loadtest: requests go to %s and %s", to.host, at.host)
		}
		run.wire = append(run.wire, wire)
	}
	conns := make([]*conn, o.Connections)
	for i := range conns {
		var err error
		if conns[i], err = newConn(ctx, to, o.TLS); err != nil {
			for _, c := range conns[:i] {
				c.Close()
			}
			return nil, fmt.Errorf("loadtest: %w", err)
		}
	}
	return run.drive(ctx, conns), nil
}

// target is where connections go.
type target struct {
	host string // with a port
	tls  bool
}

// encode returns the request's bytes and where they go.
func (r *Request) encode() ([]byte, target, error) {
	u, err := url.Parse(r.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, target{}, fmt.Errorf("loadtest: %q is not an http:// or https:// URL", r.URL)
	}
	to := target{host: u.Host, tls: u.Scheme == "https"}
	if u.Port() == "" {
		to.host = net.JoinHostPort(u.Hostname(), map[bool]string{false: "80", true: "443"}[to.tls])
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
		return nil, target{}, err
	}
	if err := w.Flush(); err != nil {
		return nil, target{}, err
	}
	return buf.Bytes(), to, nil
}

// conn is one keep-alive connection, made anew when it breaks, and what its worker sleeps on.
type conn struct {
	net.Conn  // nil after it was closed, until the next request
	in        *bufio.Reader
	alarm     *alarm
	to        target
	config    *tls.Config // for TLS
	until     time.Time   // when answers must have come
	deadlined bool        // the connection knows until
}

func newConn(ctx context.Context, to target, config *tls.Config) (*conn, error) {
	a, err := newAlarm()
	if err != nil {
		return nil, err
	}
	if config == nil {
		config = &tls.Config{}
	}
	c := &conn{alarm: a, to: to, config: config.Clone()}
	c.config.NextProtos = []string{"http/1.1"}
	if err := c.dial(ctx); err != nil {
		return nil, errors.Join(err, a.close())
	}
	return c, nil
}

func (c *conn) dial(ctx context.Context) (err error) {
	if c.to.tls {
		c.Conn, err = (&tls.Dialer{Config: c.config}).DialContext(ctx, "tcp", c.to.host)
	} else {
		c.Conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", c.to.host)
	}
	if err != nil {
		c.Conn = nil
		return err
	}
	c.in, c.deadlined = bufio.NewReaderSize(c.Conn, 16<<10), false
	return nil
}

// Close closes the connection for good.
func (c *conn) Close() error {
	if c.Conn == nil {
		return c.alarm.close()
	}
	return errors.Join(c.Conn.Close(), c.alarm.close())
}
