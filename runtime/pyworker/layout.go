package pyworker

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"sluice/runtime/servable"
	"sluice/runtime/tensor"
)

// A batch travels as a layout, JSON text that is equal for all requests of one kind and is compiled once on either side, and a body:
//
//	{"form": "table" | "named" | "bare", "columns": [[name, dtype, dims, flags], …]}
//
// dims are the dimensions after the first, which is the frame's rows; with flag 2 they are all dimensions. Flag 1: every text is JSON.
// The body is the columns one after the other, each at a multiple of its element's size (text: of 4): elements of fixed size as they
// lie in memory; text as the ends of all elements (uint32, from the column's first byte of text) and then the bytes.
// Columns of one type are therefore one matrix [columns, rows], which pandas takes as it is.

const (
	flagJSON  = 1
	flagWhole = 2
)

var formNames = [...]string{tensor.Table: "table", tensor.Named: "named", tensor.Bare: "bare"}

// appendLayout appends the layout of b.
func appendLayout(dst []byte, b *tensor.Batch) ([]byte, error) {
	if int(b.Form) >= len(formNames) {
		return dst, fmt.Errorf("a batch of the unknown form %d", b.Form)
	}
	dst = append(dst, `{"form":"`...)
	dst = append(dst, formNames[b.Form]...)
	dst = append(dst, `","columns":[`...)
	for i := range b.Columns {
		c := &b.Columns[i]
		if c.Tensor.Type == tensor.Invalid || c.Tensor.Type == tensor.BFloat16 || c.Keys != nil {
			return dst, fmt.Errorf("%w: input %q is of a type that Python models are not given (%s)", servable.ErrBadInput, c.Name, c.Tensor.Type)
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '[')
		dst = appendText(dst, c.Name)
		dst = append(dst, `,"`...)
		dst = append(dst, c.Tensor.Type.String()...)
		dst = append(dst, `",[`...)
		dims, flags := c.Tensor.Shape, 0
		if whole := b.Rows < 0 || len(dims) == 0 || dims[0] != int64(b.Rows); whole {
			flags = flagWhole
		} else {
			dims = dims[1:]
		}
		for j, d := range dims {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = strconv.AppendInt(dst, d, 10)
		}
		if c.JSON {
			flags |= flagJSON
		}
		dst = append(dst, "],"...)
		dst = strconv.AppendInt(dst, int64(flags), 10)
		dst = append(dst, ']')
	}
	return append(dst, "]}"...), nil
}

