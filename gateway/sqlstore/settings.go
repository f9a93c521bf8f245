package sqlstore

import "sluice/gateway"

// settingsRow are the parts of a stored configuration beside the served entities; each is absent where it is not set.
type settingsRow struct {
	Sticky *stickyRow `json:"sticky,omitempty"`
	Rules  []ruleRow  `json:"rules,omitempty"`
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

type conditionRow struct {
	Source gateway.Source `json:"source"`
	Name   string         `json:"name"`
	Values []string       `json:"values"`
}

func encodeSettings(c *gateway.Config) settingsRow {
	var row settingsRow
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
	return row
}

func decodeSettings(row settingsRow, c *gateway.Config) {
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
}
