package sqlitepack

// #include "pack.h"
import "C"

import (
	"encoding/binary"
	"math"
)

// Insert is the query that inserts packed rows, in a transaction. Its parameters are an INSERT of one row, whose values are parameters, and
// what a Packer has packed; its one value is how many rows have changed. It is as if the INSERT ran once for each row: where one fails those
// before it stay, and the error is SQLite's own. No page that it changes is copied meanwhile, as SQLite does for an INSERT of many rows.
const Insert = "SELECT sluice_insert(?, ?)"

// Packer packs rows to insert. Make it with NewPacker.
type Packer struct {
	packed []byte
	column int        // of the next value
	last   []lastText // the texts of the row before
}

// lastText is a text in a column, if there is one.
type lastText struct {
	text  string
	known bool
}

// NewPacker packs rows of so many values.
func NewPacker(columns int) *Packer { return &Packer{last: make([]lastText, columns)} }

// Reset forgets all rows, and keeps the room that they took.
func (p *Packer) Reset() {
	p.packed, p.column = p.packed[:0], 0
	clear(p.last)
}

// Bytes returns the rows; they are the Packer's until Reset.
func (p *Packer) Bytes() []byte { return p.packed }

// next puts what a value is, and knows its text, if it has one, in the row behind.
func (p *Packer) next(k Kind, text lastText) {
	p.packed = append(p.packed, byte(k))
	p.last[p.column] = text
	p.column = (p.column + 1) % len(p.last)
}

func (p *Packer) number(k Kind, bits uint64) {
	p.next(k, lastText{})
	p.packed = binary.NativeEndian.AppendUint64(p.packed, bits)
}

// Null packs no value.
func (p *Packer) Null() { p.next(Null, lastText{}) }

// Int packs an integer.
func (p *Packer) Int(n int64) { p.number(Integer, uint64(n)) }

// Float packs a number; SQLite stores NaN as no value.
func (p *Packer) Float(x float64) { p.number(Float, math.Float64bits(x)) }

// Text packs a text of less than 2 GiB. It costs one byte if the row before has the same one.
func (p *Packer) Text(s string) {
	if same := (lastText{s, true}); p.last[p.column] == same {
		p.next(C.PACK_SAME, same)
		return
	}
	p.next(Text, lastText{s, true})
	p.packed = append(binary.NativeEndian.AppendUint32(p.packed, uint32(len(s))), s...)
}

// Blob packs bytes, less than 2 GiB.
func (p *Packer) Blob(b []byte) {
	p.next(Blob, lastText{})
	p.packed = append(binary.NativeEndian.AppendUint32(p.packed, uint32(len(b))), b...)
}
