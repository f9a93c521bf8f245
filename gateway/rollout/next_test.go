package rollout

import (
	"math"
	"testing"
	"time"

	"sluice/gateway"
)

// seen is evidence of so many requests, of which some failed, in blocks of a hundred.
func seen(analysis gateway.Analysis, requests, canaryErrors, stableErrors uint64) Evidence {
	var e Evidence
	for i := uint64(0); i < requests; i += 100 {
		var b Block
		b.Canary = Sample{Requests: 100, Errors: canaryErrors * 100 / max(requests, 1)}
		b.Stable = Sample{Requests: 100, Errors: stableErrors * 100 / max(requests, 1)}
		e = e.Add(b, analysis)
	}
	return e
}

func TestNext(t *testing.T) {
	analysis := gateway.Analysis{FalseRollback: 0.005, Metrics: []gateway.AnalysisMetric{gateway.DefaultMetric(gateway.MetricErrorRate)}}
	base := gateway.Rollout{
		Phase: gateway.RolloutRunning, Stable: 1, Canary: 2, Origin: gateway.OriginRequest, Target: gateway.Selector{Stage: "Production"},
		Plan: gateway.RolloutPlan{Analysis: analysis, BakeTime: time.Minute, Steps: []gateway.RolloutStep{
			{Kind: gateway.StepSetWeight, Weight: 1000}, {Kind: gateway.StepPause, Duration: time.Minute},
			{Kind: gateway.StepAnalyse, MinRequests: 500, Duration: 30 * time.Second}, {Kind: gateway.StepApproval},
			{Kind: gateway.StepSetWeight, Weight: 5000}, {Kind: gateway.StepAnalyse, MinRequests: 500},
		}},
	}
	at := func(step int, more ...func(*gateway.Rollout)) gateway.Rollout {
		r := base
		r.Step = step
		if step > 0 {
			r.Weight = 1000
		}
		for _, change := range more {
			change(&r)
		}
		return r
	}
	baking := func(r *gateway.Rollout) { r.Phase, r.Weight = gateway.RolloutBaking, gateway.FullWeight }
	byTransition := func(r *gateway.Rollout) { r.Origin = gateway.OriginTransition }
	ready := Facts{Known: true, Loaded: true, Means: 1}
	moved := func(f Facts, means int) Facts { f.Means = means; return f }
	good, bad := seen(analysis, 600, 0, 0), seen(analysis, 600, 60, 0)
	broken := seen(analysis, 600, 0, 0)
	broken.Tests[0].LogE = math.NaN()
	endless := seen(analysis, 600, 0, 0)
	endless.Tests[0].LogE = math.Inf(1)
	doubtful := seen(analysis, 600, 6, 0)
	if e := doubtful.Findings(analysis)[0]; e.Verdict != Hold {
		t.Fatalf("the doubtful case is not doubtful: %+v", e)
	}
	for _, c := range []struct {
		name    string
		r       gateway.Rollout
		e       Evidence
		f       Facts
		after   time.Duration // since the step began
		phase   gateway.RolloutPhase
		step    int
		weight  gateway.Weight
		verdict Verdict
	}{
		{"waits for the version", at(0), Evidence{}, Facts{Known: true, Means: 1}, time.Hour, gateway.RolloutRunning, 0, 0, Hold},
		{"waits for the table", at(0), Evidence{}, Facts{}, time.Hour, gateway.RolloutRunning, 0, 0, Hold},
		{"sets the weight", at(0), Evidence{}, ready, 0, gateway.RolloutRunning, 1, 1000, Promote},
		{"pauses", at(1), good, ready, 59 * time.Second, gateway.RolloutRunning, 1, 1000, Hold},
		{"has paused", at(1), good, ready, time.Minute, gateway.RolloutRunning, 2, 1000, Promote},
		{"no traffic", at(2), Evidence{}, ready, 1000 * time.Hour, gateway.RolloutRunning, 2, 1000, InsufficientTraffic},
		{"too little traffic", at(2), seen(analysis, 400, 0, 0), ready, time.Hour, gateway.RolloutRunning, 2, 1000, InsufficientTraffic},
		{"traffic of an earlier step", at(2, func(r *gateway.Rollout) { r.StepRequests = 200 }), good, ready, time.Hour, gateway.RolloutRunning, 2, 1000, InsufficientTraffic},
		{"enough traffic, too early", at(2), good, ready, 29 * time.Second, gateway.RolloutRunning, 2, 1000, Hold},
		{"analysed", at(2), good, ready, 30 * time.Second, gateway.RolloutRunning, 3, 1000, Promote},
		{"in doubt", at(2), doubtful, ready, time.Hour, gateway.RolloutRunning, 2, 1000, Hold},
		{"not a number", at(2), broken, ready, time.Hour, gateway.RolloutRunning, 2, 1000, Hold},
		{"infinite", at(2), endless, ready, time.Hour, gateway.RolloutRunning, 2, 1000, Hold},
		{"waits for approval", at(3), good, ready, 1000 * time.Hour, gateway.RolloutRunning, 3, 1000, Hold},
		{"bad in a pause", at(1), bad, ready, 0, gateway.RolloutRollingBack, 1, 0, Rollback},
		{"bad while somebody is asked", at(3), bad, ready, 0, gateway.RolloutRollingBack, 3, 0, Rollback},
		{"the last step", at(5), good, ready, time.Hour, gateway.RolloutBaking, 6, gateway.FullWeight, Promote},
		{"bakes", at(6, baking), good, ready, 59 * time.Second, gateway.RolloutBaking, 6, gateway.FullWeight, Hold},
		{"has baked", at(6, baking), good, ready, time.Minute, gateway.RolloutPromoting, 6, gateway.FullWeight, Promote},
		{"bad while it bakes", at(6, baking), bad, ready, 0, gateway.RolloutRollingBack, 6, 0, Rollback},
		{"in doubt while it bakes", at(6, baking), doubtful, ready, time.Hour, gateway.RolloutBaking, 6, gateway.FullWeight, Hold},
		{"cannot be loaded", at(0), Evidence{}, Facts{Known: true, Failed: "why", Means: 1}, 0, gateway.RolloutRollingBack, 0, 0, Rollback},
		{"the stage got it meanwhile", at(1), good, moved(ready, 2), 0, gateway.RolloutRunning, 1, 1000, Hold},
		{"a third version", at(1), bad, moved(ready, 3), 0, gateway.RolloutSuperseded, 1, 0, Hold},
		{"taken out of the stage", at(1, byTransition), good, moved(ready, 1), 0, gateway.RolloutSuperseded, 1, 0, Hold},
		{"the stage is empty", at(1, byTransition), good, moved(ready, 0), 0, gateway.RolloutSuperseded, 1, 0, Hold},
		{"the endpoint is gone", at(1), good, Facts{Gone: "gone"}, 0, gateway.RolloutSuperseded, 1, 0, Hold},
		{"decided before", at(1, func(r *gateway.Rollout) { r.Phase = gateway.RolloutRollingBack }), good, ready, time.Hour, gateway.RolloutRollingBack, 1, 1000, Hold},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := time.UnixMilli(1_000_000_000)
			c.r.StepSinceMS = now.Add(-c.after).UnixMilli()
			d := Next(c.r, c.e, c.f, now)
			if d.Rollout.Phase != c.phase || d.Rollout.Step != c.step || d.Rollout.Weight != c.weight || d.Verdict != c.verdict {
				t.Errorf("got %s, step %d, weight %s, %s: %s", d.Rollout.Phase, d.Rollout.Step, d.Rollout.Weight, d.Verdict, d.Reason)
			}
			if same := d.Rollout.Phase == c.r.Phase && d.Rollout.Step == c.r.Step; d.Changed == same {
				t.Errorf("changed is %v", d.Changed)
			}
			if again := Next(c.r, c.e, c.f, now); again.Verdict != d.Verdict || again.Rollout.Phase != d.Rollout.Phase || again.Reason != d.Reason {
				t.Error("the same question has two answers")
			}
		})
	}
}

