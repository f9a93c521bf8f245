package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sluice/loadtest"
)

// hangScript is the model that hangs.
//
//go:embed python/hang.py
var hangScript string

const (
	// shadowPairs are the pairs of windows, one with a shadow that hangs and one without.
	shadowPairs = 10
	// shadowWindow is how long a window is: so many requests that the 99th percentile is one.
	shadowWindow = 4 * time.Second
	// shadowPercent and shadowMS are what a shadow may add to the caller's 99th percentile, one or the other.
	shadowPercent, shadowMS = 5, 0.5
)

// shadow compares the caller's tail of latency with that of windows in which every request is copied to a version that never answers.
func (b *bench) shadow(ctx context.Context) error {
	models, err := b.models(ctx)
	if err != nil {
		return err
	}
	m := models["small"]
	interpreter, err := filepath.Abs(b.python)
	if err != nil {
		return err
	}
	p, err := b.serve(ctx, "shadow", "--python", interpreter, "--conversion=off")
	if err != nil {
		return err
	}
	defer func() { _ = p.stop() }()
	a := api{p.url}
	hanging, start, err := b.hangingModel(m)
	if err != nil {
		return err
	}
	if err := errors.Join(a.register(ctx, m), a.register(ctx, hanging)); err != nil {
		return err
	}
	if err := os.WriteFile(start, nil, 0o644); err != nil {
		return err
	}
	mine := b.ours(p, m, mlflowJSON, 1)
	full, err := b.closed(ctx, mine)
	if err != nil {
		return err
	}
	return b.shadowRace(ctx, a, m, mine, full.rate/2)
}

// shadowRace alternates windows with and without the shadow, each pair beginning with the other one.
func (b *bench) shadowRace(ctx context.Context, a api, m *model, mine side, rate float64) error {
	var more, percent, before []float64
	failed := int64(0)
	for pair := range shadowPairs {
		var p99 [2]float64 // without, with
		for i := range p99 {
			with := (pair + i) % 2
			if err := a.copyToHanging(ctx, m, with == 1); err != nil {
				return err
			}
			res, err := loadtest.RunMany(ctx, mine.requests, loadtest.Options{Connections: b.connections, Duration: b.window, Rate: rate})
			if err != nil {
				return err
			}
			failed += res.Failed
			p99[with] = float64(res.Quantile(0.99)) / 1e6
			if with == 0 {
				continue
			}
			dropped, err := a.metricSum("sluice_shadow_drops_total") // counted as long as there is a shadow
			if err != nil {
				return err
			}
			if dropped == 0 {
				return errors.New("no copy was dropped: the shadow did not hang")
			}
		}
		before, more, percent = append(before, p99[0]), append(more, p99[1]-p99[0]), append(percent, 100*(p99[1]/p99[0]-1))
		b.say("  p99 %.2f ms alone, %.2f ms with a shadow that hangs (%+.2f ms, %+.1f %%)", p99[0], p99[1], p99[1]-p99[0], 100*(p99[1]/p99[0]-1))
	}
	b.say("  small at %.0f requests/s (half of its most), open loop: p99 %.2f ms; a shadow that hangs adds %+.2f ms, %+.1f %% (medians of %d pairs); %d requests failed",
		rate, median(before), median(more), median(percent), shadowPairs, failed)
	b.claim(shadowClaim(median(more), median(percent)))
	b.claim(claim{work: "requests that failed beside a shadow that hangs", noReach: true, most: true, measured: float64(failed)})
	return nil
}

// shadowClaim holds one of the two limits: the one that is kept, else the one in ms.
func shadowClaim(more, percent float64) claim {
	c := claim{work: "p99 added by a shadow that hangs, median of 10 pairs", must: shadowMS, noReach: true, most: true, unit: " ms", digits: 2, measured: more}
	if more > shadowMS && percent <= shadowPercent {
		c.must, c.unit, c.digits, c.measured = shadowPercent, " %", 1, percent
	}
	return c
}

// hangingModel writes a package with m's signature whose model hangs as soon as the file start is there.
func (b *bench) hangingModel(m *model) (_ *model, start string, err error) {
	start = filepath.Join(b.dir, "hang")
	text, err := os.ReadFile(filepath.Join(m.dir, m.folder, "MLmodel"))
	if err != nil {
		return nil, "", err
	}
	signature, err := topLevel(string(text), "signature")
	if err != nil {
		return nil, "", err
	}
	hanging := &model{name: "hanging", dir: filepath.Join(b.dir, "hanging"), folder: "package", columns: m.columns, rows: m.rows, floats: m.floats}
	root := filepath.Join(hanging.dir, hanging.folder)
	if err := os.MkdirAll(filepath.Join(root, "code"), 0o755); err != nil {
		return nil, "", err
	}
	return hanging, start, errors.Join(
		os.WriteFile(filepath.Join(root, "MLmodel"), []byte("flavors:\n  python_function:\n    loader_module: hang\n    code: code\n"+signature), 0o644),
		os.WriteFile(filepath.Join(root, "code", "hang.py"), []byte(strings.Replace(hangScript, "@START@", start, 1)), 0o644),
	)
}

// topLevel is the text of one top-level key of a YAML file, with the key.
func topLevel(text, key string) (string, error) {
	_, after, ok := strings.Cut("\n"+text, "\n"+key+":")
	if !ok {
		return "", fmt.Errorf("MLmodel has no %s", key)
	}
	out := key + ":"
	for i, line := range strings.SplitAfter(after, "\n") {
		if i > 0 && line != "" && line[0] != ' ' && line[0] != '-' {
			break
		}
		out += line
	}
	return out, nil
}

// copyToHanging configures the model's endpoint with the hanging version beside it, as shadow of everything or idle, and waits until that serves.
func (a api) copyToHanging(ctx context.Context, m *model, on bool) error {
	config := map[string]any{
		"served_entities": []any{
			map[string]any{"name": "main", "entity_name": m.name, "entity_stage": "Production"},
			map[string]any{"name": "next", "entity_name": "hanging", "entity_stage": "Production"},
		},
		"traffic_config": map[string]any{"routes": []any{
			map[string]any{"served_entity_name": "main", "traffic_percentage": 100}, map[string]any{"served_entity_name": "next", "traffic_percentage": 0},
		}},
		"shadows": []any{},
	}
	if on {
		config["shadows"] = []any{map[string]any{"served_entity_name": "next", "percentage": 100}}
	}
	path := "/api/2.0/serving-endpoints/" + m.name
	if err := a.call(ctx, http.MethodPut, path+"/config", encoded(config), nil); err != nil {
		return err
	}
	for {
		var got struct {
			State struct {
				Update string `json:"config_update"`
			} `json:"state"`
		}
		if err := a.call(ctx, http.MethodGet, path, nil, &got); err != nil || got.State.Update == "NOT_UPDATING" {
			return err
		}
		if err := pauseUntil(ctx, time.Now().Add(10*time.Millisecond)); err != nil {
			return err
		}
	}
}
