package respcache

import (
	"encoding/binary"
	"time"

	"github.com/cespare/xxhash/v2"

	"sluice/runtime/tensor"
)

// A value is:
//
//	"SLA1" · u64 checksum · u64 when it was computed, ms since the epoch · batch
//
// little endian; the checksum (XXH64) is over all that follows it, seeded with the key: a value under the key of another is none.
const (
	valueMagic  = "SLA1"
	valueHeader = len(valueMagic) + 8 + 8
)

// appendValue appends the value of the key.
func appendValue(dst []byte, k *Key, now time.Time, answer *tensor.Batch) []byte {
	at := len(dst)
	dst = append(append(dst, valueMagic...), 0, 0, 0, 0, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(now.UnixMilli()))
	dst = appendBatch(dst, answer, false)
	summed := at + len(valueMagic)
	var d xxhash.Digest
	d.ResetWithSeed(k.seed())
	_, _ = d.Write(dst[summed+8:]) // never fails
	binary.LittleEndian.PutUint64(dst[summed:], d.Sum64())
	return dst
}

func (k *Key) seed() uint64 { return binary.LittleEndian.Uint64(k.Sum[:]) ^ uint64(k.Owner) }

// computed is when a value of the key was computed, unless it is none.
func computed(value string, k *Key) (at time.Time, ok bool) {
	if len(value) < valueHeader || value[:len(valueMagic)] != valueMagic {
		return at, false
	}
	rest := value[len(valueMagic):]
	var d xxhash.Digest
	d.ResetWithSeed(k.seed())
	_, _ = d.WriteString(rest[8:]) // never fails
	if d.Sum64() != word(rest) {
		return at, false
	}
	return time.UnixMilli(int64(word(rest[8:]))), true
}

// readAnswer fills out with the batch of a value that computed took for one. Texts in out alias the value.
func readAnswer(value string, out *tensor.Batch) error {
	r := reader{left: value[valueHeader:]}
	r.batch(out)
	if r.failed || r.left != "" {
		return errValue
	}
	return nil
}

// word reads eight bytes.
func word(s string) (w uint64) {
	for i := range 8 {
		w |= uint64(s[i]) << (8 * i)
	}
	return w
}
