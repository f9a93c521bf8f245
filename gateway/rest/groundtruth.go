package rest

import (
	"encoding/json"

	"sluice/gateway"
)

// groundTruthAnswer is how an endpoint's ground truth is compared, as it is sent and answered.
type groundTruthAnswer struct {
	Key       string  `json:"key,omitempty"`
	Output    string  `json:"output,omitempty"`
	Task      string  `json:"task,omitempty"`
	Tolerance float64 `json:"tolerance,omitempty"`
	Lookback  string  `json:"lookback,omitempty"`
}

func parseGroundTruth(parent *object, raw json.RawMessage) func(*gateway.Config) {
	o := parseObject(parent.name("ground_truth")+".", raw)
	g := gateway.GroundTruth{Key: o.text("key"), Output: o.text("output"), Task: o.text("task"), Lookback: o.duration("lookback")}
	g.Tolerance, _ = o.number("tolerance")
	parent.adopt(o.done())
	return func(c *gateway.Config) { c.GroundTruth = g }
}

func describeGroundTruth(c *gateway.Config, a *settingsAnswer) {
	if g := c.GroundTruth; g != (gateway.GroundTruth{}) {
		a.GroundTruth = &groundTruthAnswer{g.Key, g.Output, g.Task, g.Tolerance, durationText(g.Lookback)}
	}
}
