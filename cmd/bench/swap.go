package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"sluice/loadtest"
)

const (
	// swapPairs are the pairs of windows, one steady and one with moves.
	swapPairs = 10
	// swapMoves is how many stage moves one window has.
	swapMoves = 20
	// swapWindow is how long a window is, in which the moves are evenly spaced: 200 moves in 60 s.
	swapWindow = 6 * time.Second
	// swapVersions are moved to in turn: so many that each has been unloaded when its turn comes again.
	swapVersions = 12
	// largeMoves is how many versions of 10 MB are moved to, each once.
	largeMoves = 10
)

// swap moves stages under load and compares the tail of latency with that of windows without moves, which alternate.
func (b *bench) swap(ctx context.Context) error {
	models, err := b.models(ctx)
	if err != nil {
		return err
	}
	m := models["small"]
	p, err := b.serve(ctx, "swap")
	if err != nil {
		return err
	}
	defer func() { _ = p.stop() }()
	a := api{p.url}
	if err := a.register(ctx, m); err != nil {
		return err
	}
	if err := a.moreVersions(ctx, m, swapVersions); err != nil {
		return err
	}
	mine := b.ours(p, m, mlflowJSON, 1)
	full, err := b.closed(ctx, mine)
	if err != nil {
		return err
	}
	s := &swapper{api: a, model: m}
	var ratios, steady, moving, delays []float64
	failed := int64(0)
	for range swapPairs {
		quiet, err := b.paced(ctx, mine, full.rate/2)
		if err != nil {
			return err
		}
		done := make(chan error, 1)
		go func() { done <- s.moves(ctx) }()
		busy, err := b.paced(ctx, mine, full.rate/2)
		if err != nil {
			return err
		}
		if err := <-done; err != nil {
			return err
		}
		failed += quiet.Failed + busy.Failed
		before, with := ms(quiet.Quantile(0.99)), ms(busy.Quantile(0.99))
		steady, moving, ratios = append(steady, before), append(moving, with), append(ratios, with/before)
		b.say("  p99 %.2f ms steady, %.2f ms with %d moves; max %.1f and %.1f ms", before, with, swapMoves, ms(quiet.Quantile(1)), ms(busy.Quantile(1)))
	}
	delays = s.delays
	b.say("  small at %.0f requests/s (half of its most), open loop, %d moves: p99 %.2f ms steady, %.2f ms with moves; a version answers %.0f ms after its move was ordered, the longest %.0f ms",
		full.rate/2, s.made, median(steady), median(moving), median(delays), longest(delays))
	b.claim(claim{work: fmt.Sprintf("%d stage moves in 60 s under load: failed requests", s.made), noReach: true, most: true, measured: float64(failed)})
	b.claim(claim{work: "stage move ordered → its version answers, the longest", must: 1000, noReach: true, most: true, unit: " ms", measured: longest(delays)})
	large, err := b.largeModel(ctx)
	if err != nil {
		return err
	}
	first, err := b.firstAnswers(ctx, a, large)
	if err != nil {
		return err
	}
	b.say("  a version of 10 MB that was never loaded answers %.0f ms after its move was ordered, the longest %.0f ms", median(first), longest(first))
	b.claim(claim{work: "stage move ordered → a version of 10 MB that was never loaded answers, the longest", must: 1000, noReach: true, most: true, unit: " ms", measured: longest(first)})
	b.claim(claim{work: "p99 with moves ÷ steady, median of 10 pairs", must: 1.5, noReach: true, most: true, unit: " x", digits: 2, measured: median(ratios)})
	return nil
}

