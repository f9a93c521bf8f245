package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"sluice/loadtest"
)

const (
	// overloadFactor is how many times the capacity arrives.
	overloadFactor = 3
	// overloadConnections are enough for what is let in and for refusals beside it: an open loop that has none free falls behind.
	overloadConnections = 320
	// overloadWindows is how many windows long an overload lasts.
	overloadWindows = 3
)

// overload sends three times what a server can answer and looks at what it still answers, how soon the rest is refused, and how soon it
// is as before. The model takes milliseconds of processor time, so that the generator beside it is not what is measured.
func (b *bench) overload(ctx context.Context) error {
	p, m, err := b.busyServer(ctx, "overload")
	if err != nil {
		return err
	}
	defer func() { _ = p.stop() }()
	mine := side{p: p, requests: m.requests(p.url+api{}.endpoint(m), mlflowJSON, 1)}
	if _, err := b.closed(ctx, mine); err != nil {
		return err
	}
	var goodput, answered, refused, normal []float64
	for range b.rounds {
		calm, err := b.calm(ctx, mine)
		if err != nil {
			return err
		}
		full, err := b.closed(ctx, mine) // 64 connections; a refusal among them is an error
		if err != nil {
			return err
		}
		res, err := loadtest.RunMany(ctx, mine.requests, loadtest.Options{
			Connections: overloadConnections, Duration: overloadWindows * b.window, Pacer: loadtest.Poisson(overloadFactor*full.rate, 1),
		})
		if err != nil {
			return err
		}
		took, err := b.normalAgain(ctx, mine, calm)
		if err != nil {
			return err
		}
		good := succeeded(res, overloadWindows*b.window) / full.rate
		b.say("  capacity %.0f/s; %.0f/s arrive: %.0f %% of the capacity answered, p50 %.0f ms, p99 %.0f ms; %.0f %% refused, p50 %.1f ms, p99 %.1f ms; by status %v",
			full.rate, float64(res.Sent)/res.Elapsed.Seconds(), 100*good, latencyOf(res, true, 50), latencyOf(res, true, 99),
			100*float64(res.Failed)/float64(res.Sent), latencyOf(res, false, 50), latencyOf(res, false, 99), res.ByStatus)
		took += max(res.Elapsed-overloadWindows*b.window, 0) // the last of those let in were being answered
		goodput, normal = append(goodput, good), append(normal, took.Seconds())
		answered, refused = append(answered, latencyOf(res, true, 99)), append(refused, latencyOf(res, false, 99))
	}
	work := fmt.Sprintf("%d x the capacity, open loop: ", overloadFactor)
	b.claim(claim{work: work + "answered ÷ capacity", must: 0.85, noReach: true, digits: 2, measured: median(goodput)})
	b.claim(claim{work: work + "p99 of refusals ÷ p99 of answers", must: 0.5, noReach: true, most: true, digits: 2, measured: median(refused) / median(answered)})
	b.claim(claim{work: work + "latency as before after its end", must: 2, noReach: true, most: true, unit: " s", digits: 2, measured: median(normal)})
	return b.refusals(ctx)
}

// busyServer starts a server of its own with the model that takes milliseconds.
func (b *bench) busyServer(ctx context.Context, name string) (*process, *model, error) {
	dir, err := b.modelFiles(ctx)
	if err != nil {
		return nil, nil, err
	}
	m := &model{name: "busy", dir: filepath.Join(dir, "busy"), folder: "onnx"}
	if err := m.readRows(); err != nil {
		return nil, nil, err
	}
	p, err := b.serve(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	return p, m, api{p.url}.register(ctx, m)
}

// succeeded is answers per second while the load lasted: what was let in and answered later does not count.
func succeeded(res *loadtest.Result, lasted time.Duration) float64 {
	var n int64
	whole := int(lasted / time.Second)
	for _, s := range res.Seconds[:min(whole, len(res.Seconds))] {
		n += s.Answered - s.Failed
	}
	return float64(n) / float64(whole)
}

// latencyOf is a percentile in ms, of the answers or of the refusals.
func latencyOf(res *loadtest.Result, good bool, percent float64) float64 {
	h := res.FailedLatency
	if good {
		h = res.SucceededLatency()
	}
	return float64(h.ValueAtQuantile(percent)) / 1e6
}

// calm is the median latency of one client alone.
func (b *bench) calm(ctx context.Context, s side) (time.Duration, error) {
	res, err := loadtest.RunMany(ctx, s.requests, loadtest.Options{Connections: 1, Duration: b.window / 2})
	if err != nil {
		return 0, err
	}
	if res.Failed > 0 {
		return 0, fmt.Errorf("%s: %s", s.p.name, res.FirstFailure)
	}
	return res.Quantile(0.5), nil
}

// normalAgain is how long it takes until one client is answered as quickly as when it was alone: a tenth of a second long, by the median.
func (b *bench) normalAgain(ctx context.Context, s side, calm time.Duration) (time.Duration, error) {
	began := time.Now()
	for ctx.Err() == nil {
		at := time.Since(began)
		res, err := loadtest.RunMany(ctx, s.requests, loadtest.Options{Connections: 1, Duration: 100 * time.Millisecond})
		if err != nil {
			return 0, err
		}
		if res.Failed == 0 && res.Quantile(0.5) <= calm*3/2 {
			return at, nil
		}
		if at > time.Minute {
			return at, nil
		}
	}
	return 0, ctx.Err()
}

// refusals compares the server CPU of a refusal with that of an answer: under overload the refused are the many.
func (b *bench) refusals(ctx context.Context) error {
	models, err := b.models(ctx)
	if err != nil {
		return err
	}
	m := models["small"]
	p, err := b.serve(ctx, "refusals", "--max-in-flight", "2")
	if err != nil {
		return err
	}
	defer func() { _ = p.stop() }()
	if err := (api{p.url}).register(ctx, m); err != nil {
		return err
	}
	var answers, refused []float64
	for range b.rounds {
		one, err := b.closed(ctx, side{p: p, requests: m.requests(p.url+api{}.endpoint(m), mlflowJSON, 1), connections: 1})
		if err != nil {
			return err
		}
		answers = append(answers, one.cpu)
		// Shadows may fill a quarter of two, which is none: all of them are refused.
		shadows := m.requests(p.url+api{}.endpoint(m), mlflowJSON, 1)
		for i := range shadows {
			shadows[i].Header["X-Sluice-Priority"] = "shadow"
		}
		cpu, err := b.cpuOfRefusals(ctx, p, shadows)
		if err != nil {
			return err
		}
		refused = append(refused, cpu)
	}
	b.say("  small, one connection: server CPU %.1f µs per answer, %.1f µs per refusal", median(answers), median(refused))
	return nil
}

func (b *bench) cpuOfRefusals(ctx context.Context, p *process, requests []loadtest.Request) (float64, error) {
	before, err := loadtest.ProcessCPU(p.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	res, err := loadtest.RunMany(ctx, requests, loadtest.Options{Connections: 1, Duration: b.window})
	if err != nil {
		return 0, err
	}
	after, err := loadtest.ProcessCPU(p.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	if n := res.ByStatus[http.StatusTooManyRequests]; n == 0 || n != res.Answered {
		return 0, fmt.Errorf("%d of %d were refused: %v", n, res.Answered, res.ByStatus)
	}
	return float64((after - before).Microseconds()) / float64(res.Answered), nil
}
