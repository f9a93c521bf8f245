package rest

import (
	"encoding/json"

	"sluice/gateway"
)

// stickyAnswer is {"header" | "cookie" | "query" | "field": name, "salt"}.
type stickyAnswer struct {
	Header string `json:"header,omitempty"`
	Cookie string `json:"cookie,omitempty"`
	Query  string `json:"query,omitempty"`
	Field  string `json:"field,omitempty"`
	Salt   string `json:"salt,omitempty"`
}

func parseSticky(parent *object, raw json.RawMessage) func(*gateway.Config) {
	o := parseObject(parent.name("sticky")+".", raw)
	s := gateway.Sticky{Salt: o.text("salt")}
	s.Source, s.Name = readSource(o, gateway.FromHeader, gateway.FromCookie, gateway.FromQuery, gateway.FromField)
	parent.adopt(o.done())
	return func(c *gateway.Config) { c.Sticky = s }
}

// readSource reads which part of a request is meant: one of the sources, each a field of o. It returns "" if none is there.
func readSource(o *object, sources ...gateway.Source) (gateway.Source, string) {
	var source gateway.Source
	var name string
	for _, s := range sources {
		raw := o.fields[string(s)]
		text := o.text(string(s))
		switch {
		case raw == nil:
		case source != "":
			o.fail(string(s), "and %s exclude each other", source)
		case text == "":
			o.fail(string(s), "is empty")
		default:
			source, name = s, text
		}
	}
	return source, name
}

func describeSticky(c *gateway.Config, a *settingsAnswer) {
	s := c.Sticky
	if s == (gateway.Sticky{}) {
		return
	}
	out := stickyAnswer{Salt: s.Salt}
	switch s.Source {
	case gateway.FromHeader:
		out.Header = s.Name
	case gateway.FromCookie:
		out.Cookie = s.Name
	case gateway.FromQuery:
		out.Query = s.Name
	case gateway.FromField:
		out.Field = s.Name
	}
	a.Sticky = &out
}
