package telemetry

import "sluice/runtime/pyworker"

// Workers is the metric of Python workers that were replaced.
func Workers(restarts *pyworker.Restarts) Metric {
	return Metric{
		Name: "sluice.worker.restarts", Unit: "{restart}", Description: "Python workers that were replaced, by reason.", Counter: true,
		Read: func(emit Emit) {
			restarts.Each(func(reason pyworker.Reason, n int64) { emit(float64(n), Attribute{"reason", reason.String()}) })
		},
	}
}
