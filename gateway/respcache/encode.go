package respcache

import (
	"encoding/binary"

	"sluice/runtime/tensor"
)

// appendBatch appends a batch so that readBatch finds it again: form, rows + 1, columns; of each its name, whether it is JSON, its keys, its type, its
// shape and its elements. Numbers are variable-length, texts and lists begin with their length, elements are little endian. canonical makes
// every NaN the same.
func appendBatch(dst []byte, b *tensor.Batch, canonical bool) []byte {
	dst = binary.AppendUvarint(append(dst, byte(b.Form)), uint64(b.Rows+1)) // NoRows is −1
	dst = binary.AppendUvarint(dst, uint64(len(b.Columns)))
	for i := range b.Columns {
		dst = appendColumn(dst, &b.Columns[i], canonical)
	}
	return dst
}

// sizeOf is about how many bytes the encoding of a batch takes.
func sizeOf(b *tensor.Batch) int {
	n := 0
	for i := range b.Columns {
		t := &b.Columns[i].Tensor
		n += len(b.Columns[i].Name) + t.Len()*t.Type.Size()
		for _, s := range t.Strings() {
			n += 1 + len(s)
		}
	}
	return n
}

// The flags of a column.
const (
	columnJSON = 1 << iota
	columnKeys
)

func appendColumn(dst []byte, c *tensor.Column, canonical bool) []byte {
	var flags byte
	if c.JSON {
		flags |= columnJSON
	}
	if c.Keys != nil {
		flags |= columnKeys
	}
	dst = appendText(append(dst, flags), c.Name)
	if c.Keys != nil {
		dst = appendTexts(dst, c.Keys)
	}
	t := &c.Tensor
	dst = binary.AppendUvarint(append(dst, byte(t.Type)), uint64(len(t.Shape)))
	for _, d := range t.Shape {
		dst = binary.AppendUvarint(dst, uint64(d))
	}
	if t.Type.Text() {
		return appendTexts(dst, t.Strings())
	}
	dst = binary.AppendUvarint(dst, uint64(t.Len()))
	at := len(dst)
	dst = append(dst, t.Raw()...)
	if canonical {
		unifyNaN(dst[at:], t.Type)
	}
	return dst
}

func appendTexts(dst []byte, texts []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(texts)))
	for _, s := range texts {
		dst = appendText(dst, s)
	}
	return dst
}

// unifyNaN makes every NaN among the elements the same one.
func unifyNaN(raw []byte, d tensor.DType) {
	le := binary.LittleEndian
	switch d {
	case tensor.Float64:
		for ; len(raw) >= 8; raw = raw[8:] {
			le.PutUint64(raw, oneNaN(le.Uint64(raw)))
		}
	case tensor.Float32:
		for ; len(raw) >= 4; raw = raw[4:] {
			if le.Uint32(raw)&^(1<<31) > 0xff<<23 {
				le.PutUint32(raw, 0x7fc<<20)
			}
		}
	case tensor.Float16:
		unify16(raw, 0x7c00, 0x7e00)
	case tensor.BFloat16:
		unify16(raw, 0x7f80, 0x7fc0)
	}
}

func unify16(raw []byte, infinity, nan uint16) {
	le := binary.LittleEndian
	for ; len(raw) >= 2; raw = raw[2:] {
		if le.Uint16(raw)&^(1<<15) > infinity {
			le.PutUint16(raw, nan)
		}
	}
}
