package rollout

import (
	"testing"
	"time"

	"sluice/gateway"
)

// TestShadowFirst: the canary gets copies alone for the step's time, and none any more once it has traffic.
func TestShadowFirst(t *testing.T) {
	analysis := gateway.Analysis{FalseRollback: 0.005, Metrics: []gateway.AnalysisMetric{gateway.DefaultMetric(gateway.MetricErrorRate)}}
	r := gateway.Rollout{
		Phase: gateway.RolloutRunning, Stable: 1, Canary: 2, Origin: gateway.OriginRequest, Target: gateway.Selector{Stage: "Production"},
		Plan: gateway.RolloutPlan{Analysis: analysis, Steps: []gateway.RolloutStep{
			{Kind: gateway.StepShadow, Weight: 2500, Duration: time.Minute}, {Kind: gateway.StepSetWeight, Weight: 1000}, {Kind: gateway.StepApproval},
		}},
	}
	facts, e, now := Facts{Known: true, Loaded: true, Means: 1}, seen(analysis, 0, 0, 0), time.UnixMilli(1_000_000)
	for _, c := range []struct {
		after          time.Duration
		step           int
		weight, shadow gateway.Weight
	}{{0, 0, 0, 2500}, {30 * time.Second, 0, 0, 2500}, {31 * time.Second, 2, 1000, 0}} {
		now = now.Add(c.after)
		if r = Next(r, e, facts, now).Rollout; r.Step != c.step || r.Weight != c.weight || r.Shadow != c.shadow {
			t.Fatalf("after %v: step %d, weight %s, shadow %s", c.after, r.Step, r.Weight, r.Shadow)
		}
	}
}
