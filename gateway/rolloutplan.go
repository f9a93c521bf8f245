package gateway

import (
	"fmt"
	"slices"
	"time"

	"sluice/tracking/mlflow"
)

// RolloutPlan says how a new version takes over from the one that serves. It is stored as it is encoded here: fields are added, never
// renamed.
type RolloutPlan struct {
	Steps    []RolloutStep `json:"steps"`
	Analysis Analysis      `json:"analysis"`
	// BakeTime is how long the canary answers everything, watched, before the rollout ends; 0 means not at all.
	BakeTime time.Duration `json:"bake_time,omitempty"`
	// KeepWarm is how long the replaced version stays loaded after that; 0 means not at all.
	KeepWarm time.Duration `json:"keep_warm,omitempty"`
}

// StepKind says what a step does.
type StepKind string

// The kinds of steps.
const (
	StepShadow    StepKind = "shadow"     // copies requests to the canary for Duration; its answers are discarded
	StepSetWeight StepKind = "set_weight" // gives the canary Weight, and goes on at once
	StepPause     StepKind = "pause"      // waits for Duration
	StepApproval  StepKind = "approval"   // waits until somebody promotes
	StepAnalyse   StepKind = "analyse"    // waits for MinRequests of the canary and Duration, and then for a verdict
)

// RolloutStep is one step; the fields that its kind does not name are zero.
type RolloutStep struct {
	Kind        StepKind      `json:"kind"`
	Weight      Weight        `json:"weight,omitempty"` // set_weight: the canary's share; shadow: the share that is copied
	Duration    time.Duration `json:"duration,omitempty"`
	MinRequests int64         `json:"min_requests,omitempty"`
}

// Words names the step in a sentence.
func (s RolloutStep) Words() string {
	switch s.Kind {
	case StepShadow:
		return fmt.Sprintf("shadow %s %% for %s", s.Weight, s.Duration)
	case StepSetWeight:
		return fmt.Sprintf("set weight %s %%", s.Weight)
	case StepPause:
		return fmt.Sprintf("pause for %s", s.Duration)
	case StepApproval:
		return "pause until approved"
	}
	return fmt.Sprintf("analyse %d requests", s.MinRequests)
}

// Analysis says what is compared between canary and stable, all the time while the canary has traffic.
type Analysis struct {
	Metrics []AnalysisMetric `json:"metrics"`
	// FalseRollback bounds the probability that a canary that is within every tolerance is taken back, over the whole rollout and however
	// often it is looked at; 0 < f < 0.5.
	FalseRollback float64 `json:"false_rollback"`
}

// MetricName names what is compared.
type MetricName string

// The metrics.
const (
	MetricErrorRate       MetricName = "error_rate"        // answers of 500 and above but 501, of all but 429
	MetricClientErrorRate MetricName = "client_error_rate" // answers of 400–499 and 501, of all but 429
	MetricLatencyRatio    MetricName = "latency_ratio"     // a quantile of the latency of successful answers, as a multiple of stable's
	MetricDrift           MetricName = "drift"             // how predictions are distributed
	MetricAccuracy        MetricName = "accuracy"          // predictions that ground truth confirms
	MetricBaselineDrift   MetricName = "baseline_drift"    // how the canary's requests and predictions are distributed, against its baseline (gateway/drift)
)

// MetricNames lists every metric.
func MetricNames() []MetricName {
	return []MetricName{MetricErrorRate, MetricClientErrorRate, MetricLatencyRatio, MetricDrift, MetricAccuracy, MetricBaselineDrift}
}

// AnalysisMetric is one comparison and how far the canary may be off.
type AnalysisMetric struct {
	Name MetricName `json:"name"`
	// Tolerance is by how much the canary's share may differ from stable's, 0–1: error_rate and client_error_rate may be higher, accuracy
	// lower, and drift is the share of predictions that may move into or out of a tenth of stable's distribution. Of baseline_drift it is the
	// distance that a column may have from the baseline.
	Tolerance float64 `json:"tolerance,omitempty"`
	// Quantile and Ratio are of latency_ratio: 0.5–0.999, and ≥ 1; a millisecond more is always allowed.
	Quantile float64 `json:"quantile,omitempty"`
	Ratio    float64 `json:"ratio,omitempty"`
	// PSI is of baseline_drift: the population stability index that a column may have, above 0.
	PSI float64 `json:"psi,omitempty"`
}

