package rest

import (
	"encoding/json"
	"fmt"

	"sluice/gateway"
	"sluice/tracking/mlflow"
)

// shadowAnswer is {"served_entity_name", "percentage"}.
type shadowAnswer struct {
	Arm   string         `json:"served_entity_name"`
	Share gateway.Weight `json:"percentage"`
}

func parseShadows(parent *object, raw json.RawMessage) func(*gateway.Config) {
	var shadows []gateway.Shadow
	for i, raw := range parent.elements("shadows", raw, gateway.MaxShadows) {
		o := parseObject(fmt.Sprintf("%s[%d].", parent.name("shadows"), i), raw)
		shadows = append(shadows, parseShadow(o))
		parent.adopt(o.done())
	}
	return func(c *gateway.Config) { c.Shadows = shadows }
}

func parseShadow(o *object) gateway.Shadow {
	s := gateway.Shadow{Arm: o.text("served_entity_name")}
	if s.Arm == "" {
		o.fail("served_entity_name", "is missing")
	}
	raw := o.take("percentage")
	if raw == nil {
		o.fail("percentage", "is missing")
		return s
	}
	share, err := gateway.ParsePercent(string(raw))
	if err != nil && o.err == nil {
		o.err = mlflow.Invalidf("%s: %s", o.name("percentage"), plain(err))
	}
	s.Share = share
	return s
}

func describeShadows(c *gateway.Config, a *settingsAnswer) {
	for _, s := range c.Shadows {
		a.Shadows = append(a.Shadows, shadowAnswer(s))
	}
}
