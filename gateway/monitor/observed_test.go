package monitor

import (
	"maps"
	"strings"
	"testing"
	"time"

	"sluice/gateway/outcome"
	"sluice/gateway/predlog"
)

// What others found out stands in the run of its version, with the time as its step, once for each change; the steps of the intervals go on
// beside it, over a restart too.
func TestObservations(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.trained(t, "wine")
	series := predlog.Series{Endpoint: "shop", Model: "wine", Version: 1}
	h.observed = []Observation{
		{Series: series, Subject: "quality", AtMS: 1_790_000_500_999, Values: map[string]float64{"accuracy": 0.75, "precision/a/b": 1, "recall/..": 0.5}},
		{Series: series, Subject: "drift", AtMS: 1_790_000_600_000, Values: map[string]float64{"drift_psi/é": 0.5, "drift_psi/a(b)": 1, "drift_psi/a[b]": 2, "drift_psi/" + strings.Repeat("ü", 300): 3}},
		{Series: predlog.Series{Endpoint: "gone", Model: "wine", Version: 1}, Subject: "drift", Values: map[string]float64{"drift_psi/x": 1}},
	}
	m := h.monitor(t)
	m.Routed(t.Context(), []Served{{"shop", "wine", 1, "Production", "stable"}})
	h.serve(4, outcome.Key{Endpoint: "shop", Model: "wine", Version: 1, Code: 200}, time.Millisecond)
	flush(t, m)
	flush(t, m)
	run := h.runs(t, "shop")["wine v1"]
	got := latest(run)
	if got["accuracy"] != 0.75 || got["precision/a_b"] != 1 || got["recall/_.."] != 0.5 || got["drift_psi/é"] != 0.5 || got["drift_psi/a_b_"] != 1 || got["drift_psi/a_b__2"] != 2 ||
		got["drift_psi/"+strings.Repeat("ü", 240)] != 3 || got["requests_total"] != 4 {
		t.Errorf("got %v", got)
	}
	for _, metric := range run.Data.Metrics {
		want := int64(1)
		switch {
		case metric.Key == "accuracy":
			want = 1_790_000_500
		case strings.HasPrefix(metric.Key, "drift"):
			want = 1_790_000_600
		case strings.Contains(metric.Key, "/"):
			continue
		}
		if metric.Step != want {
			t.Errorf("%s is at step %d, want %d", metric.Key, metric.Step, want)
		}
	}
	next := maps.Clone(h.observed[0].Values)
	next["accuracy"] = 0.5
	h.observed[0].Values, h.observed[0].AtMS = next, 1_790_000_700_000
	m = h.monitor(t)
	m.Routed(t.Context(), []Served{{"shop", "wine", 1, "Production", "stable"}})
	h.serve(1, outcome.Key{Endpoint: "shop", Model: "wine", Version: 1, Code: 200}, time.Millisecond)
	flush(t, m)
	run = h.runs(t, "shop")["wine v1"]
	if got := latest(run); got["accuracy"] != 0.5 || got["requests_total"] != 5 {
		t.Errorf("got %v", got)
	}
	for _, metric := range run.Data.Metrics {
		if metric.Key == "requests_total" && metric.Step != 2 {
			t.Errorf("the interval is at step %d", metric.Step)
		}
	}
	if _, err := h.tracking.ExperimentByName(t.Context(), ExperimentName("gone")); err == nil {
		t.Error("an endpoint that nobody routes to got an experiment")
	}
}