// Defaults of rollout plans.
const (
	DefaultMinRequests   = 500
	DefaultFalseRollback = 0.005
	MinRequestsFloor     = 20
	MinRequestsCeiling   = 10_000_000
)

// DefaultMetric returns the metric of the name with its default tolerance.
func DefaultMetric(name MetricName) AnalysisMetric {
	m := AnalysisMetric{Name: name}
	switch name {
	case MetricErrorRate, MetricClientErrorRate:
		m.Tolerance = 0.005
	case MetricAccuracy:
		m.Tolerance = 0.02
	case MetricDrift:
		m.Tolerance = 0.1
	case MetricLatencyRatio:
		m.Quantile, m.Ratio = 0.95, 1.5
	case MetricBaselineDrift:
		m.Tolerance, m.PSI = DefaultMaxKS, DefaultMaxPSI
	}
	return m
}

// WithDefaults returns the plan with the metrics that are compared where it names none, and with an analysis before the canary gets
// everything, unless somebody is asked for approval there: without requests nothing is promoted.
func (p RolloutPlan) WithDefaults() RolloutPlan {
	if len(p.Analysis.Metrics) == 0 {
		p.Analysis.Metrics = []AnalysisMetric{DefaultMetric(MetricErrorRate), DefaultMetric(MetricLatencyRatio)}
	}
	if p.Analysis.FalseRollback == 0 {
		p.Analysis.FalseRollback = DefaultFalseRollback
	}
	p.Steps = slices.Clone(p.Steps)
	for i := range p.Steps {
		if s := &p.Steps[i]; s.Kind == StepAnalyse && s.MinRequests == 0 {
			s.MinRequests = DefaultMinRequests
		}
	}
	if n := len(p.Steps); n > 0 && p.Steps[n-1].Kind != StepAnalyse && p.Steps[n-1].Kind != StepApproval {
		p.Steps = append(p.Steps, RolloutStep{Kind: StepAnalyse, MinRequests: DefaultMinRequests})
	}
	return p
}

// checkRollout applies the rules of a configuration's plan.
func (c Config) checkRollout(feeds func(MetricName) bool) error {
	if c.Rollout == nil {
		return nil
	}
	if !slices.ContainsFunc(c.ServedEntities, ServedEntity.RollsOut) {
		return mlflow.Invalidf("rollout can never start: no served entity with traffic follows Production, Staging or an alias")
	}
	if err := c.Rollout.Check("rollout.", feeds); err != nil {
		return err
	}
	return c.Drift.CheckRollout("rollout.", c.Rollout)
}

// RollsOut says whether a version that the entity's target moves to can take over step by step.
func (e ServedEntity) RollsOut() bool {
	return e.Weight > 0 && (e.Target.Alias != "" || e.Target.Stage == Production || e.Target.Stage == "Staging")
}

// Check returns INVALID_PARAMETER_VALUE, naming the field behind path (empty, or ending in "."), for a plan that cannot be carried out. feeds says which metrics
// something feeds here; nil means every one.
func (p RolloutPlan) Check(path string, feeds func(MetricName) bool) error {
	if err := p.checkSteps(path + "steps"); err != nil {
		return err
	}
	if err := p.Analysis.check(path+"analysis", feeds); err != nil {
		return err
	}
	if err := checkDuration(path+"bake_time", p.BakeTime, true); err != nil {
		return err
	}
	return checkDuration(path+"keep_warm", p.KeepWarm, true)
}

func (p RolloutPlan) checkSteps(path string) error {
	if len(p.Steps) == 0 {
		return mlflow.Invalidf("%s is empty: a rollout needs at least one set_weight", path)
	}
	if len(p.Steps) > MaxRolloutSteps {
		return mlflow.Invalidf("%s has %d steps, more than %d", path, len(p.Steps), MaxRolloutSteps)
	}
	weight := Weight(0)
	shadowed := false
	for i, s := range p.Steps {
		at := fmt.Sprintf("%s[%d]", path, i)
		if err := s.check(at, weight, shadowed); err != nil {
			return err
		}
		if s.Kind == StepSetWeight {
			weight = s.Weight
		}
		shadowed = shadowed || s.Kind == StepShadow
	}
	if weight == 0 {
		return mlflow.Invalidf("%s has no set_weight: the canary would go from nothing to everything", path)
	}
	return nil
}

