// Package sqlitepack makes one value of many rows inside of SQLite, and reads it: the aggregate function sluice_pack(column, …).
//
// It owns the function, which is in C because SQLite calls it for every row, and the format of what it returns. It is called by sqldb; it
// must not know statements. A row that crosses from C to Go costs more than finding it, so tens of thousands of them cross in one piece.
// The package is safe for concurrent use; a Reader is not.
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

// Install makes sluice_pack known to all connections that the process opens from now on: SQLite has no other door for a function of C's
// through go-sqlite3. It may be called again.
func Install() error {
	if code := C.sluice_pack_install(); code != 0 {
		return fmt.Errorf("install sluice_pack: SQLite answers %d", int(code))
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

// Value is one value of a row.
type Value struct {
	Kind  Kind
	Int   int64   // of an Integer
	Float float64 // of a Float
	Bytes []byte  // of a Text or a Blob; part of what the Reader reads
}

// ErrFormat is the error of bytes that sluice_pack did not write.
var ErrFormat = errors.New("malformed packed row")

// Reader reads values in the order in which they were packed, row by row. The zero Reader has none.
type Reader struct{ rest []byte }

// NewReader reads what sluice_pack returned.
func NewReader(packed []byte) Reader { return Reader{packed} }

// More says whether a value is left.
func (r *Reader) More() bool { return len(r.rest) > 0 }

// Row reads a row of len(into) values. Returns ErrFormat if they are not all there.
func (r *Reader) Row(into []Value) error {
	b := r.rest
	for i := range into {
		if len(b) == 0 {
			return ErrFormat
		}
		v := &into[i]
		v.Kind, b = Kind(b[0]), b[1:]
		switch v.Kind {
		case Null:
		case Integer, Float:
			if len(b) < 8 {
				return ErrFormat
			}
			bits := binary.NativeEndian.Uint64(b)
			v.Int, v.Float, b = int64(bits), math.Float64frombits(bits), b[8:]
		case Text, Blob:
			if len(b) < 4 || uint64(binary.NativeEndian.Uint32(b)) > uint64(len(b)-4) {
				return ErrFormat
			}
			n := 4 + int(binary.NativeEndian.Uint32(b))
			v.Bytes, b = b[4:n:n], b[n:]
		default:
			return ErrFormat
		}
	}
	r.rest = b
	return nil
}
