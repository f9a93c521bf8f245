package payload

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"sluice/runtime/tensor"
)

// arrowBatch is one record batch: the lengths of its nodes and its buffers, which are taken in the order of the schema.
type arrowBatch struct {
	s       *arrowStream
	f       *flat
	length  int64
	codec   int // −1: not compressed
	nodes   int // where the next node stands, 16 bytes each: length, nulls
	left    int
	buffers int // where the next buffer stands, 16 bytes each: offset, length
	spare   int
	body    []byte
}

// arrowChunk is the part of a column that one record batch holds.
type arrowChunk struct {
	length   int
	nulls    bool
	validity []byte // one bit a row, 1 where there is a value; used if nulls
	offsets  []byte // of text
	data     []byte
	inner    *arrowChunk // of lists: the values
}

var errArrowBuffer = errors.New("a buffer does not fit")

// batch opens a record batch. The fields of RecordBatch: 0 length, 1 nodes, 2 buffers, 3 compression (whose field 0 is the codec).
func (s *arrowStream) batch(f *flat, t flatTable, body []byte) (*arrowBatch, error) {
	b := &arrowBatch{s: s, f: f, length: f.long(t, 0), codec: -1, body: body}
	b.nodes, b.left = f.vector(t, 1, 16)
	b.buffers, b.spare = f.vector(t, 2, 16)
	if c := f.table(t, 3); c != 0 {
		b.codec = f.byte(c, 0, 0)
	}
	if f.bad == nil && b.length < 0 {
		f.fail()
	}
	return b, f.bad
}

// chunk takes the nodes and buffers of a column.
func (b *arrowBatch) chunk(c *arrowField) (arrowChunk, error) {
	k, err := b.node()
	if err != nil || c.null {
		return k, err
	}
	if k.validity, err = b.buffer(c.dropped); err != nil {
		return k, err
	}
	if k.nulls && !c.dropped && len(k.validity) < (k.length+7)/8 {
		return k, errArrowBuffer
	}
	if c.list > 0 {
		inner := arrowField{dtype: c.dtype, size: c.size, perUnit: c.perUnit, dropped: c.dropped}
		values, err := b.chunk(&inner)
		if err == nil && values.length != k.length*c.list {
			err = errArrowBuffer
		}
		k.inner = &values
		return k, err
	}
	if c.dtype.Text() && c.values == nil {
		if k.offsets, err = b.buffer(c.dropped); err != nil {
			return k, err
		}
	}
	if k.data, err = b.buffer(c.dropped); err != nil || c.dropped {
		return k, err
	}
	if c.dtype.Text() && c.values == nil { // columns may share a buffer: what becomes of it is bounded as a whole
		if b.s.budget -= len(k.data); b.s.budget < 0 {
			return k, tooManyCells(b.s.maxCells)
		}
	}
	return k, c.checkData(&k)
}

// checkData makes sure that the buffers hold as many values as the node says.
func (c *arrowField) checkData(k *arrowChunk) error {
	need := k.length * c.size
	switch {
	case c.dtype == tensor.Bool && c.values == nil:
		need = (k.length + 7) / 8
	case c.dtype.Text() && c.values == nil:
		if k.length > 0 && len(k.offsets) < (k.length+1)*c.offsetSize() {
			return errArrowBuffer
		}
	}
	if len(k.data) < need {
		return errArrowBuffer
	}
	return nil
}

func (c *arrowField) offsetSize() int {
	if c.wide {
		return 8
	}
	return 4
}

// node takes the next node: its length and whether there are nulls.
func (b *arrowBatch) node() (arrowChunk, error) {
	if b.left == 0 {
		return arrowChunk{}, errFlat
	}
	length, nulls := b.f.i64(b.nodes), b.f.i64(b.nodes+8)
	b.nodes, b.left = b.nodes+16, b.left-1
	if length < 0 || nulls < 0 || nulls > length {
		return arrowChunk{}, errFlat
	}
	if length > int64(b.s.maxCells) {
		return arrowChunk{}, tooManyCells(b.s.maxCells)
	}
	return arrowChunk{length: int(length), nulls: nulls > 0}, b.f.bad
}