func TestEvidenceSurvivesItsRow(t *testing.T) {
	e := Evidence{}
	rnd := Block{Canary: Sample{Requests: 300, Errors: 9}, Stable: Sample{Requests: 400, Errors: 1}}
	rnd.Canary.Latency[40], rnd.Stable.Latency[41], rnd.Canary.Outputs[900], rnd.Stable.Outputs[700] = 291, 399, 291, 399
	for range 3 {
		e = e.Add(rnd, usual)
	}
	got := ParseEvidence(e.String()).Add(rnd, usual)
	want := e.Add(rnd, usual)
	for i, f := range got.Findings(usual) {
		if w := want.Findings(usual)[i]; f != w {
			t.Errorf("got  %+v\nwant %+v", f, w)
		}
	}
	for _, text := range []string{"", "x", "[]", `{"Canary":{"latency":{"":7}}}`, `{"Tests":[{"part_e":[]}]}`} {
		ParseEvidence(text).Add(rnd, usual).Findings(usual)
	}
}

func TestBetIsFairAtTheEdge(t *testing.T) {
	// The mean of what a block multiplies the evidence by is at most 1 under every harmless pair of shares: exactly, by summing over all blocks of
	// five and seven requests.
	for _, past := range [][2]Count{{{50, 10}, {70, 2}}, {{10, 9}, {90, 3}}, {{0, 0}, {1000, 1}}, {{200, 190}, {10, 1}}} {
		for _, tolerance := range []float64{0, 0.01, 0.2} {
			for _, s := range []float64{0.001, 0.02, 0.3, 0.7} {
				for _, p := range []float64{s * 0.5, s, s + tolerance} {
					var mean float64
					for k := range uint64(6) {
						for l := range uint64(8) {
							mean += binomial(5, k, p) * binomial(7, l, s) * math.Exp(bet(past[0], past[1], Count{5, k}, Count{7, l}, tolerance))
						}
					}
					if mean > 1+1e-9 {
						t.Errorf("past %v, tolerance %v: the mean is %v at %v and %v", past, tolerance, mean, p, s)
					}
				}
			}
		}
	}
}

func binomial(n, k uint64, p float64) float64 {
	a, _ := math.Lgamma(float64(n) + 1)
	b, _ := math.Lgamma(float64(k) + 1)
	c, _ := math.Lgamma(float64(n-k) + 1)
	return math.Exp(a-b-c) * math.Pow(p, float64(k)) * math.Pow(1-p, float64(n-k))
}

func FuzzParseEvidence(f *testing.F) {
	f.Add(seen(usual, 600, 6, 0).String())
	f.Add(`{"Canary":{"latency":{"":169}},"Stable":{"latency":{"":169}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		e := ParseEvidence(text)
		e.Add(Block{Canary: Sample{Requests: 3, Errors: 1}, Stable: Sample{Requests: 3}}, usual).Findings(usual)
	})
}
