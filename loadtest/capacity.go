package loadtest

import (
	"context"
	"errors"
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

// Capacity searches the highest Poisson rate that keeps the limit: it doubles from start until a window breaks it, then halves the
// interval until it is within 5 %. Each probe is a window of o.Duration. It returns that rate (0 if even start breaks the limit) and
// every probe; found, called after each, may be nil.
func Capacity(ctx context.Context, requests []Request, limit Limit, start float64, o Options, found func(Probe)) (float64, []Probe, error) {
	if start <= 0 {
		return 0, nil, errors.New("loadtest: a capacity search starts above 0 requests per second")
	}
	var probes []Probe
	probe := func(rate float64) (bool, error) {
		o.Pacer = Poisson(rate, uint64(len(probes)+1))
		res, err := RunMany(ctx, requests, o)
		if err != nil {
			return false, err
		}
		p := Probe{Rate: rate, Result: res, Kept: limit.Keeps(rate, res)}
		probes = append(probes, p)
		if found != nil {
			found(p)
		}
		return p.Kept, ctx.Err()
	}
	good, bad := 0.0, 0.0
	for rate := start; bad == 0; rate *= 2 {
		kept, err := probe(rate)
		switch {
		case err != nil:
			return good, probes, err
		case kept:
			good = rate
		default:
			bad = rate
		}
	}
	for good > 0 && bad/good > 1.05 {
		middle := (good + bad) / 2
		kept, err := probe(middle)
		if err != nil {
			return good, probes, err
		}
		if kept {
			good = middle
		} else {
			bad = middle
		}
	}
	return good, probes, nil
}
