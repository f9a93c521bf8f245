package rest

import (
	"encoding/json"

	"sluice/gateway"
)

// parseSampling reads the share of requests that are logged. 0 is refused: it would read as "all".
func parseSampling(parent *object, raw json.RawMessage) func(*gateway.Config) {
	var f float64
	if json.Unmarshal(raw, &f) != nil {
		parent.fail("sampling_fraction", "is not a number")
	} else if f <= 0 || f > 1 {
		parent.fail("sampling_fraction", "is not above 0 and up to 1")
	}
	return func(c *gateway.Config) { c.SamplingFraction = f }
}

func describeSampling(c *gateway.Config, a *settingsAnswer) { a.SamplingFraction = c.SamplingFraction }
