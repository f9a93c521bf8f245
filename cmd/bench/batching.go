package main

import (
	"context"
	"fmt"
)

// unbatched is our server with batching off and everything else on.
var unbatched = variant{name: "sluice, batching off", args: []string{"--batching", "off"}}

// pair returns our server with and without batching.
func (b *bench) pair(ctx context.Context) (with, without *process, err error) {
	if with, err = b.server(ctx, allOn); err != nil {
		return nil, nil, err
	}
	without, err = b.server(ctx, unbatched)
	return with, without, err
}

// batching compares mlp with batching on and off, one row at a time.
func (b *bench) batching(ctx context.Context) error {
	with, without, err := b.pair(ctx)
	if err != nil {
		return err
	}
	m := b.made["mlp"]
	floor, raw, err := b.floor(ctx, m)
	if err != nil {
		return err
	}
	windows, err := b.race(ctx, floor, raw, b.ours(with, m, mlflowJSON, 1), b.ours(without, m, mlflowJSON, 1))
	if err != nil {
		return err
	}
	none, run, on, off := windows[0], windows[1], windows[2], windows[3]
	b.say("  mlp, 1 row, %d connections: %.0f requests/s at %.1f µs with batching, %.0f at %.1f µs without; no-work handler %.1f µs + raw run %.1f µs = unbatched limit %.1f µs",
		b.connections, middle(on, rateOf), middle(on, cpuOf), middle(off, rateOf), middle(off, cpuOf), middle(none, cpuOf), middle(run, cpuOf), middle(none, cpuOf)+middle(run, cpuOf))
	work := fmt.Sprintf("mlp, 1 row, %d connections: ", b.connections)
	b.claim(claim{work: work + "requests/s with batching ÷ without", must: 2, reach: 2.6, unit: " x", digits: 2, measured: ratio(on, off, rateOf)})
	b.claim(claim{work: work + "CPU per request ÷ unbatched limit", must: 0.8, reach: 0.6, most: true, unit: " x", digits: 2, measured: against(on, none, run)})
	return nil
}

// latency measures what our server adds to one client's median over a no-work handler and the raw run, and what batching adds to that.
func (b *bench) latency(ctx context.Context) error {
	with, without, err := b.pair(ctx)
	if err != nil {
		return err
	}
	for _, name := range []string{"small", "trees", "mlp"} {
		m := b.made[name]
		floor, raw, err := b.floor(ctx, m)
		if err != nil {
			return err
		}
		on, off := b.ours(with, m, mlflowJSON, 1), b.ours(without, m, mlflowJSON, 1)
		floor.connections, on.connections, off.connections = 1, 1, 1
		windows, err := b.race(ctx, floor, raw, on, off)
		if err != nil {
			return err
		}
		none, run, mine, plain := windows[0], windows[1], windows[2], windows[3]
		added := make([]float64, len(mine))
		for i := range mine {
			added[i] = (mine[i].p50-none[i].p50)*1000 - run[i].cpu
		}
		b.say("  %s, 1 row, 1 connection: p50 %.1f µs, batching off %.1f µs, no-work handler %.1f µs, raw run %.1f µs", name, middle(mine, p50Of)*1000, middle(plain, p50Of)*1000, middle(none, p50Of)*1000, middle(run, cpuOf))
		b.claim(claim{work: name + ", 1 connection: p50 − no-work handler − raw run", must: 15, reach: 8, most: true, unit: " µs", digits: 1, measured: median(added)})
		b.claim(claim{work: name + ", 1 connection: cost of batching in p50", must: 3, noReach: true, most: true, unit: " %", digits: 1, measured: 100 * (ratio(mine, plain, p50Of) - 1)})
	}
	return nil
}
