package main

import (
	"context"
	"errors"
)

// wideConnections is how many clients ask with wide requests.
const wideConnections = 8

// wide measures requests of 128 rows: trees against raw runs, mlp against Triton.
func (b *bench) wide(ctx context.Context) error {
	return errors.Join(b.wideTrees(ctx), b.wideMLP(ctx))
}

func (b *bench) wideTrees(ctx context.Context) error {
	p, err := b.server(ctx, allOn)
	if err != nil {
		return err
	}
	m := b.made["trees"]
	split, err := b.bestSplit(ctx, m)
	if err != nil {
		return err
	}
	raw, err := b.raw(m, split)
	if err != nil {
		return err
	}
	sides := []side{raw, b.ours(p, m, mlflowJSON, wide), b.ours(p, m, inferBinary, wide)}
	sides[1].connections, sides[2].connections = wideConnections, wideConnections
	windows, err := b.race(ctx, sides...)
	if err != nil {
		return err
	}
	b.say("  trees, %d rows, %d connections: raw run at its best split (%d rows) %.2f µs per row; server %.2f µs JSON, %.2f µs binary",
		wide, wideConnections, split, middle(windows[0], cpuOf)/float64(split), middle(windows[1], cpuOf)/wide, middle(windows[2], cpuOf)/wide)
	for i, c := range []claim{{work: "JSON", must: 0.6, reach: 0.75}, {work: "binary", must: 0.8, reach: 0.9}} {
		c.work = "trees, 128 rows, " + c.work + ": raw CPU per row ÷ server's"
		c.digits, c.measured = 2, ratio(windows[0], windows[1+i], cpuOf)*wide/float64(split)
		b.claim(c)
	}
	return nil
}

// bestSplit returns how many rows at a time cost least CPU per row.
func (b *bench) bestSplit(ctx context.Context, m *model) (rows int, err error) {
	var best float64
	for n := 1; n <= wide; n *= 2 {
		raw, err := b.raw(m, n)
		if err != nil {
			return 0, err
		}
		var runs []float64
		for range 3 {
			w, err := raw.alone(ctx)
			if err != nil {
				return 0, err
			}
			runs = append(runs, w.cpu/float64(n))
		}
		if each := median(runs); rows == 0 || each < best {
			best, rows = each, n
		}
	}
	return rows, nil
}

func (b *bench) wideMLP(ctx context.Context) error {
	p, err := b.server(ctx, allOn)
	if err != nil {
		return err
	}
	m := b.made["mlp"]
	sides := []side{b.ours(p, m, mlflowJSON, wide), b.ours(p, m, inferBinary, wide)}
	best, missing := b.best(ctx, "Triton", m, inferJSON, wide, b.triton(m))
	if missing == nil {
		defer func() { _ = best.p.stop() }()
		sides = append(sides, best.side, best.asked(m, inferBinary, wide))
	}
	for i := range sides {
		sides[i].connections = wideConnections
	}
	windows, err := b.race(ctx, sides...)
	if err != nil {
		return err
	}
	rows := func(i int) float64 { return wide * middle(windows[i], rateOf) }
	b.say("  mlp, %d rows, %d connections: rows/s %.0f JSON, %.0f binary", wide, wideConnections, rows(0), rows(1))
	if missing == nil {
		b.say("  Triton (%s): rows/s %.0f JSON, %.0f binary", best.name, rows(2), rows(3))
	}
	for _, c := range []struct {
		claim
		mine, theirs int
	}{
		{claim{work: "our JSON ÷ Triton's JSON", must: 2.5, reach: 4}, 0, 2},
		{claim{work: "our binary ÷ Triton's JSON", must: 5, reach: 8}, 1, 2},
		{claim{work: "our binary ÷ Triton's binary", must: 1, reach: 1.2}, 1, 3},
	} {
		c.work, c.unit, c.digits = "mlp, 128 rows, rows/s: "+c.work, " x", 2
		if missing != nil {
			c.missing = missing.Error()
		} else {
			c.measured = ratio(windows[c.mine], windows[c.theirs], rateOf)
		}
		b.claim(c.claim)
	}
	return nil
}
