package payload

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"

	"sluice/runtime/tensor"
)

var errShort = errors.New("a page ends too early")

// maxHeaderBytes is the largest page header that is looked at, in bytes (statistics included).
const maxHeaderBytes = 1 << 16

// readChunk reads the pages of one column of one row group.
func (f *parquetFile) readChunk(c *parquetColumn, g *format.RowGroup, i int, out *columnValues) error {
	if g.NumRows == 0 {
		return nil
	}
	m := &g.Columns[i].MetaData
	if m.Type != c.physical || m.NumValues != g.NumRows {
		return fmt.Errorf("its chunk does not fit the schema")
	}
	at := m.DataPageOffset
	if m.DictionaryPageOffset > 0 && m.DictionaryPageOffset < at {
		at = m.DictionaryPageOffset
	}
	if at < int64(len(parquetMagic)) || at > int64(len(f.body)) {
		return fmt.Errorf("its chunk lies outside of the body")
	}
	page := pageReader{file: f, column: c, codec: m.Codec, rest: f.body[at:], left: int(g.NumRows), out: out}
	for page.left > 0 {
		if err := page.next(); err != nil {
			return err
		}
	}
	return nil
}

// pageReader reads one chunk page by page.
type pageReader struct {
	file   *parquetFile
	column *parquetColumn
	codec  format.CompressionCodec
	rest   []byte
	left   int // rows still to come
	out    *columnValues
	dict   *columnValues
}

// next reads a header and its page.
func (r *pageReader) next() error {
	var h format.PageHeader
	n, err := decodeThrift(r.rest[:min(len(r.rest), maxHeaderBytes)], &h)
	if err != nil {
		return fmt.Errorf("page header: %w", err)
	}
	size, full := int(h.CompressedPageSize), int(h.UncompressedPageSize)
	if size < 0 || size > len(r.rest)-n || full < 0 {
		return errShort
	}
	if full > r.file.maxBytes {
		return tooLargef("The Parquet file unfolds to more than its limit.")
	}
	r.file.maxBytes -= full
	data := r.rest[n : n+size]
	r.rest = r.rest[n+size:]
	switch {
	case h.Type == format.DictionaryPage && h.DictionaryPageHeader.Valid && r.dict == nil:
		return r.dictionary(&h.DictionaryPageHeader.V, data, full)
	case h.Type == format.DataPage && h.DataPageHeader.Valid:
		return r.pageV1(&h.DataPageHeader.V, data, full)
	case h.Type == format.DataPageV2 && h.DataPageHeaderV2.Valid:
		return r.pageV2(&h.DataPageHeaderV2.V, data, full)
	case h.Type == format.IndexPage:
		return nil
	}
	return fmt.Errorf("an unknown page")
}

// unpack decompresses exactly full bytes.
func (r *pageReader) unpack(data []byte, full int) ([]byte, error) {
	var out []byte
	var err error
	switch r.codec {
	case format.Uncompressed:
		out = data
	case format.Snappy:
		if n, lenErr := snappy.DecodedLen(data); lenErr != nil || n != full {
			return nil, fmt.Errorf("snappy: a page has another length than its header says")
		}
		out, err = snappy.Decode(nil, data)
	case format.Gzip:
		out, err = unpackGzip(data, full)
	case format.Zstd:
		out, err = unpackZstd(data, full)
	default:
		return nil, fmt.Errorf("compression %s is not supported; use snappy, gzip, zstd or none", r.codec)
	}
	if err != nil {
		return nil, err
	}
	if len(out) != full {
		return nil, fmt.Errorf("a page of %d bytes where its header says %d", len(out), full)
	}
	return out, nil
}

func unpackGzip(data []byte, full int) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return readBounded(z, int64(full), nil)
}

func unpackZstd(data []byte, full int) ([]byte, error) {
	const smallest = 1 << 10 // the decoder's own least
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(uint64(max(full, smallest))))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	return z.DecodeAll(data, nil)
}

