package telemetry

import (
	"strconv"

	"sluice/gateway/rollout"
)

// Rollouts are the metrics of rollouts: where the running ones stand, and what was decided.
func Rollouts(running func() []rollout.Running, verdicts func() []rollout.VerdictCount) []Metric {
	each := func(value func(rollout.Running) float64) func(Emit) {
		return func(emit Emit) {
			for _, r := range running() {
				emit(value(r), Attribute{"endpoint", r.Endpoint}, Attribute{"version", strconv.Itoa(r.Version)})
			}
		}
	}
	return []Metric{
		{
			Name: "sluice.rollout.step", Description: "Step that a running rollout is at, from 0; the number of steps while it bakes.",
			Read: each(func(r rollout.Running) float64 { return float64(r.Step) }),
		},
		{
			Name: "sluice.rollout.weight", Unit: "%", Description: "Share of the arm's traffic that the canary of a running rollout gets.",
			Read: each(func(r rollout.Running) float64 { return float64(r.Weight) / 100 }),
		},
		{
			Name: "sluice.rollout.verdicts", Unit: "{verdict}", Counter: true,
			Description: "Verdicts on rollouts: promote, hold, rollback, insufficient_traffic; counted when they change, and with every step.",
			Read: func(emit Emit) {
				for _, v := range verdicts() {
					emit(float64(v.Count), Attribute{"endpoint", v.Endpoint}, Attribute{"verdict", string(v.Verdict)})
				}
			},
		},
	}
}
