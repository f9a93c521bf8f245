package tensor

import "strings"

// DType is the element type of a tensor. The names are NumPy's.
type DType uint8

// The element types. Datetime is NumPy's datetime64[ns]: int64 nanoseconds since the Unix epoch, NaT as the smallest int64.
// Binary is a byte string; it is held like String.
const (
	Invalid DType = iota
	Bool
	Int8
	Int16
	Int32
	Int64
	Uint8
	Uint16
	Uint32
	Uint64
	Float16  // raw bits in 2 bytes
	BFloat16 // raw bits in 2 bytes
	Float32
	Float64
	Datetime
	String
	Binary
)

// NaT is the Datetime that is no time (NumPy's NaT).
const NaT int64 = -1 << 63

var dtypes = [...]struct {
	name string
	size int
}{
	Invalid: {"invalid", 0}, Bool: {"bool", 1},
	Int8: {"int8", 1}, Int16: {"int16", 2}, Int32: {"int32", 4}, Int64: {"int64", 8},
	Uint8: {"uint8", 1}, Uint16: {"uint16", 2}, Uint32: {"uint32", 4}, Uint64: {"uint64", 8},
	Float16: {"float16", 2}, BFloat16: {"bfloat16", 2}, Float32: {"float32", 4}, Float64: {"float64", 8},
	Datetime: {"datetime64[ns]", 8}, String: {"str", 0}, Binary: {"bytes", 0},
}

// Size is the bytes of one element; 0 for String and Binary, which live in Go strings, and for Invalid.
func (d DType) Size() int {
	if int(d) >= len(dtypes) {
		return 0
	}
	return dtypes[d].size
}

// String is NumPy's name of the type ("float32", "datetime64[ns]", "str", "bytes").
func (d DType) String() string {
	if int(d) >= len(dtypes) {
		return "invalid"
	}
	return dtypes[d].name
}

// Text reports whether elements are Go strings (String and Binary).
func (d DType) Text() bool { return d == String || d == Binary }

// Float reports whether the type holds fractions, at any width.
func (d DType) Float() bool { return d >= Float16 && d <= Float64 }

// Integer reports whether the type is a signed or unsigned integer.
func (d DType) Integer() bool { return d >= Int8 && d <= Uint64 }

// Numeric reports whether the type is an integer or a float; Bool and Datetime are not.
func (d DType) Numeric() bool { return d >= Int8 && d <= Float64 }

// ParseDType reads NumPy's name of a type, as numpy.dtype.name and .str spell it: "float32", "<f4", "object" and "<U5" (String),
// "bytes" and "S10" (Binary), any datetime64. It returns Invalid, false for a type that no tensor holds.
func ParseDType(name string) (DType, bool) {
	for d := Bool; d <= Binary; d++ {
		if dtypes[d].name == name {
			return d, true
		}
	}
	switch name {
	case "object", "O", "string", "unicode":
		return String, true
	case "boolean", "?", "|b1":
		return Bool, true
	case "float", "double":
		return Float64, true
	case "int", "long":
		return Int64, true
	}
	short := strings.TrimLeft(name, "<=|")
	if d, ok := shortNames[short]; ok {
		return d, true
	}
	switch {
	case strings.HasPrefix(name, "datetime64"), strings.HasPrefix(short, "M8"):
		return Datetime, true
	case isSized(short, "U"), isSized(short, "str"):
		return String, true
	case isSized(short, "S"), isSized(short, "bytes"):
		return Binary, true
	}
	return Invalid, false
}

var shortNames = map[string]DType{
	"b1": Bool, "i1": Int8, "i2": Int16, "i4": Int32, "i8": Int64, "u1": Uint8, "u2": Uint16, "u4": Uint32, "u8": Uint64,
	"f2": Float16, "f4": Float32, "f8": Float64,
}

// isSized reports whether s is prefix followed by nothing but digits.
func isSized(s, prefix string) bool {
	rest, ok := strings.CutPrefix(s, prefix)
	return ok && strings.Trim(rest, "0123456789") == ""
}
