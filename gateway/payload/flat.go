package payload

import (
	"encoding/binary"
	"errors"
)

// flat reads FlatBuffers tables (source: the format's internals document) from bytes that anybody may have sent: every offset is checked
// against the buffer, and what does not fit is an error of the reader that is kept in bad; the value read is then zero.
type flat struct {
	b   []byte
	bad error
}

// flatTable is the position of a FlatBuffers table; 0 stands for one that is not there.
type flatTable int

var errFlat = errors.New("damaged metadata")

// maxFlatVector bounds the elements of a vector: metadata is small.
const maxFlatVector = 1 << 20

func (f *flat) fail() { f.bad = errFlat }

// at returns the n bytes at position p, or nil.
func (f *flat) at(p, n int) []byte {
	if p < 0 || n < 0 || p > len(f.b)-n {
		f.fail()
		return nil
	}
	return f.b[p : p+n]
}

func (f *flat) u16(p int) int {
	if b := f.at(p, 2); b != nil {
		return int(binary.LittleEndian.Uint16(b))
	}
	return 0
}

func (f *flat) u32(p int) int {
	if b := f.at(p, 4); b != nil {
		return int(binary.LittleEndian.Uint32(b))
	}
	return 0
}

func (f *flat) i64(p int) int64 {
	if b := f.at(p, 8); b != nil {
		return int64(binary.LittleEndian.Uint64(b))
	}
	return 0
}

// root is the buffer's root table.
func (f *flat) root() flatTable { return flatTable(f.u32(0)) }

// slot returns the position of a table's field; 0 where the field has its default.
func (f *flat) slot(t flatTable, field int) int {
	if t == 0 {
		return 0
	}
	back := f.at(int(t), 4)
	if back == nil {
		return 0
	}
	v := int(t) - int(int32(binary.LittleEndian.Uint32(back)))
	if 4+2*field >= f.u16(v) {
		return 0
	}
	at := f.u16(v + 4 + 2*field)
	if at == 0 {
		return 0
	}
	return int(t) + at
}

// table follows a field to a table.
func (f *flat) table(t flatTable, field int) flatTable {
	if p := f.slot(t, field); p != 0 {
		return flatTable(p + f.u32(p))
	}
	return 0
}

// byte, short, int and long read a scalar field, or give its default.
func (f *flat) byte(t flatTable, field, otherwise int) int {
	if p := f.slot(t, field); p != 0 {
		if b := f.at(p, 1); b != nil {
			return int(b[0])
		}
	}
	return otherwise
}

func (f *flat) short(t flatTable, field, otherwise int) int {
	if p := f.slot(t, field); p != 0 {
		return int(int16(f.u16(p)))
	}
	return otherwise
}

func (f *flat) int(t flatTable, field, otherwise int) int {
	if p := f.slot(t, field); p != 0 {
		return int(int32(f.u32(p)))
	}
	return otherwise
}

func (f *flat) long(t flatTable, field int) int64 {
	if p := f.slot(t, field); p != 0 {
		return f.i64(p)
	}
	return 0
}

// vector returns where a vector's elements begin and how many of the given size there are.
func (f *flat) vector(t flatTable, field, size int) (at, n int) {
	p := f.slot(t, field)
	if p == 0 {
		return 0, 0
	}
	p += f.u32(p)
	n = f.u32(p)
	if n > maxFlatVector || f.at(p+4, n*size) == nil && n > 0 {
		f.fail()
		return 0, 0
	}
	return p + 4, n
}

// text reads a string field.
func (f *flat) text(t flatTable, field int) string {
	at, n := f.vector(t, field, 1)
	return string(f.at(at, n))
}

// element is the i-th table of a vector of tables that begins at at.
func (f *flat) element(at, i int) flatTable {
	p := at + 4*i
	return flatTable(p + f.u32(p))
}
