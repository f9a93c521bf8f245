package payload

import (
	"math"
	"slices"
	"strconv"

	"sluice/runtime/tensor"
)

// frame is a data frame of JSON values, before they have types: cells[column][row] is a node; 0 is a value that is not there.
type frame struct {
	t     *text
	names []string
	named bool // names are the client's; else they are the columns' numbers, which match no name of a schema
	cells [][]uint32
	rows  int
	bare  bool // the rows of the body are bare cells of one column
	// array: values become their types by NumPy's rules instead of pandas' (rows of "inputs" and "instances").
	array bool
}

// decodeSplit reads dataframe_split: {"columns": […], "data": [[…], …], "index": […]}; data alone is required.
func (p *Plan) decodeSplit(t *text, n uint32, in *Input) error {
	f, err := p.readSplit(t, n)
	if err != nil {
		return err
	}
	return p.acceptFrame(f, in)
}

func (p *Plan) readSplit(t *text, n uint32) (*frame, error) {
	if t.first(n) != '{' {
		return nil, badf("Dataframe split format must be a dictionary. Got %s.", t.describe(n))
	}
	var columns, data, index uint32
	var extra []string
	t.members(n, func(key string, v uint32) bool {
		switch key {
		case "columns":
			columns = v
		case "data":
			data = v
		case "index":
			index = v
		default:
			extra = append(extra, key)
		}
		return true
	})
	if data == 0 || extra != nil {
		return nil, badf("Dataframe split format must have 'data' field and optionally 'columns' and 'index' fields. "+
			"It has 'data': %t, and further fields %s.", data != 0, quoteNames(extra))
	}
	f := &frame{t: t}
	if columns != 0 && t.first(columns) != 'n' {
		if err := f.readColumns(columns); err != nil {
			return nil, err
		}
	}
	if t.first(data) != '[' {
		return nil, badf("Field 'data' of dataframe_split must be a list of rows. Got %s.", t.describe(data))
	}
	if err := f.readRows(keySplit, data); err != nil {
		return nil, err
	}
	if index != 0 && t.first(index) != 'n' && (t.first(index) != '[' || t.count(index) != f.rows) {
		return nil, badf("Field 'index' of dataframe_split must be a list with one entry for each of the %d rows.", f.rows)
	}
	return f, nil
}

func (f *frame) readColumns(n uint32) error {
	if f.t.first(n) != '[' {
		return badf("Field 'columns' of dataframe_split must be a list of names. Got %s.", f.t.describe(n))
	}
	f.named = true
	f.names = []string{}
	f.t.children(n, func(c uint32) bool {
		if f.t.first(c) != '"' {
			f.named = false
			f.names = append(f.names, f.t.pythonName(c))
			return true
		}
		f.names = append(f.names, f.t.str(c))
		return true
	})
	return nil
}

// pythonName shows a column name that is not a string.
func (t *text) pythonName(n uint32) string {
	switch t.first(n) {
	case '[', '{', 'n', 'N', 'I':
		return t.describe(n)
	}
	return t.pythonText(n)
}

// readRows reads a list of rows, each a list of one cell a column; a row of one column may be the bare cell.
func (f *frame) readRows(field string, data uint32) (err error) {
	t := f.t
	if f.names != nil {
		f.cells = make([][]uint32, len(f.names))
	}
	t.children(data, func(row uint32) bool {
		err = f.readRow(field, row)
		f.rows++
		return err == nil
	})
	if err == nil && f.names == nil {
		f.numberColumns()
	}
	return err
}

func (f *frame) readRow(field string, row uint32) error {
	t := f.t
	if t.first(row) == '{' {
		return badf("Row %d of %s is an object where the others are lists.", f.rows, field)
	}
	f.bare = f.bare || (f.rows == 0 && t.first(row) != '[')
	if f.bare && f.cells == nil {
		f.cells = make([][]uint32, 1)
	}
	switch {
	case f.bare && len(f.cells) == 1:
		f.cells[0] = append(f.cells[0], row)
		return nil
	case t.first(row) != '[':
		return badf("Row %d of %s is %s, not a list of %d values.", f.rows, field, t.describe(row), len(f.cells))
	}
	if f.cells == nil {
		f.cells = make([][]uint32, t.count(row))
	}
	i := 0
	t.children(row, func(c uint32) bool {
		if i < len(f.cells) {
			f.cells[i] = append(f.cells[i], c)
		}
		i++
		return true
	})
	if i != len(f.cells) {
		return badf("Row %d of %s has %d values where there are %d columns.", f.rows, field, i, len(f.cells))
	}
	return nil
}

func (f *frame) numberColumns() {
	for i := range f.cells {
		f.names = append(f.names, strconv.Itoa(i))
	}
}

// decodeRecords reads dataframe_records: a list of objects; a column that a record lacks is null there. Lists instead of objects are
// rows of unnamed columns.
func (p *Plan) decodeRecords(t *text, n uint32, in *Input) error {
	if t.first(n) != '[' {
		return badf("Dataframe records format must be a list of records. Got %s.", t.describe(n))
	}
	f := &frame{t: t}
	var err error
	if n+1 < t.tape[n].next && t.first(n+1) != '{' {
		err = f.readRows(keyRecords, n)
	} else {
		err = f.readRecords(keyRecords, n, p.maxCells)
	}
	if err != nil {
		return err
	}
	return p.acceptFrame(f, in)
}