func (s RolloutStep) check(path string, weight Weight, shadowed bool) error {
	switch s.Kind {
	case StepShadow:
		if weight > 0 {
			return mlflow.Invalidf("%s.shadow comes after a set_weight: shadow first", path)
		}
		if s.Weight < 1 || s.Weight > FullWeight {
			return mlflow.Invalidf("%s.shadow.percentage is not above 0 and at most 100", path)
		}
		return checkDuration(path+".shadow.duration", s.Duration, false)
	case StepSetWeight:
		if s.Weight < 1 || s.Weight > FullWeight {
			return mlflow.Invalidf("%s.set_weight is not above 0 and at most 100", path)
		}
		if s.Weight <= weight {
			return mlflow.Invalidf("%s.set_weight %s does not rise above %s: steps cannot go backwards", path, s.Weight, weight)
		}
		return nil
	case StepPause:
		return checkDuration(path+".pause.duration", s.Duration, false)
	case StepApproval:
		return nil
	case StepAnalyse:
		if weight == 0 && !shadowed {
			return mlflow.Invalidf("%s.analyse comes before any set_weight or shadow: there is nothing to analyse", path)
		}
		if s.MinRequests < MinRequestsFloor || s.MinRequests > MinRequestsCeiling {
			return mlflow.Invalidf("%s.analyse.min_requests %d is not between %d and %d", path, s.MinRequests, MinRequestsFloor, MinRequestsCeiling)
		}
		return checkDuration(path+".analyse.duration", s.Duration, true)
	}
	return mlflow.Invalidf("%s is none of set_weight, pause, analyse, shadow", path)
}

func checkDuration(path string, d time.Duration, zero bool) error {
	if d < 0 || d == 0 && !zero || d > MaxRolloutDuration {
		return mlflow.Invalidf("%s %s is not a time up to %s", path, d, MaxRolloutDuration)
	}
	return nil
}

func (a Analysis) check(path string, feeds func(MetricName) bool) error {
	if !(a.FalseRollback >= 1e-6 && a.FalseRollback < 0.5) {
		return mlflow.Invalidf("%s.false_rollback is not between 0.000001 and 0.5", path)
	}
	seen := map[MetricName]bool{}
	for i, m := range a.Metrics {
		at := fmt.Sprintf("%s.metrics[%d]", path, i)
		if err := m.check(at); err != nil {
			return err
		}
		if seen[m.Name] {
			return mlflow.Invalidf("%s.name %q appears twice", at, m.Name)
		}
		seen[m.Name] = true
		if feeds != nil && !feeds(m.Name) {
			return mlflow.Invalidf("%s.name %q cannot be compared on this server: nothing feeds it", at, m.Name)
		}
	}
	return nil
}

func (m AnalysisMetric) check(path string) error {
	switch m.Name {
	case MetricErrorRate, MetricClientErrorRate:
		return checkShare(path+".max_increase", m.Tolerance)
	case MetricAccuracy:
		return checkShare(path+".max_decrease", m.Tolerance)
	case MetricDrift:
		return checkShare(path+".max_shift", m.Tolerance)
	case MetricLatencyRatio:
		if !(m.Quantile >= 0.5 && m.Quantile <= 0.999) {
			return mlflow.Invalidf("%s.quantile is not between 0.5 and 0.999", path)
		}
		if !(m.Ratio >= 1 && m.Ratio <= 100) {
			return mlflow.Invalidf("%s.max_ratio is not between 1 and 100", path)
		}
		return nil
	}
	if m.Name == MetricBaselineDrift {
		if !(m.PSI > 0 && m.PSI <= 100) {
			return mlflow.Invalidf("%s.max_psi is not above 0 and at most 100", path)
		}
		if !(m.Tolerance > 0 && m.Tolerance <= 1) {
			return mlflow.Invalidf("%s.max_ks is not above 0 and at most 1", path)
		}
		return nil
	}
	return mlflow.Invalidf("%s.name %s is none of %v", path, quote(string(m.Name)), MetricNames())
}

func checkShare(path string, v float64) error {
	if !(v >= 0 && v <= 0.5) {
		return mlflow.Invalidf("%s is not between 0 and 0.5", path)
	}
	return nil
}
