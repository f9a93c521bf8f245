package main

import (
	"fmt"
	"strings"
)

// variable is a choice on top of a dashboard, filled from a label.
type variable struct {
	Name, Label, Query string
	Single             bool   // one value; else any number, and all
	Default            string // of a Single
}

// The variables; each narrows those after it.
var (
	instances = variable{Name: "instance", Label: "Instance", Query: `label_values(sluice_requests_in_flight, instance)`}
	endpoints = variable{Name: "endpoint", Label: "Endpoint", Query: `label_values(sluice_requests_total, endpoint)`}
	models    = variable{Name: "model", Label: "Registered model", Query: `label_values(sluice_requests_total{endpoint=~"$endpoint"}, model)`}
	versions  = variable{Name: "version", Label: "Version", Query: `label_values(sluice_requests_total{endpoint=~"$endpoint",model=~"$model"}, version)`}
	arms      = variable{Name: "arm", Label: "Arm", Query: `label_values(sluice_requests_total{endpoint=~"$endpoint"}, arm)`}
	baseline  = variable{Name: "baseline", Label: "Compare with arm", Query: `label_values(sluice_requests_total{endpoint=~"$endpoint"}, arm)`, Single: true, Default: "stable"}
)

// where names the variables that narrow a metric.
type where []string

var (
	byInstance = where{"instance"}
	byEndpoint = where{"instance", "endpoint"}
	byArm      = where{"instance", "endpoint", "model", "version", "arm"}
	byServable = where{"instance", "model", "version"}
)

// of is the metric narrowed by the variables, and by further matchers: code=~"5..".
func (w where) of(metric string, more ...string) string {
	matchers := make([]string, 0, len(w)+len(more))
	for _, name := range w {
		matchers = append(matchers, fmt.Sprintf(`%s=~"$%s"`, name, name))
	}
	return metric + "{" + strings.Join(append(matchers, more...), ",") + "}"
}

// perSecond is the rate of a counter, summed by labels ("": over everything).
func perSecond(by, selector string) string {
	return sum(by, "rate("+selector+"[$__rate_interval])")
}

// sum adds up, by labels if there are any.
func sum(by, expr string) string {
	if by == "" {
		return "sum(" + expr + ")"
	}
	return "sum by (" + by + ") (" + expr + ")"
}

// share is part of whole, both counters, as a ratio of rates; 0 where the part has not counted yet.
func share(by, part, whole string) string {
	return fmt.Sprintf("(%s or %s * 0) / %s", perSecond(by, part), perSecond(by, whole), perSecond(by, whole))
}

// quantile is of the histogram, by labels.
func quantile(q float64, by, selector string) string {
	labels := "le"
	if by != "" {
		labels = "le, " + by
	}
	return fmt.Sprintf("histogram_quantile(%v, %s)", q, perSecond(labels, selector))
}

// mean of the histogram, by labels.
func mean(by string, w where, histogram string) string {
	return perSecond(by, w.of(histogram+"_sum")) + " / " + perSecond(by, w.of(histogram+"_count"))
}

// quantiles are the usual three, in one panel.
func quantiles(w where, histogram string) []query {
	var out []query
	for _, q := range []struct {
		q    float64
		name string
	}{{0.5, "p50"}, {0.95, "p95"}, {0.99, "p99"}} {
		out = append(out, query{Expr: quantile(q.q, "", w.of(histogram+"_bucket")), Legend: q.name, Exemplars: q.q == 0.99})
	}
	return out
}

// The metrics that several dashboards ask for.
const (
	requests  = "sluice_requests_total"
	duration  = "sluice_request_duration_seconds"
	queueing  = "sluice_request_queue_seconds"
	executing = "sluice_request_execute_seconds"
	serverErr = `code=~"5.."`
)
