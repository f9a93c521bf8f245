package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"sluice/cmd/sluice/setup"
	"sluice/deploy/examples"
	"sluice/loadtest"
	"sluice/runtime/onnx"
)

type bench struct {
	settings
	dir string
	out io.Writer

	body   []byte // one row of the example model
	noop   *process
	sluice *process
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.out, format+"\n", args...) }

func (b *bench) all(ctx context.Context) error {
	if b.only != "tracking" {
		if err := b.serving(ctx); err != nil {
			return err
		}
	}
	if b.only == "serving" {
		return nil
	}
	return b.tracking(ctx)
}

// serving measures predictions, memory and start-up.
func (b *bench) serving(ctx context.Context) error {
	var err error
	if b.body, err = exampleBody(); err != nil {
		return err
	}
	b.say("machine: %d CPUs, %s/%s, %s; %d windows of %v, %d connections, 1 row of 13 features", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), b.rounds, b.window, b.connections)
	if err := b.idle(ctx); err != nil {
		return err
	}
	if err := b.startup(ctx); err != nil {
		return err
	}
	defer func() { _ = b.sluice.stop() }()
	if err := b.startNoop(ctx); err != nil {
		return err
	}
	defer func() { _ = b.noop.stop() }()
	rate, err := b.cpu(ctx)
	if err != nil {
		return err
	}
	if err := b.tail(ctx, rate/2); err != nil {
		return err
	}
	if err := b.afterLoad(); err != nil {
		return err
	}
	if b.skipMLflow {
		return nil
	}
	return b.peer(ctx)
}

// exampleBody returns the first row of the example's own serving input.
func exampleBody() ([]byte, error) {
	files, err := examples.Wine(2)
	if err != nil {
		return nil, err
	}
	f, err := files.Open("serving_input_example.json")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var example struct {
		Split struct {
			Columns []string    `json:"columns"`
			Data    [][]float64 `json:"data"`
		} `json:"dataframe_split"`
	}
	if err := json.NewDecoder(f).Decode(&example); err != nil {
		return nil, err
	}
	example.Split.Data = example.Split.Data[:1]
	return json.Marshal(map[string]any{"dataframe_split": example.Split})
}

func (b *bench) serve(ctx context.Context, data string, args ...string) (*process, error) {
	p, err := start(ctx, "sluice", nil, b.binary, append([]string{"serve", "--data-dir", filepath.Join(b.dir, data), "--port", "0", "--log-level", "warn"}, args...)...)
	if err != nil {
		return nil, err
	}
	if err := p.until(ctx, "address", time.Minute, func() bool { p.url = p.printed("listening on "); return p.url != "" }); err != nil {
		return nil, err
	}
	return p, p.until(ctx, "/health", time.Minute, answers(p.url+"/health"))
}

// idle measures an empty server.
func (b *bench) idle(ctx context.Context) error {
	p, err := b.serve(ctx, "empty")
	if err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	rss, err := p.rss()
	if err != nil {
		return err
	}
	b.say("resident, idle, no models: %.0f MB (limit 50)", megabytes(rss))
	return p.stop()
}

// startup makes the demo store, then measures how long later starts take, and leaves the last one running.
func (b *bench) startup(ctx context.Context) error {
	p, err := b.serve(ctx, "demo", "--demo")
	if err != nil {
		return err
	}
	if err := p.until(ctx, "/ready", time.Minute, answers(p.url+"/ready")); err != nil {
		return err
	}
	var health, ready []float64
	for range b.rounds {
		if err := p.stop(); err != nil {
			return err
		}
		began := time.Now()
		if p, err = b.serve(ctx, "demo", "--demo"); err != nil {
			return err
		}
		health = append(health, ms(time.Since(began)))
		if err := p.until(ctx, "/ready", time.Minute, answers(p.url+"/ready")); err != nil {
			return err
		}
		ready = append(ready, ms(time.Since(began)))
	}
	b.sluice = p
	time.Sleep(2 * time.Second)
	rss, err := p.rss()
	if err != nil {
		return err
	}
	b.say("start with an existing store: /health after %.0f ms (limit 300), /ready with the demo models after %.0f ms (limit 1000)", median(health), median(ready))
	b.say("resident with two models: %.0f MB (limit 150)", megabytes(rss))
	return nil
}

func (b *bench) startNoop(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	if b.noop, err = start(ctx, "no-work handler", nil, self, "-noop", address); err != nil {
		return err
	}
	b.noop.url = "http://" + address
	return b.noop.until(ctx, "answer", 10*time.Second, func() bool {
		_, err := loadtest.Run(ctx, b.request(b.noop), loadtest.Options{Connections: 1, Duration: 10 * time.Millisecond})
		return err == nil
	})
}

