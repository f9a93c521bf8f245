// Package loadtest drives a server, over HTTP or over gRPC, with a known load and says what came back.
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
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"
)

// Request is what every connection sends, over and over. With several requests, connections send them in turn.
type Request struct {
	// URL is http://host:port/path or https://…, or grpc://host:port/… or grpcs://… of the Open Inference Protocol: its ModelInfer is called with the
	// ModelInferRequest in Body, whatever the path says.
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
	// TLS is how https:// and grpcs:// URLs are called; nil: as the system trusts. https:// is HTTP/1.1 whatever it says.
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
		out, at, err := r.encode()
		if err != nil {
			return nil, err
		}
		if to == (target{}) {
			to = at
		}
		if at != to {
			return nil, fmt.Errorf("loadtest: requests go to %s and %s", to.host, at.host)
		}
		run.outgoing = append(run.outgoing, out)
	}
	conns, alarms, err := o.connect(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("loadtest: %w", err)
	}
	return run.drive(ctx, conns, alarms), nil
}

// connect makes the connections and what their workers sleep on; none of them is left open after an error.
func (o *Options) connect(ctx context.Context, to target) (conns []connection, alarms []*alarm, err error) {
	defer func() {
		if err == nil {
			return
		}
		for i := range conns {
			conns[i].Close()
			alarms[i].close()
		}
	}()
	for range o.Connections {
		a, err := newAlarm()
		if err != nil {
			return conns, alarms, err
		}
		var c connection
		if to.rpc {
			c, err = newRPC(ctx, to, o.TLS)
		} else {
			c, err = newConn(ctx, to, o.TLS)
		}
		if err != nil {
			return conns, alarms, errors.Join(err, a.close())
		}
		conns, alarms = append(conns, c), append(alarms, a)
	}
	return conns, alarms, nil
}

// target is where connections go.
type target struct {
	host string // with a port
	tls  bool
	rpc  bool // gRPC, else HTTP
}
