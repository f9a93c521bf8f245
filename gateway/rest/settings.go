package rest

import (
	"encoding/json"

	"sluice/gateway"
)

// subject is one part of a configuration beside entities and traffic; each has a file of its own.
type subject struct {
	field string
	// parse reads the field's value; it fails on o under the field's name.
	parse func(o *object, raw json.RawMessage) func(*gateway.Config)
	// describe writes what parse reads into the answer; it leaves out what is not set.
	describe func(c *gateway.Config, a *settingsAnswer)
}

// subjects are all of them.
var subjects = []subject{
	{"sticky", parseSticky, describeSticky},
	{"rules", parseRules, describeRules},
	{"fallback", parseFallbacks, describeFallbacks},
	{"shadows", parseShadows, describeShadows},
	{"rollout", parseRolloutSubject, describeRolloutSubject},
	{"ground_truth", parseGroundTruth, describeGroundTruth},
	{"redaction", parseRedaction, describeRedaction},
	{"sampling_fraction", parseSampling, describeSampling},
	{"cache", parseCache, describeCache},
	{"drift", parseDrift, describeDrift},
}

// settingsAnswer is the part of a configuration's answer that subjects write; it can be sent back.
type settingsAnswer struct {
	Sticky   *stickyAnswer    `json:"sticky,omitempty"`
	Rules    []ruleAnswer     `json:"rules,omitempty"`
	Fallback []fallbackAnswer `json:"fallback,omitempty"`
	Shadows  []shadowAnswer   `json:"shadows,omitempty"`
	Rollout  *rolloutAnswer   `json:"rollout,omitempty"`

	GroundTruth *groundTruthAnswer `json:"ground_truth,omitempty"`
	Redaction   []redactionAnswer  `json:"redaction,omitempty"`
	// SamplingFraction is the share of requests that are logged; absent: all.
	SamplingFraction float64      `json:"sampling_fraction,omitempty"`
	Cache            *cacheAnswer `json:"cache,omitempty"`
	Drift            *driftAnswer `json:"drift,omitempty"`
}

// parseSettings reads every subject that is there.
func parseSettings(o *object) []func(*gateway.Config) {
	var out []func(*gateway.Config)
	for _, s := range subjects {
		if raw := o.take(s.field); raw != nil {
			if set := s.parse(o, raw); set != nil {
				out = append(out, set)
			}
		}
	}
	return out
}

func describeSettings(c *gateway.Config) settingsAnswer {
	var a settingsAnswer
	for _, s := range subjects {
		s.describe(c, &a)
	}
	return a
}

// adopt keeps an error of a part of o.
func (o *object) adopt(err error) {
	if o.err == nil {
		o.err = err
	}
}
