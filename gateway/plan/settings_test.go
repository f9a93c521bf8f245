package plan

import (
	"testing"

	"sluice/gateway"
	"sluice/gateway/route"
	"sluice/runtime/servable"
)

// nobody is a request without anything.
type nobody struct{ header map[string]string }

func (n nobody) Value(p *route.Part) (string, error) {
	if p.Source != route.Header {
		return "", nil
	}
	return n.header[p.Name], nil
}
func (nobody) May(string) bool { return true }

// TestPinnedVersionsAreKept: a version that a rule pins is loaded beside the arms, gets no traffic by weight, and is let go with its rule.
func TestPinnedVersionsAreKept(t *testing.T) {
	w := newWorld(t)
	w.stages("wine", "Production", "None", "None")
	w.ready("wine", 1)
	w.configure("wine", entity("stable wine Production 100"))
	w.compute()
	w.explicit[0].Config.Rules = []gateway.Rule{
		{Name: "pin", When: []gateway.Condition{{Source: gateway.FromHeader, Name: "X-Pin", Values: []string{"3"}}}, Model: "wine", Version: 3},
		{Name: "same", When: []gateway.Condition{{Source: gateway.FromHeader, Name: "X-Same", Values: []string{"3"}}}, Model: "wine", Version: 3},
	}
	p := w.compute()
	if !p.serves(servable.ID{Model: "wine", Version: 3}) || p.States["wine"].Update != gateway.InProgress || !p.States["wine"].Ready || len(p.Waiting) != 0 {
		t.Errorf("while it is being loaded: %+v, aspired %v, waiting %v", p.States["wine"], p.Aspired, p.Waiting)
	}
	pinned := nobody{map[string]string{"X-Pin": "3"}}
	if d, err := p.Table.PickFor("wine", pinned, "", 0); err == nil {
		t.Errorf("it answers before it is ready: %+v", d.Arm)
	}
	w.ready("wine", 3)
	p = w.compute()
	for _, header := range []string{"X-Pin", "X-Same"} {
		d, err := p.Table.PickFor("wine", nobody{map[string]string{header: "3"}}, "", 0)
		if err != nil || d.Arm.Servable.Version != 3 {
			t.Errorf("%s: %+v, %v", header, d.Arm, err)
		}
	}
	for bucket := range uint64(route.FullWeight) {
		if d, err := p.Table.PickFor("wine", nobody{}, "", bucket); err != nil || d.Arm.Servable.Version != 1 {
			t.Fatalf("bucket %d: %+v, %v", bucket, d.Arm, err)
		}
	}
	w.explicit[0].Config.Rules = nil
	if p = w.compute(); p.serves(servable.ID{Model: "wine", Version: 3}) {
		t.Error("it is kept without its rule")
	}
}

// TestSettingsMakeANewTable: a change of what stands beside arms and weights is published, an unchanged one is not.
func TestSettingsMakeANewTable(t *testing.T) {
	w := newWorld(t)
	w.stages("wine", "Production")
	w.ready("wine", 1)
	w.configure("wine", entity("stable wine Production 100"))
	before := w.compute()
	for name, change := range map[string]func(*gateway.Config){
		"salt":   func(c *gateway.Config) { c.Sticky.Salt = "new" },
		"sticky": func(c *gateway.Config) { c.Sticky = gateway.Sticky{Source: gateway.FromField, Name: "/a"} },
		"rules": func(c *gateway.Config) {
			c.Rules = []gateway.Rule{{Name: "r", When: []gateway.Condition{{Source: gateway.FromQuery, Name: "q", Values: []string{"1"}}}, Arm: "stable"}}
		},
	} {
		change(&w.explicit[0].Config)
		after := w.compute()
		if after.Table == before.Table {
			t.Errorf("%s: no new table", name)
		}
		if before = w.compute(); before.Table != after.Table {
			t.Errorf("%s: a new table although nothing changed", name)
		}
	}
}
