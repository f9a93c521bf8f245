package rollout

import (
	"fmt"
	"time"

	"sluice/gateway"
)

// Drifted is what is known of how far the canary's requests and predictions are from its baseline, in the newest window.
type Drifted struct {
	Rows, BaselineRows uint64
	Column             string  // the one that is farthest
	Distance           float64 // 0–1
	// AtLeast is what the distance is at least; the probability that it is ever too large is at most the alpha that Deps.Drifted was asked with.
	AtLeast float64
	PSI     float64 // the largest of a column
}

// drifted brings what is known of the canary's drift into the evidence, if the plan asks for it. What was known once stays until something newer is.
func (c *Controller) drifted(w *watch) {
	r := &w.row
	for _, m := range r.Plan.Analysis.Metrics {
		if m.Name != gateway.MetricBaselineDrift || c.deps.Drifted == nil {
			continue
		}
		d, ok := c.deps.Drifted(r.Endpoint, r.Model, r.Canary, time.UnixMilli(r.StartedMS), share(r.Plan.Analysis))
		if ok {
			w.evidence.Drifted = &d
		}
	}
}

// drifting judges the distance from the baseline: taken back is what is past a limit for sure, and held what seems to be.
func (e *Evidence) drifting(m gateway.AnalysisMetric) Finding {
	f := Finding{Metric: m, Verdict: InsufficientTraffic, Limit: m.Tolerance, Threshold: m.Tolerance}
	d := e.Drifted
	if d == nil {
		f.Reason = fmt.Sprintf("%s: nothing of the canary was compared with its baseline yet", m.Name)
		return f
	}
	f.Canary, f.CanarySample, f.StableSample, f.Evidence = d.Distance, d.Rows, d.BaselineRows, d.AtLeast
	numbers := fmt.Sprintf("%s: column %s is %.3g from the baseline, %.3g at least, PSI up to %.3g (%d and %d rows), %.3g and PSI %.3g are allowed", m.Name,
		d.Column, d.Distance, d.AtLeast, d.PSI, d.Rows, d.BaselineRows, m.Tolerance, m.PSI)
	switch {
	case d.AtLeast > m.Tolerance || 4*d.AtLeast*d.AtLeast > m.PSI: // Pinsker: see drift.Report.Distance
		f.Verdict, f.Reason = Rollback, numbers
	case d.Distance > m.Tolerance || d.PSI > m.PSI:
		f.Verdict, f.Reason = Hold, numbers+": past the limit, which chance may explain"
	default:
		f.Verdict, f.Reason = Promote, numbers
	}
	return f
}
