package sqlstore

import "sluice/gateway"

// settingsRow are the parts of a stored configuration beside the served entities; each is absent where it is not set.
type settingsRow struct {
	Sticky *stickyRow `json:"sticky,omitempty"`
}

type stickyRow struct {
	Source string `json:"source,omitempty"`
	Name   string `json:"name,omitempty"`
	Salt   string `json:"salt,omitempty"`
}

func encodeSettings(c *gateway.Config) settingsRow {
	var row settingsRow
	if s := c.Sticky; s != (gateway.Sticky{}) {
		row.Sticky = &stickyRow{string(s.Source), s.Name, s.Salt}
	}
	return row
}

func decodeSettings(row settingsRow, c *gateway.Config) {
	if s := row.Sticky; s != nil {
		c.Sticky = gateway.Sticky{Source: gateway.Source(s.Source), Name: s.Name, Salt: s.Salt}
	}
}
