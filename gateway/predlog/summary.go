package predlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/bloom"
)

// Summary is what an index keeps of a segment, so that the file need not be opened to know what it cannot hold.
type Summary struct {
	Segment
	// FirstID and LastID are the smallest and the largest prediction id.
	FirstID, LastID [16]byte
	// IDs holds the prediction ids, ClientIDs the clients' ids; the latter is empty if no request had one.
	IDs, ClientIDs Filter
}

// Filter is a Bloom filter in the form of Parquet's split blocks: it may take a key for held that is not (1 in 100), never the other way
// round. The empty Filter holds nothing.
type Filter []byte

// filterBits is the size of a filter per key.
const filterBits = 10

// MayHold says whether the key may be held.
func (f Filter) MayHold(key []byte) bool {
	blocks := bloom.MakeSplitBlockFilter(f[:len(f)/bloom.BlockSize*bloom.BlockSize])
	return len(blocks) > 0 && blocks.Check(xxhash.Sum64(key))
}

// filterOf makes a filter from the hashes of its keys.
func filterOf(hashes []uint64) Filter {
	if len(hashes) == 0 {
		return nil
	}
	blocks := make(bloom.SplitBlockFilter, bloom.NumSplitBlocksOf(int64(len(hashes)), filterBits))
	blocks.InsertBulk(hashes)
	return blocks.Bytes()
}

// IDTime returns when a prediction id (UUIDv7) was made, to the ms. Other UUIDs give a time without meaning.
func IDTime(id [16]byte) time.Time {
	var ms [8]byte
	copy(ms[2:], id[:6])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:]))).UTC()
}

// Summarize reads the summary of the segment file at path.
func Summarize(path string) (Summary, error) {
	f, err := os.Open(path)
	if err != nil {
		return Summary{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Summary{}, err
	}
	file, err := OpenSegment(f, info.Size())
	if err != nil {
		return Summary{}, fmt.Errorf("summarize %s: %w", path, err)
	}
	s, err := file.Summary()
	s.Path = path
	return s, err
}

// Summary reads the ids in the file, and rests in between as the sealer does.
func (f *SegmentFile) Summary() (Summary, error) {
	s := Summary{Segment: f.Segment}
	var ids, clients []uint64
	p := pace{hurry: func() bool { return false }, sleep: time.Sleep}
	err := f.values(columnID, nil, func(_ int64, v []byte) error {
		p.frame()
		id, err := uuid.ParseBytes(v)
		if err != nil {
			return fmt.Errorf("prediction id: %w", err)
		}
		if len(ids) == 0 || bytes.Compare(id[:], s.FirstID[:]) < 0 {
			s.FirstID = id
		}
		if bytes.Compare(id[:], s.LastID[:]) > 0 {
			s.LastID = id
		}
		ids = append(ids, xxhash.Sum64(id[:]))
		return nil
	})
	if err == nil {
		err = f.values(columnClientID, nil, func(_ int64, v []byte) error {
			p.frame()
			if len(v) > 0 {
				clients = append(clients, xxhash.Sum64(v))
			}
			return nil
		})
	}
	s.IDs, s.ClientIDs = filterOf(ids), filterOf(clients)
	return s, err
}

// The columns that are searched.
const (
	columnID       = "databricks_request_id"
	columnClientID = "client_request_id"
)

// values calls visit with the row and the value of each of a column's texts, in order, leaving out pages that by their bounds hold none
// between key and key; a nil key leaves out none. A null is nil.
func (f *SegmentFile) values(column string, key []byte, visit func(row int64, v []byte) error) error {
	return guarded(func() error { return f.columnValues(column, key, visit) })
}

func (f *SegmentFile) columnValues(column string, key []byte, visit func(row int64, v []byte) error) error {
	leaf, ok := f.file.Schema().Lookup(column)
	if !ok {
		return fmt.Errorf("segment without column %s", column)
	}
	base := int64(0)
	for _, group := range f.file.RowGroups() {
		if err := chunkValues(group.ColumnChunks()[leaf.ColumnIndex], key, func(row int64, v []byte) error { return visit(base+row, v) }); err != nil {
			return fmt.Errorf("column %s: %w", column, err)
		}
		base += group.NumRows()
	}
	return nil
}

func chunkValues(chunk parquet.ColumnChunk, key []byte, visit func(row int64, v []byte) error) error {
	pages := chunk.Pages()
	defer pages.Close()
	if key == nil {
		return pageValues(pages, 0, -1, visit)
	}
	index, err := chunk.ColumnIndex()
	if err != nil {
		return err
	}
	offsets, err := chunk.OffsetIndex()
	if err != nil {
		return err
	}
	for i := range index.NumPages() {
		if bytes.Compare(key, index.MinValue(i).ByteArray()) < 0 || bytes.Compare(key, index.MaxValue(i).ByteArray()) > 0 {
			continue
		}
		first := offsets.FirstRowIndex(i)
		if err := pages.SeekToRow(first); err != nil {
			return err
		}
		if err := pageValues(pages, first, 1, visit); err != nil {
			return err
		}
	}
	return nil
}

// pageValues visits the values of so many pages, of all that are left if n is negative; the first begins at row.
func pageValues(pages parquet.Pages, row int64, n int, visit func(row int64, v []byte) error) error {
	var buf [256]parquet.Value
	for ; n != 0; n-- {
		page, err := pages.ReadPage()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		values := page.Values()
		for err == nil {
			var got int
			got, err = values.ReadValues(buf[:])
			for _, v := range buf[:got] {
				var text []byte
				if !v.IsNull() {
					text = v.ByteArray()
				}
				if verr := visit(row, text); verr != nil {
					parquet.Release(page)
					return verr
				}
				row++
			}
		}
		parquet.Release(page)
		if !errors.Is(err, io.EOF) {
			return err
		}
	}
	return nil
}
