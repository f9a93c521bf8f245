package telemetry

import (
	"strconv"

	"sluice/gateway/truth"
)

// Truth are the metrics of ground truth: what became of its items, and how right the versions are.
func Truth(counts func() map[truth.OutcomeKey]uint64, quality func(endpoint string) []truth.Report) []Metric {
	rolling := func(name, what string, of func(*truth.Quality) *float64) Metric {
		return Metric{Name: name, Description: what, Read: func(emit Emit) {
			for _, r := range quality("") {
				if v := of(&r.Window); v != nil {
					emit(*v, Attribute{"endpoint", r.Endpoint}, Attribute{"model", r.Model}, Attribute{"version", strconv.Itoa(r.Version)})
				}
			}
		}}
	}
	return []Metric{
		{
			Name: "sluice.ground_truth.items", Unit: "{item}", Description: "Items of ground truth by what became of them.", Counter: true,
			Read: func(emit Emit) {
				for k, n := range counts() {
					emit(float64(n), Attribute{"endpoint", k.Endpoint}, Attribute{"outcome", string(k.Outcome)})
				}
			},
		},
		rolling("sluice.quality.labels", "Predictions that got ground truth in the quality window.", func(q *truth.Quality) *float64 { n := float64(q.Labels); return &n }),
		rolling("sluice.quality.accuracy", "Share of right predictions in the quality window.", func(q *truth.Quality) *float64 { return q.Accuracy }),
		rolling("sluice.quality.precision", "Macro precision in the quality window.", func(q *truth.Quality) *float64 { return q.PrecisionMacro }),
		rolling("sluice.quality.recall", "Macro recall in the quality window.", func(q *truth.Quality) *float64 { return q.RecallMacro }),
		rolling("sluice.quality.f1", "Macro F1 in the quality window.", func(q *truth.Quality) *float64 { return q.F1Macro }),
		rolling("sluice.quality.mae", "Mean absolute error in the quality window, in the prediction's unit.", func(q *truth.Quality) *float64 { return q.MAE }),
		rolling("sluice.quality.rmse", "Root mean squared error in the quality window, in the prediction's unit.", func(q *truth.Quality) *float64 { return q.RMSE }),
	}
}
