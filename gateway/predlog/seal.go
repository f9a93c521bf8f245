package predlog

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	segmentSuffix = ".parquet"
	tempSuffix    = ".tmp"
	windowBytes   = 256 << 10
)

// sealer is the goroutine that turns finished spools into segments.
type sealer struct {
	l    *Log
	sw   *segmentWriter // made when first needed, dropped when idle
	win  window         // likewise
	pace pace
}

func newSealer(l *Log) *sealer {
	return &sealer{l: l, pace: pace{hurry: l.st.hurried, sleep: time.Sleep}}
}

// run seals until the Log is told to stop; a spool that cannot be sealed is tried again with back-off, the later ones wait.
func (s *sealer) run(ctx context.Context) {
	st := &s.l.st
	delay := s.l.opts.RetryMin
	for {
		s.idle()
		if st.wait(ctx, func() bool { return len(st.spools) > 0 }) != nil {
			return
		}
		st.mu.Lock()
		p := st.spools[0]
		st.mu.Unlock()
		if err := s.seal(p); err != nil {
			s.l.fail("prediction log cannot write segments", err)
			st.forgetIndex(p.id)
			if !sleep(ctx, delay) {
				return
			}
			delay = min(2*delay, s.l.opts.RetryMax)
			continue
		}
		delay = s.l.opts.RetryMin
	}
}

// idle gives the Parquet writer's buffers back when there is nothing to seal.
func (s *sealer) idle() {
	s.l.st.mu.Lock()
	defer s.l.st.mu.Unlock()
	if len(s.l.st.spools) == 0 && s.sw != nil {
		s.sw.close()
		s.sw, s.win = nil, window{}
	}
}

// seal turns p into one segment per Series. Its commit point is the removal of the spool: until then a crash makes the next Open throw the
// segments away and seal again, and no segment is delivered before it.
func (s *sealer) seal(p spool) error {
	idx, segs, err := s.segments(p)
	if err != nil {
		return err
	}
	if err := s.commit(p, segs); err != nil {
		return err
	}
	if lost := p.rows - idx.rows; p.rows >= 0 && lost > 0 {
		s.l.q.count(IOError, Series{}, lost)
		s.l.fail("prediction log read back fewer records than it wrote", fmt.Errorf("%s: %d of %d records are gone", p.path, lost, p.rows))
	}
	s.l.st.sealed(p, segs, idx.rows)
	return nil
}

// segments writes the spool's segments to temporary files, by the writer's index where there is one. A spool that cannot be read back as
// it was written is read as far as it goes.
func (s *sealer) segments(p spool) (*spoolIndex, []Segment, error) {
	if p.index != nil {
		if segs, err := s.indexed(p, p.index); !errors.Is(err, errFrame) {
			return p.index, segs, err
		}
	}
	idx, err := indexSpool(p.path, s.pace.frame)
	if err != nil {
		return nil, nil, err
	}
	segs, err := s.indexed(p, idx)
	return idx, segs, err
}

// indexed writes one segment per Series of the index.
func (s *sealer) indexed(p spool, idx *spoolIndex) ([]Segment, error) {
	segs := make([]Segment, len(idx.series))
	for i := range segs {
		var err error
		if segs[i], err = s.segment(p, idx, i); err != nil {
			s.discard(segs[:i])
			return nil, err
		}
	}
	return segs, nil
}

// segment writes the i-th Series of the spool to a temporary file.
func (s *sealer) segment(p spool, idx *spoolIndex, i int) (Segment, error) {
	id := fmt.Sprintf("%s-%03d", p.id, i)
	seg := Segment{ID: id, Path: filepath.Join(s.l.segmentDir, id+segmentSuffix), Series: idx.series[i]}
	if err := os.Remove(seg.Path + tempSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return seg, err
	}
	in, err := os.Open(p.path)
	if err != nil {
		return seg, err
	}
	defer in.Close()
	out, err := s.l.opts.files.create(seg.Path + tempSuffix)
	if err != nil {
		return seg, fmt.Errorf("create segment: %w", err)
	}
	err = errors.Join(s.copy(&seg, in, out, idx.spans[i]), out.Close())
	if err != nil {
		return seg, fmt.Errorf("write segment %s: %w", id, errors.Join(err, os.Remove(seg.Path+tempSuffix)))
	}
	return seg, nil
}

