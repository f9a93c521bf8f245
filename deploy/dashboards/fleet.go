package main

// fleet is every endpoint and every member on one page.
func fleet() dashboard {
	return dashboard{
		UID: "sluice-fleet", Title: "Sluice / Fleet", Description: "All endpoints and all members: traffic, error budget, models in memory, processes.",
		Variables: []variable{instances, endpoints},
		Rows: []row{
			{"Now", fleetNow()},
			{"Traffic", fleetTraffic()},
			{"Error budget (needs deploy/prometheus/rules.yml)", budget()},
			{"Models in memory", modelsInMemory()},
			{"Processes", processes()},
		},
	}
}

func fleetNow() []panel {
	return []panel{
		{Title: "Requests", Kind: number, Unit: "reqps", Description: "Predictions answered per second, whatever the answer.",
			Queries: []query{{Expr: perSecond("", byEndpoint.of(requests))}}},
		{Title: "Server errors", Kind: number, Unit: "percentunit", Description: "Share of requests answered with 5xx.", Levels: warnThenBad(0.001, 0.01),
			Queries: []query{{Expr: share("", byEndpoint.of(requests, serverErr), byEndpoint.of(requests))}}},
		{Title: "p95 latency", Kind: number, Unit: "s", Description: "95 % of the requests are answered within this time, from arrival to answer.",
			Queries: []query{{Expr: quantile(0.95, "", byEndpoint.of(duration+"_bucket"))}}},
		{Title: "In flight", Kind: number, Unit: "short", Description: "Predictions being answered now.",
			Queries: []query{{Expr: sum("", byInstance.of("sluice_requests_in_flight"))}}},
		{Title: "Members", Kind: number, Unit: "short", Description: "Processes that were scraped.",
			Queries: []query{{Expr: "count(" + byInstance.of("sluice_requests_in_flight") + ")"}}},
		{Title: "Breakers open", Kind: number, Unit: "short", Description: "Circuit breakers (endpoint, version) that let nothing through.", Levels: bad(1),
			Queries: []query{{Expr: "sum(" + byEndpoint.of("sluice_breaker_state") + " == bool 2)"}}},
	}
}

func fleetTraffic() []panel {
	return []panel{
		{Title: "Requests by endpoint", Unit: "reqps", Description: "Predictions answered per second.", Stack: true,
			Queries: []query{{Expr: perSecond("endpoint", byEndpoint.of(requests)), Legend: "{{endpoint}}"}}},
		{Title: "Requests by code", Unit: "reqps", Description: "Predictions answered per second, by HTTP status.", Stack: true,
			Queries: []query{{Expr: perSecond("code", byEndpoint.of(requests)), Legend: "{{code}}"}}},
		{Title: "Rows by endpoint", Unit: "rps", Description: "Rows executed per second; a request may have many.",
			Queries: []query{{Expr: perSecond("endpoint", byEndpoint.of("sluice_request_rows_total")), Legend: "{{endpoint}}"}}},
		{Title: "Server errors by endpoint", Unit: "percentunit", Description: "Share of requests answered with 5xx; the objective is below 0.1 %.", Levels: bad(0.001),
			Queries: []query{{Expr: share("endpoint", byEndpoint.of(requests, serverErr), byEndpoint.of(requests)), Legend: "{{endpoint}}"}}},
		{Title: "p95 latency by endpoint", Unit: "s", Description: "From arrival to answer.",
			Queries: []query{{Expr: quantile(0.95, "endpoint", byEndpoint.of(duration+"_bucket")), Legend: "{{endpoint}}"}}},
		{Title: "Turned away", Unit: "reqps", Description: "Requests answered 429 before they were executed, by reason and priority class.",
			Queries: []query{{Expr: perSecond("reason, class", byInstance.of("sluice_requests_refused_total")), Legend: "{{reason}} ({{class}})"}}},
	}
}

