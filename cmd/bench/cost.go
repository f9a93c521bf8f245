package main

import "context"

// logAlone is the place of the prediction log alone among costs.
const logAlone = 3

// costs are our server with everything off, with one thing on, and with all of it.
func costs() []variant {
	const noLog, noCount = "--prediction-log=false", "--request-metrics=false"
	return []variant{
		{name: "all off", untraced: true, args: []string{noLog, noCount}},
		{name: "1 % traces alone", args: []string{noLog, noCount}},
		{name: "metrics alone", untraced: true, args: []string{noLog}},
		{name: "prediction log alone", untraced: true, args: []string{noCount}},
		allOn,
	}
}

// cost compares servers that leave out traces, metrics and the prediction log.
func (b *bench) cost(ctx context.Context) error {
	var servers []*process
	for _, v := range costs() {
		p, err := b.server(ctx, v)
		if err != nil {
			return err
		}
		if v.name != allOn.name {
			defer b.release(v)
		}
		servers = append(servers, p)
	}
	for _, c := range []struct {
		model, what string
		must        float64
		lost        func(all, off []window) float64
	}{
		{"trees", "requests/s lost", 10, func(all, off []window) float64 { return 100 * (1 - ratio(all, off, rateOf)) }},
		{"small", "server CPU added", 15, func(all, off []window) float64 { return 100 * (ratio(all, off, cpuOf) - 1) }},
	} {
		sides := make([]side, len(servers))
		for i, p := range servers {
			sides[i] = b.ours(p, b.made[c.model], mlflowJSON, 1)
		}
		windows, err := b.race(ctx, sides...)
		if err != nil {
			return err
		}
		for i, v := range costs() {
			b.say("  %s, %s: %.0f requests/s, %.2f µs; %s %.1f %%", c.model, v.name, middle(windows[i], rateOf), middle(windows[i], cpuOf), c.what, c.lost(windows[i], windows[0]))
		}
		if c.model == "small" {
			b.claim(claim{work: "small: requests/s with the prediction log ÷ without", must: 0.9, noReach: true, unit: " x", digits: 2, measured: ratio(windows[logAlone], windows[0], rateOf)})
		}
		b.claim(claim{work: c.model + ": " + c.what + " by traces, metrics and prediction log together", must: c.must, noReach: true, most: true, unit: " %", digits: 1, measured: c.lost(windows[len(windows)-1], windows[0])})
	}
	return nil
}