// firstAnswers registers a model's versions, each with files of its own, moves from one to the other, and returns the time in ms from each order
// to the first answer of the version, which was not loaded before.
func (b *bench) firstAnswers(ctx context.Context, a api, m *model) ([]float64, error) {
	register := a.register
	for i := range 1 + largeMoves {
		folder := filepath.Join(b.dir, fmt.Sprintf("%s-%d", m.name, i+1))
		if err := os.CopyFS(folder, os.DirFS(filepath.Join(m.dir, m.folder))); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(folder, "version.txt"), []byte(strconv.Itoa(i+1)), 0o600); err != nil {
			return nil, err
		}
		version := *m
		version.dir, version.folder = filepath.Dir(folder), filepath.Base(folder)
		if err := register(ctx, &version); err != nil {
			return nil, err
		}
		register = a.version
	}
	s := &swapper{api: a, model: m}
	for i := range largeMoves {
		if err := s.move(ctx, strconv.Itoa(i+2)); err != nil {
			return nil, err
		}
	}
	return s.delays, nil
}

// paced drives one window of an open loop.
func (b *bench) paced(ctx context.Context, s side, rate float64) (*loadtest.Result, error) {
	return loadtest.RunMany(ctx, s.requests, loadtest.Options{Connections: b.connections, Duration: swapWindow, Rate: rate})
}

// swapper puts one version after the other into Production.
type swapper struct {
	api    api
	model  *model
	made   int
	delays []float64 // ms from the order to the first answer of the version
}

// moves makes a window's moves, evenly spaced, and waits after each until its version answers.
func (s *swapper) moves(ctx context.Context) error {
	began := time.Now()
	for i := range swapMoves {
		if err := pauseUntil(ctx, began.Add(time.Duration(i)*swapWindow/swapMoves)); err != nil {
			return err
		}
		s.made++
		if err := s.move(ctx, strconv.Itoa(s.made%swapVersions+1)); err != nil {
			return err
		}
	}
	return nil
}

// move orders a move and waits until the version answers.
func (s *swapper) move(ctx context.Context, version string) error {
	at := time.Now()
	if err := s.api.stage(ctx, s.model, version); err != nil {
		return err
	}
	for {
		served, err := s.api.served(ctx, s.model)
		if err != nil {
			return err
		}
		if served == version {
			break
		}
		if time.Since(at) > 30*time.Second {
			return fmt.Errorf("version %s does not answer 30 s after it was moved to", version)
		}
		if err := pauseUntil(ctx, time.Now().Add(5*time.Millisecond)); err != nil {
			return err
		}
	}
	s.delays = append(s.delays, ms(time.Since(at)))
	return nil
}

func pauseUntil(ctx context.Context, at time.Time) error {
	select {
	case <-time.After(time.Until(at)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// moreVersions makes versions of the package that version 1 has, until there are n.
func (a api) moreVersions(ctx context.Context, m *model, n int) error {
	var got struct {
		Version struct {
			Source string `json:"source"`
			Run    string `json:"run_id"`
		} `json:"model_version"`
	}
	if err := a.call(ctx, http.MethodGet, "/api/2.0/mlflow/model-versions/get?version=1&name="+m.name, nil, &got); err != nil {
		return err
	}
	for range n - 1 {
		body := encoded(map[string]any{"name": m.name, "run_id": got.Version.Run, "source": got.Version.Source})
		if err := a.call(ctx, http.MethodPost, "/api/2.0/mlflow/model-versions/create", body, nil); err != nil {
			return err
		}
	}
	return nil
}

// stage puts a version into Production and the one there into Archived.
func (a api) stage(ctx context.Context, m *model, version string) error {
	return a.call(ctx, http.MethodPost, "/api/2.0/mlflow/model-versions/transition-stage",
		encoded(map[string]any{"name": m.name, "version": version, "stage": "Production", "archive_existing_versions": true}), nil)
}

// served is the version that answers a prediction.
func (a api) served(ctx context.Context, m *model) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url+a.endpoint(m), bytes.NewReader(m.mlflowBody(0, 1)))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %.300s", res.StatusCode, text)
	}
	return res.Header.Get("X-Sluice-Model-Version"), err
}

func longest(values []float64) (most float64) {
	for _, v := range values {
		most = max(most, v)
	}
	return most
}