// buffer takes the next buffer, decompressed unless nobody will look at it.
func (b *arrowBatch) buffer(unread bool) ([]byte, error) {
	if b.spare == 0 {
		return nil, errFlat
	}
	offset, length := b.f.i64(b.buffers), b.f.i64(b.buffers+8)
	b.buffers, b.spare = b.buffers+16, b.spare-1
	if offset < 0 || length < 0 || offset > int64(len(b.body)) || length > int64(len(b.body))-offset {
		return nil, errArrowBuffer
	}
	raw := b.body[offset : offset+length]
	if b.codec < 0 || unread || len(raw) == 0 {
		return raw, nil
	}
	return b.decompress(raw)
}

// decompress unfolds a buffer: its length in 8 bytes, −1 meaning that it is stored as it is, then the codec's frame.
func (b *arrowBatch) decompress(raw []byte) ([]byte, error) {
	const stored, zstandard = -1, 1
	if len(raw) < 8 {
		return nil, errArrowBuffer
	}
	length, raw := int64(binary.LittleEndian.Uint64(raw)), raw[8:]
	switch {
	case length == stored:
		return raw, nil
	case length < 0 || length > int64(b.s.budget):
		return nil, tooManyCells(b.s.maxCells)
	case b.codec != zstandard:
		return nil, fmt.Errorf("of the compressions only zstd is supported")
	}
	b.s.budget -= int(length)
	out, err := unpackZstd(raw, int(length))
	if err == nil && len(out) != int(length) {
		err = errArrowBuffer
	}
	return out, err
}

// column makes the tensor of a column from its chunks.
func (c *arrowField) column(out *tensor.Tensor, rows int, in *Input) error {
	if c.list > 0 {
		return c.matrix(out, rows, in)
	}
	if c.plain() {
		in.shape = append(in.shape[:0], int64(rows))
		out.ResetDirty(c.dtype, in.shape...)
		c.copyPlain(out.Raw())
		return nil
	}
	values := columnValues{words: in.words[:0]}
	for i := range c.chunks {
		if err := c.appendChunk(&values, &c.chunks[i]); err != nil {
			return err
		}
	}
	in.words = values.words
	return values.finish(out, c.name, c.dtype, in)
}

// plain says that the buffers hold what the tensor's memory holds: values of the same size, none missing, times in nanoseconds.
func (c *arrowField) plain() bool {
	if c.values != nil || c.null || c.size == 0 || c.size != c.dtype.Size() || c.perUnit > 1 {
		return false
	}
	for i := range c.chunks {
		if c.chunks[i].nulls {
			return false
		}
	}
	return true
}

func (c *arrowField) copyPlain(to []byte) {
	for i := range c.chunks {
		k := &c.chunks[i]
		if k.inner != nil {
			k = k.inner
		}
		to = to[copy(to, k.data[:k.length*c.size]):]
	}
}

// matrix makes a tensor of shape [rows, list].
func (c *arrowField) matrix(out *tensor.Tensor, rows int, in *Input) error {
	for i := range c.chunks {
		if k := &c.chunks[i]; k.nulls || k.inner.nulls {
			return errors.New("lists with missing values are not supported")
		}
	}
	in.shape = append(in.shape[:0], int64(rows), int64(c.list))
	if c.plain() {
		out.ResetDirty(c.dtype, in.shape...)
		c.copyPlain(out.Raw())
		return nil
	}
	words := in.words[:0]
	for i := range c.chunks {
		var err error
		if words, err = c.appendWords(words, c.chunks[i].inner); err != nil {
			return err
		}
	}
	in.words = words
	store(out, c.dtype, in.shape, words, 0, 1)
	return nil
}