func (b *bench) request(p *process) loadtest.Request {
	return loadtest.Request{URL: p.url + "/invocations", Header: map[string]string{"Content-Type": "application/json"}, Body: b.body}
}

// window is what one window of closed-loop load cost.
type window struct {
	rate float64
	cpu  float64 // server CPU, µs per request
}

func (b *bench) closed(ctx context.Context, p *process) (window, error) {
	before, err := loadtest.ProcessCPU(p.cmd.Process.Pid)
	if err != nil {
		return window{}, err
	}
	res, err := loadtest.Run(ctx, b.request(p), loadtest.Options{Connections: b.connections, Duration: b.window})
	if err != nil {
		return window{}, err
	}
	after, err := loadtest.ProcessCPU(p.cmd.Process.Pid)
	if err != nil {
		return window{}, err
	}
	if res.Failed > 0 {
		return window{}, fmt.Errorf("%s: %d of %d requests failed: %s", p.name, res.Failed, res.Sent, res.FirstFailure)
	}
	return window{rate: res.Rate(), cpu: float64((after - before).Microseconds()) / float64(res.Answered)}, nil
}

// cpu compares the server CPU of a prediction with the limit; windows alternate. It returns the median rate of predictions.
func (b *bench) cpu(ctx context.Context) (float64, error) {
	raw, err := b.rawRun(ctx)
	if err != nil {
		return 0, err
	}
	for _, p := range []*process{b.noop, b.sluice} { // warm both
		if _, err := b.closed(ctx, p); err != nil {
			return 0, err
		}
	}
	var floors, costs, ratios, rates, noopRates []float64
	for range b.rounds {
		floor, err := b.closed(ctx, b.noop)
		if err != nil {
			return 0, err
		}
		cost, err := b.closed(ctx, b.sluice)
		if err != nil {
			return 0, err
		}
		floors, noopRates = append(floors, floor.cpu), append(noopRates, floor.rate)
		costs, rates = append(costs, cost.cpu), append(rates, cost.rate)
		ratios = append(ratios, cost.cpu/(floor.cpu+raw))
	}
	b.say("server CPU per request: no-work handler %.1f µs, raw ONNX Runtime run %.1f µs, limit %.1f µs", median(floors), raw, median(floors)+raw)
	b.say("server CPU per prediction, routing, breaker, metrics and prediction log on: %.1f µs = %.2f x limit (must 2.0)", median(costs), median(ratios))
	b.say("requests/s: no-work handler %.0f, sluice %.0f", median(noopRates), median(rates))
	return median(rates), nil
}

// rawRun returns the CPU of one pre-bound run of the example model, µs.
func (b *bench) rawRun(ctx context.Context) (float64, error) {
	lib := b.lib
	if lib == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return 0, err
		}
		if lib, err = setup.FindOnnxRuntime(setup.Options{CacheDir: filepath.Join(cache, "sluice"), OS: runtime.GOOS, Arch: runtime.GOARCH}); err != nil {
			return 0, err
		}
	}
	rt, err := onnx.Open(lib, nil)
	if err != nil {
		return 0, err
	}
	files, err := examples.Wine(2)
	if err != nil {
		return 0, err
	}
	model := filepath.Join(b.dir, "raw")
	if err := os.CopyFS(model, files); err != nil {
		return 0, err
	}
	var runs []float64
	for range b.rounds {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		each, err := rt.RawLoop(model, 1, 100_000, nil)
		if err != nil {
			return 0, err
		}
		runs = append(runs, float64(each.Nanoseconds())/1000)
	}
	return median(runs), nil
}

// tail compares the 99th percentiles at a constant rate; windows alternate.
func (b *bench) tail(ctx context.Context, rate float64) error {
	var ours, floor []float64
	for range b.rounds {
		for _, side := range []struct {
			p    *process
			into *[]float64
		}{{b.noop, &floor}, {b.sluice, &ours}} {
			res, err := loadtest.Run(ctx, b.request(side.p), loadtest.Options{Connections: b.connections, Duration: b.window, Rate: rate})
			if err != nil {
				return err
			}
			if res.Failed > 0 {
				return errors.New(res.FirstFailure)
			}
			*side.into = append(*side.into, ms(res.Quantile(0.99)))
		}
	}
	b.say("p99 at %.0f requests/s (half the rate above), open loop: sluice %.2f ms, no-work handler %.2f ms = %.2f x (must: 5 ms or 1.5 x)", rate, median(ours), median(floor), median(ours)/median(floor))
	return nil
}

func (b *bench) afterLoad() error {
	time.Sleep(2 * time.Second)
	rss, err := b.sluice.rss()
	if err != nil {
		return err
	}
	b.say("resident with two models after load: %.0f MB (limit 150)", megabytes(rss))
	return nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 && n > 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func megabytes(n int64) float64 { return float64(n) / 1e6 }
