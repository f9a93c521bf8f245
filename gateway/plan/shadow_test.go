package plan

import (
	"testing"

	"sluice/gateway"
	"sluice/runtime/servable"
)

// TestRolloutShadowsItsCanary: in a step that copies requests the canary has no traffic and gets its share of copies, as soon as it is loaded.
func TestRolloutShadowsItsCanary(t *testing.T) {
	w := newWorld(t)
	w.stages("wine", "Production", "None")
	w.ready("wine", 1)
	w.configure("wine", entity("stable wine Production 100"))
	r := gateway.Rollout{
		ID: "r", Endpoint: "wine", Arm: "stable", CanaryArm: "stable~canary", Model: "wine", Stable: 1, Canary: 2,
		Phase: gateway.RolloutRunning, Shadow: gateway.FullWeight,
	}
	copies := func() int {
		t.Helper()
		p, err := Compute(Input{
			Endpoints: gateway.Effective(w.explicit, w.reg, nil), Registered: w.reg, Rollouts: []gateway.Rollout{r},
			Status: func(id servable.ID) servable.Status { return w.status[id] }, Previous: w.plan, NowMS: 7,
		})
		if err != nil {
			t.Fatal(err)
		}
		w.plan = p
		d, err := p.Table.Pick("wine", "", 0)
		if err != nil || d.Arm.Name != "stable" || d.Arm.Weight != int(gateway.FullWeight) {
			t.Fatalf("got %+v, %v", d.Arm, err)
		}
		if len(d.Endpoint.Shadows) == 0 {
			return -1
		}
		if a := d.Shadow(0); a != nil {
			return a.Servable.Version
		}
		return 0
	}
	if got := copies(); got != 0 {
		t.Errorf("not loaded: version %d gets the copies", got)
	}
	w.ready("wine", 2)
	if got := copies(); got != 2 {
		t.Errorf("version %d gets the copies, want 2", got)
	}
	r.Shadow = 0
	if got := copies(); got != -1 {
		t.Errorf("after the step: %d", got)
	}
}
