package main

import (
	"context"
	"fmt"
)

// rival is another model server, and what we are held to against it.
type rival struct {
	name           string
	speaks         protocol
	configurations func(*model) []configuration
	rate           [2]float64 // must and reach for requests/s, ours ÷ theirs
	cpu            [2]float64 // must and reach for server CPU per request, theirs ÷ ours; 0: not claimed
}

func (b *bench) rivals(model string) []rival {
	python := map[string][2][2]float64{"small": {{45, 60}, {25, 35}}, "trees": {{80, 120}, {15, 25}}}[model]
	return []rival{
		{"Triton", inferJSON, b.triton, [2]float64{1.5, 2}, [2]float64{}},
		{"mlflow models serve", mlflowJSON, b.mlflowServe, python[0], python[1]},
		{"MLServer", inferJSON, b.mlserver, python[0], python[1]},
	}
}

// peers compares one row at a time with other model servers, each in its quickest configuration; all of them are up during the comparison and
// their windows alternate.
func (b *bench) peers(ctx context.Context) error {
	for _, name := range []string{"small", "trees"} {
		if err := b.compete(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) compete(ctx context.Context, name string) error {
	p, err := b.server(ctx, allOn)
	if err != nil {
		return err
	}
	m := b.made[name]
	sides := []side{b.ours(p, m, mlflowJSON, 1)}
	rivals := b.rivals(name)
	missing := make([]error, len(rivals))
	at := make([]int, len(rivals)) // of sides
	for i, r := range rivals {
		if r.name == "mlflow models serve" && b.skipMLflow {
			missing[i] = fmt.Errorf("-skip-mlflow")
			continue
		}
		best, err := b.best(ctx, r.name, m, r.speaks, 1, r.configurations(m))
		if missing[i] = err; err != nil {
			continue
		}
		defer func() { _ = best.p.stop() }()
		at[i] = len(sides)
		sides = append(sides, best.side)
	}
	windows, err := b.race(ctx, sides...)
	if err != nil {
		return err
	}
	b.say("  %s, 1 row, %d connections: sluice %.0f requests/s, %.1f µs of CPU", name, b.connections, middle(windows[0], rateOf), middle(windows[0], cpuOf))
	for i, r := range rivals {
		rate := claim{work: fmt.Sprintf("%s, 1 row: requests/s ÷ %s", name, r.name), must: r.rate[0], reach: r.rate[1], unit: " x", digits: 1}
		cpu := claim{work: fmt.Sprintf("%s, 1 row: server CPU per request of %s ÷ ours", name, r.name), must: r.cpu[0], reach: r.cpu[1], unit: " x", digits: 1}
		if missing[i] != nil {
			rate.missing, cpu.missing = missing[i].Error(), missing[i].Error()
		} else {
			theirs := windows[at[i]]
			b.say("  %s: %.0f requests/s, %.1f µs of CPU", r.name, middle(theirs, rateOf), middle(theirs, cpuOf))
			rate.measured, cpu.measured = ratio(windows[0], theirs, rateOf), ratio(theirs, windows[0], cpuOf)
		}
		b.claim(rate)
		if cpu.must > 0 {
			b.claim(cpu)
		}
	}
	return nil
}
