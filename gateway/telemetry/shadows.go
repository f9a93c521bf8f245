package telemetry

import (
	"strconv"

	"sluice/gateway/shadow"
)

// Shadows are the metrics of copies for shadow arms.
func Shadows(read func() []shadow.Series) []Metric {
	of := func(s *shadow.Series, more ...Attribute) []Attribute {
		return append([]Attribute{
			{"endpoint", s.Endpoint}, {"arm", s.Arm}, {"model", s.Servable.Model}, {"version", strconv.Itoa(s.Servable.Version)},
		}, more...)
	}
	histogram := func(name, unit, what string, one func(*shadow.Series) *shadow.Histogram) Metric {
		return Metric{Name: name, Unit: unit, Description: what, Histograms: func(emit EmitHistogram) {
			for _, s := range read() {
				if h := one(&s); h.Count > 0 {
					emit(h.Bounds, h.Counts, h.Count, h.Sum, of(&s)...)
				}
			}
		}}
	}
	return []Metric{
		{
			Name: "sluice.shadow.requests", Unit: "{request}", Description: "Copies of requests that shadow arms executed, by result.", Counter: true,
			Read: func(emit Emit) {
				for _, s := range read() {
					for r, n := range s.Results {
						emit(float64(n), of(&s, Attribute{"result", shadow.Result(r).String()})...)
					}
				}
			},
		},
		{
			Name: "sluice.shadow.drops", Unit: "{request}", Description: "Copies of requests that shadow arms did not execute, by reason.", Counter: true,
			Read: func(emit Emit) {
				for _, s := range read() {
					for d, n := range s.Drops {
						emit(float64(n), of(&s, Attribute{"reason", shadow.Drop(d).String()})...)
					}
				}
			},
		},
		histogram("sluice.shadow.distance", "", "Mean relative distance of a shadow's numbers from the answer's, 0–2.", func(s *shadow.Series) *shadow.Histogram { return &s.Distance }),
		histogram("sluice.shadow.disagreement", "", "Share of a shadow's labels that differ from the answer's.", func(s *shadow.Series) *shadow.Histogram { return &s.Disagreement }),
		histogram("sluice.shadow.latency_delta", "s", "How much longer a shadow took, in queue and execution, than the arm that answered.", func(s *shadow.Series) *shadow.Histogram { return &s.Delay }),
	}
}
