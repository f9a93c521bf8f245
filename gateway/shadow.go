package gateway

import (
	"fmt"

	"sluice/tracking/mlflow"
)

// MaxShadows bounds the shadows of one endpoint: each costs an execution for every request that it copies.
const MaxShadows = 8

// Shadow gives an arm a copy of a share of the requests that other arms answer. What it answers is compared with the answer that was given,
// logged, and discarded. An arm may be a shadow and have traffic of its own; it gets no copy of what it answers itself.
type Shadow struct {
	Arm string // a served entity
	// Share of the requests, of which the sticky key decides where there is one, so that a raised share leaves nobody out.
	Share Weight
}

func (c Config) checkShadows() error {
	if len(c.Shadows) > MaxShadows {
		return mlflow.Invalidf("%d shadows are more than %d", len(c.Shadows), MaxShadows)
	}
	for i, s := range c.Shadows {
		path := fmt.Sprintf("shadows[%d]", i)
		e, ok := c.Entity(s.Arm)
		switch {
		case !ok:
			return mlflow.Invalidf("%s.served_entity_name %q is not among the served_entities", path, clip(s.Arm, 60))
		case s.Share < 0 || s.Share > FullWeight:
			return mlflow.Invalidf("%s.percentage is not between 0 and 100", path)
		case e.Weight == FullWeight:
			return mlflow.Invalidf("%s.served_entity_name %q gets all the traffic: it would be a shadow of itself", path, s.Arm)
		}
		for _, earlier := range c.Shadows[:i] {
			if earlier.Arm == s.Arm {
				return mlflow.Invalidf("%s.served_entity_name %q appears twice", path, s.Arm)
			}
		}
	}
	return nil
}
