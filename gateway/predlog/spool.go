package predlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
)

const (
	spoolMagic  = "SLCSPL1\n" // the first bytes of a spool
	spoolSuffix = ".spool"
	// diskReserve is left free on the file system for the footers of segments.
	diskReserve = 64 << 10
)

// writer is the goroutine that owns the open spool: it takes chunks from the queue, appends them, syncs and ends spools.
type writer struct {
	l        *Log
	chunks   [][]byte // scratch
	f        file     // the open spool; nil if none
	current  spool
	opened   time.Time
	dirty    bool  // f has bytes that are not synced
	unsynced int64 // how many
	entered  bool  // the directory knows f durably
}

// run writes until the Log is told to stop, then writes what is left.
func (w *writer) run() {
	write, sync, age, beat := stoppedTimer(), stoppedTimer(), stoppedTimer(), time.NewTicker(markEvery)
	for _, stop := range []func() bool{write.Stop, sync.Stop, age.Stop} {
		defer stop()
	}
	defer beat.Stop()
	toWrite, toSync := false, false // the timers run
	for {
		had := w.f != nil
		select {
		case <-w.l.full:
			w.drain(false)
		case <-w.l.dirty:
			switch {
			case w.l.opts.Sync == SyncAlways:
				w.save()
			case !toWrite:
				write.Reset(w.l.opts.WriteInterval)
				toWrite = true
			}
		case <-write.C:
			toWrite = false
			if w.l.opts.Sync == SyncNone {
				w.save()
				break
			}
			w.drain(true)
			if !toSync {
				sync.Reset(w.l.opts.SyncInterval - w.l.opts.WriteInterval)
				toSync = true
			}
		case <-sync.C:
			toSync = false
			w.save()
		case <-beat.C:
			w.beat()
		case <-age.C:
			w.rotate()
		case f := <-w.l.flushes:
			w.drain(true)
			if f.end {
				w.rotate()
			}
			close(f.done)
		case <-w.l.stopped:
			w.drain(true)
			w.rotate()
			return
		}
		if w.f != nil && (w.current.rows >= int64(w.l.opts.SpoolRows) || w.current.bytes >= w.l.opts.SpoolBytes) {
			w.rotate()
		}
		if !had && w.f != nil {
			age.Reset(w.l.opts.SpoolAge)
		}
	}
}

// save puts everything offered so far on disk, as far as the policy goes, and marks that.
func (w *writer) save() {
	now := w.l.opts.Now()
	w.drain(true)
	if w.sync() {
		w.l.marker.move(now)
	}
}

// beat moves the mark on while there is nothing to save.
func (w *writer) beat() {
	now := w.l.opts.Now()
	if !w.dirty && w.l.q.empty() {
		w.l.marker.move(now)
	}
}

func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// drain appends the queue's full chunks, and with all also the one being filled, to the spool.
func (w *writer) drain(all bool) {
	w.chunks = w.l.q.drain(w.chunks[:0], all)
	for i, c := range w.chunks {
		frames := sealFrames(c)
		w.append(c, int64(frames))
		w.l.q.release(c, frames)
		w.chunks[i] = nil
	}
}

// append writes one chunk of so many sealed frames, or counts them as dropped.
func (w *writer) append(chunk []byte, frames int64) {
	if !w.room(int64(len(chunk))) {
		w.drop(DiskFull, chunk)
		return
	}
	if w.f == nil {
		if err := w.open(); err != nil {
			w.failed(err, chunk)
			return
		}
	}
	n, err := w.f.Write(chunk)
	if err == nil {
		w.grew(int64(n), frames)
		if w.current.index != nil {
			w.current.index.addFrames(chunk)
		}
		if w.unsynced >= w.l.opts.unsyncedBytes() {
			w.sync()
		}
		return
	}
	w.partial(chunk, n, err)
}

// grew books bytes and rows of the open spool.
func (w *writer) grew(bytes, rows int64) {
	w.dirty = true
	w.unsynced += bytes
	w.current.bytes += bytes
	w.current.rows += rows
	w.l.st.update(func() {
		w.l.st.openPath, w.l.st.openBytes = w.current.path, w.current.bytes
		w.l.st.written += rows
	})
}