func (r *pageReader) dictionary(h *format.DictionaryPageHeader, data []byte, full int) error {
	data, err := r.unpack(data, full)
	if err != nil {
		return err
	}
	if h.NumValues < 0 || int(h.NumValues) > len(data)*8 || (h.Encoding != format.Plain && h.Encoding != format.PlainDictionary) {
		return fmt.Errorf("a damaged dictionary")
	}
	r.dict = new(columnValues)
	_, err = r.column.plain(r.dict, data, int(h.NumValues))
	return err
}

func (r *pageReader) pageV1(h *format.DataPageHeader, data []byte, full int) error {
	data, err := r.unpack(data, full)
	if err != nil {
		return err
	}
	n := int(h.NumValues)
	if n < 0 || n > r.left {
		return fmt.Errorf("a page holds more values than its chunk")
	}
	present, nulls := n, []bool(nil)
	if r.column.optional {
		if h.DefinitionLevelEncoding != format.RLE || len(data) < 4 {
			return fmt.Errorf("a page with levels of an old kind")
		}
		size := int(binary.LittleEndian.Uint32(data))
		if size > len(data)-4 {
			return errShort
		}
		if nulls, present, err = readLevels(data[4:4+size], n); err != nil {
			return err
		}
		data = data[4+size:]
	}
	return r.values(h.Encoding, data, n, present, nulls)
}

func (r *pageReader) pageV2(h *format.DataPageHeaderV2, data []byte, full int) error {
	n, size := int(h.NumValues), int(h.DefinitionLevelsByteLength)
	if n < 0 || n > r.left || size < 0 || size > len(data) || size > full || h.RepetitionLevelsByteLength != 0 {
		return errShort
	}
	present, nulls := n, []bool(nil)
	var err error
	if r.column.optional {
		if nulls, present, err = readLevels(data[:size], n); err != nil {
			return err
		}
	}
	data = data[size:]
	if !h.IsCompressed.Valid || h.IsCompressed.V {
		if data, err = r.unpack(data, full-size); err != nil {
			return err
		}
	}
	return r.values(h.Encoding, data, n, present, nulls)
}

// readLevels reads one definition level a row: 0 is null.
func readLevels(data []byte, n int) (nulls []bool, present int, err error) {
	nulls = make([]bool, 0, n)
	err = readHybrid(data, 1, n, func(level uint64) error {
		nulls = append(nulls, level == 0)
		present += int(level)
		return nil
	})
	return nulls, present, err
}

// values reads the present values of a page and spreads them over its n rows.
func (r *pageReader) values(e format.Encoding, data []byte, n, present int, nulls []bool) error {
	var got columnValues
	var err error
	switch e {
	case format.Plain:
		_, err = r.column.plain(&got, data, present)
	case format.PlainDictionary, format.RLEDictionary:
		err = r.fromDictionary(&got, data, present)
	case format.RLE:
		if r.column.physical != format.Boolean || len(data) < 4 {
			return fmt.Errorf("a damaged page")
		}
		err = readHybrid(data[4:], 1, present, func(w uint64) error { got.words = append(got.words, w); return nil })
	default:
		return fmt.Errorf("encoding %s is not supported; use PLAIN or dictionaries", e)
	}
	if err != nil {
		return err
	}
	r.left -= n
	r.out.spread(&got, n, nulls, r.column.dtype.Text())
	return nil
}

// spread appends n rows: the next value of got, or null.
func (v *columnValues) spread(got *columnValues, n int, nulls []bool, text bool) {
	k := 0
	for i := range n {
		null := nulls != nil && nulls[i]
		v.nulls = append(v.nulls, null)
		switch {
		case null && text:
			v.texts = append(v.texts, "")
		case null:
			v.words = append(v.words, 0)
		case text:
			v.texts = append(v.texts, got.texts[k])
			k++
		default:
			v.words = append(v.words, got.words[k])
			k++
		}
	}
}

