package payload

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go/format"

	"sluice/runtime/tensor"
)

// parquetFile is a Parquet body with its footer read. Page contents are read by this package itself, because a body comes from
// anybody: every length in it is checked against the bytes that are there and against the plan's bound on values before memory is taken.
type parquetFile struct {
	body     []byte
	meta     *format.FileMetaData
	rows     int
	columns  []parquetColumn
	maxBytes int // decompressed bytes of all pages together
}

const parquetMagic = "PAR1"

// maxParquetFooter is the largest footer, in bytes.
const maxParquetFooter = 4 << 20

// bytesPerCell bounds decompressed page bytes: this many for each value that the plan allows.
const bytesPerCell = 16

// decodeParquet reads a flat Parquet file: numbers, booleans, text, bytes and timestamps, with nulls. Types are the file's, enforced
// against the signature as pyfunc enforces a data frame's.
func (p *Plan) decodeParquet(body []byte, in *Input) error {
	f, err := p.openParquet(body)
	if err != nil {
		return parquetError(err)
	}
	in.Batch.Reset(tensor.Table)
	in.Batch.Rows = f.rows
	for i := range f.columns {
		c := &f.columns[i]
		if p.drops(c.name) {
			continue
		}
		if j := p.index(c.name); j >= 0 && c.dtype == tensor.Binary && p.columns != nil && p.columns[j].dtype == tensor.String {
			c.dtype = tensor.String // bytes for a text column: they must be UTF-8
		}
		if err := f.read(i, in.Batch.AddColumn(c.name), p.nullType(c.name), in); err != nil {
			return parquetError(fmt.Errorf("column %s: %w", quoteName(c.name), err))
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

// nullType is the element type of a column of nothing but nulls, which has none of its own: that of the signature, which says whether values can be
// missing; in columns of numbers what is missing is NaN.
func (p *Plan) nullType(name string) tensor.DType {
	if j := p.index(name); j >= 0 && p.columns != nil {
		if d := p.columns[j].dtype; d.Text() || d == tensor.Datetime || d == tensor.Bool {
			return d
		}
	}
	return tensor.Float64
}

// drops reports whether a column of the file is not to be read: the signature lacks it, or it is the index that pandas writes.
func (p *Plan) drops(name string) bool {
	if p.typed && p.byName != nil {
		return p.index(name) < 0
	}
	return strings.HasPrefix(name, "__index_level_")
}

func parquetError(err error) error {
	if e := asPayload(err); e != nil {
		return e
	}
	return badf("Failed to parse input as a Pandas DataFrame. Ensure that the input is a valid Parquet file. Error: %v", err)
}

func (p *Plan) openParquet(body []byte) (*parquetFile, error) {
	const tail = 8 // length of the footer, magic
	if len(body) < len(parquetMagic)+tail || string(body[:4]) != parquetMagic || string(body[len(body)-4:]) != parquetMagic {
		return nil, fmt.Errorf("the body has no %s magic at its ends", parquetMagic)
	}
	size := int(binary.LittleEndian.Uint32(body[len(body)-tail:]))
	if size > len(body)-tail-len(parquetMagic) || size > maxParquetFooter {
		return nil, fmt.Errorf("a footer of %d bytes does not fit", size)
	}
	f := &parquetFile{body: body, meta: new(format.FileMetaData), maxBytes: p.maxCells * bytesPerCell}
	if _, err := decodeThrift(body[len(body)-tail-size:len(body)-tail], f.meta); err != nil {
		return nil, fmt.Errorf("footer: %w", err)
	}
	if err := f.readSchema(); err != nil {
		return nil, err
	}
	return f, f.checkRows(p.maxCells)
}

// readSchema accepts a flat schema: a root and its leaves.
func (f *parquetFile) readSchema() error {
	s := f.meta.Schema
	if len(s) == 0 || int(s[0].NumChildren.V) != len(s)-1 {
		return fmt.Errorf("nested columns are not supported")
	}
	var names []string
	for i := range s[1:] {
		c, err := leafColumn(&s[i+1])
		if err != nil {
			return fmt.Errorf("column %s: %w", quoteName(s[i+1].Name), err)
		}
		f.columns = append(f.columns, c)
		names = append(names, c.name)
	}
	return checkTwice(names)
}

// checkRows adds up the row groups and refuses more values than allowed.
func (f *parquetFile) checkRows(maxCells int) error {
	rows := int64(0)
	for i := range f.meta.RowGroups {
		g := &f.meta.RowGroups[i]
		if g.NumRows < 0 || g.NumRows > math.MaxInt32 || len(g.Columns) != len(f.columns) {
			return fmt.Errorf("row group %d is damaged", i)
		}
		rows += g.NumRows
	}
	if rows != f.meta.NumRows {
		return fmt.Errorf("the row groups hold %d rows, the footer says %d", rows, f.meta.NumRows)
	}
	if rows > int64(maxCells) {
		return tooManyCells(maxCells)
	}
	f.rows = int(rows)
	return checkCells(f.rows, len(f.columns), maxCells)
}

// read decodes one column of all row groups into out; one of the type NULL becomes one of the element type nulls.
func (f *parquetFile) read(i int, out *tensor.Tensor, nulls tensor.DType, in *Input) error {
	c := &f.columns[i]
	values := columnValues{words: in.words[:0]}
	for g := range f.meta.RowGroups {
		if err := f.readChunk(c, &f.meta.RowGroups[g], i, &values); err != nil {
			return err
		}
	}
	in.words = values.words
	if len(values.nulls) != f.rows {
		return fmt.Errorf("it holds %d values in a file of %d rows", len(values.nulls), f.rows)
	}
	if !c.null {
		return values.finish(out, c.name, c.dtype, in)
	}
	if slices.Contains(values.nulls, false) {
		return fmt.Errorf("it holds values, and is of the type NULL")
	}
	if nulls.Text() {
		values.texts = make([]string, f.rows)
	}
	return values.finish(out, c.name, nulls, in)
}
