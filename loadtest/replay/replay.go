// Package replay asks recorded requests once more, of another version, and says how its answers differ from those that were given.
//
// It owns the comparison of answers, the report and its limits. It is called by `sluice replay` and tests; it is a black box's user and
// must not know what runs behind the URL, nor where the records come from (loadtest.ReadLog). Run sends over a bounded number of connections and holds
// numbers, not answers; it is safe for concurrent use.
package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"sluice/loadtest"
)

// maxAnswer bounds an answer, bytes.
const maxAnswer = 64 << 20

// Options of Run.
type Options struct {
	// URL of the version, http://host:port/models/NAME/versions/N: requests of MLflow's scoring protocol go to its /invocations, those of the Open
	// Inference Protocol, messages of gRPC among them, to its /infer.
	URL string
	// Client makes the calls; required.
	Client *http.Client
	// Header goes with every request; may be nil.
	Header map[string]string
	// Connections ask at once; default 4.
	Connections int
	// Tolerance of numbers, relative where they are above 1 and absolute below; 0 means exactly.
	Tolerance float64
	// Due says when the i-th request leaves, from the start; nil: as soon as a connection is free.
	Due func(i int) time.Duration
}

// Run asks every record once and compares. The error is one of the set-up, or ctx's; what a request came to stands in the report.
func Run(ctx context.Context, records []loadtest.Recorded, o Options) (*Report, error) {
	if o.Client == nil || o.URL == "" || !(o.Tolerance >= 0) {
		return nil, errors.New("replay: no client, no URL, or a tolerance below 0")
	}
	if o.Connections <= 0 {
		o.Connections = 4
	}
	b := book{report: Report{URL: o.URL, Tolerance: o.Tolerance}}
	next := make(chan int)
	var wg sync.WaitGroup
	for range o.Connections {
		wg.Go(func() {
			for i := range next {
				b.add(&records[i], o.once(ctx, &records[i]))
			}
		})
	}
	err := o.hand(ctx, len(records), next)
	close(next)
	wg.Wait()
	if err != nil {
		return nil, err
	}
	return b.done(), nil
}

// hand gives the requests out when they are due.
func (o *Options) hand(ctx context.Context, n int, next chan<- int) error {
	start := time.Now()
	for i := range n {
		if o.Due != nil {
			if wait := o.Due(i) - time.Since(start); wait > 0 {
				timer := time.NewTimer(wait)
				select {
				case <-timer.C:
				case <-ctx.Done():
					timer.Stop()
					return ctx.Err()
				}
			}
		}
		select {
		case next <- i:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// answer is what one request came to.
type answer struct {
	difference
	latency time.Duration
	failed  string // why there is no answer to compare; "" otherwise
	left    bool   // the record cannot be compared at all
	shape   bool   // it has another shape
}

func (o *Options) once(ctx context.Context, r *loadtest.Recorded) answer {
	recorded := body{r.ResponseType, r.Response}
	if _, ok := recorded.predictions(); !ok {
		return answer{left: true}
	}
	req, err := o.request(ctx, r)
	if err != nil {
		return answer{failed: err.Error()}
	}
	sent := time.Now()
	res, err := o.Client.Do(req)
	if err != nil {
		return answer{failed: err.Error()}
	}
	defer res.Body.Close()
	now, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	a := answer{latency: served(res.Header, time.Since(sent))}
	switch {
	case err != nil:
		a.failed = err.Error()
	case res.StatusCode != http.StatusOK:
		a.failed = fmt.Sprintf("status %d: %.200s", res.StatusCode, now)
	default:
		a.difference, err = compare(recorded, body{res.Header.Get("Content-Type"), now}, o.Tolerance)
		a.shape = err != nil
	}
	return a
}

// request makes a recorded request anew.
func (o *Options) request(ctx context.Context, r *loadtest.Recorded) (*http.Request, error) {
	path := "/invocations"
	if r.Protocol == loadtest.Inference || r.Protocol == loadtest.InferenceRPC {
		path = "/infer"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.URL+path, bytes.NewReader(r.Request.Body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", r.Request.ContentType)
	for _, headers := range []map[string]string{r.Request.Header, o.Header} {
		for name, value := range headers {
			req.Header.Set(name, value)
		}
	}
	return req, nil
}

// served is how long the server took by its own account (Server-Timing: total), which the recorded latencies are too; else what was measured here.
func served(h http.Header, measured time.Duration) time.Duration {
	_, rest, ok := strings.Cut(h.Get("Server-Timing"), "total;dur=")
	text, _, _ := strings.Cut(rest, ",")
	ms, err := strconv.ParseFloat(text, 64)
	if !ok || err != nil {
		return measured
	}
	return time.Duration(ms * float64(time.Millisecond))
}