func (r *pageReader) fromDictionary(got *columnValues, data []byte, n int) error {
	if n == 0 {
		return nil
	}
	if r.dict == nil || len(data) == 0 || data[0] > 32 {
		return fmt.Errorf("a damaged page of dictionary indices")
	}
	text := r.column.dtype.Text()
	return readHybrid(data[1:], int(data[0]), n, func(i uint64) error {
		switch {
		case text && i < uint64(len(r.dict.texts)):
			got.texts = append(got.texts, r.dict.texts[i])
		case !text && i < uint64(len(r.dict.words)):
			got.words = append(got.words, r.dict.words[i])
		default:
			return fmt.Errorf("an index outside of the dictionary")
		}
		return nil
	})
}

// plain reads n values in PLAIN encoding and returns what follows them.
func (c *parquetColumn) plain(out *columnValues, data []byte, n int) ([]byte, error) {
	switch size := c.size(); {
	case c.dtype.Text():
		return c.plainText(out, data, n)
	case size == 0:
		if n > len(data)*8 {
			return nil, errShort
		}
		for i := range n {
			out.words = append(out.words, uint64(data[i/8]>>(i%8)&1))
		}
		return data[(n+7)/8:], nil
	case n > len(data)/size:
		return nil, errShort
	default:
		for i := range n {
			var bits uint64
			if size == 4 {
				bits = uint64(binary.LittleEndian.Uint32(data[i*4:]))
			} else {
				bits = binary.LittleEndian.Uint64(data[i*8:])
			}
			w, err := c.word(bits)
			if err != nil {
				return nil, err
			}
			out.words = append(out.words, w)
		}
		return data[n*size:], nil
	}
}

func (c *parquetColumn) plainText(out *columnValues, data []byte, n int) ([]byte, error) {
	for range n {
		if len(data) < 4 {
			return nil, errShort
		}
		size := int(binary.LittleEndian.Uint32(data))
		if data = data[4:]; size > len(data) {
			return nil, errShort
		}
		if c.dtype == tensor.String && !utf8.Valid(data[:size]) {
			return nil, fmt.Errorf("text that is not UTF-8")
		}
		out.texts = append(out.texts, string(data[:size]))
		data = data[size:]
	}
	return data, nil
}

// readHybrid reads n values of the given width in bits from Parquet's mixture of runs and bit-packed groups.
func readHybrid(data []byte, width, n int, yield func(uint64) error) error {
	for n > 0 {
		header, used := binary.Uvarint(data)
		if used <= 0 {
			return errShort
		}
		data = data[used:]
		var count int
		var err error
		if header&1 == 0 {
			count, data, err = readRun(data, width, min(header>>1, uint64(n)), yield)
		} else {
			count, data, err = readPacked(data, width, header>>1, n, yield)
		}
		if err != nil {
			return err
		}
		if count == 0 {
			return fmt.Errorf("an empty run")
		}
		n -= count
	}
	return nil
}

func readRun(data []byte, width int, count uint64, yield func(uint64) error) (int, []byte, error) {
	size := (width + 7) / 8
	if len(data) < size {
		return 0, nil, errShort
	}
	var v uint64
	for i := range size {
		v |= uint64(data[i]) << (8 * i)
	}
	for range count {
		if err := yield(v); err != nil {
			return 0, nil, err
		}
	}
	return int(count), data[size:], nil
}

func readPacked(data []byte, width int, groups uint64, n int, yield func(uint64) error) (int, []byte, error) {
	if groups > uint64(n) { // more than any page of n values needs
		groups = uint64(n)/8 + 1
	}
	size := int(groups) * width
	if len(data) < size {
		// Writers may leave out the end of the last group.
		data = append(bytes.Clone(data), make([]byte, min(size-len(data), width))...)
		if len(data) < size {
			return 0, nil, errShort
		}
	}
	count := min(int(groups)*8, n)
	mask := uint64(1)<<width - 1
	for i := range count {
		bit := i * width
		var v uint64
		for k := 0; k < 5 && bit/8+k < size; k++ {
			v |= uint64(data[bit/8+k]) << (8 * k)
		}
		if err := yield(v >> (bit % 8) & mask); err != nil {
			return 0, nil, err
		}
	}
	return count, data[size:], nil
}
