package outcome

import (
	"sync/atomic"
	"time"
)

// Exemplar is a traced request that stands for its bucket.
type Exemplar struct {
	Trace   [16]byte
	Span    [8]byte
	Latency time.Duration
	TimeMS  int64 // when it was answered, ms since the epoch
}

// exemplars are the last of each bucket.
type exemplars [BucketCount]atomic.Pointer[Exemplar]

// Trace keeps a traced request, which was recorded already, as its bucket's example; it allocates.
func (s *Series) Trace(e Exemplar) {
	e.Latency = max(e.Latency, 0)
	all := s.traced.Load()
	if all == nil {
		all = new(exemplars)
		if !s.traced.CompareAndSwap(nil, all) {
			all = s.traced.Load()
		}
	}
	all[bucketOf(e.Latency)].Store(&e)
}

// exemplarsOf are those of the series, the slowest last.
func (s *Series) exemplarsOf() []Exemplar {
	all := s.traced.Load()
	if all == nil {
		return nil
	}
	var out []Exemplar
	for i := range all {
		if e := all[i].Load(); e != nil {
			out = append(out, *e)
		}
	}
	return out
}
