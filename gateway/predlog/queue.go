package predlog

import (
	"strings"
	"sync"
)

// queue is the bounded memory between requests and the writer: chunks of whole frames, filled one after the other.
// Its bound is in chunks, those that the writer is writing right now included.
type queue struct {
	chunkBytes, maxChunks int

	mu                           sync.Mutex // guards everything below; held for the copy of one record
	active                       []byte     // being filled; nil if none
	full                         [][]byte   // filled, oldest first
	free                         [][]byte   // empty, for reuse; at most keepFree
	chunks                       int        // active, full and those taken by the writer
	queued                       int64      // bytes in active, full and those taken
	rows                         int64      // records in active, full and those taken
	closed                       bool
	offered, recorded, truncated int64
	drops                        Drops
	sampledOut                   int64
	bySeries                     map[Series]*missing
}

// missing are the requests of one Series that have no row.
type missing struct {
	drops      Drops
	sampledOut int64
}

const (
	// keepFree is the number of empty chunks kept for reuse; more than that is memory of a past burst.
	keepFree = 4
	// maxDropSeries bounds the table of drops and skips by Series; further ones are counted under the zero Series.
	maxDropSeries = 4096
)

// wakeup says what an offer asks of the writer.
type wakeup uint8

const (
	wakeNone  wakeup = iota
	wakeDirty        // the queue was empty: start the sync interval
	wakeFull         // a chunk is full: write it
)

// offer copies the record into the queue, or counts it as dropped.
func (q *queue) offer(r *Record, timeNS int64, maxBody int) wakeup {
	size := frameSize(r, maxBody)
	wake := wakeNone
	q.mu.Lock()
	defer q.mu.Unlock()
	q.offered++
	if q.closed {
		q.drop(Closed, Series{r.Endpoint, r.Model, r.Version}, 1)
		return wakeNone
	}
	if q.active != nil && cap(q.active)-len(q.active) < size {
		q.full, q.active = append(q.full, q.active), nil
		wake = wakeFull
	}
	if q.active == nil {
		if q.active = q.take(); q.active == nil {
			q.drop(QueueFull, Series{r.Endpoint, r.Model, r.Version}, 1)
			return wake
		}
		if wake == wakeNone {
			wake = wakeDirty
		}
	}
	var cut bool
	before := len(q.active)
	q.active, cut = appendFrame(q.active, r, timeNS, maxBody)
	q.queued += int64(len(q.active) - before)
	q.recorded++
	q.rows++
	if cut {
		q.truncated++
	}
	return wake
}

// take returns an empty chunk, or nil at the bound. The caller holds mu.
func (q *queue) take() []byte {
	if q.chunks >= q.maxChunks {
		return nil
	}
	q.chunks++
	if n := len(q.free); n > 0 {
		c := q.free[n-1]
		q.free = q.free[:n-1]
		return c
	}
	return make([]byte, 0, q.chunkBytes)
}

// drain appends the full chunks, and with all the one being filled, to dst; the caller gives each back with release.
func (q *queue) drain(dst [][]byte, all bool) [][]byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	dst = append(dst, q.full...)
	clear(q.full)
	q.full = q.full[:0]
	if all && q.active != nil {
		dst, q.active = append(dst, q.active), nil
	}
	return dst
}

// release returns a drained chunk, whose frames, so many, are now written or counted as dropped.
func (q *queue) release(chunk []byte, frames int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.chunks--
	q.queued -= int64(len(chunk))
	q.rows -= int64(frames)
	if len(q.free) < keepFree {
		q.free = append(q.free, chunk[:0])
	}
}

// empty says that nothing is in memory.
func (q *queue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.rows == 0
}

// close makes every later offer a drop.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

// count adds drops that happened after the queue.
func (q *queue) count(reason Reason, s Series, n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.drop(reason, s, n)
}

// drop counts; the caller holds mu. s is copied if it is kept.
func (q *queue) drop(reason Reason, s Series, n int64) {
	q.drops[reason] += n
	q.of(s).drops[reason] += n
}

// skip counts a request that is not logged.
func (q *queue) skip(s Series) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sampledOut++
	q.of(s).sampledOut++
}

// of returns the counts of a Series, those of the zero Series if there are too many. The caller holds mu; s is copied if it is kept.
func (q *queue) of(s Series) *missing {
	m := q.bySeries[s]
	if m != nil {
		return m
	}
	if len(q.bySeries) >= maxDropSeries {
		s = Series{}
		if m = q.bySeries[s]; m != nil {
			return m
		}
	}
	m = new(missing)
	q.bySeries[Series{strings.Clone(s.Endpoint), strings.Clone(s.Model), s.Version}] = m
	return m
}

// dropsOf returns a copy of the drops by Series, of those that have any.
func (q *queue) dropsOf() map[Series]Drops {
	q.mu.Lock()
	defer q.mu.Unlock()
	m := make(map[Series]Drops, len(q.bySeries))
	for s, d := range q.bySeries {
		if d.drops != (Drops{}) {
			m[s] = d.drops
		}
	}
	return m
}

// sampledOutOf returns a copy of the requests left out by Series.
func (q *queue) sampledOutOf() map[Series]int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	m := make(map[Series]int64, len(q.bySeries))
	for s, d := range q.bySeries {
		if d.sampledOut > 0 {
			m[s] = d.sampledOut
		}
	}
	return m
}

// notLogged returns the drops and the requests left out so far.
func (q *queue) notLogged() missing {
	q.mu.Lock()
	defer q.mu.Unlock()
	return missing{q.drops, q.sampledOut}
}

// abandon counts what is still in memory as dropped and returns all drops.
func (q *queue) abandon() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.rows > 0 {
		q.drop(Closed, Series{}, q.rows)
	}
	q.full, q.active = nil, nil
	return q.drops.Total()
}
