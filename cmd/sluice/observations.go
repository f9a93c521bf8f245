package main

import (
	"strings"
	"time"

	"sluice/gateway/baseline"
	"sluice/gateway/drift"
	"sluice/gateway/monitor"
	"sluice/gateway/truth"
)

// observations are what serving runs say of quality and drift.
func (a *App) observations() []monitor.Observation {
	var out []monitor.Observation
	if a.truth == nil || a.drift == nil { // the log is off, or the start failed
		return out
	}
	for _, r := range a.truth.Quality("") {
		out = append(out, monitor.Observation{Series: r.Series, Subject: "quality", AtMS: time.Now().UnixMilli(), Values: qualityMetrics(&r)})
	}
	for _, r := range a.drift.Reports("") {
		if r.WindowRows > 0 {
			out = append(out, monitor.Observation{Series: r.Series, Subject: "drift", AtMS: min(r.WindowEndMS, r.UpdatedMS), Values: driftMetrics(&r)})
		}
		if r.Source != "" && r.BaselineComplete {
			out = append(out, baselineOf(&r))
		}
	}
	return out
}

// maxClassMetrics bounds the classes that have metrics of their own.
const maxClassMetrics = 20

func qualityMetrics(r *truth.Report) map[string]float64 {
	out := map[string]float64{"labels": float64(r.Window.Labels), "labels_total": float64(r.Total.Labels)}
	put := func(key string, v *float64) {
		if v != nil {
			out[key] = *v
		}
	}
	put("accuracy", r.Window.Accuracy)
	put("precision_macro", r.Window.PrecisionMacro)
	put("recall_macro", r.Window.RecallMacro)
	put("f1_macro", r.Window.F1Macro)
	put("mae", r.Window.MAE)
	put("rmse", r.Window.RMSE)
	put("accuracy_total", r.Total.Accuracy)
	put("mae_total", r.Total.MAE)
	put("rmse_total", r.Total.RMSE)
	for i, c := range r.Window.Classes {
		if i < maxClassMetrics {
			out["precision/"+c.Name], out["recall/"+c.Name] = c.Precision, c.Recall
		}
	}
	return out
}

func baselineOf(r *drift.SeriesReport) monitor.Observation {
	return monitor.Observation{
		Series: r.Series, Subject: "baseline", AtMS: r.UpdatedMS, Values: map[string]float64{"drift_baseline_rows": float64(r.BaselineRows)},
		Tags: map[string]string{baseline.TagBaseline: strings.TrimSpace(string(r.Source) + " " + r.From)},
	}
}

func driftMetrics(r *drift.SeriesReport) map[string]float64 {
	out := map[string]float64{"drift_columns": float64(len(r.Drifting)), "drift_window_rows": float64(r.WindowRows)}
	for _, c := range r.Columns {
		out["drift_psi/"+c.Name], out["drift_ks/"+c.Name] = c.PSI, c.KS
		out["drift_psi_max"], out["drift_ks_max"] = max(out["drift_psi_max"], c.PSI), max(out["drift_ks_max"], c.KS)
		if c.Name == drift.Prediction {
			distribution(out, &c.Window)
		}
	}
	return out
}

// maxSharedTexts bounds the different texts of predictions whose shares are metrics.
const maxSharedTexts = 64

// distribution adds the distribution of the predictions.
func distribution(out map[string]float64, s *drift.Summary) {
	for key, v := range map[string]*float64{"prediction_mean": s.Mean, "prediction_p05": s.P05, "prediction_p50": s.P50, "prediction_p95": s.P95} {
		if v != nil {
			out[key] = *v
		}
	}
	if 2*s.Distinct > s.Count || s.Distinct > maxSharedTexts { // no classes: each window would bring metrics of its own
		return
	}
	for _, f := range s.Top {
		out["prediction_share/"+f.Text] = float64(f.Count) / float64(max(s.Count, 1))
	}
}
