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
		s.sw = nil
	}
}

// seal turns p into one segment per Series. Its commit point is the removal of the spool: until then a crash makes the next Open throw the
// segments away and seal again, and no segment is delivered before it.
func (s *sealer) seal(p spool) error {
	idx, err := indexSpool(p.path, s.pace.frame)
	if err != nil {
		return err
	}
	segs := make([]Segment, len(idx.series))
	for i := range idx.series {
		if segs[i], err = s.segment(p, idx, i); err != nil {
			s.discard(segs[:i])
			return err
		}
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
	err = errors.Join(s.copy(&seg, in, out, idx.places[i]), out.Close())
	if err != nil {
		return seg, fmt.Errorf("write segment %s: %w", id, errors.Join(err, os.Remove(seg.Path+tempSuffix)))
	}
	return seg, nil
}

// copy writes the frames at places as Parquet and syncs.
func (s *sealer) copy(seg *Segment, in io.ReaderAt, out file, places []place) error {
	if s.sw == nil {
		sw, err := newSegmentWriter()
		if err != nil {
			return err
		}
		s.sw = sw
	}
	counted := &countingWriter{w: out}
	s.sw.reset(counted)
	win := window{r: in}
	var e entry
	for _, at := range places {
		b, fits := win.at(at)
		if !fits { // the window moves on: rows collected so far alias it
			if err := s.sw.flushBatch(); err != nil {
				return err
			}
			var err error
			if b, err = win.load(at); err != nil {
				return err
			}
		}
		if _, err := decodeFrame(b, &e); err != nil {
			return fmt.Errorf("at %d: %w", at.offset, err)
		}
		if err := s.sw.add(&e); err != nil {
			return err
		}
		s.pace.frame()
	}
	if err := s.sw.finish(seg, s.l.q.dropsNow()); err != nil {
		return err
	}
	seg.Bytes = counted.n
	return out.Sync()
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

// spoolIndex is what one pass over a spool finds: its Series in order of appearance and the places of their frames. Memory: 16 bytes a record.
type spoolIndex struct {
	series []Series
	places [][]place
	rows   int64
}

// indexSpool reads a spool up to its last intact frame and calls visited after each. A missing file is an empty spool: it was sealed before a crash.
func indexSpool(path string, visited func()) (*spoolIndex, error) {
	idx := &spoolIndex{}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return idx, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	ordinals := map[Series]int{}
	err = scanFrames(f, func(at place, e *entry) error {
		// A composite literal of converted bytes does not allocate when it is only a key.
		n, ok := ordinals[Series{string(e.texts[textEndpoint]), string(e.texts[textModel]), int(e.version)}]
		if !ok {
			s := e.series()
			n = len(idx.series)
			ordinals[s] = n
			idx.series, idx.places = append(idx.series, s), append(idx.places, nil)
		}
		idx.places[n] = append(idx.places[n], at)
		idx.rows++
		visited()
		return nil
	})
	return idx, err
}

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

// window reads frames through one buffer; frames that it returned stay valid until load.
type window struct {
	r     io.ReaderAt
	buf   []byte
	start int64
}

// at returns the frame at p if it is in the window.
func (w *window) at(p place) (b []byte, ok bool) {
	lo := p.offset - w.start
	if w.buf == nil || lo < 0 || lo+p.size > int64(len(w.buf)) {
		return nil, false
	}
	return w.buf[lo : lo+p.size], true
}

// load moves the window to begin with the frame at p and returns it.
func (w *window) load(p place) ([]byte, error) {
	size := max(windowBytes, p.size)
	if int64(cap(w.buf)) < size {
		w.buf = make([]byte, size)
	}
	n, err := w.r.ReadAt(w.buf[:size], p.offset)
	if int64(n) < p.size {
		return nil, fmt.Errorf("read spool at %d: %w", p.offset, err)
	}
	w.buf, w.start = w.buf[:n], p.offset
	return w.buf[:p.size], nil
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
