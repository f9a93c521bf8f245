package telemetry

import (
	"strconv"

	"sluice/gateway/drift"
)

// Drift are the metrics of how far columns moved: one value for each column of each version, of which drift bounds the number.
func Drift(reports func(endpoint string) []drift.SeriesReport) []Metric {
	of := func(r *drift.SeriesReport, more ...Attribute) []Attribute {
		return append([]Attribute{{"endpoint", r.Endpoint}, {"model", r.Model}, {"version", strconv.Itoa(r.Version)}}, more...)
	}
	columns := func(name, what string, value func(*drift.Column) float64) Metric {
		return Metric{Name: name, Description: what, Read: func(emit Emit) {
			for _, r := range reports("") {
				for i := range r.Columns {
					emit(value(&r.Columns[i]), of(&r, Attribute{"column", r.Columns[i].Name})...)
				}
			}
		}}
	}
	return []Metric{
		columns("sluice.drift.psi", "Population stability index of a column, last window against baseline.", func(c *drift.Column) float64 { return c.PSI }),
		columns("sluice.drift.ks", "Kolmogorov-Smirnov distance of a column, last window against baseline, 0-1.", func(c *drift.Column) float64 { return c.KS }),
		{
			Name: "sluice.drift.columns", Unit: "{column}", Description: "Columns that drift in the last window.",
			Read: func(emit Emit) {
				for _, r := range reports("") {
					emit(float64(len(r.Drifting)), of(&r)...)
				}
			},
		},
		{
			Name: "sluice.drift.baseline_rows", Unit: "{row}", Description: "Rows of the baseline, by where they come from.",
			Read: func(emit Emit) {
				for _, r := range reports("") {
					if r.Source != "" {
						emit(float64(r.BaselineRows), of(&r, Attribute{"source", string(r.Source)})...)
					}
				}
			},
		},
		{
			Name: "sluice.drift.segments_left_out", Unit: "{segment}", Description: "Segments of the prediction log that could not be read and are in no window.",
			Read: func(emit Emit) {
				for _, r := range reports("") {
					emit(float64(r.SegmentsLeftOut), of(&r)...)
				}
			},
		},
		{
			Name: "sluice.drift.window_rows", Unit: "{row}", Description: "Rows of the window that was compared last.",
			Read: func(emit Emit) {
				for _, r := range reports("") {
					emit(float64(r.WindowRows), of(&r)...)
				}
			},
		},
	}
}
