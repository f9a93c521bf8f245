package rollout

import (
	"fmt"
	"math"
	"strings"
	"time"

	"sluice/gateway"
)

// Verdict is what the evidence says.
type Verdict string

// The verdicts.
const (
	Promote             Verdict = "promote"
	Hold                Verdict = "hold"
	Rollback            Verdict = "rollback"
	InsufficientTraffic Verdict = "insufficient_traffic"
)

// Finding is what one metric says, and the numbers that it rests on.
type Finding struct {
	Metric  gateway.AnalysisMetric
	Verdict Verdict // rollback, hold, promote, or insufficient_traffic where nothing is known
	// Canary and Stable are the metric's values: shares 0–1, for latency_ratio seconds. Drift has Canary alone: the largest shift.
	Canary, Stable float64
	// Limit is what Canary must not pass, as far as Stable is known.
	Limit float64
	// CanarySample and StableSample are how many requests (predictions, truths) the values rest on.
	CanarySample, StableSample uint64
	// Of baseline_drift Stable is 0 and StableSample the baseline's rows, and Evidence the distance that there is at least.
	// Evidence is E, and Threshold what it takes for a rollback; while the canary bakes those of the bake, if they are nearer.
	Evidence, Threshold float64
	Reason              string // a sentence
}

// Findings judges every metric of the analysis.
func (e Evidence) Findings(analysis gateway.Analysis) []Finding {
	e = e.clone(analysis)
	out := make([]Finding, len(analysis.Metrics))
	for i, m := range analysis.Metrics {
		out[i] = e.finding(m, &e.Tests[i], share(analysis))
	}
	return out
}

func (e *Evidence) finding(m gateway.AnalysisMetric, t *Test, alpha float64) Finding {
	if m.Name == gateway.MetricBaselineDrift {
		return e.drifting(m)
	}
	f := Finding{Metric: m, Verdict: Promote}
	e.values(&f, t)
	compare, bake := thresholds(alpha)
	logE, threshold := t.LogE, compare
	if t.BakeLogE-bake > t.LogE-compare {
		logE, threshold = t.BakeLogE, bake
	}
	f.Evidence, f.Threshold = finite(math.Exp(logE)), math.Exp(threshold)
	numbers := f.words()
	switch {
	case math.IsNaN(logE) || math.IsInf(logE, 1):
		f.Verdict, f.Reason = Hold, fmt.Sprintf("%s: the numbers cannot be used", m.Name)
	case logE >= threshold:
		f.Verdict, f.Reason = Rollback, fmt.Sprintf("%s; evidence %.3g reached %.3g", numbers, f.Evidence, f.Threshold)
	case logE > 0 && f.Canary > f.Limit:
		f.Verdict, f.Reason = Hold, fmt.Sprintf("%s, past the limit; evidence %.3g of the %.3g that a rollback takes", numbers, f.Evidence, f.Threshold)
	default:
		f.Reason = numbers
	}
	return f
}

// finite keeps a number encodable.
func finite(x float64) float64 {
	if math.IsNaN(x) {
		return 0
	}
	return min(x, math.MaxFloat64)
}

// values fills in what was measured.
func (e *Evidence) values(f *Finding, t *Test) {
	switch f.Metric.Name {
	case gateway.MetricLatencyRatio:
		canary, stable := e.Canary.latency(), e.Stable.latency()
		f.Canary, f.Stable = canary.Quantile(f.Metric.Quantile).Seconds(), stable.Quantile(f.Metric.Quantile).Seconds()
		f.CanarySample, f.StableSample = canary.Count(), stable.Count()
		f.Limit = slower(stable.Quantile(f.Metric.Quantile), f.Metric.Ratio).Seconds()
	case gateway.MetricDrift:
		f.Canary, f.Limit = t.shift(e), f.Metric.Tolerance
		f.CanarySample, f.StableSample = e.Canary.outputs().Count(), e.Stable.outputs().Count()
	default:
		canary, stable := e.Canary.all(f.Metric.Name), e.Stable.all(f.Metric.Name)
		f.Canary, f.Stable, f.CanarySample, f.StableSample = canary.Share(), stable.Share(), canary.N, stable.N
		f.Limit = f.Stable + f.Metric.Tolerance
	}
}

// all is the count of a metric of shares in everything, what waits included.
func (t *Totals) all(name gateway.MetricName) Count {
	switch name {
	case gateway.MetricErrorRate:
		return Count{t.Requests, t.Errors}
	case gateway.MetricClientErrorRate:
		return Count{t.Requests, t.ClientErrors}
	}
	return t.Truth
}

// words says the numbers.
func (f *Finding) words() string {
	switch f.Metric.Name {
	case gateway.MetricLatencyRatio:
		return fmt.Sprintf("%s: the %g quantile is %s against %s (%d and %d requests), %s is allowed", f.Metric.Name, f.Metric.Quantile,
			milliseconds(f.Canary), milliseconds(f.Stable), f.CanarySample, f.StableSample, milliseconds(f.Limit))
	case gateway.MetricDrift:
		return fmt.Sprintf("%s: predictions moved by %.2f %% of all at most (%d and %d of them), %.2f %% is allowed", f.Metric.Name,
			100*f.Canary, f.CanarySample, f.StableSample, 100*f.Metric.Tolerance)
	case gateway.MetricAccuracy:
		return fmt.Sprintf("%s: %.2f %% are wrong against %.2f %% (%d and %d truths), %.2f %% more is allowed", f.Metric.Name,
			100*f.Canary, 100*f.Stable, f.CanarySample, f.StableSample, 100*f.Metric.Tolerance)
	}
	return fmt.Sprintf("%s: %.2f %% against %.2f %% (%d and %d requests), %.2f %% more is allowed", f.Metric.Name,
		100*f.Canary, 100*f.Stable, f.CanarySample, f.StableSample, 100*f.Metric.Tolerance)
}

func milliseconds(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(10 * time.Microsecond).String()
}

// reasons joins the sentences of the findings with the verdict.
func reasons(findings []Finding, v Verdict) string {
	var out []string
	for _, f := range findings {
		if f.Verdict == v {
			out = append(out, f.Reason)
		}
	}
	return strings.Join(out, "; ")
}
