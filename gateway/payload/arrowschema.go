package payload

import (
	"fmt"
	"math"

	"sluice/runtime/tensor"
)

// arrowField is one column of an Arrow stream.
type arrowField struct {
	name    string
	dtype   tensor.DType
	size    int   // bytes of a value in its buffer; 0: bits, text or nothing
	wide    bool  // of text: offsets have 8 bytes instead of 4
	null    bool  // a column without buffers, all of it null
	perUnit int64 // nanoseconds of one unit of a Datetime column
	list    int   // > 0: each row is a list of so many values
	dropped bool

	values     *arrowField // of a dictionary: its values; the field itself is the indices
	signed     bool        // of the indices
	dictionary []string
	chunks     []arrowChunk
}

// The kinds of types (source: Schema.fbs, union Type).
const (
	arrowNull          = 1
	arrowInt           = 2
	arrowFloat         = 3
	arrowBinary        = 4
	arrowUtf8          = 5
	arrowBool          = 6
	arrowDate          = 8
	arrowTimestamp     = 10
	arrowFixedSizeList = 16
	arrowLargeBinary   = 19
	arrowLargeUtf8     = 20
)

// maxArrowColumns bounds a schema: each column costs more memory here than in the body.
const maxArrowColumns = 1 << 16

// schema reads the columns. The fields of Schema: 0 byte order, 1 fields.
func (s *arrowStream) schema(f *flat, t flatTable, p *Plan) error {
	if f.short(t, 0, 0) != 0 {
		return fmt.Errorf("big-endian streams are not supported")
	}
	at, n := f.vector(t, 1, 4)
	if f.bad != nil {
		return f.bad
	}
	if n > maxArrowColumns {
		return fmt.Errorf("%d columns are more than %d", n, maxArrowColumns)
	}
	s.fields = make([]arrowField, n)
	s.byID = map[int64]*arrowField{}
	names := make([]string, n)
	for i := range s.fields {
		c := &s.fields[i]
		if err := s.field(f, f.element(at, i), c); err != nil {
			return fmt.Errorf("column %s: %w", quoteName(c.name), err)
		}
		names[i] = c.name
		c.dropped = p.drops(c.name)
	}
	return checkTwice(names)
}

// field reads one column's type. The fields of Field: 0 name, 2 kind of type, 3 type, 4 dictionary, 5 children.
func (s *arrowStream) field(f *flat, t flatTable, c *arrowField) error {
	c.name = f.text(t, 0)
	if err := c.readType(f, t, true); err != nil {
		return err
	}
	encoding := f.table(t, 4)
	if encoding == 0 || f.bad != nil {
		return f.bad
	}
	// Its fields: 0 id, 1 type of the indices. The column's own type is the values'.
	if !c.dtype.Text() || c.list > 0 {
		return fmt.Errorf("dictionaries are supported for text only")
	}
	values := *c
	*c = arrowField{name: values.name, dtype: values.dtype, values: &values, signed: true, size: 4}
	if index := f.table(encoding, 1); index != 0 {
		bits := f.int(index, 0, 0)
		if bits != 8 && bits != 16 && bits != 32 && bits != 64 {
			return errFlat
		}
		c.size, c.signed = bits/8, f.byte(index, 1, 0) != 0
	}
	id := f.long(encoding, 0)
	if s.byID[id] != nil {
		return fmt.Errorf("dictionaries that columns share are not supported")
	}
	s.byID[id] = c
	return f.bad
}

func (c *arrowField) readType(f *flat, t flatTable, lists bool) error {
	kind, detail := f.byte(t, 2, 0), f.table(t, 3)
	at, children := f.vector(t, 5, 4)
	if f.bad != nil {
		return f.bad
	}
	if kind == arrowFixedSizeList && lists && children == 1 {
		c.list = f.int(detail, 0, 0)
		if c.list < 1 {
			return fmt.Errorf("lists of %d values are not supported", c.list)
		}
		if err := c.readType(f, f.element(at, 0), false); err != nil {
			return err
		}
		if c.dtype.Text() || c.null {
			return fmt.Errorf("lists of text are not supported")
		}
		return nil
	}
	if children > 0 {
		return fmt.Errorf("nested columns are not supported")
	}
	return c.readFlatType(f, kind, detail)
}

func (c *arrowField) readFlatType(f *flat, kind int, detail flatTable) error {
	c.perUnit = 1
	switch kind {
	case arrowNull:
		c.dtype, c.null = tensor.Float64, true
	case arrowInt:
		return c.readInt(f, detail)
	case arrowFloat:
		widths := []tensor.DType{tensor.Float16, tensor.Float32, tensor.Float64}
		width := f.short(detail, 0, 0)
		if width < 0 || width >= len(widths) {
			return errFlat
		}
		c.dtype = widths[width]
		c.size = c.dtype.Size()
	case arrowBinary, arrowLargeBinary:
		c.dtype, c.wide = tensor.Binary, kind == arrowLargeBinary
	case arrowUtf8, arrowLargeUtf8:
		c.dtype, c.wide = tensor.String, kind == arrowLargeUtf8
	case arrowBool:
		c.dtype = tensor.Bool
	case arrowDate:
		c.dtype, c.size, c.perUnit = tensor.Datetime, 8, 1e6
		if f.short(detail, 0, 1) == 0 {
			c.size, c.perUnit = 4, 24*3600*1e9
		}
	case arrowTimestamp:
		return c.readTimestamp(f, detail)
	default:
		return fmt.Errorf("the type with the number %d is not supported", kind)
	}
	return f.bad
}

func (c *arrowField) readInt(f *flat, detail flatTable) error {
	types := map[int][2]tensor.DType{
		8: {tensor.Uint8, tensor.Int8}, 16: {tensor.Uint16, tensor.Int16}, 32: {tensor.Uint32, tensor.Int32}, 64: {tensor.Uint64, tensor.Int64},
	}
	pair, ok := types[f.int(detail, 0, 0)]
	if !ok {
		return errFlat
	}
	c.dtype = pair[0]
	if f.byte(detail, 1, 0) != 0 {
		c.dtype = pair[1]
	}
	c.size = c.dtype.Size()
	return f.bad
}

func (c *arrowField) readTimestamp(f *flat, detail flatTable) error {
	if f.text(detail, 1) != "" {
		return fmt.Errorf("timestamps with a time zone are not supported; send naive ones")
	}
	unit := f.short(detail, 0, 0)
	if unit < 0 || unit > 3 {
		return errFlat
	}
	c.dtype, c.size, c.perUnit = tensor.Datetime, 8, int64(math.Pow10(9-3*unit))
	return f.bad
}