func (f *frame) readRecords(field string, n uint32, maxCells int) (err error) {
	f.named = true
	index := map[string]int{}
	f.t.children(n, func(record uint32) bool {
		if f.t.first(record) != '{' {
			err = badf("Row %d of %s is %s, not an object.", f.rows, field, f.t.describe(record))
			return false
		}
		f.t.members(record, func(key string, v uint32) bool {
			i, ok := index[key]
			if !ok {
				i = len(f.cells)
				index[key] = i
				f.names = append(f.names, key)
				f.cells = append(f.cells, nil)
			}
			f.set(i, v)
			return true
		})
		f.rows++
		if f.rows*len(f.cells) > maxCells {
			err = tooManyCells(maxCells)
		}
		return err == nil
	})
	for i := range f.cells {
		f.cells[i] = padTo(f.cells[i], f.rows)
	}
	return err
}

// set puts a cell into the row being read; a repeated key replaces the earlier one.
func (f *frame) set(column int, cell uint32) {
	c := padTo(f.cells[column], f.rows+1)
	c[f.rows] = cell
	f.cells[column] = c
}

func padTo(cells []uint32, n int) []uint32 {
	if len(cells) < n {
		old := len(cells)
		cells = slices.Grow(cells, n-old)[:n]
		clear(cells[old:])
	}
	return cells
}

func tooManyCells(limit int) error {
	return tooLargef("The body holds more than the limit of %d values.", limit)
}

// content is what kinds of values a column holds.
type content struct {
	bools, ints, uints, huge, negative, floats, nulls, strings, others bool
}

// look classifies the values of a column.
func (f *frame) look(cells []uint32) content {
	var s content
	for _, n := range cells {
		if n == 0 {
			s.nulls = true
			continue
		}
		switch f.t.first(n) {
		case '"':
			s.strings = true
		case 't', 'f':
			s.bools = true
		case 'n':
			s.nulls = true
		case '[', '{':
			s.others = true
		default:
			s.number(f.t.number(n))
		}
	}
	return s
}

func (s *content) number(v float64, _ int64, c class) {
	switch c {
	case classInt:
		s.ints = true
		s.negative = s.negative || v < 0
	case classUint:
		s.uints = true
	case classHuge:
		s.huge = true
	default:
		s.floats = true
	}
}

// dtype is the element type that pandas would give the column; Invalid stands for its "object".
func (s content) dtype() tensor.DType {
	numbers := s.ints || s.uints || s.floats || s.huge
	switch {
	case s.others || (s.strings && (numbers || s.bools)) || (s.bools && (numbers || s.nulls)) || s.huge:
		return tensor.Invalid
	case s.strings:
		return tensor.String
	case s.bools:
		return tensor.Bool
	case s.floats || s.nulls:
		return tensor.Float64
	case s.uints && s.negative:
		return tensor.Invalid
	case s.uints:
		return tensor.Uint64
	}
	return tensor.Int64
}

// rules are pandas' rules for this column's conversion.
func (s content) rules() rules {
	d := s.dtype()
	return rules{frame: true, rounded: d == tensor.Float64, exact: d == tensor.Int64 || d == tensor.Uint64}
}

// convert fills a tensor of type d and shape [rows] with a column's cells.
func (f *frame) convert(out *tensor.Tensor, d tensor.DType, name, want string, cells []uint32, in *Input) error {
	if d.Text() {
		return f.convertText(out, d, name, want, cells, in)
	}
	r := rules{}
	if !f.array {
		r = f.look(cells).rules()
	}
	words := slices.Grow(in.words[:0], len(cells))
	for row, n := range cells {
		w, bad := missing(d)
		if n != 0 {
			w, bad = f.t.word(n, d, r)
		}
		if bad != "" {
			return convertError(name, row, want, bad)
		}
		words = append(words, w)
	}
	in.words = words
	in.shape = append(in.shape[:0], int64(len(cells)))
	store(out, d, in.shape, words, 0, 1)
	return nil
}

// noValue is what stands in a cell that is not there.
const noValue = "no value (null)"

// missing is the value of a cell that is not there.
func missing(d tensor.DType) (w uint64, bad string) {
	switch {
	case d.Float():
		return math.Float64bits(math.NaN()), ""
	case d == tensor.Datetime:
		return 1 << 63, ""
	}
	return 0, noValue
}

func (f *frame) convertText(out *tensor.Tensor, d tensor.DType, name, want string, cells []uint32, in *Input) error {
	out.Reset(d, int64(len(cells)))
	to := out.Strings()
	absent := func(row int) bool { return cells[row] == 0 || f.t.first(cells[row]) == 'n' }
	some := false
	for row, n := range cells {
		if d == tensor.String && !f.array && absent(row) {
			some = true
			continue
		}
		s, bad := "", noValue
		if n != 0 {
			s, bad = f.t.string(n, d, rules{frame: !f.array})
		}
		if bad != "" {
			return convertError(name, row, want, bad)
		}
		to[row] = s
	}
	if some {
		in.withMissing(absent)
	}
	return nil
}

// withMissing makes the column that was added last, of texts, one of JSON texts, which can say that a text is missing: null.
func (in *Input) withMissing(absent func(row int) bool) {
	c := &in.Batch.Columns[len(in.Batch.Columns)-1]
	c.JSON = true
	for row, texts := 0, c.Tensor.Strings(); row < len(texts); row++ {
		if absent(row) {
			texts[row] = "null"
		} else {
			texts[row] = string(appendString(nil, texts[row]))
		}
	}
}
