package monitor

import (
	"context"
	"fmt"

	"sluice/tracking"
)

// Sums are what a serving run counts since it began.
type Sums struct {
	Requests, Errors, Rows, Dropped, SampledOut int64
	// Step is that of the metrics which say so; 0 means that there are none.
	Step int64
}

// Totals keeps the Sums of serving runs that several processes add to. It is safe for concurrent use.
type Totals interface {
	// Add adds delta, whose Step does not count, to the sums of the run, which are base if nobody added to them before, and returns them, with a
	// Step that no other Add of the run returns.
	Add(ctx context.Context, runID string, base, delta Sums) (Sums, error)
}

// The metrics with the sums; each key is read back by resume.
const (
	requestsTotal   = "requests_total"
	errorsTotal     = "errors_total"
	rowsTotal       = "rows_total"
	droppedTotal    = "dropped_total"
	sampledOutTotal = "sampled_out_total"
)

// resume takes over the latest value of a metric written in an earlier life.
func (s *Sums) resume(m tracking.Metric) {
	switch m.Key {
	case requestsTotal:
		s.Requests = int64(m.Value)
		s.Step = max(s.Step, m.Step) // the others of the interval have the same; those observed have times for steps
	case errorsTotal:
		s.Errors = int64(m.Value)
	case rowsTotal:
		s.Rows = int64(m.Value)
	case droppedTotal:
		s.Dropped = int64(m.Value)
	case sampledOutTotal:
		s.SampledOut = int64(m.Value)
	}
}

// Plus is the sum with delta, at the next step.
func (s Sums) Plus(delta Sums) Sums {
	return Sums{
		Requests: s.Requests + delta.Requests, Errors: s.Errors + delta.Errors, Rows: s.Rows + delta.Rows, Dropped: s.Dropped + delta.Dropped,
		SampledOut: s.SampledOut + delta.SampledOut, Step: s.Step + 1,
	}
}

func (s Sums) minus(o Sums) Sums {
	return Sums{
		Requests: s.Requests - o.Requests, Errors: s.Errors - o.Errors, Rows: s.Rows - o.Rows, Dropped: s.Dropped - o.Dropped,
		SampledOut: s.SampledOut - o.SampledOut,
	}
}

// add returns the run's sums with what happened in the interval. What was added and could then not be written is not added again.
func (m *Monitor) add(ctx context.Context, r *servingRun, i *interval) (Sums, error) {
	delta := i.sums()
	if m.src.Totals == nil {
		return r.sums.Plus(delta), nil
	}
	sums, err := m.src.Totals.Add(ctx, r.id, r.sums, delta.minus(r.added))
	if err != nil {
		return Sums{}, fmt.Errorf("sums of serving run %s: %w", r.id, err)
	}
	r.added = delta
	return sums, nil
}