// appendText appends a JSON string.
func appendText(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // a string has always a JSON text
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// appendBody appends the values of b's columns.
func appendBody(dst []byte, b *tensor.Batch) []byte {
	start := len(dst)
	for i := range b.Columns {
		t := &b.Columns[i].Tensor
		if t.Type.Text() {
			dst = appendTexts(pad(dst, start, 4), t.Strings())
			continue
		}
		dst = append(pad(dst, start, t.Type.Size()), t.Raw()...)
	}
	return dst
}

func appendTexts(dst []byte, texts []string) []byte {
	end := uint32(0)
	for _, s := range texts {
		end += uint32(len(s))
		dst = binary.LittleEndian.AppendUint32(dst, end)
	}
	for _, s := range texts {
		dst = append(dst, s...)
	}
	return dst
}

// pad fills up with zeros until the length counted from start is a multiple of size.
func pad(dst []byte, start, size int) []byte {
	for (len(dst)-start)%size != 0 {
		dst = append(dst, 0)
	}
	return dst
}

// layout is a parsed one.
type layout struct {
	form    tensor.Form
	columns []layoutColumn
}

type layoutColumn struct {
	name  string
	dtype tensor.DType
	dims  []int64
	whole bool
	json  bool
}

// parseLayout reads a layout from a worker. Errors are errGarbage, wrapped.
func parseLayout(text []byte) (*layout, error) {
	var raw struct {
		Form    string              `json:"form"`
		Columns [][]json.RawMessage `json:"columns"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("%w: layout: %w", errGarbage, err)
	}
	form := slices.Index(formNames[:], raw.Form)
	if form < 0 {
		return nil, fmt.Errorf("%w: layout of the form %q", errGarbage, raw.Form)
	}
	l := &layout{form: tensor.Form(form), columns: make([]layoutColumn, len(raw.Columns))}
	for i, entry := range raw.Columns {
		if err := l.columns[i].parse(entry); err != nil {
			return nil, fmt.Errorf("%w: layout, column %d: %w", errGarbage, i, err)
		}
	}
	if l.form == tensor.Bare && len(l.columns) != 1 {
		return nil, fmt.Errorf("%w: an unnamed answer of %d tensors", errGarbage, len(l.columns))
	}
	return l, nil
}

func (c *layoutColumn) parse(entry []json.RawMessage) error {
	if len(entry) != 4 {
		return fmt.Errorf("%d entries", len(entry))
	}
	var dtype string
	var flags int
	for i, to := range []any{&c.name, &dtype, &c.dims, &flags} {
		if err := json.Unmarshal(entry[i], to); err != nil {
			return err
		}
	}
	var ok bool
	if c.dtype, ok = tensor.ParseDType(dtype); !ok || c.dtype == tensor.Binary {
		return fmt.Errorf("type %q", dtype)
	}
	for _, d := range c.dims {
		if d < 0 {
			return fmt.Errorf("dimensions %v", c.dims)
		}
	}
	c.whole, c.json = flags&flagWhole != 0, flags&flagJSON != 0
	if c.json && c.dtype != tensor.String {
		return errors.New("JSON that is not text")
	}
	return nil
}

// decode makes out the batch that lies in body, in memory of its own. Errors are errGarbage, wrapped; out is then unspecified.
func (l *layout) decode(rows int64, body []byte, out *tensor.Batch) error {
	out.Reset(l.form)
	out.Grow(len(l.columns))
	at := 0
	for i := range l.columns {
		c := &l.columns[i]
		t := out.AddColumn(c.name)
		out.Columns[i].JSON = c.json
		var err error
		if at, err = c.decode(rows, body, at, t); err != nil {
			return fmt.Errorf("%w: column %q: %w", errGarbage, c.name, err)
		}
	}
	if at != len(body) {
		return fmt.Errorf("%w: %d bytes are left over", errGarbage, len(body)-at)
	}
	if l.form != tensor.Table {
		if err := out.CountRows(); err != nil {
			return fmt.Errorf("%w: %w", errGarbage, err)
		}
		return nil
	}
	if out.Rows = int(rows); rows < 0 {
		return fmt.Errorf("%w: a table of %d rows", errGarbage, rows)
	}
	return nil
}

func (c *layoutColumn) decode(rows int64, body []byte, at int, t *tensor.Tensor) (int, error) {
	shape, n, err := c.shape(rows, len(body))
	if err != nil {
		return at, err
	}
	if c.dtype.Text() {
		return c.decodeTexts(shape, n, body, at, t)
	}
	size := c.dtype.Size()
	at = alignUp(at, size)
	if at > len(body) || n > (len(body)-at)/size {
		return at, errors.New("its values are not in the body")
	}
	t.ResetDirty(c.dtype, shape...)
	raw := body[at : at+n*size]
	copy(t.Raw(), raw)
	if c.dtype == tensor.Bool {
		for _, b := range raw {
			if b > 1 {
				return at, errors.New("a boolean is neither 0 nor 1")
			}
		}
	}
	return at + n*size, nil
}

// shape is the column's shape and the number of its elements, which is at most that of the body's bytes.
func (c *layoutColumn) shape(rows int64, most int) (shape []int64, n int, err error) {
	shape = c.dims
	if !c.whole {
		if rows < 0 {
			return nil, 0, errors.New("rows of a batch that has none")
		}
		shape = append([]int64{rows}, c.dims...)
	}
	count := int64(1)
	for _, d := range shape {
		if d > 0 && count > int64(most)/d {
			return nil, 0, fmt.Errorf("a shape of %v in %d bytes", shape, most)
		}
		count *= d
	}
	return shape, int(count), nil
}

func (c *layoutColumn) decodeTexts(shape []int64, n int, body []byte, at int, t *tensor.Tensor) (int, error) {
	at = alignUp(at, 4)
	if at > len(body) || n > (len(body)-at)/4 {
		return at, errors.New("its lengths are not in the body")
	}
	ends := body[at:]
	at += 4 * n
	text := body[at:]
	if n > 0 {
		if last := binary.LittleEndian.Uint32(ends[4*(n-1):]); uint64(last) <= uint64(len(text)) {
			text = text[:last]
		}
	} else {
		text = nil
	}
	all := string(text)
	t.Reset(tensor.String, shape...)
	to := t.Strings()
	from := uint32(0)
	for i := range n {
		end := binary.LittleEndian.Uint32(ends[4*i:])
		if end < from || uint64(end) > uint64(len(all)) {
			return at, errors.New("its texts are not in the body")
		}
		to[i] = all[from:end]
		if c.json && !json.Valid(text[from:end]) {
			return at, errors.New("text that is no JSON")
		}
		from = end
	}
	return at + len(all), nil
}

func alignUp(at, size int) int { return (at + size - 1) / size * size }
