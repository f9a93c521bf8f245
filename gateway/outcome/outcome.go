// Package outcome counts what became of predictions: how many, with which status code, and how long they took.
//
// It owns the Book of series (one per endpoint, arm, version, stage and code) and their histograms. It is called by invoke, which records;
// by telemetry and monitor, which read snapshots; and by rollout, which observes arms more finely (Book.Observe); it must not know HTTP,
// OpenTelemetry, or what is decided from the numbers. Everything is safe for concurrent use.
//
// # Recording
//
// A caller looks its Series up once and keeps it; Series.Record then takes two atomic additions on a shard of its own core's choosing, no
// lock and no allocation; Series.Executed takes four more, for those requests that a model executed. Series.Trace keeps the last traced request
// of each bucket as its example; it allocates, and is for the sampled few alone. Counts only rise: a snapshot is cumulative since the series was made, snapshots of the same series subtract,
// and snapshots of different members of a fleet add up.
//
// # Buckets
//
// The upper bounds, in seconds, of the histogram sluice.request.duration wherever it is shown (Prometheus, OTLP, serving runs):
//
//	0.0001 0.00025 0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 30 60 +Inf
//
// An observation equal to a bound belongs to the bucket below it, as in Prometheus and OpenTelemetry.
package outcome

import (
	"math"
	"time"
)

// bounds are the upper bounds of all buckets but the last.
var bounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	1 * time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	1 * time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second, 60 * time.Second,
}

// BucketCount is the number of buckets, the unbounded last one included.
const BucketCount = len(bounds) + 1

// Bounds returns a new slice of the buckets' upper bounds in seconds, ascending, without +Inf: BucketCount − 1 values.
func Bounds() []float64 {
	out := make([]float64, len(bounds))
	for i, b := range bounds {
		out[i] = b.Seconds()
	}
	return out
}

// bucketOf returns the index of the bucket that d falls into.
func bucketOf(d time.Duration) int {
	lo, hi := 0, len(bounds)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if d <= bounds[mid] {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// Key names a series. All fields are bounded sets: names from the routing table and HTTP status codes, never what a client wrote.
type Key struct {
	Endpoint string
	Model    string // registered model; empty where the request reached no arm
	Version  int    // model version; 0 where the request reached no arm
	Stage    string // the version's stage; may be empty
	Arm      string // empty where the request reached no arm
	Code     int    // HTTP status code of the answer
}

// Histogram is a cumulative count of observations. The zero value is empty. It is a plain value: copy, add, subtract.
type Histogram struct {
	Buckets [BucketCount]uint64 // observations per bucket, not accumulated over buckets
	Sum     time.Duration       // of all observations
}

// Count is the number of observations.
func (h *Histogram) Count() uint64 {
	var n uint64
	for _, b := range h.Buckets {
		n += b
	}
	return n
}

// Add adds o to h.
func (h *Histogram) Add(o *Histogram) {
	for i, n := range o.Buckets {
		h.Buckets[i] += n
	}
	h.Sum += o.Sum
}

// Sub returns what h holds beyond the earlier snapshot o of the same series. Where o is not earlier (the counts restarted), the
// answer is h itself, as Prometheus treats a counter reset.
func (h *Histogram) Sub(o *Histogram) Histogram {
	var d Histogram
	for i, n := range h.Buckets {
		if n < o.Buckets[i] {
			return *h
		}
		d.Buckets[i] = n - o.Buckets[i]
	}
	d.Sum = h.Sum - o.Sum
	return d
}

// Mean is the mean observation; 0 when there is none.
func (h *Histogram) Mean() time.Duration {
	n := h.Count()
	if n == 0 {
		return 0
	}
	return h.Sum / time.Duration(n)
}

// Quantile estimates the q-quantile, 0 ≤ q ≤ 1, by linear interpolation inside its bucket: it is off by at most the width of that bucket. In the last,
// unbounded bucket the answer is the last bound, 60 s. 0 when there is no observation.
func (h *Histogram) Quantile(q float64) time.Duration {
	total := h.Count()
	if total == 0 || math.IsNaN(q) {
		return 0
	}
	rank := min(max(q, 0), 1) * float64(total)
	var below float64
	for i, n := range h.Buckets {
		if n == 0 || below+float64(n) < rank {
			below += float64(n)
			continue
		}
		if i == len(bounds) {
			return bounds[len(bounds)-1]
		}
		var low time.Duration
		if i > 0 {
			low = bounds[i-1]
		}
		return low + time.Duration((rank-below)/float64(n)*float64(bounds[i]-low))
	}
	return bounds[len(bounds)-1]
}

// SeriesSnapshot is what one series held when the snapshot was taken.
type SeriesSnapshot struct {
	Key
	Histogram
	// StartMS is when the series was made, ms since the epoch: its counts are cumulative since then.
	StartMS int64
	// Exemplars are the last traced requests, at most one a bucket, the slowest last.
	Exemplars []Exemplar
}
