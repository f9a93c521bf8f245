package payload

import (
	"math"

	"sluice/runtime/tensor"
)

// rules says whose conversion rules hold: pandas' for data frames, NumPy's for instances and inputs. They differ in small ways.
type rules struct {
	frame bool
	// rounded: the column as a whole became float64 before it became its type, so integers over 2^53 lose digits (frames only).
	rounded bool
	// exact: the column as a whole was int64 or uint64 before it became its type, so an integer rounds once to float32 (frames only).
	exact bool
}

// Reasons for which a value cannot become a column's type, beside "what it is".
const (
	outOfRange = "a number out of the type's range"
	notANumber = "NaN"
	infinite   = "an infinite number"
	noNumber   = "a string that is no number"
)

// word converts the JSON value at n to the bits of d: float64 bits for floats, the integer, 0 or 1, nanoseconds for Datetime.
// bad is "" or says what stands there instead.
func (t *text) word(n uint32, d tensor.DType, r rules) (w uint64, bad string) {
	switch c := t.first(n); {
	case d == tensor.Datetime:
		return t.datetime(n, r)
	case c == '[' || c == '{':
		return 0, t.describe(n)
	case c == '"':
		return stringWord(t.str(n), d)
	case c == 't' || c == 'f':
		return boolWord(c == 't', d), ""
	case c == 'n':
		if d.Float() {
			return math.Float64bits(math.NaN()), ""
		}
		return 0, "null"
	}
	f, i, c := t.number(n)
	return numberWord(f, i, c, d, r)
}

func boolWord(v bool, d tensor.DType) uint64 {
	switch {
	case !v:
		return 0
	case d.Float():
		return math.Float64bits(1)
	}
	return 1
}

func stringWord(s string, d tensor.DType) (uint64, string) {
	switch {
	case d.Float():
		if f, ok := floatText(s); ok {
			return math.Float64bits(f), ""
		}
	case d.Integer():
		n, huge, ok := intText(s)
		if huge {
			return 0, outOfRange
		}
		if ok {
			return integerWord(n, d)
		}
	case d == tensor.Bool:
		return 0, "a string"
	}
	return 0, noNumber
}

func numberWord(f float64, i int64, c class, d tensor.DType, r rules) (uint64, string) {
	switch {
	case d == tensor.Bool:
		if f != f {
			return 0, notANumber
		}
		if f != 0 {
			return 1, ""
		}
		return 0, ""
	case d.Float():
		if d == tensor.Float32 && c == classInt && r.exact {
			f = float64(float32(i))
		}
		if d == tensor.Float32 && c == classUint && r.exact {
			f = float64(float32(uint64(i)))
		}
		return math.Float64bits(f), ""
	case c == classInt && !r.rounded:
		return integerWord(i, d)
	case c == classUint && d == tensor.Uint64:
		return uint64(i), ""
	case c == classUint || c == classHuge:
		return 0, outOfRange
	}
	return truncate(f, d)
}

// truncate makes a float an integer by dropping its fraction, as int() and astype do.
func truncate(f float64, d tensor.DType) (uint64, string) {
	switch {
	case f != f:
		return 0, notANumber
	case math.IsInf(f, 0):
		return 0, infinite
	}
	f = math.Trunc(f)
	if d == tensor.Uint64 {
		if f < 0 || f >= 1<<64 {
			return 0, outOfRange
		}
		return uint64(f), ""
	}
	if f < -1<<63 || f >= 1<<63 {
		return 0, outOfRange
	}
	return integerWord(int64(f), d)
}

// integerWord checks n against the range of an integer type.
func integerWord(n int64, d tensor.DType) (uint64, string) {
	lo, hi := integerRange(d)
	if n < lo || n > hi {
		return 0, outOfRange
	}
	return uint64(n), ""
}

// integerRange is the range of an integer type within int64.
func integerRange(d tensor.DType) (lo, hi int64) {
	switch d {
	case tensor.Int8:
		return math.MinInt8, math.MaxInt8
	case tensor.Int16:
		return math.MinInt16, math.MaxInt16
	case tensor.Int32:
		return math.MinInt32, math.MaxInt32
	case tensor.Uint8:
		return 0, math.MaxUint8
	case tensor.Uint16:
		return 0, math.MaxUint16
	case tensor.Uint32:
		return 0, math.MaxUint32
	case tensor.Uint64:
		return 0, math.MaxInt64
	}
	return math.MinInt64, math.MaxInt64
}

// string converts the JSON value at n to an element of a String or Binary column.
//
// In a frame a string column takes strings only and a binary column Base64. In instances and inputs NumPy makes text of numbers and
// booleans as Python's str() does, and bytes of ASCII text without any Base64.
func (t *text) string(n uint32, d tensor.DType, r rules) (s, bad string) {
	switch c := t.first(n); {
	case c == '"':
		s = t.str(n)
	case r.frame || c == 'n' || c == 'N' || c == '{' || c == '[':
		return "", t.describe(n)
	default:
		return t.pythonText(n), ""
	}
	switch {
	case d == tensor.String:
		return s, ""
	case !r.frame && isASCII(s):
		return s, ""
	case !r.frame:
		return "", "a string that is not ASCII"
	}
	raw, ok := decodeBase64(s)
	if !ok {
		return "", "a string that is not Base64"
	}
	return raw, ""
}

// pythonText is Python's str() of the number or boolean at n.
func (t *text) pythonText(n uint32) string {
	switch t.first(n) {
	case 't':
		return "True"
	case 'f':
		return "False"
	}
	f, _, c := t.number(n)
	if c == classFloat {
		return string(appendPythonFloat(nil, f))
	}
	from := int(t.tape[n].pos)
	s := string(t.b[from:numberEnd(t.b, from)])
	if s == "-0" {
		return "0"
	}
	return s
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
