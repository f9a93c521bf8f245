package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// clients is how many callers drive a tracking server at once, crowd how many must not make it fall over.
const (
	clients = 8
	crowd   = 64
)

// operation is one kind of call; it returns an error for anything but success.
type operation struct {
	name string
	must float64 // times `mlflow server`
	unit float64 // metrics in one call; 0 if that is not counted
	slow bool    // takes mlflow server many seconds: one round is enough
	call func(t *tracker, n int64) error
}

func operations() []operation {
	return []operation{
		{name: "create a run + log one metric", must: 30, call: (*tracker).runWithMetric},
		{name: "log-batch of 1000 metrics", must: 15, unit: 1000, call: (*tracker).batch},
		{name: "search over 10k runs, 100 results", must: 40, call: (*tracker).search},
		{name: "100k-point history, pages of 25,000", must: 20, slow: true, call: (*tracker).readHistory},
	}
}

// tracking compares sluice with `mlflow server` side by side: both serve copies of one database, windows of each operation alternate.
func (b *bench) tracking(ctx context.Context) error {
	b.say("tracking on SQLite (WAL, synchronous=FULL), %d clients, windows of %v; load average %s", clients, b.window, loadAverage())
	if err := b.idle(ctx); err != nil {
		return err
	}
	if err := b.fill(ctx, "tracking", fillRuns); err != nil {
		return err
	}
	if err := copyFile(b.database("tracking"), filepath.Join(b.dir, "mlflow.db")); err != nil {
		return err
	}
	ours, err := b.serve(ctx, "tracking")
	if err != nil {
		return err
	}
	defer func() { _ = ours.stop() }()
	a := newTracker(ours)
	if b.skipMLflow {
		err = b.alone(a)
	} else {
		err = b.sideBySide(ctx, a)
	}
	if err != nil {
		return err
	}
	if err := b.growth(ctx); err != nil {
		return err
	}
	if err := b.large(ctx); err != nil {
		return err
	}
	b.say("load average at the end %s", loadAverage())
	return nil
}

func (b *bench) database(data string) string { return filepath.Join(b.dir, data, "sluice.db") }

