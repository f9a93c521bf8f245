package loadtest

import (
	"context"
	"errors"
	"io"
	"time"
)

// Limit is what a rate must keep to count as carried.
type Limit struct {
	// P99 is the highest 99th percentile, from the due time.
	P99 time.Duration
	// Failures is the highest share of requests that may fail, 0–1.
	Failures float64
}

// Probe is one window of a capacity search.
type Probe struct {
	Rate   float64 // asked for, requests per second
	Result *Result
	Kept   bool
}

// Keeps says whether a window that was driven at rate kept the limit. A server that answered fewer than 95 % of what was due did not.
func (l Limit) Keeps(rate float64, r *Result) bool {
	due := rate * r.Elapsed.Seconds()
	return r.Quantile(0.99) <= l.P99 && float64(r.Failed) <= l.Failures*float64(r.Sent) && float64(r.Answered) >= 0.95*due
}

// Capacity is the outcome of a search.
type Capacity struct {
	// Rate is the highest that kept the limit, requests per second; 0 if even the first window broke it.
	Rate   float64
	Limit  Limit
	Probes []Probe // in the order in which they were made
}

// WriteJSON writes the search as one indented JSON document.
func (c *Capacity) WriteJSON(w io.Writer) error {
	type probe struct {
		Rate   float64 `json:"rate"`
		Kept   bool    `json:"kept"`
		Result Report  `json:"result"`
	}
	var doc struct {
		Rate     float64 `json:"capacity"`
		P99      float64 `json:"limit_p99_ms"`
		Failures float64 `json:"limit_failures"`
		Probes   []probe `json:"probes"`
	}
	doc.Rate, doc.P99, doc.Failures = c.Rate, inMS(c.Limit.P99), c.Limit.Failures
	for _, p := range c.Probes {
		doc.Probes = append(doc.Probes, probe{p.Rate, p.Kept, p.Result.Report(About{})})
	}
	return writeJSON(w, doc)
}

// FindCapacity searches the highest Poisson rate that keeps the limit: it doubles from start until a window breaks it, then halves the
// interval until it is within 5 %. Each probe is a window of o.Duration; found, called after each, may be nil. What was found before an error
// is returned with it.
func FindCapacity(ctx context.Context, requests []Request, limit Limit, start float64, o Options, found func(Probe)) (*Capacity, error) {
	out := &Capacity{Limit: limit}
	if start <= 0 {
		return out, errors.New("loadtest: a capacity search starts above 0 requests per second")
	}
	probe := func(rate float64) (bool, error) {
		o.Pacer = Poisson(rate, uint64(len(out.Probes)+1))
		res, err := RunMany(ctx, requests, o)
		if err != nil {
			return false, err
		}
		p := Probe{Rate: rate, Result: res, Kept: limit.Keeps(rate, res)}
		out.Probes = append(out.Probes, p)
		if found != nil {
			found(p)
		}
		return p.Kept, ctx.Err()
	}
	bad := 0.0
	for rate := start; bad == 0; rate *= 2 {
		kept, err := probe(rate)
		switch {
		case err != nil:
			return out, err
		case kept:
			out.Rate = rate
		default:
			bad = rate
		}
	}
	for out.Rate > 0 && bad/out.Rate > 1.05 {
		middle := (out.Rate + bad) / 2
		kept, err := probe(middle)
		if err != nil {
			return out, err
		}
		if kept {
			out.Rate = middle
		} else {
			bad = middle
		}
	}
	return out, nil
}
