package predlog

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/parquet-go/parquet-go"
)

// SegmentFile reads one segment. It is safe for concurrent use if its ReaderAt is.
type SegmentFile struct {
	Segment
	file *parquet.File
}

// OpenSegment reads the footer of a segment; Path stays empty. r stays the caller's to close, after the SegmentFile's last use. A file that the
// Parquet library cannot bear is ErrDamaged, here and wherever a SegmentFile is read.
func OpenSegment(r io.ReaderAt, size int64) (f *SegmentFile, err error) {
	err = guarded(func() error {
		file, err := parquet.OpenFile(r, size, parquet.SkipBloomFilters(true))
		if err != nil {
			return err
		}
		if err := sameTypes(file.Schema()); err != nil {
			return err
		}
		f = &SegmentFile{file: file}
		f.Segment, err = footer(file)
		f.Bytes = size
		return err
	})
	return f, err
}

// Rows returns the rows from the from-th on (the first is 0), in the order in which they were recorded. The Row is the caller's. After an
// error the sequence ends.
func (f *SegmentFile) Rows(from int64) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		if err := f.read(from, f.Segment.Rows, func(r Row) bool { return yield(r, nil) }); err != nil {
			yield(Row{}, err)
		}
	}
}

// sampleBlocks is how many runs of neighbouring rows a sample consists of: each costs the decoding of the pages around it.
const sampleBlocks = 8

// Sample returns most rows, or up to sampleBlocks fewer, in blocks that lie evenly over the file, or all rows if there are no more. It rests
// in between by calling rest, so that requests that arrive meanwhile wait for a burst of work at most. Otherwise as Rows.
func (f *SegmentFile) Sample(most int64, rest func(time.Duration)) iter.Seq2[Row, error] {
	blocks, size := int64(sampleBlocks), most/sampleBlocks
	if f.Segment.Rows <= most {
		blocks, size = 1, f.Segment.Rows
	}
	return func(yield func(Row, error) bool) {
		p := pace{hurry: func() bool { return false }, sleep: rest}
		for i := range blocks {
			stopped := false
			err := f.read(i*(f.Segment.Rows/blocks), size, func(r Row) bool {
				p.frame()
				stopped = !yield(r, nil)
				return !stopped
			})
			if err != nil && !stopped {
				yield(Row{}, err)
			}
			if err != nil || stopped {
				return
			}
		}
	}
}

// read yields the rows from the from-th on, most of them at the most.
func (f *SegmentFile) read(from, most int64, yield func(Row) bool) (err error) {
	left := min(most, f.Segment.Rows-from)
	if left <= 0 {
		return nil
	}
	var r *parquet.Reader
	err = guarded(func() error {
		r = parquet.NewReader(f.file, rowSchema)
		return r.SeekToRow(from)
	})
	if r != nil {
		defer func() { err = errors.Join(err, guarded(r.Close)) }()
	}
	if err != nil {
		return fmt.Errorf("row %d: %w", from, err)
	}
	values, batch := make([]parquet.Row, min(rowBatch, left)), make([]row, min(rowBatch, left))
	for left > 0 {
		n := 0
		err := guarded(func() (err error) {
			read, err := r.ReadRows(values[:min(rowBatch, left)])
			for ; n < read; n++ {
				if err := reconstruct(&batch[n], values[n]); err != nil {
					return err
				}
			}
			return err
		})
		for i := range batch[:n] {
			rec, err := batch[i].record()
			if err != nil {
				return err
			}
			if !yield(rec) {
				return nil
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("row %d: %w", from, io.ErrNoProgress)
		}
		left -= int64(n)
	}
	return nil
}

// ByID returns the row with this prediction id; false if there is none.
func (f *SegmentFile) ByID(id [16]byte) (Row, bool, error) {
	rows, err := f.with(columnID, []byte(uuid.UUID(id).String()), true, 1)
	if err != nil || len(rows) == 0 {
		return Row{}, false, err
	}
	return rows[0], true, nil
}

// ByClientID returns the first rows, limit at most, with this id of the client.
func (f *SegmentFile) ByClientID(id string, limit int) ([]Row, error) {
	return f.with(columnClientID, []byte(id), false, limit)
}

// errEnough ends a visit early.
var errEnough = errors.New("enough")

// with returns the rows that have this value in a text column; bounded says that the column's pages have bounds.
func (f *SegmentFile) with(column string, key []byte, bounded bool, limit int) ([]Row, error) {
	bounds := key
	if !bounded {
		bounds = nil
	}
	var at []int64
	err := f.values(column, bounds, func(row int64, v []byte) error {
		if v != nil && string(v) == string(key) {
			if at = append(at, row); len(at) >= limit {
				return errEnough
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	out := make([]Row, 0, len(at))
	for _, n := range at {
		err := f.read(n, 1, func(r Row) bool { out = append(out, r); return true })
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// The first backStride rows on the way backwards are read at once, so that a few of the newest cost little; then twice as many each time, up to
// maxBackStride, because every time pages are decoded anew.
const (
	backStride    = 64
	maxBackStride = 1024
)

// RowsBackwards returns the rows from the from-th on down to the first, the newest record first. The Row is the caller's. After an error
// the sequence ends.
func (f *SegmentFile) RowsBackwards(from int64) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		stride := int64(backStride)
		for start, end := int64(0), min(from+1, f.Segment.Rows); end > 0; end, stride = start, min(2*stride, maxBackStride) {
			start = max(end-stride, 0)
			piece := make([]Row, 0, end-start)
			err := f.read(start, end-start, func(r Row) bool { piece = append(piece, r); return true })
			if err != nil {
				yield(Row{}, err)
				return
			}
			for _, r := range slices.Backward(piece) {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}
