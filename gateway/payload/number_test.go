package payload

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

func TestParseNumber(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text  string
		class class
		end   int
	}{
		{"0", classInt, 1}, {"-0", classInt, 2}, {"12", classInt, 2}, {"9223372036854775807", classInt, 19}, {"-9223372036854775808", classInt, 20},
		{"9223372036854775808", classUint, 19}, {"18446744073709551616", classHuge, 20}, {"1.5", classFloat, 3}, {"1e5", classFloat, 3},
		{"1E+05", classFloat, 5}, {"-1.25e-3x", classFloat, 8}, {"01", 0, -1}, {"-", 0, -1}, {"1.", 0, -1}, {".5", 0, -1}, {"1e", 0, -1}, {"1e+", 0, -1},
		{"+1", 0, -1}, {"", 0, -1}, {"1 ", classInt, 1}, {"1,", classInt, 1}, {"1e999999999999", classFloat, 14},
	} {
		f, n, class, end := parseNumber([]byte(c.text), 0)
		if end != c.end || (end > 0 && class != c.class) {
			t.Errorf("%q: class %d end %d, want %d %d", c.text, class, end, c.class, c.end)
			continue
		}
		if end < 0 {
			continue
		}
		if want, _ := strconv.ParseFloat(c.text[:end], 64); f != want {
			t.Errorf("%q is %v, want %v", c.text, f, want)
		}
		if want, err := strconv.ParseInt(c.text[:end], 10, 64); class == classInt && (err != nil || n != want) {
			t.Errorf("%q is %d, want %d", c.text, n, want)
		}
	}
	if f, _, _, _ := parseNumber([]byte("-0"), 0); math.Signbit(f) {
		t.Error("-0 is the integer 0 in Python, not -0.0")
	}
}

// FuzzNumber holds number parsing to strconv, bit for bit.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"0.1", "-2.2250738585072011e-308", "5e-324", "9007199254740993.0", "1.7976931348623157e308", "0.30000001192092896",
		"123456789012345678.9", "1e-22", "1e23", "8.41e21", "9007199254740992.5", "1e40", "3.4028235e38"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, _, class, end := parseNumber([]byte(s), 0)
		if end != numberEnd([]byte(s), 0) {
			t.Fatalf("%q ends at %d for one and at %d for the other", s, end, numberEnd([]byte(s), 0))
		}
		if valid := json.Valid([]byte(s)) && len(s) > 0 && (s[0] == '-' || s[0]-'0' <= 9); valid != (end == len(s) && end > 0) && !hasSpace(s) {
			t.Fatalf("%q: we read %d bytes, JSON says %t", s, end, valid)
		}
		if end <= 0 {
			return
		}
		want, _ := strconv.ParseFloat(s[:end], 64)
		if math.Float64bits(got) != math.Float64bits(want) && !(want == 0 && class == classInt) {
			t.Fatalf("%q is %v, strconv says %v", s[:end], got, want)
		}
		c := cursor{b: []byte(s[:end] + ",")}
		if w, ok := c.float(); ok && class == classFloat && w != math.Float64bits(want) {
			t.Fatalf("the quick way reads %q as %v, want %v", s[:end], math.Float64frombits(w), want)
		}
	})
}

func hasSpace(s string) bool {
	for i := range len(s) {
		if isSpace(s[i]) {
			return true
		}
	}
	return false
}

// TestNumbersAgreeWithStrconv tries many decimals near and far from halfway points.
func TestNumbersAgreeWithStrconv(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	check := func(s string) {
		got, _, _, end := parseNumber([]byte(s), 0)
		want, _ := strconv.ParseFloat(s, 64)
		if end != len(s) || math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("%s is %v (end %d), want %v", s, got, end, want)
		}
	}
	for range 40_000 {
		check(fmt.Sprintf("%d.%0*de%d", r.IntN(1000), 1+r.IntN(16), r.Int64N(1e9), r.IntN(120)-70))
		check(strconv.FormatFloat(r.Float64(), 'f', -1, 64) + "0")
		check(fmt.Sprintf("%.1f", float64(r.Uint64()>>11)+0.5))
		check(strconv.FormatFloat(math.Float64frombits(r.Uint64()>>2), 'e', 16, 64))
	}
}

func TestPythonFloat(t *testing.T) {
	t.Parallel()
	for f, want := range map[float64]string{
		0: "0.0", math.Copysign(0, -1): "-0.0", 1: "1.0", 1e15: "1000000000000000.0", 123456789012345680: "1.2345678901234568e+17", 1e16: "1e+16", 9999999999999998: "9999999999999998.0",
		0.0001: "0.0001", 0.00001: "1e-05", 1.5e-7: "1.5e-07", float64(float32(0.3)): "0.30000001192092896", 1e300: "1e+300", -2.5: "-2.5", 5e-324: "5e-324",
	} {
		if got := string(appendPythonFloat(nil, f)); got != want {
			t.Errorf("%v: got %s, want %s", f, got, want)
		}
	}
}

func TestTextNumbers(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{"1": true, " 1.5 ": true, "1_000": true, "_1": false, "1_": false, "0x10": false, "nan": true, "-Infinity": true, "inf": true, "": false, "1e400": true, "1e5": true, "p1": false, "1__0": false} {
		if _, ok := floatText(s); ok != want {
			t.Errorf("float(%q) works: %t, want %t", s, ok, want)
		}
	}
	for s, want := range map[string]bool{"1": true, "-7": true, "1.0": false, "": false, "1_0": true, "+5": true, "-": false, "99999999999999999999": true} {
		if _, _, ok := intText(s); ok != want {
			t.Errorf("int(%q) works: %t, want %t", s, ok, want)
		}
	}
}
