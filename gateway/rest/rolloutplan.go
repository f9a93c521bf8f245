package rest

import (
	"encoding/json"
	"fmt"
	"time"

	"sluice/gateway"
)

// rolloutAnswer is a plan as it is sent and answered. Durations are texts like "90s", "10m", "1h30m".
type rolloutAnswer struct {
	Steps    []stepAnswer    `json:"steps"`
	Analysis *analysisAnswer `json:"analysis,omitempty"`
	BakeTime string          `json:"bake_time,omitempty"`
	KeepWarm string          `json:"keep_warm,omitempty"`
}

// stepAnswer holds exactly one field.
type stepAnswer struct {
	SetWeight *gateway.Weight   `json:"set_weight,omitempty"`
	Pause     *pauseAnswer      `json:"pause,omitempty"`
	Analyse   *analyseAnswer    `json:"analyse,omitempty"`
	Shadow    *shadowStepAnswer `json:"shadow,omitempty"`
}

// pauseAnswer without a duration waits until somebody promotes.
type pauseAnswer struct {
	Duration string `json:"duration,omitempty"`
}

type analyseAnswer struct {
	MinRequests int64  `json:"min_requests"`
	Duration    string `json:"duration,omitempty"`
}

type shadowStepAnswer struct {
	Percentage gateway.Weight `json:"percentage"`
	Duration   string         `json:"duration"`
}

type analysisAnswer struct {
	Metrics       []metricAnswer `json:"metrics"`
	FalseRollback float64        `json:"false_rollback"`
}

type metricAnswer struct {
	Name        gateway.MetricName `json:"name"`
	MaxIncrease *float64           `json:"max_increase,omitempty"` // error_rate, client_error_rate
	MaxDecrease *float64           `json:"max_decrease,omitempty"` // accuracy
	MaxShift    *float64           `json:"max_shift,omitempty"`    // drift
	MaxPSI      *float64           `json:"max_psi,omitempty"`      // baseline_drift
	MaxKS       *float64           `json:"max_ks,omitempty"`       // baseline_drift
	Quantile    *float64           `json:"quantile,omitempty"`     // latency_ratio
	MaxRatio    *float64           `json:"max_ratio,omitempty"`    // latency_ratio
}

// parseRolloutSubject reads the plan of a configuration.
func parseRolloutSubject(parent *object, raw json.RawMessage) func(*gateway.Config) {
	plan, err := parsePlan(parent.name("rollout")+".", raw)
	parent.adopt(err)
	return func(c *gateway.Config) { c.Rollout = &plan }
}

func describeRolloutSubject(c *gateway.Config, a *settingsAnswer) {
	if c.Rollout != nil {
		plan := describePlan(*c.Rollout)
		a.Rollout = &plan
	}
}

// parsePlan reads a plan, with the defaults of what it leaves out; path ends in ".".
func parsePlan(path string, raw []byte) (gateway.RolloutPlan, error) {
	return parsePlanFields(parseObject(path, raw))
}

// parsePlanFields reads a plan from an object that holds nothing else any more.
func parsePlanFields(o *object) (gateway.RolloutPlan, error) {
	path := o.path
	var p gateway.RolloutPlan
	p.BakeTime, p.KeepWarm = o.duration("bake_time"), o.duration("keep_warm")
	steps, _ := o.list("steps", gateway.MaxRolloutSteps)
	analysis := o.take("analysis")
	if err := o.done(); err != nil {
		return p, err
	}
	for i, raw := range steps {
		s, err := parseStep(fmt.Sprintf("%ssteps[%d].", path, i), raw)
		if err != nil {
			return p, err
		}
		p.Steps = append(p.Steps, s)
	}
	if analysis != nil {
		if err := parseAnalysis(path+"analysis.", analysis, &p.Analysis); err != nil {
			return p, err
		}
	}
	return p.WithDefaults(), nil
}

func parseStep(path string, raw []byte) (gateway.RolloutStep, error) {
	o := parseObject(path, raw)
	var s gateway.RolloutStep
	if len(o.fields) != 1 && o.err == nil {
		o.fail("", "holds %d fields: one of set_weight, pause, analyse, shadow", len(o.fields))
	}
	if raw := o.take("set_weight"); raw != nil {
		s.Kind, s.Weight = gateway.StepSetWeight, o.percent("set_weight", raw)
	}
	if raw := o.take("pause"); raw != nil {
		in := parseObject(path+"pause.", raw)
		_, timed := in.fields["duration"]
		s.Kind, s.Duration = gateway.StepApproval, in.duration("duration")
		if timed {
			s.Kind = gateway.StepPause
		}
		o.adopt(in.done())
	}
	if raw := o.take("analyse"); raw != nil {
		in := parseObject(path+"analyse.", raw)
		_, bounded := in.fields["min_requests"]
		s.Kind, s.MinRequests, s.Duration = gateway.StepAnalyse, in.whole("min_requests"), in.duration("duration")
		if bounded && s.MinRequests == 0 {
			s.MinRequests = -1 // 0 stands for the default: it must not pass for it
		}
		o.adopt(in.done())
	}
	if raw := o.take("shadow"); raw != nil {
		in := parseObject(path+"shadow.", raw)
		s.Kind, s.Duration, s.Weight = gateway.StepShadow, in.duration("duration"), gateway.FullWeight
		if raw := in.take("percentage"); raw != nil {
			s.Weight = in.percent("percentage", raw)
		}
		o.adopt(in.done())
	}
	return s, o.done()
}

