package rollout

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"sluice/gateway"
	"sluice/gateway/outcome"
)

// Sample is what one arm answered in a block.
type Sample struct {
	Requests     uint64 // all but 429
	Errors       uint64 // of them: 500 and above but 501
	ClientErrors uint64 // of them: 400–499, and 501
	Shed         uint64 // 429, beside Requests
	Latency      outcome.Fine
	Outputs      outcome.Outputs
	// Truth is how many predictions ground truth is known for (N), and how many of them were wrong (K).
	Truth Count
}

// add adds o to s.
func (s *Sample) add(o *Sample) {
	s.Requests += o.Requests
	s.Errors += o.Errors
	s.ClientErrors += o.ClientErrors
	s.Shed += o.Shed
	s.Latency.Add(&o.Latency)
	s.Outputs.Add(&o.Outputs)
	s.Truth = s.Truth.plus(o.Truth)
}

// Block is what was counted between two looks.
type Block struct {
	Canary, Stable Sample
	// Baking says that the canary has all the traffic: it is compared with what stable did before.
	Baking bool
}

// Evidence is what the requests of a rollout say so far. The zero value says nothing. It is stored in the rollout's row.
type Evidence struct {
	Canary, Stable Totals
	Tests          []Test // one for each metric of the plan, in its order
	// Drifted is what Deps.Drifted said last; nil before.
	Drifted *Drifted `json:",omitempty"`
	// Taken is the Seq of the last share of each process that is in it (see Join).
	Taken map[string]int64 `json:",omitempty"`
}

// Totals are all requests of one arm since the rollout began. What waits for the other arm (see Add) is in Requests to ShedRequests, not in
// Latency and Outputs.
type Totals struct {
	Requests     uint64 `json:"requests"`
	Errors       uint64 `json:"errors"`
	ClientErrors uint64 `json:"client_errors"`
	Shed         uint64 `json:"shed"`
	Truth        Count  `json:"truth"`
	Latency      sparse `json:"latency,omitempty"` // nil or outcome.FineCount long
	Outputs      sparse `json:"outputs,omitempty"` // nil or outcome.OutputCount long

	waiting *Sample // not yet in a test
}

// Test is the sequential test of one metric.
type Test struct {
	Name gateway.MetricName `json:"name"`
	// LogE is the logarithm of the evidence against the canary from comparing it, BakeLogE from the bake.
	LogE     float64 `json:"log_e"`
	BakeLogE float64 `json:"bake_log_e,omitempty"`
	// Reference is what the bake compares with: a bound that stable's share is below, with the tolerance; 0 before the bake.
	Reference float64 `json:"reference,omitempty"`
	// BoundNS is the latency that stable's share is counted from, once it is fixed; the canary's is counted from Ratio times it.
	BoundNS time.Duration `json:"bound_ns,omitempty"`
	// Parts are the last buckets of the parts that drift is counted in, once they are fixed; PartE are the logarithms of their evidences, for more and for fewer.
	Parts []int     `json:"parts,omitempty"`
	PartE []float64 `json:"part_e,omitempty"`
}

const (
	latencySample = 100 // successful requests of stable before the bound is fixed
	driftSample   = 200 // predictions of stable before the parts are fixed
)

// sparse is a histogram that is stored without its empty buckets.
type sparse []uint64

// MarshalJSON writes {"bucket": count}.
func (s sparse) MarshalJSON() ([]byte, error) {
	full := map[string]uint64{"": uint64(len(s))}
	for i, n := range s {
		if n > 0 {
			full[strconv.Itoa(i)] = n
		}
	}
	return json.Marshal(full)
}

// UnmarshalJSON reads what MarshalJSON wrote; buckets that there are no longer are dropped.
func (s *sparse) UnmarshalJSON(text []byte) error {
	var full map[string]uint64
	if err := json.Unmarshal(text, &full); err != nil {
		return err
	}
	*s = make(sparse, min(full[""], outcome.OutputCount))
	for key, n := range full {
		if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(*s) {
			(*s)[i] = n
		}
	}
	return nil
}

