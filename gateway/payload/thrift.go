package payload

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/parquet-go/parquet-go/encoding/thrift"
)

// Bounds on one Thrift structure. The library's decoder makes room for as many list elements as a list claims, before it looks
// for them, so structures are walked first.
const (
	maxThriftElements = 1 << 17 // of all lists together
	maxThriftDepth    = 16
)

var errThrift = errors.New("damaged structure")

// decodeThrift decodes the structure in Thrift's compact protocol at the start of b and returns its length in bytes. Text in v
// aliases b. The decoder was not written for hostile bytes: what the walk lets through and still makes it panic is an error.
func decodeThrift(b []byte, v any) (n int, err error) {
	w := thriftWalker{b: b, elements: maxThriftElements}
	if !w.structure(maxThriftDepth) {
		return 0, errThrift
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errThrift, r)
		}
	}()
	r := new(thrift.CompactProtocol).NewReaderFromBytes(b[:w.i])
	return w.i, thrift.NewDecoder(r).Decode(v)
}

// thriftWalker skips over values and checks their lengths (source: Apache Thrift, doc/specs/thrift-compact-protocol.md).
type thriftWalker struct {
	b        []byte
	i        int
	elements int
}

func (w *thriftWalker) byte() (byte, bool) {
	if w.i >= len(w.b) {
		return 0, false
	}
	w.i++
	return w.b[w.i-1], true
}

func (w *thriftWalker) varint() (uint64, bool) {
	v, n := binary.Uvarint(w.b[w.i:])
	if n <= 0 {
		return 0, false
	}
	w.i += n
	return v, true
}

func (w *thriftWalker) skip(n uint64) bool {
	if n > uint64(len(w.b)-w.i) {
		return false
	}
	w.i += int(n)
	return true
}

// structure walks the fields of a structure up to its stop byte.
func (w *thriftWalker) structure(depth int) bool {
	if depth == 0 {
		return false
	}
	for {
		head, ok := w.byte()
		if !ok || head == 0 {
			return ok
		}
		if head>>4 == 0 {
			if _, ok = w.varint(); !ok {
				return false
			}
		}
		if kind := head & 15; kind > 2 && !w.value(kind, depth) { // 1 and 2 are booleans, held by the head
			return false
		}
	}
}

func (w *thriftWalker) value(kind byte, depth int) bool {
	if depth <= 0 {
		return false
	}
	switch kind {
	case 1, 2, 3: // booleans in lists, bytes
		return w.skip(1)
	case 4, 5, 6: // integers
		_, ok := w.varint()
		return ok
	case 7: // double
		return w.skip(8)
	case 8: // text and bytes
		n, ok := w.varint()
		return ok && w.skip(n)
	case 9, 10: // list, set
		return w.list(depth)
	case 11:
		return w.pairs(depth)
	case 12:
		return w.structure(depth - 1)
	}
	return false
}

func (w *thriftWalker) list(depth int) bool {
	head, ok := w.byte()
	n := uint64(head >> 4)
	if ok && n == 15 {
		n, ok = w.varint()
	}
	return ok && w.count(n) && w.values(n, head&15, depth)
}

func (w *thriftWalker) values(n uint64, kind byte, depth int) bool {
	for range n {
		if !w.value(kind, depth-1) {
			return false
		}
	}
	return true
}

func (w *thriftWalker) pairs(depth int) bool {
	n, ok := w.varint()
	if !ok || n == 0 {
		return ok
	}
	kinds, ok := w.byte()
	if !ok || !w.count(n) {
		return false
	}
	for range n {
		if !w.value(kinds>>4, depth-1) || !w.value(kinds&15, depth-1) {
			return false
		}
	}
	return true
}

// count takes n elements off the budget.
func (w *thriftWalker) count(n uint64) bool {
	if n > uint64(w.elements) {
		return false
	}
	w.elements -= int(n)
	return true
}