// budget shows how fast the objectives' budgets are used up.
func budget() []panel {
	burn := func(title, what, rule string) panel {
		return panel{Title: title, Unit: "none", Width: 12, Description: what + " 1 uses up the budget in exactly 30 days, 14.4 in two days; from there on somebody is called.", Levels: warnThenBad(1, 14.4),
			Queries: []query{
				{Expr: rule + `5m{endpoint=~"$endpoint"}`, Legend: "{{endpoint}} 5 min"},
				{Expr: rule + `1h{endpoint=~"$endpoint"}`, Legend: "{{endpoint}} 1 h"},
				{Expr: rule + `6h{endpoint=~"$endpoint"}`, Legend: "{{endpoint}} 6 h"},
			}}
	}
	return []panel{
		burn("Availability: burn rate", "How fast requests answered with 5xx use up the budget of 0.1 %.", "sluice:availability:burn"),
		burn("Latency: burn rate", "How fast requests slower than 250 ms use up the budget of 1 %.", "sluice:latency:burn"),
	}
}

func modelsInMemory() []panel {
	return []panel{
		{Title: "Versions by state", Unit: "short", Description: "Model versions in memory by state, summed over members.", Stack: true,
			Queries: []query{{Expr: sum("state", byInstance.of("sluice_servable_state")), Legend: "{{state}}"}}},
		{Title: "Memory of versions", Unit: "bytes", Description: "Estimated memory of the loaded versions.",
			Queries: []query{{Expr: byInstance.of("sluice_servable_memory_bytes"), Legend: "{{instance}}"}}},
		{Title: "Evictions and reloads", Unit: "cps", Description: "Versions that gave their memory back, and evicted ones that were asked for and loaded again: many of both mean that the budget is too small.",
			Queries: []query{
				{Expr: perSecond("", byInstance.of("sluice_servable_evictions_total")), Legend: "evictions"},
				{Expr: perSecond("", byInstance.of("sluice_servable_reloads_total")), Legend: "reloads"},
			}},
		{Title: "Circuit breakers", Kind: states, Unit: "none", Width: 12, Description: "State by endpoint and version, the worst of all members.", States: breakerStates, Levels: breakerLevels,
			Queries: []query{{Expr: "max by (endpoint, version) (" + byEndpoint.of("sluice_breaker_state") + ")", Legend: "{{endpoint}} v{{version}}"}}},
		{Title: "Python workers replaced", Unit: "short", Width: 12, Description: "Per hour and reason; age, requests and rows are planned.", Stack: true,
			Queries: []query{{Expr: sum("reason", "increase("+byInstance.of("sluice_worker_restarts_total")+"[1h])"), Legend: "{{reason}}"}}},
	}
}

var (
	breakerStates = []string{"closed", "half-open", "open"}
	breakerLevels = warnThenBad(1, 2)
)

func processes() []panel {
	line := func(title, unit, what, expr string) panel {
		return panel{Title: title, Unit: unit, Description: what, Queries: []query{{Expr: expr, Legend: "{{instance}}"}}}
	}
	return []panel{
		line("CPU", "short", "Processor cores in use.", "rate("+byInstance.of("process_cpu_time_seconds_total")+"[$__rate_interval])"),
		line("Resident memory", "bytes", "Of the process, models included.", byInstance.of("process_memory_usage_bytes")),
		line("Scheduler delay", "s", "Median wait of goroutines for a processor: high when the machine is busy, whoever with.", byInstance.of("sluice_scheduler_delay_seconds")),
		line("Go memory", "bytes", "Memory that the Go runtime holds.", byInstance.of("go_memory_used_bytes")),
		line("Goroutines", "short", "One and more a connection.", byInstance.of("go_goroutine_count")),
		line("Garbage collections", "cps", "Completed per second.", "rate("+byInstance.of("go_gc_count_total")+"[$__rate_interval])"),
		line("Allocations", "cps", "Objects put on the Go heap per second; answering a prediction puts none there.", "rate("+byInstance.of("go_memory_allocations_total")+"[$__rate_interval])"),
		line("In flight", "short", "Predictions being answered.", byInstance.of("sluice_requests_in_flight")),
		line("Uptime", "s", "Time since the process started; a fall to zero is a restart.", byInstance.of("process_uptime_seconds")),
	}
}
