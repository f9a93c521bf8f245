package payload

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"sluice/runtime/tensor"
)

// An Arrow stream (source: the Arrow columnar format, "IPC streaming format") is a row of messages: metadata in FlatBuffers, then a body
// of buffers. As with Parquet, this package reads it itself, because a body comes from anybody: every length is checked against the bytes
// that are there, and what compressed buffers unfold to against the plan's bound on values.

// The kinds of messages.
const (
	arrowSchema     = 1
	arrowDictionary = 2
	arrowRecords    = 3
)

// arrowStream is a body on its way into columns.
type arrowStream struct {
	rest      []byte
	fields    []arrowField
	byID      map[int64]*arrowField // fields with a dictionary
	rows      int
	maxCells  int
	budget    int // decompressed bytes and bytes of text that are left
	hasSchema bool
}

// decodeArrow reads an Arrow IPC stream: flat columns of numbers, booleans, text, bytes and times, with nulls, and lists of a fixed size
// as tensors. Types are the stream's, enforced against the signature as pyfunc enforces a data frame's.
func (p *Plan) decodeArrow(body []byte, in *Input) error {
	s := &arrowStream{rest: body, maxCells: p.maxCells, budget: p.maxCells * bytesPerCell}
	if err := s.read(p); err != nil {
		return arrowError(err)
	}
	in.Batch.Reset(tensor.Table)
	in.Batch.Rows = s.rows
	for i := range s.fields {
		c := &s.fields[i]
		if c.dropped {
			continue
		}
		if j := p.index(c.name); j >= 0 && c.dtype == tensor.Binary && p.columns != nil && p.columns[j].dtype == tensor.String {
			c.dtype = tensor.String // bytes for a text column: they must be UTF-8
		}
		if c.null {
			c.dtype = p.nullType(c.name)
		}
		if err := c.column(in.Batch.AddColumn(c.name), s.rows, in); err != nil {
			return arrowError(fmt.Errorf("column %s: %w", quoteName(c.name), err))
		}
	}
	if p.typed {
		if err := p.sig.Inputs.Enforce(&in.Batch); err != nil {
			return schemaf("%v", err)
		}
		in.dropEmpty()
	}
	return nil
}

func arrowError(err error) error {
	if e := asPayload(err); e != nil {
		return e
	}
	return badf("Failed to parse input as an Arrow stream (application/vnd.apache.arrow.stream). Error: %v", err)
}

// read takes all messages apart. Dictionaries and record batches are kept as slices of the body where they are not compressed.
func (s *arrowStream) read(p *Plan) error {
	for {
		meta, err := s.metadata()
		if err != nil {
			return err
		}
		if meta == nil {
			break
		}
		if err := s.message(&flat{b: meta}, p); err != nil {
			return err
		}
	}
	if !s.hasSchema {
		return errors.New("the stream has no schema")
	}
	return nil
}

// metadata returns the next message's metadata; nil at the end of the stream.
func (s *arrowStream) metadata() ([]byte, error) {
	const continuation = 0xffffffff
	if len(s.rest) == 0 {
		return nil, nil // the end marker may be left out
	}
	size, err := s.word()
	if err != nil {
		return nil, err
	}
	if size == continuation { // absent in streams of Arrow before 0.15
		if size, err = s.word(); err != nil {
			return nil, err
		}
	}
	if size == 0 {
		return nil, nil
	}
	return s.take(int64(size))
}

func (s *arrowStream) word() (uint32, error) {
	b, err := s.take(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (s *arrowStream) take(n int64) ([]byte, error) {
	if n < 0 || n > int64(len(s.rest)) {
		return nil, errors.New("the stream ends inside a message")
	}
	b := s.rest[:n:n]
	s.rest = s.rest[n:]
	return b, nil
}

// message reads one message. The fields of Message: 1 the kind of its header, 2 the header, 3 the length of the body.
func (s *arrowStream) message(f *flat, p *Plan) error {
	root := f.root()
	kind, header, length := f.byte(root, 1, 0), f.table(root, 2), f.long(root, 3)
	if f.bad != nil {
		return f.bad
	}
	body, err := s.take(length)
	if err != nil {
		return err
	}
	switch {
	case kind == arrowSchema && !s.hasSchema:
		s.hasSchema = true
		return s.schema(f, header, p)
	case kind == arrowDictionary && s.hasSchema:
		return s.dictionary(f, header, body)
	case kind == arrowRecords && s.hasSchema:
		return s.records(f, header, body)
	}
	return fmt.Errorf("a message of kind %d is out of place", kind)
}

// dictionary keeps the values of a dictionary. The fields of DictionaryBatch: 0 id, 1 data, 2 whether it extends an earlier one.
func (s *arrowStream) dictionary(f *flat, t flatTable, body []byte) error {
	id, data, extends := f.long(t, 0), f.table(t, 1), f.byte(t, 2, 0) != 0
	if f.bad != nil {
		return f.bad
	}
	c := s.byID[id]
	switch {
	case c == nil:
		return fmt.Errorf("a dictionary %d that no column uses", id)
	case len(c.chunks) > 0 && !extends:
		return errors.New("dictionaries that are replaced within a stream are not supported")
	case !extends:
		c.dictionary = nil
	}
	b, err := s.batch(f, data, body)
	if err != nil {
		return err
	}
	chunk, err := b.chunk(c.values)
	if err != nil {
		return err
	}
	if len(c.dictionary)+chunk.length > s.maxCells {
		return tooManyCells(s.maxCells)
	}
	c.dictionary, err = c.values.appendTexts(c.dictionary, &chunk)
	return err
}

// records keeps the buffers of one record batch, column by column.
func (s *arrowStream) records(f *flat, t flatTable, body []byte) error {
	b, err := s.batch(f, t, body)
	if err != nil {
		return err
	}
	if b.length > int64(s.maxCells-s.rows) {
		return tooManyCells(s.maxCells)
	}
	s.rows += int(b.length)
	if err := checkCells(s.rows, s.width(), s.maxCells); err != nil {
		return err
	}
	for i := range s.fields {
		c := &s.fields[i]
		chunk, err := b.chunk(c)
		if err != nil {
			return fmt.Errorf("column %s: %w", quoteName(c.name), err)
		}
		if int64(chunk.length) != b.length {
			return fmt.Errorf("column %s: %d values in a batch of %d rows", quoteName(c.name), chunk.length, b.length)
		}
		if !c.dropped && chunk.length > 0 {
			c.chunks = append(c.chunks, chunk)
		}
	}
	return nil
}

// width is how many values one row holds.
func (s *arrowStream) width() int {
	n := 0
	for i := range s.fields {
		n += max(1, s.fields[i].list)
		if n > math.MaxInt32 {
			return math.MaxInt32
		}
	}
	return n
}
