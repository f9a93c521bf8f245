package respcache

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"sluice/runtime/tensor"
)

// MaxInputBytes is the largest input that is looked up, in bytes of its decoded values: larger ones hardly ever come twice.
const MaxInputBytes = 16 << 20

// keyFormat changes when the encoding of keys does.
const keyFormat = 1

// Owner names a version at an endpoint, to find what is kept for it. Two may share one by accident: it decides only on what is freed.
type Owner uint64

// OwnerOf is the owner of a version at an endpoint.
func OwnerOf(endpoint, model string, version int) Owner {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(endpoint) // never fails
	_, _ = d.WriteString("\x00")
	_, _ = d.WriteString(model)
	_, _ = d.WriteString("\x00")
	_, _ = d.WriteString(strconv.Itoa(version))
	return Owner(d.Sum64())
}

// Key names an answer.
type Key struct {
	Owner Owner
	Sum   [sha256.Size]byte
}

// String is the key in 81 characters: owner, colon, sum, in hexadecimal.
func (k *Key) String() string {
	var b [8 + sha256.Size]byte
	binary.BigEndian.PutUint64(b[:], uint64(k.Owner))
	copy(b[8:], k.Sum[:])
	var text [2*len(b) + 1]byte
	hex.Encode(text[:16], b[:8])
	text[16] = ':'
	hex.Encode(text[17:], b[8:])
	return string(text[:])
}

// Asked is what an answer depends on.
type Asked struct {
	Owner    Owner
	Endpoint string
	// Digest names the files of the version and what executes them; not "".
	Digest string
	// Params are the values of EnforceParams in package mlmodel; may be nil.
	Params map[string]any
	Input  *tensor.Batch
}

// Key returns the key of what is asked, and scratch grown. ok is false where there can be none: the digest is not known, the input is larger than
// MaxInputBytes, or a param is of no known type.
func (a *Asked) Key(scratch []byte) (k Key, grown []byte, ok bool) {
	if a.Digest == "" || sizeOf(a.Input) > MaxInputBytes {
		return k, scratch, false
	}
	if grown, ok = a.append(scratch[:0]); ok {
		k = Key{a.Owner, sha256.Sum256(grown)}
	}
	return k, grown, ok
}

// append appends the encoding that the key is the sum of.
func (a *Asked) append(dst []byte) ([]byte, bool) {
	dst = appendText(append(dst, keyFormat), a.Endpoint)
	dst = appendText(dst, a.Digest)
	dst, ok := appendParam(dst, a.Params)
	return appendBatch(dst, a.Input, true), ok
}

// The kinds of params.
const (
	paramNil = iota
	paramFalse
	paramTrue
	paramWhole
	paramFloat
	paramText
	paramList
	paramMap
)

// appendParam appends a value with its kind; maps in the order of their keys. It is false for a value of another kind.
func appendParam(dst []byte, v any) ([]byte, bool) {
	ok := true
	switch v := v.(type) {
	case nil:
		return append(dst, paramNil), true
	case bool:
		if v {
			return append(dst, paramTrue), true
		}
		return append(dst, paramFalse), true
	case int64:
		return binary.AppendVarint(append(dst, paramWhole), v), true
	case float64:
		return binary.LittleEndian.AppendUint64(append(dst, paramFloat), oneNaN(math.Float64bits(v))), true
	case string:
		return appendText(append(dst, paramText), v), true
	case []any:
		dst = binary.AppendUvarint(append(dst, paramList), uint64(len(v)))
		for _, e := range v {
			if dst, ok = appendParam(dst, e); !ok {
				return dst, false
			}
		}
		return dst, true
	case map[string]any:
		dst = binary.AppendUvarint(append(dst, paramMap), uint64(len(v)))
		if len(v) == 0 {
			return dst, true // sorting would allocate
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if dst, ok = appendParam(appendText(dst, name), v[name]); !ok {
				return dst, false
			}
		}
		return dst, true
	}
	return dst, false
}

// oneNaN makes every NaN of a float64 the same.
func oneNaN(bits uint64) uint64 {
	if bits&^(1<<63) > 0x7ff<<52 {
		return 0x7ff8 << 48
	}
	return bits
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}
