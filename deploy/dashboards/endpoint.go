package main

// endpoint is one endpoint (or a few), down to versions and arms.
func endpoint() dashboard {
	return dashboard{
		UID: "sluice-endpoint", Title: "Sluice / Endpoint", Description: "One endpoint: latency and where it goes, errors, versions, arms, breakers.",
		Variables: []variable{instances, endpoints, models, versions, arms},
		Rows: []row{
			{"Now", endpointNow()},
			{"Latency", endpointLatency()},
			{"Answers", endpointAnswers()},
			{"Versions", endpointVersions()},
			{"Response cache", responseCache()},
		},
	}
}

func endpointNow() []panel {
	stat := func(title, unit, what, expr string, levels []level) panel {
		return panel{Title: title, Kind: number, Unit: unit, Description: what, Levels: levels, Queries: []query{{Expr: expr}}}
	}
	all := byArm.of(requests)
	return []panel{
		stat("Requests", "reqps", "Predictions answered per second.", perSecond("", all), nil),
		stat("Server errors", "percentunit", "Share answered with 5xx.", share("", byArm.of(requests, serverErr), all), warnThenBad(0.001, 0.01)),
		stat("Client errors", "percentunit", "Share answered with 4xx but 429: input that does not fit.", share("", byArm.of(requests, `code=~"4..",code!="429"`), all), nil),
		stat("p50 latency", "s", "Median time from arrival to answer.", quantile(0.5, "", byArm.of(duration+"_bucket")), nil),
		stat("p99 latency", "s", "99 % are answered within this time.", quantile(0.99, "", byArm.of(duration+"_bucket")), nil),
		stat("Rows per request", "short", "Mean rows of executed requests.", perSecond("", byArm.of("sluice_request_rows_total"))+" / "+perSecond("", byArm.of(executing+"_count")), nil),
	}
}

func endpointLatency() []panel {
	return []panel{
		{Title: "Latency", Unit: "s", Width: 12, Description: "Time from arrival to answer; the points are traced requests that lead to their traces.", Queries: quantiles(byArm, duration)},
		{Title: "Latency distribution", Kind: heat, Unit: "s", Width: 12, Description: "Requests per second by how long they took.",
			Queries: []query{{Expr: perSecond("le", byArm.of(duration+"_bucket")), Legend: "{{le}}", Buckets: true, Exemplars: true}}},
		{Title: "Where the time goes", Unit: "s", Stack: true, Description: "Mean time of executed requests: waiting for the model, execution, and the rest (decoding, encoding, counting).",
			Queries: []query{
				{Expr: mean("", byArm, queueing), Legend: "queue"},
				{Expr: mean("", byArm, executing), Legend: "execute"},
				{Expr: "clamp_min(" + mean("", byArm, duration) + " - " + mean("", byArm, queueing) + " - " + mean("", byArm, executing) + ", 0)", Legend: "rest"},
			}},
		{Title: "Queue", Unit: "s", Description: "How long rows waited for the model.", Queries: quantiles(byArm, queueing)},
		{Title: "Execution", Unit: "s", Description: "How long the executions took that held the rows.", Queries: quantiles(byArm, executing)},
	}
}

func endpointAnswers() []panel {
	return []panel{
		{Title: "Requests by code", Unit: "reqps", Description: "By HTTP status.", Stack: true, Queries: []query{{Expr: perSecond("code", byArm.of(requests)), Legend: "{{code}}"}}},
		{Title: "Server errors by version", Unit: "percentunit", Description: "Share answered with 5xx.",
			Queries: []query{{Expr: share(perVersion, byArm.of(requests, serverErr), byArm.of(requests)), Legend: ofModel}}},
		{Title: "Deadlines missed", Unit: "reqps", Description: "Requests answered 504.",
			Queries: []query{{Expr: perSecond(perVersion, byArm.of(requests, `code="504"`)) + " or " + perSecond(perVersion, byArm.of(requests)) + " * 0", Legend: ofModel}}},
	}
}

func endpointVersions() []panel {
	return []panel{
		{Title: "Requests by version", Unit: "reqps", Description: "By registered model, version and stage.", Stack: true,
			Queries: []query{{Expr: perSecond("model, version, stage", byArm.of(requests)), Legend: "{{model}} v{{version}} {{stage}}"}}},
		{Title: "p95 latency by version", Unit: "s", Description: "From arrival to answer.",
			Queries: []query{{Expr: quantile(0.95, perVersion, byArm.of(duration+"_bucket")), Legend: ofModel}}},
		{Title: "Circuit breaker", Kind: states, Unit: "none", Description: "By version, the worst of all members.", States: breakerStates, Levels: breakerLevels,
			Queries: []query{{Expr: `max by (endpoint, version) (` + where{"instance", "endpoint", "model", "version"}.of("sluice_breaker_state") + `)`, Legend: "{{endpoint}} v{{version}}"}}},
	}
}

// responseCache shows endpoints that remember answers. Entries, evictions and errors are those of a process, whatever the endpoint.
func responseCache() []panel {
	asked := byEndpoint.of("sluice_cache_requests_total", `result!="bypass"`)
	return []panel{
		{Title: "Answered from the cache", Unit: "percentunit", Share: true, Description: "Share of the requests that may be answered from it and were (hits, and those that shared an execution).",
			Queries: []query{{Expr: share("endpoint", byEndpoint.of("sluice_cache_requests_total", `result=~"hit|shared"`), asked), Legend: "{{endpoint}}"}}},
		{Title: "Requests by result", Unit: "reqps", Stack: true, Description: "hit, miss, shared (waited for an equal request) and bypass (the caller asked for none).",
			Queries: []query{{Expr: perSecond("result", byEndpoint.of("sluice_cache_requests_total")), Legend: "{{result}}"}}},
		{Title: "Errors of the store", Unit: "short", Description: "Times per second that a store could not be asked, each of which is a miss.", Levels: bad(0.1),
			Queries: []query{{Expr: perSecond("store", byInstance.of("sluice_cache_errors_total")), Legend: "{{store}}"}}},
		{Title: "Kept in memory", Unit: "bytes", Description: "Memory of the answers kept in the processes.",
			Queries: []query{{Expr: sum("instance", byInstance.of("sluice_cache_bytes")), Legend: "{{instance}}"}}},
		{Title: "Answers in memory", Unit: "short", Description: "Answers kept in the processes.",
			Queries: []query{{Expr: sum("instance", byInstance.of("sluice_cache_entries")), Legend: "{{instance}}"}}},
		{Title: "Evictions and answers too large", Unit: "short", Description: "Answers per second that made room for others, and that were larger than the endpoint keeps.",
			Queries: []query{
				{Expr: perSecond("", byInstance.of("sluice_cache_evictions_total")), Legend: "evicted"},
				{Expr: perSecond("", byEndpoint.of("sluice_cache_too_large_total")), Legend: "too large"},
			}},
	}
}
