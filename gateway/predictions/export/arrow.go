package export

import (
	"encoding/binary"
	"io"

	"sluice/gateway/predictions"
	"sluice/gateway/predlog"
)

// An Arrow stream (source: the Arrow columnar format, "IPC streaming format", Message.fbs and Schema.fbs) is a message with the schema,
// then one with each batch of rows, then a mark of the end.
const (
	arrowVersion = 4 // V5
	arrowSchema  = 1
	arrowBatch   = 3
	continuation = 0xFFFFFFFF

	batchRows  = 1024
	batchBytes = 4 << 20
)

// The members of the union Type.
const (
	typeInt = 2 + iota
	typeFloat
	typeBinary
	typeText
	typeBool
	_
	typeDate
	_
	typeTime
)

type arrowWriter struct {
	w       io.Writer
	started bool
	rows    int
	bytes   int
	columns []arrowColumn
}

// arrowColumn collects the values of one column of a batch.
type arrowColumn struct {
	valid   []byte // a bit a row
	nulls   int
	data    []byte // fixed values, bits, or texts one after the other
	offsets []byte // of texts
}

func newArrowWriter(w io.Writer) *arrowWriter {
	return &arrowWriter{w: w, columns: make([]arrowColumn, len(columns))}
}

func (w *arrowWriter) row(r *predlog.Row, _ predictions.Position) error {
	for i := range columns {
		w.bytes += w.columns[i].add(columns[i].kind, w.rows, columns[i].value(r))
	}
	if w.rows++; w.rows < batchRows && w.bytes < batchBytes {
		return nil
	}
	return w.flush()
}

func (w *arrowWriter) end(*predictions.Position) error {
	if err := w.flush(); err != nil {
		return err
	}
	if err := w.start(); err != nil {
		return err
	}
	_, err := w.w.Write(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, continuation), 0))
	return err
}

// add appends the n-th value and returns its bytes.
func (c *arrowColumn) add(k kind, n int, v any) int {
	before := len(c.data)
	c.valid = setBit(c.valid, n, v != nil)
	if v == nil {
		c.nulls++
	}
	le := binary.LittleEndian
	if (k == kindText || k == kindBinary) && n == 0 {
		c.offsets = le.AppendUint32(c.offsets[:0], 0)
	}
	switch v := v.(type) {
	case string:
		c.data = append(c.data, v...)
	case []byte:
		c.data = append(c.data, v...)
	case bool:
		c.data = setBit(c.data, n, v)
	case float64:
		c.data, _ = binary.Append(c.data, le, v)
	case int64:
		if k == kindInt32 || k == kindDate {
			c.data = le.AppendUint32(c.data, uint32(int32(v)))
		} else {
			c.data = le.AppendUint64(c.data, uint64(v))
		}
	}
	if k == kindText || k == kindBinary {
		c.offsets = le.AppendUint32(c.offsets, uint32(len(c.data)))
	}
	return len(c.data) - before
}

func setBit(bits []byte, n int, on bool) []byte {
	if n%8 == 0 {
		bits = append(bits, 0)
	}
	if on {
		bits[n/8] |= 1 << (n % 8)
	}
	return bits
}

func (w *arrowWriter) start() error {
	if w.started {
		return nil
	}
	w.started = true
	return w.message(arrowSchema, 0, writeSchema)
}

// flush writes the rows collected as one batch.
func (w *arrowWriter) flush() error {
	if w.rows == 0 {
		return nil
	}
	if err := w.start(); err != nil {
		return err
	}
	var body []byte
	var spans [][2]int // offset and length of each buffer
	add := func(b []byte) {
		spans = append(spans, [2]int{len(body), len(b)})
		body = append(body, b...)
		for len(body)%8 != 0 {
			body = append(body, 0)
		}
	}
	for i := range w.columns {
		c := &w.columns[i]
		add(c.valid)
		if columns[i].kind == kindText || columns[i].kind == kindBinary {
			add(c.offsets)
		}
		add(c.data)
	}
	err := w.message(arrowBatch, len(body), func(f *flat, header int) { w.writeBatch(f, header, spans) })
	if err == nil {
		_, err = w.w.Write(body)
	}
	for i := range w.columns {
		c := &w.columns[i]
		c.valid, c.data, c.offsets, c.nulls = c.valid[:0], c.data[:0], c.offsets[:0], 0
	}
	w.rows, w.bytes = 0, 0
	return err
}

// writeBatch writes the table RecordBatch.
func (w *arrowWriter) writeBatch(f *flat, header int, spans [][2]int) {
	batch := f.table(header, 4, 0, 1, 2)
	f.put(batch[0], int64(w.rows))
	at := f.vector(batch[1], len(columns), 16)
	for i := range w.columns {
		f.put(at+16*i, int64(w.rows))
		f.put(at+16*i+8, int64(w.columns[i].nulls))
	}
	at = f.vector(batch[2], len(spans), 16)
	for i, s := range spans {
		f.put(at+16*i, int64(s[0]))
		f.put(at+16*i+8, int64(s[1]))
	}
}

// writeSchema writes the table Schema.
func writeSchema(f *flat, header int) {
	schema := f.table(header, 4, 1)
	fields := f.vector(schema[1], len(columns), 4)
	for i, c := range columns {
		field := f.table(fields+4*i, 7, 0, 1, 2, 3, 5)
		f.text(field[0], c.name)
		if c.nullable {
			f.put(field[1], 1)
		}
		f.put(field[2], writeType(f, field[3], c.kind))
		f.vector(field[5], 0, 4)
	}
}

// writeType writes the table of a column's type and returns its place in the union.
func writeType(f *flat, from int, k kind) int64 {
	switch k {
	case kindInt32, kindInt64:
		t := f.table(from, 2, 0, 1)
		f.put(t[0], 64)
		if k == kindInt32 {
			f.put(t[0], 32)
		}
		f.put(t[1], 1)
		return typeInt
	case kindFloat:
		f.put(f.table(from, 1, 0)[0], 2) // double
		return typeFloat
	case kindDate:
		f.table(from, 1, 0) // unit 0: days
		return typeDate
	case kindTime:
		t := f.table(from, 2, 0, 1)
		f.put(t[0], 2) // µs
		f.text(t[1], "UTC")
		return typeTime
	case kindBool:
		f.table(from, 1, 0)
		return typeBool
	case kindBinary:
		f.table(from, 1, 0)
		return typeBinary
	}
	f.table(from, 1, 0)
	return typeText
}

// message writes one message, whose header fill writes; its body follows.
func (w *arrowWriter) message(kind, body int, fill func(f *flat, header int)) error {
	f := newFlat()
	m := f.table(0, 5, 0, 1, 2, 3)
	f.put(m[0], arrowVersion)
	f.put(m[1], int64(kind))
	f.put(m[3], int64(body))
	fill(f, m[2])
	f.align(8, 0)
	head := binary.LittleEndian.AppendUint32(nil, continuation)
	head = binary.LittleEndian.AppendUint32(head, uint32(len(f.b)))
	if _, err := w.w.Write(head); err != nil {
		return err
	}
	_, err := w.w.Write(f.b)
	return err
}
