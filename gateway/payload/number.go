package payload

import (
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"strings"
	"unsafe"
)

// class says what Python makes of a number's text.
type class uint8

const (
	classFloat class = iota // has a fraction or an exponent
	classInt                // fits int64
	classUint               // fits uint64 only
	classHuge               // an integer beyond 64 bits
)

// parseNumber reads the JSON number at b[i]. f is its value as Python's float would have it, correctly rounded (out of range: ±Inf);
// n is the value of a classInt, or the bits of a classUint. end is the index behind it, −1 if there is no JSON number.
//
// Up to 19 digits are scaled here (see scaled); everything else goes to strconv.
func parseNumber(b []byte, i int) (f float64, n int64, c class, end int) {
	start := i
	neg := i < len(b) && b[i] == '-'
	if neg {
		i++
	}
	first := i
	var m uint64
	i, m = digits(b, i, 0)
	count := i - first
	if count == 0 || (count > 1 && b[first] == '0') {
		return 0, 0, 0, -1
	}
	if i >= len(b) || (b[i] != '.' && b[i]|0x20 != 'e') {
		return integer(b[start:i], m, count, neg, i)
	}
	exp := 0
	if b[i] == '.' {
		i++
		from := i
		i, m = digits(b, i, m)
		if i == from {
			return 0, 0, 0, -1
		}
		count += i - from
		exp = from - i
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		var e int
		if e, i = exponent(b, i+1); i < 0 {
			return 0, 0, 0, -1
		}
		exp += e
	}
	if count <= 19 {
		if f, ok := scaled(m, exp); ok {
			if neg {
				f = -f
			}
			return f, 0, classFloat, i
		}
	}
	return slowFloat(b[start:i]), 0, classFloat, i
}

// digits reads decimal digits from b[i] on into m, eight at a time; m is right for 19 digits in all.
func digits(b []byte, i int, m uint64) (int, uint64) {
	for i+8 <= len(b) {
		w := binary.LittleEndian.Uint64(b[i:])
		if !eightDigits(w) {
			break
		}
		m = m*100_000_000 + parseEight(w)
		i += 8
	}
	for i < len(b) {
		d := uint64(b[i]) - '0'
		if d > 9 {
			break
		}
		m = m*10 + d
		i++
	}
	return i, m
}

// eightDigits reports whether all eight bytes of w are ASCII digits.
func eightDigits(w uint64) bool {
	return (w&0xf0f0f0f0f0f0f0f0)|(((w+0x0606060606060606)&0xf0f0f0f0f0f0f0f0)>>4) == 0x3333333333333333
}

// parseEight is the value of eight ASCII digits, the first in the lowest byte.
func parseEight(w uint64) uint64 {
	const mask = 0x000000ff000000ff
	w -= 0x3030303030303030
	w = w*10 + w>>8
	return ((w&mask)*(100+1_000_000<<32) + (w>>16&mask)*(1+10_000<<32)) >> 32
}

// exponent reads a signed decimal exponent; huge ones are cut, which leaves them out of any float's range.
func exponent(b []byte, i int) (e, end int) {
	neg := false
	if i < len(b) && (b[i] == '-' || b[i] == '+') {
		neg = b[i] == '-'
		i++
	}
	from := i
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		if e < 100_000 {
			e = e*10 + int(b[i]-'0')
		}
	}
	if i == from {
		return 0, -1
	}
	if neg {
		e = -e
	}
	return e, i
}

// integer classifies an integer's text. −0 is the integer 0, as in Python.
func integer(text []byte, m uint64, count int, neg bool, end int) (float64, int64, class, int) {
	switch {
	case count <= 18 && neg:
		return float64(-int64(m)), -int64(m), classInt, end
	case count <= 18:
		return float64(m), int64(m), classInt, end
	}
	s := unsafe.String(&text[0], len(text))
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return float64(n), n, classInt, end
	}
	if u, err := strconv.ParseUint(s, 10, 64); err == nil {
		return float64(u), int64(u), classUint, end
	}
	return slowFloat(text), 0, classHuge, end
}

// slowFloat parses text that is a valid number. Out of range is ±Inf, as in Python's float().
func slowFloat(text []byte) float64 {
	f, _ := strconv.ParseFloat(unsafe.String(&text[0], len(text)), 64)
	return f
}

// numberEnd is the index behind the JSON number at b[i]; −1 if there is none.
func numberEnd(b []byte, i int) int {
	if i < len(b) && b[i] == '-' {
		i++
	}
	first := i
	i = digitsEnd(b, i)
	if i == first || (i > first+1 && b[first] == '0') {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		from := i + 1
		if i = digitsEnd(b, from); i == from {
			return -1
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		_, i = exponent(b, i+1)
	}
	return i
}

func digitsEnd(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

// floatText parses a number as Python's float() does: spaces around it, underscores between digits, "inf", "infinity", "nan" in any
// case, a sign; no hexadecimal.
func floatText(s string) (float64, bool) {
	s, ok := pythonDigits(s)
	if !ok {
		return 0, false
	}
	switch strings.ToLower(s) {
	case "nan", "+nan", "-nan":
		return math.NaN(), true
	case "inf", "+inf", "infinity", "+infinity":
		return math.Inf(1), true
	case "-inf", "-infinity":
		return math.Inf(-1), true
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c-'0' > 9 && c != '.' && c != '+' && c != '-' && c|0x20 != 'e' {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 0) {
		return 0, false
	}
	return f, true
}

// intText parses an integer as Python's int() does. huge: it is one, but beyond int64.
func intText(s string) (n int64, huge, ok bool) {
	s, ok = pythonDigits(s)
	if !ok {
		return 0, false, false
	}
	for i := 0; i < len(s); i++ {
		if s[i]-'0' > 9 && (i > 0 || (s[i] != '+' && s[i] != '-')) {
			return 0, false, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err == nil {
		return n, false, true
	}
	huge = errors.Is(err, strconv.ErrRange)
	return 0, huge, huge
}

// pythonDigits trims spaces and takes out underscores, which must stand between digits.
func pythonDigits(s string) (string, bool) {
	s = strings.TrimSpace(s)
	if !strings.Contains(s, "_") {
		return s, s != ""
	}
	for i := range len(s) {
		if s[i] == '_' && (i == 0 || i == len(s)-1 || s[i-1]-'0' > 9 || s[i+1]-'0' > 9) {
			return "", false
		}
	}
	return strings.ReplaceAll(s, "_", ""), true
}

// notFinite reads NaN, Infinity or −Infinity, which a scanned text holds whole where it begins with N, I or −I.
func notFinite(b []byte) (float64, bool) {
	switch {
	case b[0] == 'N':
		return math.NaN(), true
	case b[0] == 'I':
		return math.Inf(1), true
	case b[0] == '-' && b[1] == 'I':
		return math.Inf(-1), true
	}
	return 0, false
}
