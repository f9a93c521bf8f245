package tracking

import (
	"context"
	"math"

	"sluice/tracking/filter"
)

// TraceCorrelationQuery asks how often traces that match one filter match another.
type TraceCorrelationQuery struct {
	ExperimentIDs []string
	First, Second string // in the language of SearchTraces
	Base          string // narrows all that is counted; "" means all traces of the experiments
}

// MatchCounts are numbers of traces.
type MatchCounts struct{ Total, First, Second, Joint int64 }

// TraceCorrelation is the answer to a TraceCorrelationQuery.
type TraceCorrelation struct {
	MatchCounts
	// NPMI is the normalized pointwise mutual information of the filters, -1 (never together) … 1 (always together); NaN if one of
	// them matches nothing.
	NPMI float64
	// Smoothed is NPMI with half a trace added to each of the four cells, for few traces; NaN as NPMI.
	Smoothed float64
}

// CorrelateTraces counts the traces that match two filters, alone and together (source: mlflow/store/analytics/trace_correlation.py,
// MLflow 3.17). Returns INVALID_PARAMETER_VALUE for a bad filter.
func (s *Service) CorrelateTraces(ctx context.Context, q TraceCorrelationQuery) (TraceCorrelation, error) {
	if err := checkExperimentCount(q.ExperimentIDs); err != nil {
		return TraceCorrelation{}, err
	}
	parsed := make([]filter.Expr, 3)
	for i, text := range []string{q.Base, q.First, q.Second} {
		var err error
		if parsed[i], err = filter.Traces().Parse(text); err != nil {
			return TraceCorrelation{}, err
		}
	}
	var counts MatchCounts
	if len(q.ExperimentIDs) > 0 {
		var err error
		if counts, err = s.store.CountMatches(ctx, q.ExperimentIDs, parsed[0], parsed[1], parsed[2]); err != nil {
			return TraceCorrelation{}, err
		}
	}
	return counts.correlation(), nil
}

func (n MatchCounts) correlation() TraceCorrelation {
	c := TraceCorrelation{MatchCounts: n, NPMI: math.NaN(), Smoothed: math.NaN()}
	if n.First == 0 || n.Second == 0 {
		return c
	}
	if c.NPMI = -1; n.Joint > 0 {
		c.NPMI = n.npmi(0)
	}
	c.Smoothed = n.npmi(0.5) // Jeffreys' prior
	return c
}

// npmi is ln(p₁₂ / (p₁·p₂)) / -ln(p₁₂), where each p is a share of the traces after extra (in traces) was added to each of the four cells
// that the two filters make.
func (n MatchCounts) npmi(extra float64) float64 {
	if n.Joint == n.Total {
		return 1
	}
	joint, total := float64(n.Joint)+extra, float64(n.Total)+4*extra
	first, second := float64(n.First)+2*extra, float64(n.Second)+2*extra
	mutual := math.Log(joint) + math.Log(total) - (math.Log(first) + math.Log(second))
	return max(-1, min(1, mutual/(math.Log(total)-math.Log(joint))))
}
