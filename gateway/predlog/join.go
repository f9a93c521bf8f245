package predlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/google/uuid"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// ErrColumns: a segment has other columns than the file that it is to be joined to.
var ErrColumns = errors.New("predlog: other columns")

const (
	parquetMagic = "PAR1"
	// joinedBytes is how much of single rows is collected before it is written, raw.
	joinedBytes = 8 << 20
)

// Joiner writes one Parquet file made of segments, which it copies without decoding them, and of single rows. Not for concurrent use.
type Joiner struct {
	w      io.Writer
	at     int64
	footer format.FileMetaData // its Schema and ColumnOrders are those of every part

	rows    *segmentWriter // collects single rows; nil until the first
	held    bytes.Buffer   // what rows writes to
	pending int            // bytes of the rows collected
	frame   []byte         // scratch
}

// NewJoiner begins a file on w, with the columns of segments as they are written now. Close must follow.
func NewJoiner(w io.Writer) (*Joiner, error) {
	j := &Joiner{w: w}
	empty, err := j.sealed()
	if err != nil {
		return nil, err
	}
	j.footer.Schema, j.footer.ColumnOrders = empty.file.Metadata().Schema, empty.file.Metadata().ColumnOrders
	j.footer.Version, j.footer.CreatedBy = empty.file.Metadata().Version, empty.file.Metadata().CreatedBy
	j.footer.KeyValueMetadata = []format.KeyValue{{Key: metaFormat, Value: formatName}}
	return j, j.write([]byte(parquetMagic))
}

func (j *Joiner) write(b []byte) error {
	n, err := j.w.Write(b)
	j.at += int64(n)
	return err
}

// Segment appends a whole segment. Returns ErrColumns, and has written nothing, if an older or newer program wrote it with other columns:
// its rows may then be appended one by one.
func (j *Joiner) Segment(r io.ReaderAt, f *SegmentFile) error {
	if !sameColumns(j.footer.Schema, f.file.Metadata().Schema) {
		return ErrColumns
	}
	if err := j.flush(); err != nil {
		return err
	}
	return j.append(r, f)
}

func sameColumns(a, b []format.SchemaElement) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, errX := thrift.Marshal(new(thrift.CompactProtocol), &a[i])
		y, errY := thrift.Marshal(new(thrift.CompactProtocol), &b[i])
		if errX != nil || errY != nil || !bytes.Equal(x, y) {
			return false
		}
	}
	return true
}

// append copies the pages of a file and books its row groups at their new places. The index of pages is left out: readers do without.
func (j *Joiner) append(r io.ReaderAt, f *SegmentFile) error {
	groups := f.file.Metadata().RowGroups
	if len(j.footer.RowGroups)+len(groups) > math.MaxInt16 {
		return fmt.Errorf("predlog: more than %d row groups in one file", math.MaxInt16)
	}
	end := int64(len(parquetMagic))
	shift := j.at - end
	for _, g := range groups {
		moved := g
		moved.Columns = append([]format.ColumnChunk(nil), g.Columns...)
		moved.Ordinal = int16(len(j.footer.RowGroups))
		moved.FileOffset += shift
		for i := range moved.Columns {
			c := &moved.Columns[i]
			first := c.MetaData.DataPageOffset
			if d := c.MetaData.DictionaryPageOffset; d > 0 {
				first = min(first, d)
				c.MetaData.DictionaryPageOffset += shift
			}
			end = max(end, first+c.MetaData.TotalCompressedSize)
			c.MetaData.DataPageOffset += shift
			c.MetaData.BloomFilterOffset = 0
			if c.FileOffset > 0 {
				c.FileOffset += shift
			}
			c.ColumnIndexOffset, c.ColumnIndexLength, c.OffsetIndexOffset, c.OffsetIndexLength = 0, 0, 0, 0
		}
		j.footer.RowGroups = append(j.footer.RowGroups, moved)
		j.footer.NumRows += g.NumRows
	}
	if end > f.Bytes {
		return fmt.Errorf("predlog: segment %s: pages beyond its end", f.ID)
	}
	n, err := io.Copy(j.w, io.NewSectionReader(r, int64(len(parquetMagic)), end-int64(len(parquetMagic))))
	j.at += n
	return err
}

// Row appends one row, which is the caller's again when Row returned.
func (j *Joiner) Row(r *Row) error {
	if j.rows == nil {
		if err := j.begin(); err != nil {
			return err
		}
	}
	size := frameSize(&r.Record, math.MaxInt32)
	if cap(j.frame)-len(j.frame) < size { // rows collected so far keep the old bytes
		j.frame = make([]byte, 0, max(256<<10, size))
	}
	start := len(j.frame)
	j.frame, _ = appendFrame(j.frame, &r.Record, r.Time.UnixNano(), math.MaxInt32)
	sealFrames(j.frame[start:])
	var e entry
	if _, err := decodeFrame(j.frame[start:], &e); err != nil {
		return fmt.Errorf("predlog: row %s: %w", uuid.UUID(r.PredictionID), err)
	}
	if r.Truncated {
		e.flags |= flagTextCut
	}
	if err := j.rows.add(&e); err != nil {
		return err
	}
	if j.pending += size; j.pending >= joinedBytes {
		return j.flush()
	}
	return nil
}

func (j *Joiner) begin() (err error) {
	if j.rows, err = newSegmentWriter(); err != nil {
		return err
	}
	j.rows.reset(&j.held)
	return nil
}

// flush writes the rows collected as row groups of their own.
func (j *Joiner) flush() error {
	if j.rows == nil || j.pending == 0 {
		return nil
	}
	f, err := j.sealed()
	if err == nil {
		err = j.append(bytes.NewReader(j.held.Bytes()), f)
	}
	j.held.Reset()
	j.rows.reset(&j.held)
	j.frame, j.pending = j.frame[:0], 0
	return err
}

// sealed ends the file of single rows, which may be empty.
func (j *Joiner) sealed() (*SegmentFile, error) {
	if j.rows == nil {
		if err := j.begin(); err != nil {
			return nil, err
		}
	}
	if err := j.rows.finish(&Segment{ID: "rows"}, missing{}, nil); err != nil {
		return nil, err
	}
	f, err := OpenSegment(bytes.NewReader(j.held.Bytes()), int64(j.held.Len()))
	if err == nil && j.pending == 0 { // what was collected is not written out
		j.held.Reset()
		j.rows.reset(&j.held)
	}
	return f, err
}

// Close writes the footer; w stays open.
func (j *Joiner) Close() error {
	defer func() {
		if j.rows != nil {
			j.rows.close()
		}
	}()
	if err := j.flush(); err != nil {
		return err
	}
	footer, err := thrift.Marshal(new(thrift.CompactProtocol), &j.footer)
	if err != nil {
		return err
	}
	footer = binary.LittleEndian.AppendUint32(footer, uint32(len(footer)))
	return j.write(append(footer, parquetMagic...))
}
