package monitor

import (
	"context"
	"errors"
	"testing"
	"time"

	"sluice/gateway/outcome"
)

// shared are Totals in memory.
type shared map[string]Sums

func (s shared) Add(_ context.Context, run string, base, delta Sums) (Sums, error) {
	now, known := s[run]
	if !known {
		now = base
	}
	s[run] = now.Plus(delta)
	return s[run], nil
}

// Two processes serve one version: the sums of its run are those of both, also where a write failed in between and after a restart.
func TestTwoProcessesCountTogether(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.trained(t, "wine")
	totals := shared{}
	start := func() *Monitor {
		m := h.monitor(t)
		m.src.Totals = totals
		m.Routed(t.Context(), []Served{{"shop", "wine", 1, "Production", "stable"}})
		flush(t, m)
		return m
	}
	one, two := start(), start()
	key := outcome.Key{Endpoint: "shop", Model: "wine", Version: 1, Code: 200}
	h.serve(4, key, time.Millisecond) // each sees them
	flush(t, one)
	flush(t, two)
	total := func(want float64, step int64) {
		t.Helper()
		run := h.runs(t, "shop")["wine v1"]
		for _, m := range run.Data.Metrics {
			if m.Key == requestsTotal && (m.Value != want || m.Step != step) {
				t.Errorf("%v at step %d, want %v at %d", m.Value, m.Step, want, step)
			}
		}
	}
	total(8, 2)
	h.serve(3, key, time.Millisecond)
	h.setDown(errors.New("no connection"))
	if one.Flush(t.Context()) == nil {
		t.Error("tracking is down, and nothing is said")
	}
	h.setDown(nil)
	h.serve(1, key, time.Millisecond)
	flush(t, one)
	total(12, 4)
	three := start()
	h.serve(5, key, time.Millisecond)
	flush(t, three)
	total(17, 5)
}
