package main

import "fmt"

// canary is the arms of an endpoint beside each other.
func canary() dashboard {
	return dashboard{
		UID: "sluice-canary", Title: "Sluice / Canary against stable", Description: "The arms of an endpoint compared: split, errors, latency, rollouts, shadows.",
		Variables: []variable{instances, endpoints, models, versions, baseline},
		Rows: []row{
			{"Split", canarySplit()},
			{"Comparison", canaryComparison()},
			{"Rollout", canaryRollout()},
			{"Shadows", canaryShadows()},
		},
	}
}

// compared is every arm with its version; the variable arm is not asked here.
var compared = where{"instance", "endpoint", "model", "version"}

const (
	named    = `arm!=""` // requests that reached an arm
	perArm   = "endpoint, arm, version"
	armNames = "{{endpoint}} {{arm}} v{{version}}"
)

func canarySplit() []panel {
	return []panel{
		{Title: "Requests by arm", Unit: "reqps", Width: 12, Description: "Predictions answered per second.", Stack: true,
			Queries: []query{{Expr: perSecond(perArm, compared.of(requests, named)), Legend: armNames}}},
		{Title: "Share of traffic", Unit: "percentunit", Width: 12, Description: "Of the endpoint's requests that reached an arm.", Share: true,
			Queries: []query{{Expr: perSecond(perArm, compared.of(requests, named)) + " / on (endpoint) group_left () " + perSecond("endpoint", compared.of(requests, named)), Legend: armNames}}},
	}
}

func canaryComparison() []panel {
	p95 := func(more string) string { return compared.of(duration+"_bucket", more) }
	return []panel{
		{Title: "Server errors", Unit: "percentunit", Description: "Share answered with 5xx.",
			Queries: []query{{Expr: share(perArm, compared.of(requests, named, serverErr), compared.of(requests, named)), Legend: armNames}}},
		{Title: "Client errors", Unit: "percentunit", Description: "Share answered with 4xx but 429: a version that refuses what the other takes.",
			Queries: []query{{Expr: share(perArm, compared.of(requests, named, `code=~"4..",code!="429"`), compared.of(requests, named)), Legend: armNames}}},
		{Title: "p95 latency", Unit: "s", Description: "From arrival to answer; the points are traced requests.",
			Queries: []query{{Expr: quantile(0.95, perArm, p95(named)), Legend: armNames, Exemplars: true}}},
		{Title: "p95 latency against the arm compared with", Unit: "none", Description: "1: the same; 2: twice as long.", Levels: []level{{0, "green"}, {1, "orange"}, {2, "red"}},
			Queries: []query{{Expr: quantile(0.95, perArm, p95(`arm!="",arm!~"$baseline"`)) + " / on (endpoint) group_left () " + quantile(0.95, "endpoint", p95(`arm=~"$baseline"`)), Legend: armNames}}},
		{Title: "Mean execution", Unit: "s", Description: "Of the executions that held an arm's rows.",
			Queries: []query{{Expr: perSecond(perArm, compared.of(executing+"_sum")) + " / " + perSecond(perArm, compared.of(executing+"_count")), Legend: armNames}}},
		{Title: "Rows per request", Unit: "short", Description: "Arms whose requests differ in size cannot be compared by latency.",
			Queries: []query{{Expr: perSecond(perArm, compared.of("sluice_request_rows_total")) + " / " + perSecond(perArm, compared.of(executing+"_count")), Legend: armNames}}},
	}
}

func canaryRollout() []panel {
	of := where{"instance", "endpoint"}
	return []panel{
		{Title: "Weight of the canary", Unit: "percent", Description: "Share of the arm's traffic that the new version of a running rollout gets.",
			Queries: []query{{Expr: "max by (endpoint, version) (" + of.of("sluice_rollout_weight_percent") + ")", Legend: "{{endpoint}} v{{version}}"}}},
		{Title: "Step", Unit: "short", Description: "Step that a running rollout is at, from 0; the number of steps while it bakes.",
			Queries: []query{{Expr: "max by (endpoint, version) (" + of.of("sluice_rollout_step") + ")", Legend: "{{endpoint}} v{{version}}"}}},
		{Title: "Verdicts", Unit: "short", Description: "promote, hold, rollback, insufficient_traffic; counted when they change, and with every step.",
			Queries: []query{{Expr: sum("endpoint, verdict", of.of("sluice_rollout_verdicts_total")), Legend: "{{endpoint}} {{verdict}}"}}},
	}
}

func canaryShadows() []panel {
	const shadowArm, legend = perArm, armNames
	histogram := func(title, unit, what, metric string) panel {
		rate := func(part string) string { return perSecond(shadowArm, byEndpoint.of(metric+part)) }
		return panel{Title: title, Unit: unit, Description: what, Signed: true, Queries: []query{{Expr: fmt.Sprintf("%s / %s", rate("_sum"), rate("_count")), Legend: legend}}}
	}
	return []panel{
		{Title: "Copies", Unit: "reqps", Description: "Copies that a shadow executed, by result.", Stack: true,
			Queries: []query{{Expr: perSecond(shadowArm+", result", byEndpoint.of("sluice_shadow_requests_total")), Legend: legend + " {{result}}"}}},
		{Title: "Copies dropped", Unit: "reqps", Description: "Copies that a shadow did not execute, by reason.", Stack: true,
			Queries: []query{{Expr: perSecond(shadowArm+", reason", byEndpoint.of("sluice_shadow_drops_total")), Legend: legend + " {{reason}}"}}},
		histogram("Distance of numbers", "none", "Mean relative distance of a shadow's numbers from the answer's: 0 the same, 2 opposite.", "sluice_shadow_distance"),
		histogram("Labels that differ", "percentunit", "Mean share of a shadow's labels that differ from the answer's.", "sluice_shadow_disagreement"),
		histogram("Later than the answer", "s", "Mean time that a shadow took longer, in queue and execution, than the arm that answered.", "sluice_shadow_latency_delta_seconds"),
	}
}
