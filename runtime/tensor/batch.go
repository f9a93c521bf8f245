package tensor

import (
	"errors"
	"fmt"
	"slices"
)

// Form says what a batch was, or is to be, in the client's terms; it decides how an answer is written.
type Form uint8

const (
	// Table is a data frame: every column has one value (or one slice) per row. Answered as one record per row.
	Table Form = iota
	// Named is a dict of tensors. Answered as one object of nested lists.
	Named
	// Bare is one unnamed tensor. Answered as a nested list.
	Bare
)

// NoRows is Batch.Rows of named tensors without a common first axis.
const NoRows = -1

// ErrShape: tensors do not fit together (row counts, types, names or trailing dimensions); the wrapping text says which.
var ErrShape = errors.New("tensors do not fit")

// Column is a named tensor of a batch; the name is empty in a Bare batch or an unnamed schema.
type Column struct {
	Name string
	// Keys makes every row a map: the tensor has shape [rows, len(Keys)] and row i is {Keys[j]: tensor[i, j]}. nil: no maps.
	// It is what ONNX's ZipMap answers; integer keys are written in decimal. The slice is shared and never written.
	Keys []string
	// JSON says that every element of a String tensor is a JSON text, not a text: one value of a nested kind (object, map, ragged
	// array, any) per row, or, in a Bare batch without dimensions, a whole answer.
	JSON   bool
	Tensor Tensor
}

// Batch is a set of columns with equal row counts: rows stacked on axis 0. The zero value is an empty Table.
type Batch struct {
	Form    Form
	Rows    int // for Named tensors without a common first axis: NoRows, and the batch must not be joined with another
	Columns []Column
}

// Reset empties the batch and sets its form; the columns' memory is kept for the next AddColumn.
func (b *Batch) Reset(f Form) {
	b.Form, b.Rows, b.Columns = f, 0, b.Columns[:0]
}

// Grow makes room for n further columns, so that pointers returned by the next n AddColumn calls stay valid.
func (b *Batch) Grow(n int) { b.Columns = slices.Grow(b.Columns, n) }

// AddColumn appends a column and returns its tensor, whose memory is what an earlier use of the same slot left: Reset it.
// The pointer is valid until the next AddColumn that needs more room (see Grow); &b.Columns[i].Tensor is always right.
func (b *Batch) AddColumn(name string) *Tensor {
	n := len(b.Columns)
	if n < cap(b.Columns) {
		b.Columns = b.Columns[:n+1]
	} else {
		b.Columns = append(b.Columns, Column{})
	}
	c := &b.Columns[n]
	c.Name, c.Keys, c.JSON = name, nil, false
	return &c.Tensor
}

// Column finds a column by name; nil if there is none. Names are compared in order, so it costs O(columns).
func (b *Batch) Column(name string) *Column {
	for i := range b.Columns {
		if b.Columns[i].Name == name {
			return &b.Columns[i]
		}
	}
	return nil
}

// CountRows sets Rows from the columns' first dimensions. A Table whose columns disagree, or one with a column without dimensions,
// returns ErrShape naming the column; Named tensors without a common first axis get NoRows.
func (b *Batch) CountRows() error {
	b.Rows = 0
	for i := range b.Columns {
		c := &b.Columns[i]
		n := c.Tensor.Rows()
		if len(c.Tensor.Shape) > 0 && (i == 0 || n == b.Rows) {
			b.Rows = n
			continue
		}
		if b.Form == Table {
			return fmt.Errorf("%w: column %q has %d rows, the first has %d", ErrShape, c.Name, n, b.Rows)
		}
		b.Rows = NoRows
		return nil
	}
	return nil
}

// Bytes is the memory held by the columns in use, in bytes.
func (b *Batch) Bytes() int {
	n := 0
	for i := range b.Columns {
		n += b.Columns[i].Tensor.Bytes()
	}
	return n
}