// copy writes the frames in spans as Parquet and syncs.
func (s *sealer) copy(seg *Segment, in io.ReaderAt, out file, spans []span) error {
	if s.sw == nil {
		sw, err := newSegmentWriter()
		if err != nil {
			return err
		}
		s.sw = sw
	}
	counted := &countingWriter{w: out}
	s.sw.reset(counted)
	s.win = window{r: in, leave: s.sw.flushBatch, buf: s.win.buf[:0]} // rows collected so far alias the window
	for _, at := range spans {
		if err := s.copySpan(at); err != nil {
			return err
		}
	}
	if err := s.sw.finish(seg, s.l.q.notLogged(), s.l.gap); err != nil {
		return err
	}
	seg.Bytes = counted.n
	return out.Sync()
}

func (s *sealer) copySpan(at span) error {
	var e entry
	for at.from < at.to {
		b, err := s.win.frame(at.from, at.to)
		if err == nil {
			_, err = decodeFrame(b, &e)
		}
		if err == nil {
			err = s.sw.add(&e)
		}
		if err != nil {
			return fmt.Errorf("frame at %d: %w", at.from, err)
		}
		at.from += int64(len(b))
		s.pace.frame()
	}
	return nil
}

// commit gives the segments their names and removes the spool, each durably, in this order.
func (s *sealer) commit(p spool, segs []Segment) error {
	for _, seg := range segs {
		if err := os.Rename(seg.Path+tempSuffix, seg.Path); err != nil {
			return err
		}
	}
	if err := syncDir(s.l.segmentDir); err != nil {
		return err
	}
	if err := os.Remove(p.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(s.l.spoolDir)
}

// discard removes the temporary files of a seal that failed.
func (s *sealer) discard(segs []Segment) {
	for _, seg := range segs {
		os.Remove(seg.Path + tempSuffix) // the next try, and Open, remove it too
	}
}

// place is where a frame stands in a spool.
type place struct{ offset, size int64 }

// scanFrames calls visit with each frame of a spool in order, and stops without error at the first that is not intact. The entry is valid
// during the call.
func scanFrames(r io.Reader, visit func(at place, e *entry) error) error {
	br := bufio.NewReaderSize(r, windowBytes)
	magic := make([]byte, len(spoolMagic))
	if _, err := io.ReadFull(br, magic); err != nil || string(magic) != spoolMagic {
		return tearOrError(err)
	}
	var (
		e   entry
		buf []byte
		at  = place{offset: int64(len(spoolMagic))}
	)
	for {
		header, err := br.Peek(frameHeader)
		if err != nil {
			return tearOrError(err)
		}
		n := frameHeader + int64(binary.LittleEndian.Uint32(header))
		if n > maxFrame {
			return nil
		}
		if int64(cap(buf)) < n {
			buf = make([]byte, n)
		}
		if _, err := io.ReadFull(br, buf[:n]); err != nil {
			return tearOrError(err)
		}
		if _, err := decodeFrame(buf[:n], &e); err != nil {
			return nil
		}
		at.size = n
		if err := visit(at, &e); err != nil {
			return err
		}
		at.offset += n
	}
}

// maxFrame bounds what a length field may make scanFrames allocate: twice the largest Options.MaxBodyBytes and the rest of a record.
const maxFrame = 2*(64<<20) + chunkOverhead

// tearOrError turns the end of the file, wherever it is, into nil: a spool may be torn.
func tearOrError(err error) error {
	if err == nil || err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil
	}
	return err
}

// window reads frames through one buffer. What it returned stays valid until it moves on, before which it calls leave.
type window struct {
	r     io.ReaderAt
	leave func() error
	buf   []byte
	start int64
}

// frame returns the frame at at, in a span that ends at end; errFrame if none can stand there.
func (w *window) frame(at, end int64) ([]byte, error) {
	header, err := w.bytes(at, frameHeader)
	if err != nil {
		return nil, err
	}
	size := int64(nextFrame(header))
	if size > end-at {
		return nil, errFrame
	}
	return w.bytes(at, size)
}

// bytes returns n bytes from at on; errFrame if the file ends before.
func (w *window) bytes(at, n int64) ([]byte, error) {
	if at < w.start || at+n > w.start+int64(len(w.buf)) {
		if err := w.move(at, n); err != nil {
			return nil, err
		}
	}
	lo := at - w.start
	return w.buf[lo : lo+n], nil
}

// move makes the window begin at at and hold n bytes at least.
func (w *window) move(at, n int64) error {
	if err := w.leave(); err != nil {
		return err
	}
	size := max(windowBytes, n)
	if int64(cap(w.buf)) < size {
		w.buf = make([]byte, size)
	}
	read, err := w.r.ReadAt(w.buf[:size], at)
	w.buf, w.start = w.buf[:read], at
	switch {
	case int64(read) >= n:
		return nil
	case err == io.EOF:
		return errFrame
	}
	return err
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// sleep waits for d; false means that ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