func parseAnalysis(path string, raw []byte, a *gateway.Analysis) error {
	o := parseObject(path, raw)
	a.FalseRollback, _ = o.number("false_rollback")
	metrics, _ := o.list("metrics", len(gateway.MetricNames()))
	if err := o.done(); err != nil {
		return err
	}
	for i, raw := range metrics {
		in := parseObject(fmt.Sprintf("%smetrics[%d].", path, i), raw)
		m := gateway.DefaultMetric(gateway.MetricName(in.text("name")))
		parseMetric(in, &m)
		if err := in.done(); err != nil {
			return err
		}
		a.Metrics = append(a.Metrics, m)
	}
	return nil
}

// parseMetric reads the limits that the metric has; others are unknown fields.
func parseMetric(o *object, m *gateway.AnalysisMetric) {
	read := func(field string, into *float64) {
		if v, ok := o.number(field); ok {
			*into = v
		}
	}
	switch m.Name {
	case gateway.MetricErrorRate, gateway.MetricClientErrorRate:
		read("max_increase", &m.Tolerance)
	case gateway.MetricAccuracy:
		read("max_decrease", &m.Tolerance)
	case gateway.MetricDrift:
		read("max_shift", &m.Tolerance)
	case gateway.MetricBaselineDrift:
		read("max_psi", &m.PSI)
		read("max_ks", &m.Tolerance)
	case gateway.MetricLatencyRatio:
		read("quantile", &m.Quantile)
		read("max_ratio", &m.Ratio)
	}
}

// duration returns a field like "90s"; 0 if it is absent.
func (o *object) duration(field string) time.Duration {
	text := o.text(field)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		o.fail(field, "%q is not a duration like 90s, 10m or 1h30m", clip(text))
	}
	return d
}

// number returns a numeric field and whether it is there.
func (o *object) number(field string) (float64, bool) {
	raw := o.take(field)
	var v float64
	if raw != nil && json.Unmarshal(raw, &v) != nil {
		o.fail(field, "is not a number")
	}
	return v, raw != nil
}

// percent reads the value of a field that was taken.
func (o *object) percent(field string, raw json.RawMessage) gateway.Weight {
	w, err := gateway.ParsePercent(string(raw))
	if err != nil {
		o.fail(field, "%s is not a percentage from 0 to 100 with at most two decimals", clip(string(raw)))
	}
	return w
}

func describePlan(p gateway.RolloutPlan) rolloutAnswer {
	a := rolloutAnswer{Steps: make([]stepAnswer, len(p.Steps)), BakeTime: durationText(p.BakeTime), KeepWarm: durationText(p.KeepWarm)}
	for i, s := range p.Steps {
		a.Steps[i] = describeStep(s)
	}
	a.Analysis = &analysisAnswer{FalseRollback: p.Analysis.FalseRollback, Metrics: make([]metricAnswer, len(p.Analysis.Metrics))}
	for i, m := range p.Analysis.Metrics {
		a.Analysis.Metrics[i] = describeMetric(m)
	}
	return a
}

func describeStep(s gateway.RolloutStep) stepAnswer {
	switch s.Kind {
	case gateway.StepSetWeight:
		return stepAnswer{SetWeight: &s.Weight}
	case gateway.StepPause, gateway.StepApproval:
		return stepAnswer{Pause: &pauseAnswer{durationText(s.Duration)}}
	case gateway.StepShadow:
		return stepAnswer{Shadow: &shadowStepAnswer{s.Weight, durationText(s.Duration)}}
	}
	return stepAnswer{Analyse: &analyseAnswer{s.MinRequests, durationText(s.Duration)}}
}

func describeMetric(m gateway.AnalysisMetric) metricAnswer {
	a := metricAnswer{Name: m.Name}
	switch m.Name {
	case gateway.MetricErrorRate, gateway.MetricClientErrorRate:
		a.MaxIncrease = &m.Tolerance
	case gateway.MetricAccuracy:
		a.MaxDecrease = &m.Tolerance
	case gateway.MetricDrift:
		a.MaxShift = &m.Tolerance
	case gateway.MetricBaselineDrift:
		a.MaxPSI, a.MaxKS = &m.PSI, &m.Tolerance
	case gateway.MetricLatencyRatio:
		a.Quantile, a.MaxRatio = &m.Quantile, &m.Ratio
	}
	return a
}

// durationText is "" for 0.
func durationText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}
