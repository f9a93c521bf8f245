package wire

import (
	"encoding/binary"
	"math/bits"
)

// AppendUUID appends 128 bits as a UUID's usual 36 characters, hi first.
func AppendUUID(dst []byte, hi, lo uint64) []byte {
	var text [36]byte
	le := binary.LittleEndian
	b, c := hex8(uint32(hi)), hex8(uint32(lo>>32))
	le.PutUint64(text[0:], hex8(uint32(hi>>32)))
	text[8] = '-'
	le.PutUint32(text[9:], uint32(b))
	text[13] = '-'
	le.PutUint32(text[14:], uint32(b>>32))
	text[18] = '-'
	le.PutUint32(text[19:], uint32(c))
	text[23] = '-'
	le.PutUint32(text[24:], uint32(c>>32))
	le.PutUint64(text[28:], hex8(uint32(lo)))
	return append(dst, text[:]...)
}

// hex8 is the eight lower-case hexadecimal digits of x, the first in the lowest byte; all of them at once, because every request has two such ids.
func hex8(x uint32) uint64 {
	const ones = 0x0101010101010101
	w := uint64(bits.ReverseBytes32(x))
	w = (w | w<<16) & 0x0000ffff0000ffff
	w = (w | w<<8) & 0x00ff00ff00ff00ff
	w = (w>>4 | w<<8) & (0x0f * ones) // a nibble in each byte
	letters := (w + 6*ones) >> 4 & ones
	return w + '0'*ones + letters*('a'-'0'-10)
}
