package payload

import (
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// text is a scanned JSON text; its methods take indices of nodes.
type text struct {
	b    []byte
	tape []node
}

// first is the byte that a value begins with; it tells the value's type.
func (t *text) first(n uint32) byte { return t.b[t.tape[n].pos] }

// number reads the number at n. NaN and Infinity are floats.
func (t *text) number(n uint32) (float64, int64, class) {
	pos := int(t.tape[n].pos)
	if f, ok := notFinite(t.b[pos:]); ok {
		return f, 0, classFloat
	}
	f, i, c, _ := parseNumber(t.b, pos)
	return f, i, c
}

// children calls f for every element of the array at n, until f returns false.
func (t *text) children(n uint32, f func(child uint32) bool) {
	for i := n + 1; i < t.tape[n].next; i = t.tape[i].next {
		if !f(i) {
			return
		}
	}
}

// members calls f for every key and value of the object at n in order, duplicates too, until f returns false.
func (t *text) members(n uint32, f func(key string, value uint32) bool) {
	for i := n + 1; i < t.tape[n].next; i = t.tape[i+1].next {
		if !f(t.str(i), i+1) {
			return
		}
	}
}

// fields is members whose keys are views.
func (t *text) fields(n uint32, f func(key string, value uint32) bool) {
	for i := n + 1; i < t.tape[n].next; i = t.tape[i+1].next {
		if !f(t.view(i), i+1) {
			return
		}
	}
}

// view is str without a copy where the string is plain: valid as long as the body is.
func (t *text) view(n uint32) string {
	from := int(t.tape[n].pos) + 1
	for i := from; ; i++ {
		switch t.b[i] {
		case '"':
			return viewOf(t.b[from:i])
		case '\\':
			return unescape(t.b[from:i], t.b[i:])
		}
	}
}

// viewOf is b as a text without a copy.
func viewOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// count is the number of elements of the array at n.
func (t *text) count(n uint32) int {
	c := 0
	t.children(n, func(uint32) bool { c++; return true })
	return c
}

// str decodes the string at n into memory of its own.
func (t *text) str(n uint32) string {
	from := int(t.tape[n].pos) + 1
	for i := from; ; i++ {
		switch t.b[i] {
		case '"':
			return string(t.b[from:i])
		case '\\':
			return unescape(t.b[from:i], t.b[i:])
		}
	}
}

// unescape decodes the rest of a string that the scanner has accepted, behind a plain beginning.
func unescape(plain, rest []byte) string {
	out := append(make([]byte, 0, len(plain)+32), plain...)
	for {
		switch rest[0] {
		case '"':
			return string(out)
		case '\\':
			n := escapeLen(rest)
			out = appendEscape(out, rest[:n])
			rest = rest[n:]
		default:
			out = append(out, rest[0])
			rest = rest[1:]
		}
	}
}

func appendEscape(out, esc []byte) []byte {
	switch len(esc) {
	case 12:
		return utf8.AppendRune(out, utf16.DecodeRune(hex4(esc), hex4(esc[6:])))
	case 6:
		return utf8.AppendRune(out, hex4(esc))
	}
	switch esc[1] {
	case 'b':
		return append(out, '\b')
	case 'f':
		return append(out, '\f')
	case 'n':
		return append(out, '\n')
	case 'r':
		return append(out, '\r')
	case 't':
		return append(out, '\t')
	}
	return append(out, esc[1])
}

// describe names what stands at n, for messages: its type, never its content.
func (t *text) describe(n uint32) string {
	switch t.first(n) {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	case 'N':
		return "NaN"
	case 'I':
		return "Infinity"
	}
	if f, _, c := t.number(n); c != classFloat {
		return "an integer"
	} else if f-f != 0 {
		return "an infinite number"
	}
	return "a number"
}

// value is the Go value at n: nil, bool, int64, float64, string, []any or map[string]any; of a repeated key the last value.
// An integer beyond int64 is a float64.
func (t *text) value(n uint32) any {
	switch t.first(n) {
	case '{':
		m := map[string]any{}
		t.members(n, func(k string, v uint32) bool { m[k] = t.value(v); return true })
		return m
	case '[':
		l := []any{}
		t.children(n, func(v uint32) bool { l = append(l, t.value(v)); return true })
		return l
	case '"':
		return t.str(n)
	case 't', 'f':
		return t.first(n) == 't'
	case 'n':
		return nil
	}
	f, i, c := t.number(n)
	if c == classInt {
		return i
	}
	return f
}
