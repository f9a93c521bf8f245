package predlog

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// spool is a finished spool file that waits to become segments.
type spool struct {
	id, path string
	bytes    int64
	// rows that the writer counted into it; -1 for one of an earlier life, whose end is unknown.
	rows int64
	// index of what the writer wrote; nil where the file has to be read: it is of an earlier life, something failed, or the sealer is behind.
	index *spoolIndex
}

// pending is a segment that waits for delivery.
type pending struct {
	Segment
	retry
}

// retry is when a delivery is tried (again).
type retry struct {
	attempts int
	due      time.Time // not before; the zero time means at once
}

// postpone sets the back-off after a failure.
func (r *retry) postpone(o *Options) {
	delay := o.RetryMax
	if r.attempts < 20 {
		delay = min(o.RetryMin<<r.attempts, o.RetryMax)
	}
	r.attempts++
	r.due = o.Now().Add(delay)
}

// state is what stands on disk, shared by the writer, the sealer and the deliverer. Its lock is never held during I/O, and never
// together with the queue's.
type state struct {
	flushing atomic.Int32 // calls of Flush under way

	mu      sync.Mutex    // guards everything below
	changed chan struct{} // closed and replaced at each change

	openPath   string    // the spool being written, "" if none
	openBytes  int64     // of it
	spools     []spool   // oldest first; the first is being sealed
	segments   []pending // oldest first
	gaps       []pendingGap
	segBytes   int64
	spoolBytes int64 // of spools

	written, delivered, recovered int64
	lastError                     string
	lastErrorTime                 time.Time
}

// update changes the state and wakes everybody who waits on it.
func (s *state) update(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

// wait returns nil as soon as done holds; done is called with the lock held.
func (s *state) wait(ctx context.Context, done func() bool) error {
	for {
		s.mu.Lock()
		ok, changed := done(), s.changed
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// hurried says that the sealer has reason not to rest: somebody waits for it, or it falls behind.
func (s *state) hurried() bool {
	if s.flushing.Load() > 0 {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.spools) > 1
}

// finished hands a spool to the sealer.
func (s *state) finished(p spool) {
	s.update(func() {
		if len(s.spools) >= maxIndexed {
			p.index = nil
		}
		s.openPath, s.openBytes = "", 0
		s.spools = append(s.spools, p)
		s.spoolBytes += p.bytes
	})
}

// maxIndexed bounds the indexes in memory, which take up to 1 MiB each.
const maxIndexed = 4

// forgetIndex makes the next try of a seal read the file: nobody knows how far the last one came.
func (s *state) forgetIndex(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.spools {
		if s.spools[i].id == id {
			s.spools[i].index = nil
		}
	}
}

// diskBytes returns all bytes on disk and those among them not yet turned into segments.
func (s *state) diskBytes() (all, unsealed int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	unsealed = s.openBytes + s.spoolBytes
	return unsealed + s.segBytes, unsealed
}

// outstanding returns the ids of the spools of which something is left to seal or deliver.
func (s *state) outstanding() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := map[string]bool{}
	for _, p := range s.spools {
		ids[p.id] = true
	}
	for _, p := range s.segments {
		ids[spoolOf(p.ID)] = true
	}
	return ids
}

// settled says that nothing of the spools in ids, and no gap, is left to deliver; the caller holds the lock.
func (s *state) settled(ids map[string]bool) bool {
	return len(s.gaps) == 0 && !slices.ContainsFunc(s.spools, func(p spool) bool { return ids[p.id] }) &&
		!slices.ContainsFunc(s.segments, func(p pending) bool { return ids[spoolOf(p.ID)] })
}

// sealed replaces the spool by the segments made of it.
func (s *state) sealed(p spool, segs []Segment, rows int64) {
	s.update(func() {
		s.spools = slices.DeleteFunc(s.spools, func(q spool) bool { return q.id == p.id })
		s.spoolBytes -= p.bytes
		if p.rows < 0 {
			s.recovered += rows
		}
		for _, seg := range segs {
			s.segments = append(s.segments, pending{Segment: seg})
			s.segBytes += seg.Bytes
		}
	})
}

// spoolOf returns the spool's id in a segment's id.
func spoolOf(segmentID string) string {
	if len(segmentID) < idLen {
		return segmentID
	}
	return segmentID[:idLen]
}

// idLen is the length of a spool's id, a UUID as text.
const idLen = 36
