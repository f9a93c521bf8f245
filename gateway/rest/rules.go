package rest

import (
	"encoding/json"
	"fmt"
	"strconv"

	"sluice/gateway"
)

// ruleAnswer is {"name", "when": [...], "served_entity_name" | "entity_name" and "entity_version", "permission"}.
type ruleAnswer struct {
	Name       string            `json:"name"`
	When       []conditionAnswer `json:"when"`
	Arm        string            `json:"served_entity_name,omitempty"`
	Model      string            `json:"entity_name,omitempty"`
	Version    string            `json:"entity_version,omitempty"`
	Permission string            `json:"permission,omitempty"`
}

// conditionAnswer is {"header" | "cookie" | "query": name, "equals": value} or with "in": [values].
type conditionAnswer struct {
	Header string   `json:"header,omitempty"`
	Cookie string   `json:"cookie,omitempty"`
	Query  string   `json:"query,omitempty"`
	Equals string   `json:"equals,omitempty"`
	In     []string `json:"in,omitempty"`
}

func parseRules(parent *object, raw json.RawMessage) func(*gateway.Config) {
	list := parent.elements("rules", raw, gateway.MaxRules)
	rules := make([]gateway.Rule, 0, len(list))
	for i, raw := range list {
		o := parseObject(fmt.Sprintf("%s[%d].", parent.name("rules"), i), raw)
		rules = append(rules, parseRule(o, i))
		parent.adopt(o.done())
	}
	if len(rules) == 0 {
		rules = nil
	}
	return func(c *gateway.Config) {
		c.Rules = rules
		for i, r := range c.Rules {
			if r.Version > 0 && r.Model == "" {
				c.Rules[i].Model = onlyModel(*c)
			}
		}
	}
}

func parseRule(o *object, i int) gateway.Rule {
	r := gateway.Rule{Name: o.text("name"), Arm: o.text("served_entity_name"), Model: o.text("entity_name"), Permission: o.text("permission")}
	if r.Name == "" {
		r.Name = "rule-" + strconv.Itoa(i)
	}
	if version := o.textOrNumber("entity_version"); version != "" {
		s, err := gateway.ParseSelector(version)
		if err != nil || s.Version == 0 {
			o.fail("entity_version", "%q is not a version number: a rule pins one version, for stages and aliases name a served entity", clip(version))
		}
		r.Version = s.Version
	}
	switch {
	case r.Arm != "" && (r.Version > 0 || r.Model != ""):
		o.fail("served_entity_name", "and entity_version exclude each other")
	case r.Arm == "" && r.Version == 0:
		o.fail("served_entity_name", "is missing: a rule names a served entity, or an entity_version to pin")
	case r.Version > 0 && r.Permission == "":
		r.Permission = "manage"
	}
	when, _ := o.list("when", gateway.MaxConditions)
	for j, raw := range when {
		c := parseObject(fmt.Sprintf("%s[%d].", o.name("when"), j), raw)
		r.When = append(r.When, parseCondition(c))
		o.adopt(c.done())
	}
	return r
}

func parseCondition(o *object) gateway.Condition {
	var c gateway.Condition
	c.Source, c.Name = readSource(o, gateway.FromHeader, gateway.FromCookie, gateway.FromQuery)
	equals := o.text("equals")
	in, several := o.list("in", gateway.MaxConditionValues)
	if equals != "" {
		c.Values = []string{equals}
		if several {
			o.fail("in", "and equals exclude each other")
		}
	}
	for i, raw := range in {
		var v string
		if json.Unmarshal(raw, &v) != nil {
			o.fail("in", "[%d] is not a string", i)
		}
		c.Values = append(c.Values, v)
	}
	return c
}

// onlyModel is the registered model of all served entities; "" if there are several.
func onlyModel(c gateway.Config) string {
	model := ""
	for _, e := range c.ServedEntities {
		if model != "" && e.Model != model {
			return ""
		}
		model = e.Model
	}
	return model
}

func describeRules(c *gateway.Config, a *settingsAnswer) {
	for _, r := range c.Rules {
		out := ruleAnswer{Name: r.Name, Arm: r.Arm, Model: r.Model, Version: number(r.Version), Permission: r.Permission}
		for _, w := range r.When {
			out.When = append(out.When, describeCondition(w))
		}
		a.Rules = append(a.Rules, out)
	}
}

func describeCondition(c gateway.Condition) conditionAnswer {
	var out conditionAnswer
	switch c.Source {
	case gateway.FromHeader:
		out.Header = c.Name
	case gateway.FromCookie:
		out.Cookie = c.Name
	case gateway.FromQuery:
		out.Query = c.Name
	}
	if len(c.Values) == 1 {
		out.Equals = c.Values[0]
	} else {
		out.In = c.Values
	}
	return out
}
