package monitor

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"sluice/gateway/predlog"
)

// A gap of the log is entered into the index, and every endpoint hears of it, once, when it is routed.
func TestGapIsTold(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.trained(t, "wine")
	var told [][]string
	var down error
	m := h.monitor(t)
	m.src.Gap = func(_ context.Context, endpoints []string, g predlog.Gap) error {
		if down == nil {
			told = append(told, append(endpoints, g.ID))
		}
		return down
	}
	from := time.UnixMilli(1_790_000_000_000).UTC()
	g := predlog.Gap{ID: "0198c0de-0000-7000-8000-000000000001", From: from, To: from.Add(time.Second), AtMost: 42}
	for range 2 { // delivered again after a crash
		if err := m.DeliverGap(t.Context(), g); err != nil {
			t.Fatal(err)
		}
		m.gaps = m.gaps[:1]
	}
	if got, err := h.index.Gaps(t.Context(), time.Time{}, time.Time{}, 10); err != nil || len(got) != 1 || got[0] != g {
		t.Fatalf("index: %v, %v", got, err)
	}
	flush(t, m)
	if len(told) != 0 {
		t.Errorf("told before anything was routed: %v", told)
	}
	m.Routed(t.Context(), []Served{{"wine", "wine", 1, "Production", "stable"}, {"cellar", "wine", 1, "", "a"}, {"cellar", "wine", 1, "", "b"}})
	down = errors.New("database is gone")
	if err := m.Flush(t.Context()); !errors.Is(err, down) {
		t.Errorf("got %v", err)
	}
	down = nil
	flush(t, m)
	flush(t, m)
	if len(told) != 1 || !slices.Equal(told[0], []string{"wine", "cellar", g.ID}) {
		t.Errorf("told %v", told)
	}
}
