package main

import (
	"context"
	"encoding/json"
	"fmt"
)

// convert compares the forest as it is logged with mlflow.sklearn, which our server makes ONNX at its first load, with the same forest logged as ONNX,
// and with `mlflow models serve` in its quickest configuration.
func (b *bench) convert(ctx context.Context) error {
	models, err := b.models(ctx)
	if err != nil {
		return err
	}
	p, err := b.serve(ctx, "convert", "--python", b.python)
	if err != nil {
		return err
	}
	defer func() { _ = p.stop() }()
	asONNX := models["trees"]
	converted := *asONNX
	converted.name, converted.folder = "trees-sklearn", "sklearn"
	for _, m := range []*model{asONNX, &converted} {
		if err := (api{p.url}).register(ctx, m); err != nil {
			return err
		}
	}
	if err := (api{p.url}).servedByONNX(ctx, &converted); err != nil {
		return err
	}
	sides := []side{b.ours(p, &converted, mlflowJSON, 1), b.ours(p, asONNX, mlflowJSON, 1)}
	var missing error
	if b.skipMLflow {
		missing = fmt.Errorf("-skip-mlflow")
	} else {
		best, err := b.best(ctx, "mlflow models serve", asONNX, mlflowJSON, 1, b.mlflowServe(asONNX))
		if missing = err; err == nil {
			defer func() { _ = best.p.stop() }()
			sides = append(sides, best.side)
		}
	}
	windows, err := b.race(ctx, sides...)
	if err != nil {
		return err
	}
	for i, name := range []string{"logged with mlflow.sklearn, converted", "logged as ONNX", "mlflow models serve"}[:len(sides)] {
		b.say("  %s: %.0f requests/s, %.1f µs of CPU", name, middle(windows[i], rateOf), middle(windows[i], cpuOf))
	}
	b.claim(claim{work: "forest of 200 trees, 1 row: requests/s converted ÷ logged as ONNX", must: 0.9, noReach: true, digits: 2, measured: ratio(windows[0], windows[1], rateOf)})
	c := claim{work: "forest of 200 trees, 1 row: requests/s converted ÷ mlflow models serve", must: 100, noReach: true, unit: " x"}
	if missing != nil {
		c.missing = missing.Error()
	} else {
		c.measured = ratio(windows[0], windows[2], rateOf)
	}
	b.claim(c)
	return nil
}

// servedByONNX returns an error unless ONNX Runtime executes the model's version.
func (a api) servedByONNX(ctx context.Context, m *model) error {
	var e struct {
		Config struct {
			Entities []struct {
				By   string `json:"served_by"`
				Note string `json:"served_note"`
			} `json:"served_entities"`
		} `json:"config"`
	}
	var raw json.RawMessage
	if err := a.call(ctx, "GET", "/api/2.0/serving-endpoints/"+m.name, nil, &raw); err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return err
	}
	if len(e.Config.Entities) != 1 || e.Config.Entities[0].By != "onnx (converted)" {
		return fmt.Errorf("%s is not served as ONNX: %s", m.name, raw)
	}
	return nil
}
