package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"sluice/cmd/sluice/setup"
	"sluice/loadtest"
	"sluice/runtime/onnx"
)

// limit compares the server CPU of one row, everything on, with that of a no-work handler and a raw run, and counts heap allocations.
func (b *bench) limit(ctx context.Context) error {
	defer b.release(untraced)
	for _, l := range []struct {
		model       string
		must, reach float64
	}{{"small", 1.55, 1.35}, {"trees", 1.4, 1.25}} {
		if err := b.limitOf(ctx, l.model, l.must, l.reach); err != nil {
			return err
		}
	}
	return nil
}

// floor is the two sides whose sum is the limit of one row: a handler that does no work, and a raw run.
func (b *bench) floor(ctx context.Context, m *model) (none, raw side, err error) {
	if none, err = b.noop(ctx, m, 1); err != nil {
		return none, raw, err
	}
	raw, err = b.raw(m, 1)
	return none, raw, err
}

func (b *bench) limitOf(ctx context.Context, name string, must, reach float64) error {
	p, err := b.server(ctx, allOn)
	if err != nil {
		return err
	}
	m := b.made[name]
	floor, raw, err := b.floor(ctx, m)
	if err != nil {
		return err
	}
	windows, err := b.race(ctx, floor, raw, b.ours(p, m, mlflowJSON, 1))
	if err != nil {
		return err
	}
	none, run, mine := windows[0], windows[1], windows[2]
	b.say("  %s, 1 row, %d connections: server CPU %.1f µs per request; no-work handler %.1f µs + raw run %.2f µs = limit %.1f µs; %.0f requests/s (no-work handler %.0f)",
		name, b.connections, middle(mine, cpuOf), middle(none, cpuOf), middle(run, cpuOf), middle(none, cpuOf)+middle(run, cpuOf), middle(mine, rateOf), middle(none, rateOf))
	b.claim(claim{work: fmt.Sprintf("%s, 1 row, %d connections, all on: server CPU per request ÷ limit", name, b.connections), must: must, reach: reach, most: true, unit: " x", digits: 2, measured: against(mine, none, run)})
	if err := b.heap(ctx, m, p); err != nil {
		return err
	}
	if name != "small" {
		return nil
	}
	return b.tail(ctx, floor, b.ours(p, m, mlflowJSON, 1), middle(mine, rateOf)/2)
}

// untraced is our server with everything but traces.
var untraced = variant{name: "sluice, untraced", untraced: true}

// heap counts allocations of the whole process per request. A request that is traced has about a hundred in the SDK and the exporter, so that
// they are counted without traces too: that is what the other 99 % cost.
func (b *bench) heap(ctx context.Context, m *model, all *process) error {
	plain, err := b.server(ctx, untraced)
	if err != nil {
		return err
	}
	var each [2]float64
	for i, p := range []*process{plain, all} {
		if _, err := b.closed(ctx, b.ours(p, m, mlflowJSON, 1)); err != nil { // warm
			return err
		}
		before, err := allocations(p)
		if err != nil {
			return err
		}
		w, err := b.closed(ctx, b.ours(p, m, mlflowJSON, 1))
		if err != nil {
			return err
		}
		after, err := allocations(p)
		if err != nil {
			return err
		}
		each[i] = (after - before) / w.answered
	}
	b.say("  %s: heap allocations of the process per request %.2f; %.2f with 1 %% of the requests traced", m.name, each[0], each[1])
	b.claim(claim{work: m.name + ", 1 row: heap allocations per request that is not traced, steady state", must: 2, reach: 0, most: true, digits: 2, measured: each[0]})
	return nil
}

// tail compares the 99th percentiles at a constant rate; windows alternate.
func (b *bench) tail(ctx context.Context, floor, mine side, rate float64) error {
	var theirs, ours []float64
	for range b.rounds {
		for _, s := range []struct {
			side side
			into *[]float64
		}{{floor, &theirs}, {mine, &ours}} {
			res, err := loadtest.RunMany(ctx, s.side.requests, loadtest.Options{Connections: b.connections, Duration: b.window / 2, Rate: rate})
			if err != nil {
				return err
			}
			if res.Failed > 0 {
				return fmt.Errorf("%s: %s", s.side.p.name, res.FirstFailure)
			}
			*s.into = append(*s.into, float64(res.Quantile(0.99))/1e6)
		}
	}
	b.say("  p99 at %.0f requests/s (half of that), open loop: %.2f ms, no-work handler %.2f ms", rate, median(ours), median(theirs))
	return nil
}

// rawTime is about how long one measurement of raw runs takes.
const rawTime = 200 * time.Millisecond

// raw measures pre-bound runs of a model on some of its rows at a time, in this process: the window's CPU is that of one run.
func (b *bench) raw(m *model, rows int) (side, error) {
	library, err := b.library()
	if err != nil {
		return side{}, err
	}
	rt, err := onnx.Open(library, nil)
	if err != nil {
		return side{}, err
	}
	dir := filepath.Join(m.dir, "onnx")
	once, err := rt.RawLoop(dir, rows, 100, m.floats)
	if err != nil {
		return side{}, err
	}
	n := int(rawTime/max(once, 500)) + 1
	return side{alone: func(ctx context.Context) (window, error) {
		took, err := rt.RawLoop(dir, rows, n, m.floats)
		return window{cpu: float64(took.Nanoseconds()) / 1000}, errors.Join(err, ctx.Err())
	}}, nil
}

// library is the ONNX Runtime that the server uses.
func (b *bench) library() (string, error) {
	if b.lib != "" {
		return b.lib, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return setup.FindOnnxRuntime(setup.Options{CacheDir: filepath.Join(cache, "sluice"), OS: runtime.GOOS, Arch: runtime.GOARCH})
}
