package rest

import (
	"encoding/json"
	"fmt"

	"sluice/gateway"
)

// redactionAnswer is {"column", "action", "length"}.
type redactionAnswer struct {
	Column string `json:"column"`
	Action string `json:"action"`
	Length int    `json:"length,omitempty"`
}

func parseRedaction(parent *object, raw json.RawMessage) func(*gateway.Config) {
	var columns []gateway.RedactedColumn
	for i, raw := range parent.elements("redaction", raw, gateway.MaxRedactedColumns) {
		o := parseObject(fmt.Sprintf("%s[%d].", parent.name("redaction"), i), raw)
		columns = append(columns, gateway.RedactedColumn{Column: o.text("column"), Action: o.text("action"), Length: int(o.whole("length"))})
		parent.adopt(o.done())
	}
	return func(c *gateway.Config) { c.Redaction = columns }
}

func describeRedaction(c *gateway.Config, a *settingsAnswer) {
	for _, r := range c.Redaction {
		a.Redaction = append(a.Redaction, redactionAnswer(r))
	}
}