// Joinable says why o cannot be appended to b, as ErrShape, or nil: both need rows, the same form, and the same columns in the same
// order with equal types, keys and trailing dimensions. A batch without columns joins nothing.
func (b *Batch) Joinable(o *Batch) error {
	switch {
	case b.Rows < 0 || o.Rows < 0 || len(b.Columns) == 0:
		return fmt.Errorf("%w: a batch without rows cannot be joined", ErrShape)
	case b.Form != o.Form || len(b.Columns) != len(o.Columns):
		return fmt.Errorf("%w: %d columns against %d, or another form", ErrShape, len(b.Columns), len(o.Columns))
	}
	for i := range b.Columns {
		if !b.Columns[i].alike(&o.Columns[i]) {
			return fmt.Errorf("%w: column %q", ErrShape, b.Columns[i].Name)
		}
	}
	return nil
}

func (c *Column) alike(o *Column) bool {
	a, b := &c.Tensor, &o.Tensor
	return c.Name == o.Name && a.Type == b.Type && len(a.Shape) > 0 && len(a.Shape) == len(b.Shape) &&
		slices.Equal(a.Shape[1:], b.Shape[1:]) && slices.Equal(c.Keys, o.Keys) && c.JSON == o.JSON
}

// AppendRows adds o's rows to b; o is only read. Returns ErrShape, with b unchanged, if the two are not Joinable.
func (b *Batch) AppendRows(o *Batch) error {
	if err := b.Joinable(o); err != nil {
		return err
	}
	for i := range b.Columns {
		b.Columns[i].Tensor.appendAll(&o.Columns[i].Tensor)
	}
	b.Rows += o.Rows
	return nil
}

// CopyFrom makes b equal to src in memory of its own.
func (b *Batch) CopyFrom(src *Batch) {
	b.Reset(src.Form)
	for i := range src.Columns {
		c := &src.Columns[i]
		b.AddColumn(c.Name).CopyFrom(&c.Tensor)
		b.Columns[i].Keys, b.Columns[i].JSON = c.Keys, c.JSON
	}
	b.Rows = src.Rows
}

// CopyRows makes b the rows [from, to) of src in memory of its own. Returns ErrShape if the range is not inside src's rows or a
// column's tensor does not have src.Rows rows.
func (b *Batch) CopyRows(src *Batch, from, to int) error {
	if err := src.checkRange(from, to); err != nil {
		return err
	}
	b.Reset(src.Form)
	for i := range src.Columns {
		c := &src.Columns[i]
		w := c.Tensor.Width()
		t := b.AddColumn(c.Name)
		t.copyRows(&c.Tensor, from*w, to*w, c.Tensor.Shape)
		t.Shape[0] = int64(to - from)
		b.Columns[i].Keys, b.Columns[i].JSON = c.Keys, c.JSON
	}
	b.Rows = to - from
	return nil
}

// View makes b the rows [from, to) of src, sharing src's memory: valid while src is neither reset nor written. Errors as CopyRows.
func (b *Batch) View(src *Batch, from, to int) error {
	if err := src.checkRange(from, to); err != nil {
		return err
	}
	b.Reset(src.Form)
	for i := range src.Columns {
		c := &src.Columns[i]
		w := c.Tensor.Width()
		b.AddColumn(c.Name).viewOf(&c.Tensor, from*w, to*w, int64(to-from))
		b.Columns[i].Keys, b.Columns[i].JSON = c.Keys, c.JSON
	}
	b.Rows = to - from
	return nil
}

func (b *Batch) checkRange(from, to int) error {
	if from < 0 || to < from || to > b.Rows {
		return fmt.Errorf("%w: rows %d to %d of %d", ErrShape, from, to, b.Rows)
	}
	for i := range b.Columns {
		if t := &b.Columns[i].Tensor; len(t.Shape) == 0 || t.Rows() != b.Rows {
			return fmt.Errorf("%w: %q has no row axis of length %d", ErrShape, b.Columns[i].Name, b.Rows)
		}
	}
	return nil
}