// ParseEvidence reads what a row holds; "" and what another version wrote that cannot be read are no evidence.
func ParseEvidence(text string) Evidence {
	var e Evidence
	if text == "" || json.Unmarshal([]byte(text), &e) != nil {
		return Evidence{}
	}
	if len(e.Canary.Latency) != len(e.Stable.Latency) || e.Canary.Latency != nil && len(e.Canary.Latency) != outcome.FineCount ||
		len(e.Canary.Outputs) != len(e.Stable.Outputs) || e.Canary.Outputs != nil && len(e.Canary.Outputs) != outcome.OutputCount {
		return Evidence{}
	}
	for _, t := range e.Tests {
		if len(t.PartE) != 2*len(t.Parts) {
			return Evidence{}
		}
	}
	return e
}

// String is what ParseEvidence reads.
func (e Evidence) String() string {
	b, err := json.Marshal(e)
	if err != nil { // NaN or infinity: nothing that can be relied on
		return ""
	}
	return string(b)
}

// Add returns the evidence with the block taken into account. A block enters the tests once both arms have requests, and at once while
// the canary bakes: which of them comes first must not depend on what was answered.
func (e Evidence) Add(b Block, analysis gateway.Analysis) Evidence {
	e = e.clone(analysis)
	e.Canary.count(&b.Canary)
	e.Stable.count(&b.Stable)
	canary, stable := e.Canary.waiting, e.Stable.waiting
	if !b.Baking && (canary.Requests == 0 || stable.Requests == 0) {
		return e
	}
	for i, m := range analysis.Metrics {
		e.Tests[i].add(m, &e, canary, stable, b.Baking, share(analysis))
	}
	e.Canary.settle(analysis)
	e.Stable.settle(analysis)
	return e
}

// Join returns the evidence with a block of another process taken into account. It is compared within itself, since the processes need not have the same
// callers; one that lacks an arm, outside the bake, is counted and compared with nothing.
func (e Evidence) Join(b Block, analysis gateway.Analysis) Evidence {
	e = e.clone(analysis)
	if b.Baking || b.Canary.Requests > 0 && b.Stable.Requests > 0 {
		for i, m := range analysis.Metrics {
			e.Tests[i].add(m, &e, &b.Canary, &b.Stable, b.Baking, share(analysis))
		}
	}
	e.Canary.take(&b.Canary, analysis)
	e.Stable.take(&b.Stable, analysis)
	return e
}

// share is each metric's part of the false rollbacks.
func share(a gateway.Analysis) float64 { return a.FalseRollback / float64(max(len(a.Metrics), 1)) }

// clone copies what Add changes, and makes the tests fit the plan.
func (e Evidence) clone(analysis gateway.Analysis) Evidence {
	e.Canary, e.Stable = e.Canary.clone(), e.Stable.clone()
	tests := make([]Test, len(analysis.Metrics))
	for i, m := range analysis.Metrics {
		if i < len(e.Tests) && e.Tests[i].Name == m.Name {
			tests[i] = e.Tests[i]
		}
		tests[i].Name = m.Name
		tests[i].PartE = slices.Clone(tests[i].PartE)
	}
	e.Tests = tests
	taken := make(map[string]int64, len(e.Taken))
	maps.Copy(taken, e.Taken)
	e.Taken = taken
	return e
}

func (t Totals) clone() Totals {
	t.Latency, t.Outputs = slices.Clone(t.Latency), slices.Clone(t.Outputs)
	waiting := Sample{}
	if t.waiting != nil {
		waiting = *t.waiting
	}
	t.waiting = &waiting
	return t
}

// count adds a sample, whose histograms wait.
func (t *Totals) count(s *Sample) {
	t.number(s)
	t.waiting.add(s)
}

// take adds a sample, of which nothing waits.
func (t *Totals) take(s *Sample, analysis gateway.Analysis) {
	t.number(s)
	t.draw(s, analysis)
}

// settle moves what waited into the histograms.
func (t *Totals) settle(analysis gateway.Analysis) {
	t.draw(t.waiting, analysis)
	t.waiting = &Sample{}
}

func (t *Totals) number(s *Sample) {
	t.Requests += s.Requests
	t.Errors += s.Errors
	t.ClientErrors += s.ClientErrors
	t.Shed += s.Shed
	t.Truth = t.Truth.plus(s.Truth)
}

