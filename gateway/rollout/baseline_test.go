package rollout

import (
	"strings"
	"testing"
	"time"

	"sluice/gateway"
)

// TestBaselineDrift: a rollout waits until the canary's drift is known, holds while chance may explain it, goes on if it is small, and goes back for what
// is too far for sure.
func TestBaselineDrift(t *testing.T) {
	t.Parallel()
	metric := gateway.DefaultMetric(gateway.MetricBaselineDrift)
	metric.Tolerance, metric.PSI = 0.3, 0.3
	r := gateway.Rollout{
		Phase: gateway.RolloutRunning, Stable: 1, Canary: 2, Weight: 1000,
		Plan: gateway.RolloutPlan{
			Steps:    []gateway.RolloutStep{{Kind: gateway.StepAnalyse, MinRequests: 20}},
			Analysis: gateway.Analysis{FalseRollback: 0.005, Metrics: []gateway.AnalysisMetric{metric}},
		},
	}
	facts := Facts{Known: true, Loaded: true, Means: 1}
	for name, c := range map[string]struct {
		drifted *Drifted
		phase   gateway.RolloutPhase
		verdict Verdict
	}{
		"nothing is known":                 {nil, gateway.RolloutRunning, InsufficientTraffic},
		"near":                             {&Drifted{Column: "x", Distance: 0.1, PSI: 0.1}, gateway.RolloutPromoting, Promote},
		"far, and chance may be the cause": {&Drifted{Column: "x", Distance: 0.5, AtLeast: 0.1}, gateway.RolloutRunning, Hold},
		"PSI past its limit":               {&Drifted{Column: "x", Distance: 0.1, PSI: 0.4}, gateway.RolloutRunning, Hold},
		"far for sure":                     {&Drifted{Column: "x", Distance: 0.5, AtLeast: 0.31}, gateway.RolloutRollingBack, Rollback},
		"PSI past its limit for sure":      {&Drifted{Column: "x", Distance: 0.5, AtLeast: 0.28}, gateway.RolloutRollingBack, Rollback},
	} {
		t.Run(name, func(t *testing.T) {
			e := Evidence{Drifted: c.drifted, Canary: Totals{Requests: 100}, Stable: Totals{Requests: 100}}
			e = ParseEvidence(e.String()) // it survives a restart
			d := Next(r, e, facts, time.UnixMilli(0))
			if d.Rollout.Phase != c.phase || d.Verdict != c.verdict || !strings.HasPrefix(d.Reason, "baseline_drift: ") {
				t.Errorf("%s, %s: %s", d.Rollout.Phase, d.Verdict, d.Reason)
			}
		})
	}
	baking := r
	baking.Phase = gateway.RolloutBaking
	if d := Next(baking, Evidence{}, facts, time.UnixMilli(0)); d.Changed || d.Verdict != InsufficientTraffic {
		t.Errorf("a bake that knows nothing ends: %s, %s", d.Rollout.Phase, d.Verdict)
	}
}

// TestPlansThatWouldWaitForEver: a metric that nothing feeds is refused.
func TestPlansThatWouldWaitForEver(t *testing.T) {
	w := newWorld(t)
	w.configure(nil)
	plan := threeSteps()
	plan.Analysis.Metrics = []gateway.AnalysisMetric{gateway.DefaultMetric(gateway.MetricBaselineDrift)}
	start := func(c *Controller) error {
		_, err := c.Start(t.Context(), StartRequest{Endpoint: endpointName, Version: gateway.Selector{Version: 2}, Plan: plan})
		return err
	}
	if err := start(w.control); err == nil || !strings.Contains(err.Error(), `"baseline_drift" cannot be compared`) {
		t.Errorf("without anything that feeds it: %v", err)
	}
	w.control.deps.Drifted = func(string, string, int, time.Time, float64) (Drifted, bool) { return Drifted{}, false }
	if err := (gateway.Drift{Off: true}).CheckRollout("rollout.", plan); err == nil || !strings.Contains(err.Error(), "rollout.analysis.metrics[0]") {
		t.Errorf("with drift switched off: %v", err)
	}
	if err := start(w.control); err != nil {
		t.Error(err)
	}
}
