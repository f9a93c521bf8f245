package main

// batching is how predictions are joined, and what that costs and gains.
func batching() dashboard {
	return dashboard{
		UID: "sluice-batching", Title: "Sluice / Batching", Description: "Joined predictions: sizes of batches, waiting, execution, overload.",
		Variables: []variable{instances, endpoints, models, versions, arms},
		Rows: []row{
			{"Batches", batches()},
			{"Waiting and execution", waiting()},
			{"Overload", overload()},
		},
	}
}

const (
	perVersion = "model, version"
	ofModel    = "{{model}} v{{version}}"
)

func batches() []panel {
	return []panel{
		{Title: "Rows per execution", Unit: "short", Description: "Mean size of a batch, of versions whose predictions are joined.",
			Queries: []query{{Expr: perSecond(perVersion, byServable.of("sluice_batch_rows_total")) + " / " + perSecond(perVersion, byServable.of("sluice_batch_executions_total")), Legend: ofModel}}},
		{Title: "Executions", Unit: "ops", Description: "Per second, of versions whose predictions are joined.",
			Queries: []query{{Expr: perSecond(perVersion, byServable.of("sluice_batch_executions_total")), Legend: ofModel}}},
		{Title: "Company of a request", Unit: "short", Description: "Mean rows of the execution that a request was part of, and mean rows of its own; equal where nothing is joined.",
			Queries: []query{
				{Expr: perSecond(perVersion, byArm.of("sluice_request_executed_rows_total")) + " / " + perSecond(perVersion, byArm.of(executing+"_count")), Legend: ofModel + " executed"},
				{Expr: perSecond(perVersion, byArm.of("sluice_request_rows_total")) + " / " + perSecond(perVersion, byArm.of(executing+"_count")), Legend: ofModel + " own"},
			}},
	}
}

func waiting() []panel {
	byVersion := func(title, what, histogram string) panel {
		return panel{Title: title, Unit: "s", Description: what, Queries: []query{
			{Expr: quantile(0.5, perVersion, byArm.of(histogram+"_bucket")), Legend: ofModel + " p50"},
			{Expr: quantile(0.99, perVersion, byArm.of(histogram+"_bucket")), Legend: ofModel + " p99"},
		}}
	}
	return []panel{
		byVersion("Queue", "How long rows waited for the model.", queueing),
		byVersion("Execution", "How long the executions took that held the rows.", executing),
		{Title: "Waiting as a share of latency", Unit: "percentunit", Share: true, Description: "Of all the time that executed requests took.",
			Queries: []query{{Expr: perSecond(perVersion, byArm.of(queueing+"_sum")) + " / " + perSecond(perVersion, byArm.of(duration+"_sum")), Legend: ofModel}}},
		{Title: "Waiting distribution", Kind: heat, Unit: "s", Width: 24, Description: "Executed requests per second by how long their rows waited.",
			Queries: []query{{Expr: perSecond("le", byArm.of(queueing+"_bucket")), Legend: "{{le}}", Buckets: true}}},
	}
}

func overload() []panel {
	return []panel{
		{Title: "Turned away", Unit: "reqps", Description: "Requests answered 429 before they were executed, by reason and priority class.", Stack: true,
			Queries: []query{{Expr: perSecond("reason, class", byInstance.of("sluice_requests_refused_total")), Legend: "{{reason}} ({{class}})"}}},
		{Title: "In flight", Unit: "short", Description: "Predictions being answered.",
			Queries: []query{{Expr: byInstance.of("sluice_requests_in_flight"), Legend: "{{instance}}"}}},
		{Title: "Scheduler delay", Unit: "s", Description: "Median wait of goroutines for a processor.",
			Queries: []query{{Expr: byInstance.of("sluice_scheduler_delay_seconds"), Legend: "{{instance}}"}}},
	}
}