// draw adds to the histograms that the analysis looks at.
func (t *Totals) draw(s *Sample, analysis gateway.Analysis) {
	if t.Latency == nil {
		t.Latency = make(sparse, outcome.FineCount)
	}
	t.latency().Add(&s.Latency)
	if slices.ContainsFunc(analysis.Metrics, func(m gateway.AnalysisMetric) bool { return m.Name == gateway.MetricDrift }) {
		if t.Outputs == nil {
			t.Outputs = make(sparse, outcome.OutputCount)
		}
		t.outputs().Add(&s.Outputs)
	}
}

// latency is the histogram of what is settled; an empty one before anything is.
func (t *Totals) latency() *outcome.Fine {
	if len(t.Latency) != outcome.FineCount {
		return &outcome.Fine{}
	}
	return (*outcome.Fine)(t.Latency)
}

func (t *Totals) outputs() *outcome.Outputs {
	if len(t.Outputs) != outcome.OutputCount {
		return &outcome.Outputs{}
	}
	return (*outcome.Outputs)(t.Outputs)
}

// past is the count of a metric in everything but what waits.
func (t *Totals) past(name gateway.MetricName, bound time.Duration) Count {
	w := t.waiting
	if w == nil {
		w = &Sample{}
	}
	switch name {
	case gateway.MetricErrorRate:
		return Count{t.Requests - w.Requests, t.Errors - w.Errors}
	case gateway.MetricClientErrorRate:
		return Count{t.Requests - w.Requests, t.ClientErrors - w.ClientErrors}
	case gateway.MetricAccuracy:
		return Count{t.Truth.N - w.Truth.N, t.Truth.K - w.Truth.K}
	case gateway.MetricLatencyRatio:
		return Count{t.latency().Count(), t.latency().Above(bound)}
	}
	return Count{}
}

// of is the count of a metric in a sample.
func (s *Sample) of(name gateway.MetricName, bound time.Duration) Count {
	switch name {
	case gateway.MetricErrorRate:
		return Count{s.Requests, s.Errors}
	case gateway.MetricClientErrorRate:
		return Count{s.Requests, s.ClientErrors}
	case gateway.MetricAccuracy:
		return s.Truth
	case gateway.MetricLatencyRatio:
		return Count{s.Latency.Count(), s.Latency.Above(bound)}
	}
	return Count{}
}

// add takes the samples into the test; e holds everything before them.
func (t *Test) add(m gateway.AnalysisMetric, e *Evidence, canary, stable *Sample, baking bool, alpha float64) {
	switch m.Name {
	case gateway.MetricDrift:
		t.addOutputs(m, e, canary, stable)
		return
	case gateway.MetricBaselineDrift:
		return // see drifting
	}
	canaryBound := time.Duration(0)
	if m.Name == gateway.MetricLatencyRatio {
		if t.BoundNS == 0 {
			known := e.Stable.latency()
			if known.Count() < latencySample {
				return
			}
			t.BoundNS = known.Quantile(m.Quantile)
		}
		canaryBound = slower(t.BoundNS, m.Ratio)
	}
	canaryPast, stablePast := e.Canary.past(m.Name, canaryBound), e.Stable.past(m.Name, t.BoundNS)
	canaryNow, stableNow := canary.of(m.Name, canaryBound), stable.of(m.Name, t.BoundNS)
	if !baking {
		t.LogE += bet(canaryPast, stablePast, canaryNow, stableNow, m.Tolerance)
		return
	}
	if t.Reference == 0 {
		t.Reference = min(upperBound(stablePast, alpha/4)+m.Tolerance, 1)
	}
	if t.Reference < 1 {
		t.BakeLogE += betAgainst(canaryPast, canaryNow, t.Reference)
	}
}

// latencySlack is what a canary may be slower by whatever the ratio: caches that are colder with less traffic cost as much.
const latencySlack = time.Millisecond

// slower is the latency that the canary may have where stable has d.
func slower(d time.Duration, ratio float64) time.Duration {
	return max(time.Duration(float64(d)*ratio), d+latencySlack)
}

// thresholds are what LogE and BakeLogE must reach, for a metric whose part of the false rollbacks is alpha.
func thresholds(alpha float64) (compare, bake float64) {
	return math.Log(2 / alpha), math.Log(4 / alpha)
}
