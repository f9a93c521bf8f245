package monitor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sluice/gateway/outcome"
	"sluice/gateway/predlog"
	"sluice/tracking"
)

// interval is what happened to one Series since it was written last.
type interval struct {
	requests, errors, serverErrors uint64
	latency                        outcome.Histogram
	rows, dropped, sampledOut      int64
}

// sums is what the interval adds to the run's.
func (i *interval) sums() Sums {
	return Sums{Requests: int64(i.requests), Errors: int64(i.errors), Rows: i.rows, Dropped: i.dropped, SampledOut: i.sampledOut}
}

// notLogged are the requests that have no row, since the log was opened.
type notLogged struct {
	dropped    map[predlog.Series]predlog.Drops
	sampledOut map[predlog.Series]int64
}

func (m *Monitor) notLogged() notLogged {
	n := notLogged{dropped: m.src.Dropped()}
	if m.src.SampledOut != nil {
		n.sampledOut = m.src.SampledOut()
	}
	return n
}

// writeMetrics writes one step for each Series with something new. What could not be written stays new. The caller holds mu.
func (m *Monitor) writeMetrics(ctx context.Context) error {
	snapshot, lost := m.src.Outcomes(), m.notLogged()
	var errs []error
	for s, i := range m.intervals(snapshot, lost) {
		if err := m.healed(s, func() error { return m.writeInterval(ctx, s, i) }); err != nil {
			errs = append(errs, err)
			continue
		}
		m.written(s, i, snapshot, lost)
	}
	m.prune(snapshot)
	return errors.Join(errs...)
}

// intervals compares the counts now with those last written.
func (m *Monitor) intervals(snapshot []outcome.SeriesSnapshot, lost notLogged) map[predlog.Series]*interval {
	out := map[predlog.Series]*interval{}
	at := func(s predlog.Series) *interval {
		if out[s] == nil {
			out[s] = &interval{}
		}
		return out[s]
	}
	for _, now := range snapshot {
		before := m.counts[now.Key]
		delta := now.Histogram.Sub(&before)
		n := delta.Count()
		if n == 0 {
			continue
		}
		i := at(seriesOfKey(now.Key))
		i.requests += n
		i.latency.Add(&delta)
		if now.Code >= 400 {
			i.errors += n
		}
		if now.Code >= 500 {
			i.serverErrors += n
		}
	}
	for s, d := range lost.dropped {
		if n := d.Total() - m.dropped[s]; n > 0 {
			at(s).dropped = n
		}
	}
	for s, total := range lost.sampledOut {
		if n := total - m.skipped[s]; n > 0 {
			at(s).sampledOut = n
		}
	}
	for s, n := range m.rows {
		at(s).rows = n
	}
	return out
}

func seriesOfKey(k outcome.Key) predlog.Series {
	return predlog.Series{Endpoint: k.Endpoint, Model: k.Model, Version: k.Version}
}

func (m *Monitor) writeInterval(ctx context.Context, s predlog.Series, i *interval) error {
	r, err := m.ensure(ctx, s)
	if err != nil {
		return err
	}
	sums, err := m.add(ctx, r, i)
	if err != nil {
		return err
	}
	if err := m.src.Tracking.LogBatch(ctx, r.id, tracking.Batch{Metrics: i.metrics(sums, m.opts.Now().UnixMilli())}); err != nil {
		return fmt.Errorf("metrics of serving run %s: %w", r.id, err)
	}
	r.sums, r.added = sums, Sums{}
	return nil
}

func (i *interval) metrics(sums Sums, atMS int64) []tracking.Metric {
	var out []tracking.Metric
	add := func(key string, v float64) {
		out = append(out, tracking.Metric{Key: key, Value: v, TimestampMS: atMS, Step: sums.Step})
	}
	add("requests", float64(i.requests))
	add("errors", float64(i.errors))
	add("server_errors", float64(i.serverErrors))
	if i.requests > 0 { // an interval without requests has no rate and no latency
		add("error_rate", float64(i.errors)/float64(i.requests))
		add("latency_p50_ms", milliseconds(i.latency.Quantile(0.50)))
		add("latency_p90_ms", milliseconds(i.latency.Quantile(0.90)))
		add("latency_p99_ms", milliseconds(i.latency.Quantile(0.99)))
	}
	add("rows", float64(i.rows))
	add("dropped", float64(i.dropped))
	add("sampled_out", float64(i.sampledOut))
	add(requestsTotal, float64(sums.Requests))
	add(errorsTotal, float64(sums.Errors))
	add(rowsTotal, float64(sums.Rows))
	add(droppedTotal, float64(sums.Dropped))
	add(sampledOutTotal, float64(sums.SampledOut))
	return out
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// written remembers what now stands in tracking.
func (m *Monitor) written(s predlog.Series, i *interval, snapshot []outcome.SeriesSnapshot, lost notLogged) {
	for _, now := range snapshot {
		if seriesOfKey(now.Key) == s {
			m.counts[now.Key] = now.Histogram
		}
	}
	m.dropped[s], m.skipped[s] = lost.dropped[s].Total(), lost.sampledOut[s]
	if m.rows[s] -= i.rows; m.rows[s] <= 0 {
		delete(m.rows, s)
	}
}

// prune forgets the counts of series that the Book no longer has.
func (m *Monitor) prune(snapshot []outcome.SeriesSnapshot) {
	live := make(map[outcome.Key]bool, len(snapshot))
	for _, s := range snapshot {
		live[s.Key] = true
	}
	for k := range m.counts {
		if !live[k] {
			delete(m.counts, k)
		}
	}
}
