package payload

import (
	"bytes"
	"math"
	"unicode/utf8"
)

// node is one JSON value of a scanned text: where it begins, and the index of the node behind its last descendant. What it is stands
// in the text itself. An object's children are key, value, key, value…
type node struct{ pos, next uint32 }

// scanner checks a JSON text as Python's json.loads does: RFC 8259 plus NaN, Infinity and -Infinity, control characters refused.
// Unlike Python it refuses lone surrogates, which no text can hold.
type scanner struct {
	b     []byte
	i     int
	tape  []node
	depth int
	why   string // set once something is wrong; i is where
}

// scan appends the nodes of body to tape. The error names line and column, and never repeats the body.
func scan(tape []node, body []byte, maxDepth int) ([]node, error) {
	if len(body) >= math.MaxUint32 {
		return tape, tooLargef("A JSON body of %d bytes is too large.", len(body))
	}
	if !utf8.Valid(body) {
		return tape, badf("Ensure that input is a valid JSON formatted string. The body is not UTF-8.")
	}
	s := scanner{b: body, tape: tape, depth: maxDepth}
	s.i = len(body) - len(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	s.space()
	if s.i == len(body) {
		return tape, badf("Ensure that input is a valid JSON formatted string. The body is empty.")
	}
	if s.value() {
		s.space()
		if s.i < len(body) {
			s.fail("extra data after the value")
		}
	}
	if s.why != "" {
		line := 1 + bytes.Count(body[:s.i], []byte{'\n'})
		column := s.i - bytes.LastIndexByte(body[:s.i], '\n')
		return s.tape, badf("Ensure that input is a valid JSON formatted string. Error: %s: line %d column %d (byte %d).",
			s.why, line, column, s.i)
	}
	return s.tape, nil
}

func (s *scanner) fail(why string) bool {
	if s.why == "" {
		s.why = why
	}
	return false
}

func (s *scanner) space() {
	for s.i < len(s.b) && isSpace(s.b[s.i]) {
		s.i++
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

func (s *scanner) value() bool {
	if s.i >= len(s.b) {
		return s.fail("expecting a value")
	}
	at := len(s.tape)
	s.tape = append(s.tape, node{pos: uint32(s.i)})
	var ok bool
	switch c := s.b[s.i]; c {
	case '{':
		ok = s.enter('}')
	case '[':
		ok = s.enter(']')
	case '"':
		ok = s.text()
	case 't':
		ok = s.word("true")
	case 'f':
		ok = s.word("false")
	case 'n':
		ok = s.word("null")
	case 'N':
		ok = s.word("NaN")
	case 'I':
		ok = s.word("Infinity")
	default:
		ok = s.number()
	}
	if ok {
		s.tape[at].next = uint32(len(s.tape))
	}
	return ok
}

func (s *scanner) word(w string) bool {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return s.fail("expecting a value")
	}
	s.i += len(w)
	return true
}

func (s *scanner) number() bool {
	if s.b[s.i] == '-' && s.i+1 < len(s.b) && s.b[s.i+1] == 'I' {
		return s.word("-Infinity")
	}
	end := numberEnd(s.b, s.i)
	if end < 0 {
		return s.fail("expecting a value")
	}
	s.i = end
	return true
}

// enter reads an array or object, whose closing byte is given.
func (s *scanner) enter(closing byte) bool {
	if s.depth--; s.depth < 0 {
		return s.fail("nested too deeply")
	}
	s.i++
	s.space()
	for first := true; ; first = false {
		if s.i >= len(s.b) {
			return s.fail("unexpected end of the body")
		}
		if first && s.b[s.i] == closing {
			break
		}
		if closing == '}' && !s.key() {
			return false
		}
		if !s.value() {
			return false
		}
		s.space()
		if s.i < len(s.b) && s.b[s.i] == closing {
			break
		}
		if s.i >= len(s.b) || s.b[s.i] != ',' {
			return s.fail("expecting ',' delimiter")
		}
		s.i++
		s.space()
	}
	s.i++
	s.depth++
	return true
}

func (s *scanner) key() bool {
	if s.i >= len(s.b) || s.b[s.i] != '"' {
		return s.fail("expecting a property name in double quotes")
	}
	s.tape = append(s.tape, node{pos: uint32(s.i), next: uint32(len(s.tape) + 1)})
	if !s.text() {
		return false
	}
	s.space()
	if s.i >= len(s.b) || s.b[s.i] != ':' {
		return s.fail("expecting ':' delimiter")
	}
	s.i++
	s.space()
	return true
}

// text reads a string; i is at its opening quote.
func (s *scanner) text() bool {
	for s.i++; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return true
		case c < ' ':
			return s.fail("invalid control character in a string")
		case c == '\\':
			n := escapeLen(s.b[s.i:])
			if n == 0 {
				return s.fail("invalid escape in a string")
			}
			s.i += n - 1
		}
	}
	return s.fail("unterminated string")
}

// escapeLen is the length of the escape sequence at the start of b, surrogate pairs as one; 0 if it is none.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	if b[1] != 'u' {
		if bytes.IndexByte([]byte(`"\/bfnrt`), b[1]) < 0 {
			return 0
		}
		return 2
	}
	r := hex4(b)
	if r < 0 || (r >= 0xdc00 && r < 0xe000) {
		return 0
	}
	if r < 0xd800 || r >= 0xe000 {
		return 6
	}
	if low := hex4(b[6:]); low < 0xdc00 || low >= 0xe000 {
		return 0
	}
	return 12
}

// hex4 is the code unit of \uXXXX at the start of b; −1 if there is none.
func hex4(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return -1
		}
	}
	return r
}