// alone measures our side only.
func (b *bench) alone(a *tracker) error {
	for _, op := range operations() {
		mine, err := a.rate(op, clients, b.window)
		if err != nil {
			return err
		}
		b.say("  %-36s sluice %9.1f/s%s", op.name, mine.perSecond, mine.metrics(op))
		if err := b.crowd(a, op, mine.perSecond); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) sideBySide(ctx context.Context, a *tracker) error {
	theirs, err := b.mlflowServer(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = theirs.stop() }()
	m := newTracker(theirs)
	b.say("against mlflow server (its default 4 workers):")
	for _, op := range operations() {
		if err := b.compare(ctx, a, m, op); err != nil {
			return err
		}
	}
	return b.artifacts(a, m)
}

// compare prints one row of the table: the medians of alternating windows, and what a crowd gets.
func (b *bench) compare(ctx context.Context, a, m *tracker, op operation) error {
	rounds := max(b.rounds/2, 1)
	if op.slow {
		rounds = 1
	}
	var mine, other []float64
	refused := int64(0)
	for range rounds {
		theirs, err := m.rate(op, clients, b.window)
		if err != nil && theirs.perSecond == 0 {
			return fmt.Errorf("%s: %s: %w", m.name, op.name, err)
		}
		refused += theirs.failed
		ours, err := a.rate(op, clients, b.window)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", a.name, op.name, err)
		}
		mine, other = append(mine, ours.perSecond), append(other, theirs.perSecond)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	errs := ""
	if refused > 0 {
		errs = fmt.Sprintf(" (and refused %d calls)", refused)
	}
	got := measured{perSecond: median(mine)}
	b.say("  %-36s sluice %8.1f/s%s, mlflow %7.2f/s%s = %.0f x (must %.0f)", op.name, got.perSecond, got.metrics(op), median(other), errs, median(mine)/median(other), op.must)
	return b.crowd(a, op, median(mine))
}

// crowd says what 64 clients get, against the rate of 8.
func (b *bench) crowd(a *tracker, op operation, few float64) error {
	many, err := a.rate(op, crowd, b.window)
	if err != nil && many.perSecond == 0 {
		return err
	}
	b.say("  %-36s sluice %8.1f/s = %.2f x of %d clients, %d errors (must 0)", fmt.Sprintf("  … with %d clients", crowd), many.perSecond, many.perSecond/few, clients, many.failed)
	return nil
}

// measured is what one window gave.
type measured struct {
	perSecond float64
	failed    int64
}

func (m measured) metrics(op operation) string {
	if op.unit == 0 {
		return ""
	}
	return fmt.Sprintf(" = %.0f metrics/s (must 100000)", m.perSecond*op.unit)
}

// rate runs an operation with some clients for a window; an operation under way at its end counts with the time that it took. The
// error is the first failure, if there was any.
func (t *tracker) rate(op operation, clients int, window time.Duration) (measured, error) {
	t.http.CloseIdleConnections() // a server may have closed them meanwhile, as uvicorn does after 5 s; that is no refusal
	began := time.Now()
	var next, done, failed atomic.Int64
	var first atomic.Pointer[error]
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for time.Since(began) < window {
				if err := op.call(t, next.Add(1)); err != nil {
					failed.Add(1)
					first.CompareAndSwap(nil, &err)
					continue
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	out := measured{perSecond: float64(done.Load()) / time.Since(began).Seconds(), failed: failed.Load()}
	if err := first.Load(); err != nil {
		return out, *err
	}
	return out, nil
}

func (b *bench) mlflowServer(ctx context.Context) (*process, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	python, err := filepath.Abs(b.python)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.dir, "mlflow")
	p, err := start(ctx, "mlflow server", nil, python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", strconv.Itoa(port),
		"--backend-store-uri", "sqlite:///"+dir+".db", "--artifacts-destination", dir)
	if err != nil {
		return nil, err
	}
	p.url = fmt.Sprintf("http://127.0.0.1:%d", port)
	return p, p.until(ctx, "/health", 2*time.Minute, answers(p.url+"/health"))
}

// growth compares the cost of a logged metric in a database of 10,000 metrics with that in one of a million.
func (b *bench) growth(ctx context.Context) error {
	if err := b.fill(ctx, "growth", func(tx executor) error { return fillMetrics(tx, 10, 0) }); err != nil {
		return err
	}
	few, err := b.batchTime(ctx, "growth")
	if err != nil {
		return err
	}
	if err := b.fill(ctx, "growth", func(tx executor) error { return fillMetrics(tx, 990, 10) }); err != nil {
		return err
	}
	many, err := b.batchTime(ctx, "growth")
	if err != nil {
		return err
	}
	b.say("cost of a logged metric, 1 client: %.2f µs with 10k metrics stored, %.2f µs with 1M = %.2f x (must 1.5)", few, many, many/few)
	return nil
}

// batchTime returns the median time of a log-batch of 1000 metrics, ms.
func (b *bench) batchTime(ctx context.Context, data string) (float64, error) {
	p, err := b.serve(ctx, data)
	if err != nil {
		return 0, err
	}
	t := newTracker(p)
	var times []float64
	for i := range 40 {
		run, err := t.createRun("0")
		if err != nil {
			return 0, errors.Join(err, p.stop())
		}
		began := time.Now()
		if err := t.logBatch(run, int64(i)*1000, 0); err != nil {
			return 0, errors.Join(err, p.stop())
		}
		if i >= 5 { // warm
			times = append(times, ms(time.Since(began)))
		}
	}
	return median(times), p.stop()
}

// large measures searches where there are many runs with many metrics.
func (b *bench) large(ctx context.Context) error {
	if b.largeRuns == 0 {
		return nil
	}
	began := time.Now()
	if err := b.fill(ctx, "large", func(tx executor) error { return fillLarge(tx, b.largeRuns, largeKeys) }); err != nil {
		return err
	}
	size, err := os.Stat(b.database("large"))
	if err != nil {
		return err
	}
	b.say("search over %d runs x %d metric keys (database of %.1f GB, made in %.0f s), 100 results, p95:", b.largeRuns, largeKeys, float64(size.Size())/1e9, time.Since(began).Seconds())
	p, err := b.serve(ctx, "large")
	if err != nil {
		return err
	}
	defer func() { _ = p.stop() }()
	t := newTracker(p)
	for _, s := range largeSearches {
		for _, n := range []int{1, clients} {
			took, pages, err := t.searches(s, n, b.window)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			b.say("  %-56s %d client(s): p95 %7.1f ms, median %.1f ms over %d searches (must 200 ms)", s.name, n, quantile(took, 0.95), median(took), pages)
		}
	}
	return nil
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}
