package loadtest

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result of a run.
type Result struct {
	Sent     int64
	Answered int64 // complete answers, whatever their status
	Failed   int64 // answers with a status other than 2xx, and broken connections
	ByStatus map[int]int64
	Elapsed  time.Duration
	// Latency holds ns; of an open loop from the due time.
	Latency *hdrhistogram.Histogram
	// FailedLatency is Latency of the answers with a status other than 2xx alone.
	FailedLatency *hdrhistogram.Histogram
	// FirstFailure is the text of the first failure, "" if there was none.
	FirstFailure string
	// Seconds is what happened in each second of the run, by the time at which answers came.
	Seconds []Second
}

// Second is one second of a run.
type Second struct {
	Answered, Failed int64
	// P50, P99 and Max are µs; 0 when nothing was answered.
	P50, P99, Max int64
}

// Rate is answers per second.
func (r *Result) Rate() float64 { return float64(r.Answered) / r.Elapsed.Seconds() }

// Quantile returns the latency below which a share q (0–1) of the answers came.
func (r *Result) Quantile(q float64) time.Duration {
	return time.Duration(r.Latency.ValueAtQuantile(q * 100))
}

// SucceededLatency is Latency of the answers with a status of 2xx alone.
func (r *Result) SucceededLatency() *hdrhistogram.Histogram {
	all, failed := r.Latency.Export(), r.FailedLatency.Export()
	for i, n := range failed.Counts {
		all.Counts[i] -= n
	}
	return hdrhistogram.Import(all)
}

const (
	maxLatency = 60 * time.Second
	precision  = 3
)

func newLatency() *hdrhistogram.Histogram { return hdrhistogram.New(1, int64(maxLatency), precision) }

func (r *run) merge(workers []worker) *Result {
	out := &Result{Elapsed: time.Since(r.start), ByStatus: map[int]int64{}, Latency: newLatency(), FailedLatency: newLatency()}
	for i := range workers {
		w := &workers[i]
		out.Sent += w.sent
		out.Failed += w.failed
		out.Latency.Merge(w.latency)
		if w.failures != nil {
			out.FailedLatency.Merge(w.failures)
		}
		for status, n := range w.byStatus {
			out.ByStatus[status] += n
			out.Answered += n
		}
		if out.FirstFailure == "" {
			out.FirstFailure = w.failure
		}
	}
	out.Seconds = mergeSeconds(workers)
	return out
}

func mergeSeconds(workers []worker) []Second {
	n := 0
	for i := range workers {
		n = max(n, len(workers[i].seconds))
	}
	out := make([]Second, n)
	for s := range out {
		all := hdrhistogram.New(1, int64(maxLatency), coarseDigits)
		for i := range workers {
			if s >= len(workers[i].seconds) {
				continue
			}
			one := &workers[i].seconds[s]
			out[s].Failed += one.failed
			if one.latency != nil {
				all.Merge(one.latency)
			}
		}
		out[s].Answered = all.TotalCount()
		if out[s].Answered > 0 {
			out[s].P50, out[s].P99, out[s].Max = all.ValueAtQuantile(50)/1000, all.ValueAtQuantile(99)/1000, all.Max()/1000
		}
	}
	return out
}