// appendChunk appends the values of a chunk and which of them are null.
func (c *arrowField) appendChunk(v *columnValues, k *arrowChunk) (err error) {
	for i := range k.length {
		v.nulls = append(v.nulls, c.null || k.nulls && k.validity[i/8]>>(i%8)&1 == 0)
	}
	switch {
	case c.null && c.dtype.Text():
		v.texts = append(v.texts, make([]string, k.length)...)
	case c.values != nil:
		v.texts, err = c.appendIndexed(v.texts, k, v.nulls[len(v.nulls)-k.length:])
	case c.dtype.Text():
		v.texts, err = c.appendTexts(v.texts, k)
	default:
		v.words, err = c.appendWords(v.words, k)
	}
	return err
}

// appendWords appends values as words (see Input.words); what a null's place holds does not matter.
func (c *arrowField) appendWords(words []uint64, k *arrowChunk) ([]uint64, error) {
	for i := range k.length {
		w, err := c.word(k, i)
		if err != nil {
			return nil, err
		}
		words = append(words, w)
	}
	return words, nil
}

func (c *arrowField) word(k *arrowChunk, i int) (uint64, error) {
	if c.null {
		return 0, nil
	}
	if c.dtype == tensor.Bool {
		return uint64(k.data[i/8] >> (i % 8) & 1), nil
	}
	bits := c.bits(k.data, i, c.dtype == tensor.Datetime || c.dtype.Integer() && c.dtype < tensor.Uint8)
	switch c.dtype {
	case tensor.Float16:
		return math.Float64bits(float64(tensor.Float16Value(uint16(bits)))), nil
	case tensor.Float32:
		return math.Float64bits(float64(math.Float32frombits(uint32(bits)))), nil
	case tensor.Datetime:
		if k.nulls && k.validity[i/8]>>(i%8)&1 == 0 {
			return 0, nil
		}
		if n := int64(bits); n > math.MaxInt64/c.perUnit || n < math.MinInt64/c.perUnit {
			return 0, errors.New("a time out of range")
		}
		return uint64(int64(bits) * c.perUnit), nil
	}
	return bits, nil
}

// bits reads the i-th value of a buffer, widened with its sign or without.
func (c *arrowField) bits(data []byte, i int, signed bool) uint64 {
	at := data[i*c.size:]
	switch c.size {
	case 1:
		if signed {
			return uint64(int64(int8(at[0])))
		}
		return uint64(at[0])
	case 2:
		v := binary.LittleEndian.Uint16(at)
		if signed {
			return uint64(int64(int16(v)))
		}
		return uint64(v)
	case 4:
		v := binary.LittleEndian.Uint32(at)
		if signed {
			return uint64(int64(int32(v)))
		}
		return uint64(v)
	}
	return binary.LittleEndian.Uint64(at)
}

// appendTexts appends a chunk of text; the texts have memory of their own.
func (c *arrowField) appendTexts(texts []string, k *arrowChunk) ([]string, error) {
	from := c.offset(k, 0)
	for i := range k.length {
		to := c.offset(k, i+1)
		if from < 0 || to < from || to > int64(len(k.data)) {
			return nil, errArrowBuffer
		}
		text := k.data[from:to]
		if c.dtype == tensor.String && !utf8.Valid(text) {
			return nil, fmt.Errorf("row %d is not UTF-8 text", i)
		}
		texts = append(texts, string(text))
		from = to
	}
	return texts, nil
}

func (c *arrowField) offset(k *arrowChunk, i int) int64 {
	switch {
	case k.length == 0:
		return 0
	case c.wide:
		return int64(binary.LittleEndian.Uint64(k.offsets[8*i:]))
	}
	return int64(int32(binary.LittleEndian.Uint32(k.offsets[4*i:])))
}

// appendIndexed appends the texts of the dictionary that a chunk's indices name.
func (c *arrowField) appendIndexed(texts []string, k *arrowChunk, nulls []bool) ([]string, error) {
	for i := range k.length {
		if nulls[i] {
			texts = append(texts, "")
			continue
		}
		at := c.bits(k.data, i, c.signed)
		if at >= uint64(len(c.dictionary)) {
			return nil, fmt.Errorf("row %d is outside of its dictionary", i)
		}
		texts = append(texts, c.dictionary[at])
	}
	return texts, nil
}
