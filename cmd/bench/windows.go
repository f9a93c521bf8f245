package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sluice/loadtest"
)

// side is one server asked one kind of thing by closed-loop clients, or something else that is measured in turn with servers.
type side struct {
	alone       func(context.Context) (window, error) // instead of a server; nil: the server below
	p           *process
	requests    []loadtest.Request
	connections int           // 0: -connections
	window      time.Duration // 0: the part's
	lenient     bool          // failed requests do not count, but are no error as long as some succeed
}

// window is what one window of closed-loop load gave.
type window struct {
	rate     float64 // answers per second
	cpu      float64 // server CPU, µs per request, of all its processes
	p50, p99 float64 // ms
	answered float64
}

// closed drives one window; a failed request is an error unless the side is lenient.
func (b *bench) closed(ctx context.Context, s side) (window, error) {
	if s.alone != nil {
		return s.alone(ctx)
	}
	o := loadtest.Options{Connections: s.connections, Duration: s.window}
	if o.Connections == 0 {
		o.Connections = b.connections
	}
	if o.Duration == 0 {
		o.Duration = b.window
	}
	pid := s.p.cmd.Process.Pid
	before, err := loadtest.TreeCPU(pid)
	if err != nil {
		return window{}, err
	}
	res, err := loadtest.RunMany(ctx, s.requests, o)
	if err != nil {
		return window{}, fmt.Errorf("%s: %w", s.p.name, err)
	}
	after, err := loadtest.TreeCPU(pid)
	if err != nil {
		return window{}, err
	}
	good := float64(max(res.Sent-res.Failed, 0))
	if good == 0 || res.Failed > 0 && !s.lenient {
		return window{}, fmt.Errorf("%s: %d of %d requests failed: %s", s.p.name, res.Failed, res.Sent, res.FirstFailure)
	}
	if res.Failed > 0 {
		b.say("  %s: %d of %d requests failed: %s", s.p.name, res.Failed, res.Sent, res.FirstFailure)
	}
	return window{
		rate: good / res.Elapsed.Seconds(), cpu: float64((after - before).Microseconds()) / good,
		p50: float64(res.Quantile(0.5)) / 1e6, p99: float64(res.Quantile(0.99)) / 1e6, answered: good,
	}, ctx.Err()
}

// race warms every side and then drives them in turn, round by round, so that a machine that drifts drifts for all. The answer has the
// windows of each side, in the order of the rounds.
func (b *bench) race(ctx context.Context, sides ...side) ([][]window, error) {
	out := make([][]window, len(sides))
	for _, s := range sides {
		s.window = b.window / 2
		if _, err := b.closed(ctx, s); err != nil {
			return nil, err
		}
	}
	for round := range b.rounds {
		order := make([]int, len(sides))
		for i := range order {
			order[i] = (i + round) % len(sides) // nobody always follows the same neighbour's cache
		}
		for _, i := range order {
			w, err := b.closed(ctx, sides[i])
			if err != nil {
				return nil, err
			}
			out[i] = append(out[i], w)
		}
	}
	return out, nil
}

// ratio is the median over the rounds of a figure of one side against that of another in the same round.
func ratio(a, b []window, of func(window) float64) float64 {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = of(a[i]) / of(b[i])
	}
	return median(ratios)
}

// middle is the median over the rounds of a figure.
func middle(ws []window, of func(window) float64) float64 {
	values := make([]float64, len(ws))
	for i, w := range ws {
		values[i] = of(w)
	}
	return median(values)
}

// against is the median over the rounds of server CPU against the limit: that of a no-work handler and a raw run in the same round.
func against(ours, floor, raw []window) float64 {
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i].cpu / (floor[i].cpu + raw[i].cpu)
	}
	return median(ratios)
}

func rateOf(w window) float64 { return w.rate }
func cpuOf(w window) float64  { return w.cpu }
func p50Of(w window) float64  { return w.p50 }

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 && n > 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
