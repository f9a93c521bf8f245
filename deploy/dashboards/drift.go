package main

// drifting is how far requests and predictions moved, and how right they were.
func drifting() dashboard {
	return dashboard{
		UID: "sluice-drift", Title: "Sluice / Drift and quality", Description: "Columns of requests and predictions against what they were, and predictions against ground truth.",
		Variables: []variable{instances, endpoints, models, versions},
		Rows:      []row{{"Drift", drift()}, {"Quality", quality()}},
	}
}

const ofVersion = "{{endpoint}} v{{version}}"

// worst is the metric over members, which each look at what they logged themselves.
func worst(by, metric string) string { return "max by (" + by + ") (" + compared.of(metric) + ")" }

func drift() []panel {
	return []panel{
		{Title: "Columns that drift", Unit: "short", Description: "Columns beyond max_psi or max_ks in the window compared last.", Levels: bad(1),
			Queries: []query{{Expr: worst("endpoint, version", "sluice_drift_columns"), Legend: ofVersion}}},
		{Title: "Rows compared", Unit: "short", Description: "Rows of the window that was compared last.",
			Queries: []query{{Expr: sum("endpoint, version", compared.of("sluice_drift_window_rows")), Legend: ofVersion}}},
		{Title: "Most drifting columns", Unit: "none", Description: "Population stability index of the ten columns that moved most: 0.1 is little, above 0.2 the column is another.", Levels: bad(0.2),
			Queries: []query{{Expr: "topk(10, " + worst("endpoint, version, column", "sluice_drift_psi") + ")", Legend: ofVersion + " {{column}}"}}},
		{Title: "Population stability index", Unit: "none", Width: 12, Description: "Of each column, last window against the version's baseline; 0.2 is the bound unless max_psi is set.", Levels: bad(0.2),
			Queries: []query{{Expr: worst("endpoint, version, column", "sluice_drift_psi"), Legend: ofVersion + " {{column}}"}}},
		{Title: "Kolmogorov-Smirnov distance", Unit: "none", Width: 12, Share: true, Description: "Of each column of numbers: the greatest gap between the two distributions; 0.2 is the bound unless max_ks is set.", Levels: bad(0.2),
			Queries: []query{{Expr: worst("endpoint, version, column", "sluice_drift_ks"), Legend: ofVersion + " {{column}}"}}},
	}
}

func quality() []panel {
	rolling := func(title, unit, what, metric string) panel {
		return panel{Title: title, Unit: unit, Description: what + " Of the predictions whose ground truth came within the quality window.", Share: unit == "percentunit",
			Queries: []query{{Expr: worst("endpoint, version", metric), Legend: ofVersion}}}
	}
	return []panel{
		rolling("Accuracy", "percentunit", "Share of right predictions.", "sluice_quality_accuracy"),
		rolling("Precision", "percentunit", "Mean over classes.", "sluice_quality_precision"),
		rolling("Recall", "percentunit", "Mean over classes.", "sluice_quality_recall"),
		rolling("F1", "percentunit", "Mean over classes.", "sluice_quality_f1"),
		rolling("Mean absolute error", "none", "In the prediction's unit.", "sluice_quality_mae"),
		rolling("Root mean squared error", "none", "In the prediction's unit.", "sluice_quality_rmse"),
		rolling("Labels", "short", "How many the numbers beside rest on.", "sluice_quality_labels"),
		{Title: "Ground truth", Unit: "cps", Width: 16, Stack: true, Description: "Items per second by what became of them: joined, pending, duplicate, unknown and others.",
			Queries: []query{{Expr: perSecond("endpoint, outcome", byEndpoint.of("sluice_ground_truth_items_total")), Legend: "{{endpoint}} {{outcome}}"}}},
	}
}
