package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// clients is how many callers drive a tracking server at once.
const clients = 8

// tracker is one tracking server under measurement; both serve copies of one database.
type tracker struct {
	process    *process
	http       *http.Client
	experiment string // of the filled runs
	history    string // the run with the long history
}

// operation is one kind of call; it returns an error for anything but success.
type operation struct {
	name string
	must float64 // times `mlflow server`
	call func(ctx context.Context, t *tracker, n int64) error
}

func operations() []operation {
	return []operation{
		{"create a run + log one metric", 30, func(ctx context.Context, t *tracker, n int64) error {
			run, err := t.createRun(ctx, "0")
			if err != nil {
				return err
			}
			return t.post(ctx, "runs/log-metric", map[string]any{"run_id": run, "key": "m", "value": float64(n), "timestamp": n, "step": n}, nil)
		}},
		{"log-batch of 1000 metrics", 15, func(ctx context.Context, t *tracker, n int64) error {
			run, err := t.createRun(ctx, "0")
			if err != nil {
				return err
			}
			return t.logBatch(ctx, run, 0)
		}},
		{"search over 10k runs, 100 results", 40, func(ctx context.Context, t *tracker, _ int64) error {
			var found struct {
				Runs []json.RawMessage `json:"runs"`
			}
			err := t.post(ctx, "runs/search", map[string]any{
				"experiment_ids": []string{t.experiment}, "filter": "metrics.m > 0.5 AND params.kind = 'a'", "order_by": []string{"metrics.m DESC"}, "max_results": 100,
			}, &found)
			if err == nil && len(found.Runs) != 100 {
				err = fmt.Errorf("found %d runs, want 100", len(found.Runs))
			}
			return err
		}},
		{"100k-point metric history", 20, func(ctx context.Context, t *tracker, _ int64) error { return t.readHistory(ctx) }},
	}
}

// tracking compares sluice with `mlflow server` side by side: windows of each operation alternate.
func (b *bench) tracking(ctx context.Context) error {
	filled, err := b.filled(ctx)
	if err != nil {
		return err
	}
	ours, err := b.serve(ctx, "tracking")
	if err != nil {
		return err
	}
	defer func() { _ = ours.stop() }()
	theirs, err := b.mlflowServer(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = theirs.stop() }()
	a, m := newTracker(ours, filled), newTracker(theirs, filled)
	b.say("tracking against mlflow server (4 workers), SQLite, %d clients:", clients)
	for _, op := range operations() {
		var mine, other []float64
		for range max(b.rounds/2, 1) {
			for _, side := range []struct {
				t    *tracker
				into *[]float64
			}{{m, &other}, {a, &mine}} {
				rate, err := side.t.rate(ctx, op, b.window)
				if err != nil {
					return fmt.Errorf("%s: %s: %w", side.t.process.name, op.name, err)
				}
				*side.into = append(*side.into, rate)
			}
		}
		b.say("  %-34s sluice %8.1f/s  mlflow %7.2f/s  = %.0f x (must %.0f)", op.name, median(mine), median(other), median(mine)/median(other), op.must)
	}
	return nil
}

// filled makes the database that both serve: sluice fills it, and the file is copied for mlflow server, which opens it as its own.
func (b *bench) filled(ctx context.Context) (*tracker, error) {
	p, err := b.serve(ctx, "tracking")
	if err != nil {
		return nil, err
	}
	t := newTracker(p, &tracker{})
	if err := t.fill(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("fill: %w", err), p.stop())
	}
	if err := p.stop(); err != nil {
		return nil, err
	}
	db, err := os.ReadFile(filepath.Join(b.dir, "tracking", "sluice.db"))
	if err != nil {
		return nil, err
	}
	return t, os.WriteFile(filepath.Join(b.dir, "mlflow.db"), db, 0o600)
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

func newTracker(p *process, filled *tracker) *tracker {
	return &tracker{process: p, experiment: filled.experiment, history: filled.history, http: &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: clients}}}
}

// rate runs an operation with all clients for a window and returns operations per second; an operation under way at its end counts with the
// time that it took.
func (t *tracker) rate(ctx context.Context, op operation, window time.Duration) (float64, error) {
	began := time.Now()
	var done atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, clients)
	for range clients {
		wg.Go(func() {
			for time.Since(began) < window {
				if err := op.call(ctx, t, done.Add(1)); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return 0, err
	default:
		return float64(done.Load()) / time.Since(began).Seconds(), nil
	}
}

// fill makes an experiment of 10,000 runs with a metric and a param each, and a run with a history of 100,000 points.
func (t *tracker) fill(ctx context.Context) error {
	var made struct {
		ID string `json:"experiment_id"`
	}
	if err := t.post(ctx, "experiments/create", map[string]any{"name": "filled"}, &made); err != nil {
		return err
	}
	t.experiment = made.ID
	if err := t.each(10_000, func(n int) error {
		run, err := t.createRun(ctx, t.experiment)
		if err != nil {
			return err
		}
		kind := "a"
		if n%2 == 1 {
			kind = "b"
		}
		return t.post(ctx, "runs/log-batch", map[string]any{
			"run_id": run, "metrics": []any{metric("m", float64(n)/10_000, n, 0)}, "params": []any{map[string]string{"key": "kind", "value": kind}},
		}, nil)
	}); err != nil {
		return err
	}
	var err error
	if t.history, err = t.createRun(ctx, t.experiment); err != nil {
		return err
	}
	return t.each(100, func(n int) error { return t.logBatch(ctx, t.history, n*1000) })
}

// each calls f for 0 … n−1 from all clients.
func (t *tracker) each(n int, f func(n int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, clients)
	for range clients {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

func metric(key string, value float64, at, step int) map[string]any {
	return map[string]any{"key": key, "value": value, "timestamp": at, "step": step}
}

func (t *tracker) logBatch(ctx context.Context, run string, from int) error {
	metrics := make([]any, 1000)
	for i := range metrics {
		metrics[i] = metric("loss", float64(i)/1000, from+i, from+i)
	}
	return t.post(ctx, "runs/log-batch", map[string]any{"run_id": run, "metrics": metrics}, nil)
}

func (t *tracker) createRun(ctx context.Context, experiment string) (string, error) {
	var made struct {
		Run struct {
			Info struct {
				ID string `json:"run_id"`
			} `json:"info"`
		} `json:"run"`
	}
	err := t.post(ctx, "runs/create", map[string]any{"experiment_id": experiment, "start_time": time.Now().UnixMilli()}, &made)
	return made.Run.Info.ID, err
}

// readHistory reads the long history in pages of 25,000, as MLflow's client does.
func (t *tracker) readHistory(ctx context.Context) error {
	token, points := "", 0
	for {
		q := url.Values{"run_id": {t.history}, "metric_key": {"loss"}, "max_results": {"25000"}}
		if token != "" {
			q.Set("page_token", token)
		}
		var page struct {
			Metrics []json.RawMessage `json:"metrics"`
			Next    string            `json:"next_page_token"`
		}
		if err := t.do(ctx, http.MethodGet, "metrics/get-history?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		points += len(page.Metrics)
		if token = page.Next; token == "" {
			break
		}
	}
	if points != 100_000 {
		return fmt.Errorf("read %d points, want 100000", points)
	}
	return nil
}

func (t *tracker) post(ctx context.Context, path string, body, into any) error {
	return t.do(ctx, http.MethodPost, path, body, into)
}

func (t *tracker) do(ctx context.Context, method, path string, body, into any) error {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, t.process.url+"/api/2.0/mlflow/"+path, reader)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := t.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %d: %.300s", path, res.StatusCode, text)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}
