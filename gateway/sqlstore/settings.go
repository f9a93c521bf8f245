package sqlstore

import (
	"time"

	"sluice/gateway"
)

// settingsRow are the parts of a stored configuration beside the served entities; each is absent where it is not set.
type settingsRow struct {
	Sticky     *stickyRow           `json:"sticky,omitempty"`
	Rules      []ruleRow            `json:"rules,omitempty"`
	Fallbacks  []fallbackRow        `json:"fallbacks,omitempty"`
	Shadows    []shadowRow          `json:"shadows,omitempty"`
	Rollout    *gateway.RolloutPlan `json:"rollout,omitempty"`
	RateLimits []rateLimitRow       `json:"rate_limits,omitempty"`
	Truth      *truthRow            `json:"ground_truth,omitempty"`
	Redaction  []redactionRow       `json:"redaction,omitempty"`
	Sampling   float64              `json:"sampling_fraction,omitempty"`
	Cache      *cacheRow            `json:"cache,omitempty"`
	Drift      *driftRow            `json:"drift,omitempty"`
}

type cacheRow struct {
	TTLMS    int64              `json:"ttl_ms"`
	Store    gateway.CacheStore `json:"store"`
	MaxEntry int64              `json:"max_entry_bytes"`
}

type stickyRow struct {
	Source string `json:"source,omitempty"`
	Name   string `json:"name,omitempty"`
	Salt   string `json:"salt,omitempty"`
}

type ruleRow struct {
	Name       string         `json:"name"`
	When       []conditionRow `json:"when"`
	Arm        string         `json:"arm,omitempty"`
	Model      string         `json:"model,omitempty"`
	Version    int            `json:"version,omitempty"`
	Permission string         `json:"permission,omitempty"`
}

type fallbackRow struct {
	From      string          `json:"from,omitempty"`
	On        []gateway.Cause `json:"on"`
	Arm       string          `json:"arm,omitempty"`
	Previous  bool            `json:"previous,omitempty"`
	Answer    string          `json:"answer,omitempty"`
	TimeoutMS int64           `json:"timeout_ms,omitempty"`
	Infer     string          `json:"infer_answer,omitempty"`
}

type shadowRow struct {
	Arm   string `json:"arm"`
	Share int    `json:"share"` // basis points
}

type rateLimitRow struct {
	Calls  int64 `json:"calls"` // a minute
	ByUser bool  `json:"by_user,omitempty"`
}

type truthRow struct {
	Key       string        `json:"key,omitempty"`
	Output    string        `json:"output,omitempty"`
	Task      string        `json:"task,omitempty"`
	Tolerance float64       `json:"tolerance,omitempty"`
	Lookback  time.Duration `json:"lookback_ns,omitempty"`
}

type driftRow struct {
	Off          bool          `json:"off,omitempty"`
	Window       time.Duration `json:"window_ns,omitempty"`
	MinRows      int64         `json:"min_rows,omitempty"`
	Baseline     string        `json:"baseline,omitempty"`
	BaselineRows int64         `json:"baseline_rows,omitempty"`
	MaxPSI       float64       `json:"max_psi,omitempty"`
	MaxKS        float64       `json:"max_ks,omitempty"`
}

type redactionRow struct {
	Column string `json:"column"`
	Action string `json:"action"`
	Length int    `json:"length,omitempty"`
}

type conditionRow struct {
	Source gateway.Source `json:"source"`
	Name   string         `json:"name"`
	Values []string       `json:"values"`
}

func encodeSettings(c *gateway.Config) settingsRow {
	row := settingsRow{Rollout: c.Rollout, Sampling: c.SamplingFraction}
	if s := c.Sticky; s != (gateway.Sticky{}) {
		row.Sticky = &stickyRow{string(s.Source), s.Name, s.Salt}
	}
	for _, r := range c.Rules {
		out := ruleRow{Name: r.Name, Arm: r.Arm, Model: r.Model, Version: r.Version, Permission: r.Permission}
		for _, w := range r.When {
			out.When = append(out.When, conditionRow(w))
		}
		row.Rules = append(row.Rules, out)
	}
	for _, f := range c.Fallbacks {
		row.Fallbacks = append(row.Fallbacks, fallbackRow{f.From, f.On, f.Arm, f.Previous, f.Answer, f.Timeout.Milliseconds(), f.InferAnswer})
	}
	for _, s := range c.Shadows {
		row.Shadows = append(row.Shadows, shadowRow{s.Arm, int(s.Share)})
	}
	for _, l := range c.RateLimits {
		row.RateLimits = append(row.RateLimits, rateLimitRow(l))
	}
	if c.Drift != (gateway.Drift{}) {
		d := driftRow(c.Drift)
		row.Drift = &d
	}
	for _, r := range c.Redaction {
		row.Redaction = append(row.Redaction, redactionRow(r))
	}
	if c.GroundTruth != (gateway.GroundTruth{}) {
		t := truthRow(c.GroundTruth)
		row.Truth = &t
	}
	if k := c.Cache; k.On() {
		row.Cache = &cacheRow{k.TTL.Milliseconds(), k.Store, k.MaxEntry}
	}
	return row
}

func decodeSettings(row settingsRow, c *gateway.Config) {
	c.Rollout, c.SamplingFraction = row.Rollout, row.Sampling
	if row.Drift != nil {
		c.Drift = gateway.Drift(*row.Drift)
	}
	if row.Truth != nil {
		c.GroundTruth = gateway.GroundTruth(*row.Truth)
	}
	if s := row.Sticky; s != nil {
		c.Sticky = gateway.Sticky{Source: gateway.Source(s.Source), Name: s.Name, Salt: s.Salt}
	}
	for _, r := range row.Rules {
		out := gateway.Rule{Name: r.Name, Arm: r.Arm, Model: r.Model, Version: r.Version, Permission: r.Permission}
		for _, w := range r.When {
			out.When = append(out.When, gateway.Condition(w))
		}
		c.Rules = append(c.Rules, out)
	}
	for _, f := range row.Fallbacks {
		c.Fallbacks = append(c.Fallbacks, gateway.Fallback{
			From: f.From, On: f.On, Arm: f.Arm, Previous: f.Previous, Answer: f.Answer, InferAnswer: f.Infer, Timeout: time.Duration(f.TimeoutMS) * time.Millisecond,
		})
	}
	for _, s := range row.Shadows {
		c.Shadows = append(c.Shadows, gateway.Shadow{Arm: s.Arm, Share: gateway.Weight(s.Share)})
	}
	for _, r := range row.Redaction {
		c.Redaction = append(c.Redaction, gateway.RedactedColumn(r))
	}
	for _, l := range row.RateLimits {
		c.RateLimits = append(c.RateLimits, gateway.RateLimit(l))
	}
	if k := row.Cache; k != nil {
		c.Cache = gateway.Cache{TTL: time.Duration(k.TTLMS) * time.Millisecond, Store: k.Store, MaxEntry: k.MaxEntry}
	}
}
