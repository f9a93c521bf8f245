package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"sluice/deploy/examples"
	"sluice/loadtest"
)

// start measures an empty server, and what the example models cost in memory and in time to start, after load too.
func (b *bench) start(ctx context.Context) error {
	if err := b.idle(ctx); err != nil {
		return err
	}
	p, err := b.startup(ctx)
	if err != nil {
		return err
	}
	if err := b.afterLoad(ctx, p); err != nil {
		return err
	}
	return p.stop()
}

// idleness is how long a server has had nothing to do when its idle memory is measured.
const idleness = 30 * time.Second

// idle measures an empty server, and the same server after it was used a little.
func (b *bench) idle(ctx context.Context) error {
	p, err := b.serve(ctx, "empty")
	if err != nil {
		return err
	}
	time.Sleep(idleness)
	fresh, err := p.rss()
	if err != nil {
		return errors.Join(err, p.stop())
	}
	if err := newTracker(p).everyday(); err != nil {
		return errors.Join(err, p.stop())
	}
	time.Sleep(idleness)
	used, err := p.rss()
	if err != nil {
		return errors.Join(err, p.stop())
	}
	b.say("  resident, idle for %v, no models: %.0f MB (limit 50), after some calls and again %v %.0f MB (limit 50)", idleness, megabytes(fresh), idleness, megabytes(used))
	return p.stop()
}

// startup makes the demo store, then measures how long later starts take, and returns the last one running.
func (b *bench) startup(ctx context.Context) (*process, error) {
	p, err := b.serve(ctx, "demo", "--demo")
	if err != nil {
		return nil, err
	}
	if err := p.until(ctx, "/ready", time.Minute, answers(p.url+"/ready")); err != nil {
		return nil, err
	}
	var health, ready []float64
	for range b.rounds {
		if err := p.stop(); err != nil {
			return nil, err
		}
		began := time.Now()
		if p, err = b.serve(ctx, "demo", "--demo"); err != nil {
			return nil, err
		}
		health = append(health, ms(time.Since(began)))
		if err := p.until(ctx, "/ready", time.Minute, answers(p.url+"/ready")); err != nil {
			return nil, err
		}
		ready = append(ready, ms(time.Since(began)))
	}
	b.say("  start with an existing store: /health after %.0f ms (limit 300), /ready with the demo models after %.0f ms (limit 1000)", median(health), median(ready))
	return p, nil
}

// afterLoad measures resident memory before and after a window of load.
func (b *bench) afterLoad(ctx context.Context, p *process) error {
	before, err := p.rss()
	if err != nil {
		return err
	}
	body, err := exampleBody()
	if err != nil {
		return err
	}
	load := loadtest.Request{URL: p.url + "/invocations", Header: map[string]string{"Content-Type": "application/json"}, Body: body}
	if _, err := b.closed(ctx, side{p: p, requests: []loadtest.Request{load}, window: 2 * b.window}); err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	after, err := p.rss()
	if err != nil {
		return err
	}
	b.say("  resident with two models: %.0f MB before load", megabytes(before))
	b.claim(claim{work: "resident with two small models, after load", must: 150, noReach: true, most: true, unit: " MB", measured: megabytes(after)})
	return nil
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

func megabytes(n int64) float64 { return float64(n) / 1e6 }
