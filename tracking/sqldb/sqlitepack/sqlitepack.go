// Package sqlitepack makes one value of many rows inside of SQLite, and reads it: the aggregate function sluice_pack(column, …); and makes
// many rows of one value: the function sluice_insert(statement, rows).
//
// It owns the functions, which are in C because SQLite calls them for every row, and the format of packed rows. It is called by sqldb; it
// must not know statements. A row that crosses from C to Go costs more than finding it, so tens of thousands of them cross in one piece.
// The package is safe for concurrent use; a Reader and a Packer are not.
package sqlitepack

// #include "pack.h"
import "C"

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	_ "github.com/mattn/go-sqlite3" // the SQLite that the function is linked to
)

// Install makes the functions known to all connections that the process opens from now on: SQLite has no other door for a function of C's
// through go-sqlite3. Where nobody has opened one before, SQLite also stops to count its memory, by a lock for each piece. It may be called
// again.
func Install() error {
	if code := C.sluice_pack_install(); code != 0 {
		return fmt.Errorf("install functions in SQLite: it answers %d", int(code))
	}
	return nil
}

// Kind is what a value is.
type Kind byte

// The kinds of values.
const (
	Null    Kind = C.PACK_NULL
	Integer Kind = C.PACK_INTEGER
	Float   Kind = C.PACK_FLOAT
	Text    Kind = C.PACK_TEXT
	Blob    Kind = C.PACK_BLOB
)

// Value is one value of a row. It points at nothing, so that the collector has nothing to look at.
type Value struct {
	Kind   Kind
	bits   uint64 // of an Integer or a Float
	at, to int    // where the bytes of a Text or a Blob lie
}

// Int returns the number of an Integer.
func (v *Value) Int() int64 { return int64(v.bits) }

// Float returns the number of a Float.
func (v *Value) Float() float64 { return math.Float64frombits(v.bits) }

// ErrFormat is the error of bytes that sluice_pack did not write.
var ErrFormat = errors.New("malformed packed row")

// Reader reads values in the order in which they were packed, row by row. The zero Reader has none.
type Reader struct {
	packed []byte
	next   int // where the next value begins
}

// NewReader reads what sluice_pack returned.
func NewReader(packed []byte) Reader { return Reader{packed: packed} }

// More says whether a value is left.
func (r *Reader) More() bool { return r.next < len(r.packed) }

// Bytes returns the bytes of a Text or a Blob that the Reader has read: a part of what it reads.
func (r *Reader) Bytes(v *Value) []byte { return r.packed[v.at:v.to:v.to] }

// Row reads a row of len(into) values. Returns ErrFormat if they are not all there.
func (r *Reader) Row(into []Value) error {
	next := r.next
	for i := range into {
		if next >= len(r.packed) {
			return ErrFormat
		}
		v, b := &into[i], r.packed[next+1:]
		v.Kind = Kind(r.packed[next])
		next++
		switch v.Kind {
		case Null:
		case Integer, Float:
			if len(b) < 8 {
				return ErrFormat
			}
			v.bits = binary.NativeEndian.Uint64(b)
			next += 8
		case Text, Blob:
			if len(b) < 4 || uint64(binary.NativeEndian.Uint32(b)) > uint64(len(b)-4) {
				return ErrFormat
			}
			v.at = next + 4
			v.to = v.at + int(binary.NativeEndian.Uint32(b))
			next = v.to
		default:
			return ErrFormat
		}
	}
	r.next = next
	return nil
}
