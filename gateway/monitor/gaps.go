package monitor

import (
	"context"
	"fmt"

	"sluice/gateway/predlog"
)

var _ predlog.GapSink = (*Monitor)(nil)

// DeliverGap enters a gap of the log into the index, idempotently; endpoints hear of it when something is routed.
func (m *Monitor) DeliverGap(ctx context.Context, g predlog.Gap) error {
	if err := m.src.Index.AddGap(ctx, g); err != nil {
		return fmt.Errorf("index gap %s: %w", g.ID, err)
	}
	m.mu.Lock()
	m.gaps = append(m.gaps, g)
	m.mu.Unlock()
	select {
	case m.kick <- struct{}{}:
	default:
	}
	return nil
}

// tellGaps tells the gaps to every endpoint that is routed. The caller holds mu.
func (m *Monitor) tellGaps(ctx context.Context) error {
	wanted, _ := m.target()
	if len(m.gaps) == 0 || len(wanted) == 0 {
		return nil
	}
	var endpoints []string
	seen := map[string]bool{}
	for _, w := range wanted {
		if !seen[w.Endpoint] {
			seen[w.Endpoint] = true
			endpoints = append(endpoints, w.Endpoint)
		}
	}
	for len(m.gaps) > 0 {
		if m.src.Gap != nil {
			if err := m.src.Gap(ctx, endpoints, m.gaps[0]); err != nil {
				return fmt.Errorf("tell gap %s: %w", m.gaps[0].ID, err)
			}
		}
		m.gaps = m.gaps[1:]
	}
	return nil
}
