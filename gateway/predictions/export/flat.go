package export

import "encoding/binary"

// flat writes a FlatBuffers message (source: the format's internals document) front to back: a table is followed by what it refers to.
// Every field takes 8 bytes, wide enough for all of them.
type flat struct{ b []byte }

// newFlat begins a message; its root is the table to which the field at 0 points.
func newFlat() *flat { return &flat{b: make([]byte, 4, 1024)} }

// align pads until the position leaves the remainder when divided by n.
func (f *flat) align(n, remainder int) {
	for len(f.b)%n != remainder {
		f.b = append(f.b, 0)
	}
}

// table writes a table with these fields present, makes the field at from point to it and returns where each of its own stands.
func (f *flat) table(from, numFields int, present ...int) map[int]int {
	vtable := 4 + 2*numFields
	f.align(2, 0)
	for (len(f.b)+vtable)%8 != 4 {
		f.b = append(f.b, 0)
	}
	le := binary.LittleEndian
	start := len(f.b)
	f.b = le.AppendUint16(f.b, uint16(vtable))
	f.b = le.AppendUint16(f.b, uint16(4+8*len(present)))
	f.b = append(f.b, make([]byte, 2*numFields)...)
	table := len(f.b)
	f.refer(from, table)
	f.b = le.AppendUint32(f.b, uint32(table-start))
	at := make(map[int]int, len(present))
	for i, field := range present {
		le.PutUint16(f.b[start+4+2*field:], uint16(4+8*i))
		at[field] = len(f.b)
		f.b = append(f.b, make([]byte, 8)...)
	}
	return at
}

// put writes a number of any width into a field.
func (f *flat) put(at int, v int64) { binary.LittleEndian.PutUint64(f.b[at:], uint64(v)) }

// refer makes the field or element at a position point to another.
func (f *flat) refer(at, target int) { binary.LittleEndian.PutUint32(f.b[at:], uint32(target-at)) }

// text writes a string and makes the field point to it.
func (f *flat) text(from int, s string) {
	f.align(4, 0)
	f.refer(from, len(f.b))
	f.b = binary.LittleEndian.AppendUint32(f.b, uint32(len(s)))
	f.b = append(append(f.b, s...), 0)
}

// vector writes n elements of so many bytes, zero yet, makes the field point to them and returns where the first stands.
func (f *flat) vector(from, n, size int) int {
	f.align(8, 4)
	f.refer(from, len(f.b))
	f.b = binary.LittleEndian.AppendUint32(f.b, uint32(n))
	at := len(f.b)
	f.b = append(f.b, make([]byte, n*size)...)
	return at
}
