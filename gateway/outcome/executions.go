package outcome

import (
	"slices"
	"sync/atomic"
	"time"
)

// ranShard is what a shard counts of executions, padded to whole cache lines.
type ranShard struct {
	queue, execute         [BucketCount]atomic.Uint64
	queueSum, executeSum   atomic.Int64 // nanoseconds
	ownRows, executionRows atomic.Uint64
	_                      [64 - (2*BucketCount+4)*8%64]byte
}

// Executed counts one request that a model executed: how long its rows waited for the model, how long the execution that held them took, how
// many rows were its own, and how many rows that execution had in all. Negative values count as zero.
func (s *Series) Executed(queue, execute time.Duration, rows, executionRows int) {
	queue, execute = max(queue, 0), max(execute, 0)
	shards := s.ran.Load()
	if shards == nil {
		fresh := make([]ranShard, len(s.shards))
		if shards = &fresh; !s.ran.CompareAndSwap(nil, shards) {
			shards = s.ran.Load()
		}
	}
	sh := &(*shards)[anyOf(len(*shards))]
	sh.queue[bucketOf(queue)].Add(1)
	sh.execute[bucketOf(execute)].Add(1)
	sh.queueSum.Add(int64(queue))
	sh.executeSum.Add(int64(execute))
	sh.ownRows.Add(uint64(max(rows, 0)))
	sh.executionRows.Add(uint64(max(executionRows, 0)))
}

// Executions is what the requests of one arm's version spent in the model, whatever code they were answered with. Counts are cumulative, as those
// of series are.
type Executions struct {
	Key                // Code is 0
	StartMS      int64 // when the first of the series was made, ms since the epoch
	Queue        Histogram
	Execute      Histogram
	Rows         uint64 // of the requests themselves
	ExecutedRows uint64 // of the executions that held them; divided by Queue.Count(): the rows of the execution that a request meets
}

// Executions reads what was executed, sorted by key; arms whose requests never reached a model are left out.
func (b *Book) Executions() []Executions {
	var out []Executions
	for _, s := range b.sorted() {
		shards := s.ran.Load()
		if shards == nil {
			continue
		}
		k := s.key
		k.Code = 0
		if n := len(out); n == 0 || out[n-1].Key != k {
			out = append(out, Executions{Key: k, StartMS: s.startMS})
		}
		e := &out[len(out)-1]
		e.StartMS = min(e.StartMS, s.startMS)
		e.add(*shards)
	}
	return out
}

func (e *Executions) add(shards []ranShard) {
	for i := range shards {
		sh := &shards[i]
		for j := range BucketCount {
			e.Queue.Buckets[j] += sh.queue[j].Load()
			e.Execute.Buckets[j] += sh.execute[j].Load()
		}
		e.Queue.Sum += time.Duration(sh.queueSum.Load())
		e.Execute.Sum += time.Duration(sh.executeSum.Load())
		e.Rows += sh.ownRows.Load()
		e.ExecutedRows += sh.executionRows.Load()
	}
}

// sorted is every series by key, all codes of an arm's version beside each other.
func (b *Book) sorted() []*Series {
	series := *b.series.Load()
	out := make([]*Series, 0, len(series))
	for _, s := range series {
		out = append(out, s)
	}
	slices.SortFunc(out, func(x, y *Series) int { return compareKeys(x.key, y.key) })
	return out
}
