package predlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"
)

var (
	// ErrLocked: another process has the directory open.
	ErrLocked = errors.New("predlog: the directory is in use by another process")
	errClosed = errors.New("predlog: closed")
)

// closeGrace is how long Close waits beyond its context for goroutines that are inside a system call or a Sink.
const closeGrace = 2 * time.Second

// Log is an open prediction log; make it with Open.
type Log struct {
	opts                      Options
	dir, spoolDir, segmentDir string
	gapDir                    string
	sink                      Sink
	lock                      *os.File
	gap                       *Gap // that this life began with; nil if none
	marker                    marker

	q           queue
	full, dirty chan struct{} // capacity 1: what the queue asks of the writer
	flushes     chan flush
	st          state

	cancel  context.CancelFunc // ends the goroutines
	stopped <-chan struct{}    // closed by cancel
	wg      sync.WaitGroup

	closeOnce sync.Once
	lost      int64
	closeErr  error
}

// Open opens or creates the log in dir, recovers what an earlier life left there and starts the goroutines that Close waits for. Recovered
// spools are sealed and delivered in the background. It returns ErrLocked if another process has dir open.
func Open(dir string, sink Sink, opts *Options) (*Log, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if sink == nil {
		return nil, errors.New("predlog: a sink is required")
	}
	l := &Log{
		opts: o, dir: dir, sink: sink,
		spoolDir: filepath.Join(dir, "spool"), segmentDir: filepath.Join(dir, "segments"), gapDir: filepath.Join(dir, "gaps"),
		full: make(chan struct{}, 1), dirty: make(chan struct{}, 1), flushes: make(chan flush),
	}
	l.q.chunkBytes, l.q.maxChunks = o.chunkBytes(), o.QueueBytes/o.chunkBytes()
	l.q.full, l.q.bySeries = make([][]byte, 0, l.q.maxChunks), map[Series]*missing{}
	l.st.changed = make(chan struct{})
	for _, d := range []string{l.spoolDir, l.segmentDir, l.gapDir} {
		if err := os.MkdirAll(d, 0o750); err != nil {
			return nil, fmt.Errorf("predlog: %w", err)
		}
	}
	if l.lock, err = lockFile(filepath.Join(dir, "lock")); err != nil {
		return nil, err
	}
	if err := errors.Join(l.recover(), l.recoverGaps(), l.beginMark()); err != nil {
		return nil, errors.Join(err, l.lock.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel, l.stopped = cancel, ctx.Done()
	l.wg.Go(func() { (&writer{l: l}).run() })
	l.wg.Go(func() { newSealer(l).run(ctx) })
	l.wg.Go(func() { l.deliver(ctx) })
	return l, nil
}

// beginMark puts the mark of this life into the directory. A full disk takes it later.
func (l *Log) beginMark() error {
	life, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("predlog: name a life: %w", err)
	}
	l.marker = marker{path: l.markPath(), mark: mark{life: life, saved: l.opts.Now(), atMost: l.opts.gapBound()}}
	if err := l.marker.begin(); err != nil {
		if !noSpace(err) {
			return fmt.Errorf("predlog: %w", err)
		}
		l.fail("prediction log cannot mark that it is open", err)
	}
	return nil
}

// Record offers a record: it is copied into the queue, or dropped and counted. It never blocks on I/O, allocates nothing and keeps nothing of r.
func (l *Log) Record(r *Record) {
	timeNS := int64(0)
	if r.Time.IsZero() {
		timeNS = l.opts.Now().UnixNano()
	} else {
		timeNS = r.Time.UnixNano()
	}
	switch l.q.offer(r, timeNS, l.opts.MaxBodyBytes) {
	case wakeFull:
		signal(l.full)
	case wakeDirty:
		signal(l.dirty)
	}
}

// Skip counts a request that is not logged because the sampling of its endpoint leaves it out: no drop, and no row. It allocates nothing.
func (l *Log) Skip(s Series) { l.q.skip(s) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Stats returns a snapshot of the counters and gauges.
func (l *Log) Stats() Stats {
	var s Stats
	l.q.mu.Lock()
	s.Offered, s.Recorded, s.Truncated = l.q.offered, l.q.recorded, l.q.truncated
	s.Dropped, s.SampledOut, s.QueuedBytes = l.q.drops, l.q.sampledOut, l.q.queued
	l.q.mu.Unlock()
	if l.gap != nil {
		s.Gaps, s.GapRecords = 1, l.gap.AtMost
	}
	l.st.mu.Lock()
	defer l.st.mu.Unlock()
	s.Written, s.Delivered, s.Recovered = l.st.written, l.st.delivered, l.st.recovered
	s.DiskBytes = l.st.openBytes + l.st.spoolBytes + l.st.segBytes
	s.SegmentsPending = len(l.st.segments)
	s.LastError, s.LastErrorTime = l.st.lastError, l.st.lastErrorTime
	return s
}

// DroppedBySeries returns the drops of each Series that has any; those whose Series is unknown stand under the zero Series.
func (l *Log) DroppedBySeries() map[Series]Drops { return l.q.dropsOf() }

// SampledOutBySeries returns the requests that sampling left out, of each Series that has any.
func (l *Log) SampledOutBySeries() map[Series]int64 { return l.q.sampledOutOf() }

// Flush returns when everything recorded before the call is delivered or counted as dropped; waiting retries are tried at once. When ctx
// ends first it returns ctx's error with the last failure.
func (l *Log) Flush(ctx context.Context) error {
	l.st.flushing.Add(1)
	defer l.st.flushing.Add(-1)
	err := l.flushWriter(ctx, true)
	if err == nil {
		ids := l.st.outstanding()
		l.retryNow()
		err = l.st.wait(ctx, func() bool { return l.st.settled(ids) })
	}
	if err == nil {
		return nil
	}
	if last := l.Stats().LastError; last != "" {
		return fmt.Errorf("predlog: flush: %w (last failure: %s)", err, last)
	}
	return fmt.Errorf("predlog: flush: %w", err)
}

// Close flushes until ctx ends and stops the goroutines. lost is the number of records dropped since Open, whatever the reason. Segments
// that could not be delivered are not lost: they stay on disk, the next Open delivers them, and err says so. A second Close returns the
// same.
func (l *Log) Close(ctx context.Context) (lost int64, err error) {
	l.closeOnce.Do(func() { l.lost, l.closeErr = l.close(ctx) })
	return l.lost, l.closeErr
}

func (l *Log) close(ctx context.Context) (int64, error) {
	l.q.close()
	err := l.Flush(ctx)
	l.cancel()
	ended := make(chan struct{})
	go func() { l.wg.Wait(); close(ended) }()
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-ended:
		err = errors.Join(err, l.marker.end(), l.lock.Close())
	case <-grace.C: // the lock stays: what still runs may write
		err = errors.Join(err, errors.New("predlog: close: the disk or the sink does not answer"))
	}
	return l.q.abandon(), err
}

// fail remembers and logs a failure.
func (l *Log) fail(msg string, err error, attrs ...any) {
	l.st.mu.Lock()
	l.st.lastError, l.st.lastErrorTime = err.Error(), l.opts.Now()
	l.st.mu.Unlock()
	l.opts.Logger.Error(msg, append(attrs, slog.Any("error", err))...)
}
