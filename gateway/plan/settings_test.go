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

// TestPreviousVersionIsKeptWarm: the version that an arm served before answers in its place, across moves and a restart.
func TestPreviousVersionIsKeptWarm(t *testing.T) {
	w := newWorld(t)
	w.stages("wine", "Production", "None", "None")
	w.ready("wine", 1, 2, 3)
	w.configure("wine", entity("stable wine Production 100"))
	w.explicit[0].Config.Fallbacks = []gateway.Fallback{
		{From: "stable", On: []gateway.Cause{gateway.CauseError}, Previous: true}, {On: []gateway.Cause{gateway.CauseError}, Answer: "{}"},
	}
	instead := func() int {
		t.Helper()
		d, err := w.compute().Table.Pick("wine", "", 0)
		if err != nil {
			t.Fatal(err)
		}
		switch next := d.Arm.Fallback(); {
		case next == nil:
			return -1
		case next.Arm != nil:
			if next.Arm.Weight != 0 || next.Arm.Fallback() == nil || next.Arm.Fallback().Arm != nil {
				t.Errorf("%+v", next.Arm)
			}
			return next.Arm.Servable.Version
		}
		return 0 // the constant
	}
	for _, c := range []struct {
		stages []string
		want   int
	}{
		{[]string{"Production", "None", "None"}, 0},
		{[]string{"None", "Production", "None"}, 1},
		{[]string{"None", "None", "Production"}, 2},
		{[]string{"None", "Production", "None"}, 3},
		{[]string{"None", "Production", "deleted"}, 0},
	} {
		w.stages("wine", c.stages...)
		if got := instead(); got != c.want {
			t.Errorf("%v: version %d answers instead, want %d", c.stages, got, c.want)
		}
	}
	w.stages("wine", "Production", "None", "None")
	instead()
	w.restart()
	w.ready("wine", 1)
	if got := instead(); got != 0 || !w.plan.serves(servable.ID{Model: "wine", Version: 2}) || len(w.plan.Waiting) != 0 || w.plan.States["wine"].Update != gateway.NotUpdating {
		t.Errorf("restarted, before it is loaded: %d answers, %+v", got, w.plan.States["wine"])
	}
	w.ready("wine", 2)
	if got := instead(); got != 2 {
		t.Errorf("restarted: version %d answers instead, want 2", got)
	}
}