// partial books the whole frames of a write that failed after n bytes, and cuts the rest off the file again. A file that cannot be cut or
// that failed for another reason than a full disk is given up: its frames up to the tear are read back when it is sealed.
func (w *writer) partial(chunk []byte, n int, err error) {
	w.current.index = nil
	kept, rows := 0, int64(0)
	for kept < n {
		size := nextFrame(chunk[kept:])
		if kept+size > n {
			break
		}
		kept += size
		rows++
	}
	w.grew(int64(kept), rows)
	w.failed(fmt.Errorf("write spool: %w", err), chunk[kept:])
	if terr := w.f.Truncate(w.current.bytes); terr != nil || !noSpace(err) {
		w.rotate()
	}
}

// failed reports err and counts the frames as dropped for it.
func (w *writer) failed(err error, frames []byte) {
	w.l.fail("prediction log cannot write", err)
	reason := IOError
	if noSpace(err) {
		reason = DiskFull
	}
	w.drop(reason, frames)
}

// drop counts every frame as dropped, under its Series.
func (w *writer) drop(reason Reason, frames []byte) {
	var e entry
	for len(frames) > 0 {
		n := nextFrame(frames)
		if _, err := decodeFrame(frames[:n], &e); err != nil {
			w.l.q.count(reason, Series{}, 1)
		} else {
			w.l.q.count(reason, e.series(), 1)
		}
		frames = frames[n:]
	}
}

// room says whether n more bytes fit both Options.MaxDiskBytes and the file system, where the segments made of what is not yet sealed must
// also fit: else a full disk could never heal.
func (w *writer) room(n int64) bool {
	all, unsealed := w.l.st.diskBytes()
	if all+n > w.l.opts.MaxDiskBytes {
		return false
	}
	free, err := w.l.opts.files.free(w.l.spoolDir)
	return err != nil || free >= 2*n+unsealed+diskReserve
}

// open begins a new spool.
func (w *writer) open() error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("name spool: %w", err)
	}
	p := spool{id: id.String(), path: filepath.Join(w.l.spoolDir, id.String()+spoolSuffix), bytes: int64(len(spoolMagic)), index: newSpoolIndex()}
	f, err := w.l.opts.files.create(p.path)
	if err != nil {
		return fmt.Errorf("create spool: %w", err)
	}
	if _, err := f.Write([]byte(spoolMagic)); err != nil {
		return errors.Join(fmt.Errorf("begin spool: %w", err), f.Close(), os.Remove(p.path))
	}
	w.f, w.current, w.dirty, w.entered = f, p, true, false
	return nil
}

// sync makes what was appended durable, where that is wanted. After a failed fsync nobody knows what is on disk: the file is given up and read
// back, and sync says false.
func (w *writer) sync() bool {
	w.unsynced = 0
	if w.f == nil || !w.dirty {
		return true
	}
	if w.l.opts.Sync == SyncNone {
		w.dirty = false
		return true
	}
	err := w.f.Sync()
	if err == nil && !w.entered {
		err = syncDir(w.l.spoolDir)
		w.entered = err == nil
	}
	w.dirty = false
	if err != nil {
		w.l.fail("prediction log cannot sync", fmt.Errorf("sync spool: %w", err))
		w.current.index = nil
		w.rotate()
	}
	return err == nil
}

// rotate ends the open spool and hands it to the sealer.
func (w *writer) rotate() {
	if w.f == nil {
		return
	}
	w.sync()
	if w.f == nil { // the sync failed and rotated
		return
	}
	if err := w.f.Close(); err != nil {
		w.l.fail("prediction log cannot close a spool", err)
		w.current.index = nil
	}
	w.l.st.finished(w.current)
	w.f, w.current = nil, spool{}
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// flush asks the writer to write everything queued, and with end to end the spool.
type flush struct {
	end  bool
	done chan struct{} // closed when it is done
}

// flushWriter asks the writer to write everything queued, and with end to end the spool.
func (l *Log) flushWriter(ctx context.Context, end bool) error {
	done := make(chan struct{})
	select {
	case l.flushes <- flush{end, done}:
	case <-l.stopped:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
