package wire

import (
	"math"
	"strconv"
	"strings"

	"sluice/tracking/pyjson"
)

// Float is a float64 that encodes as MLflow's server encodes doubles: Python's shortest representation (1.0, 1e+22, 1e-07), and
// the strings "NaN", "Infinity" and "-Infinity" where JSON has no number (source: protobuf's json_format).
type Float float64

// MarshalJSON never fails.
func (f Float) MarshalJSON() ([]byte, error) { return f.AppendJSON(nil), nil }

// AppendJSON appends the encoding to b.
func (f Float) AppendJSON(b []byte) []byte {
	v := float64(f)
	switch {
	case math.IsNaN(v):
		return append(b, `"NaN"`...)
	case math.IsInf(v, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(v, -1):
		return append(b, `"-Infinity"`...)
	}
	return pyjson.AppendFloat(b, v)
}

// PythonFloat returns the text that Python's repr gives to a finite float: always with a point or an exponent.
func PythonFloat(v float64) string { return string(pyjson.AppendFloat(nil, v)) }

// parseInt reads an integer as protobuf's JSON does: 12, "12", 12.0 and 1.2e1 are all twelve; 1.5 is not an integer.
func parseInt(s string, bits int) (int64, bool) {
	if v, err := strconv.ParseInt(s, 10, bits); err == nil {
		return v, true
	}
	f, ok := parseNumber(s)
	if !ok || f != math.Trunc(f) || math.Abs(f) >= 1<<63 {
		return 0, false
	}
	v := int64(f)
	if bits < 64 && (v >= 1<<(bits-1) || v < -1<<(bits-1)) {
		return 0, false
	}
	return v, true
}

// parseFloat reads a double: a number, or exactly NaN, Infinity or -Infinity.
func parseFloat(s string) (float64, bool) {
	switch s {
	case "NaN":
		return math.NaN(), true
	case "Infinity":
		return math.Inf(1), true
	case "-Infinity":
		return math.Inf(-1), true
	}
	return parseNumber(s)
}

// parseNumber accepts decimal numbers only: Go's hexadecimal floats, underscores and names of infinity are refused.
func parseNumber(s string) (float64, bool) {
	if s == "" || strings.IndexFunc(s, notDecimal) >= 0 {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

func notDecimal(r rune) bool {
	return (r < '0' || r > '9') && r != '.' && r != '-' && r != '+' && r != 'e' && r != 'E'
}
