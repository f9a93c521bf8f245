package wire

import (
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds on a JSON document.
const (
	maxDepth  = 100     // nesting; protobuf's own limit
	maxValues = 400_000 // values in one document
)

// syntaxError says where a document stops being JSON. Offset counts bytes from 0.
type syntaxError struct {
	offset int
	what   string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.what, e.offset) }

// scanner walks over one JSON document without building a tree. It accepts what Python's json accepts: RFC 8259 plus the bare
// tokens NaN, Infinity and -Infinity.
type scanner struct {
	data   []byte
	pos    int
	depth  int
	values int
}

func (s *scanner) fail(what string) error { return &syntaxError{s.pos, what} }

func (s *scanner) blanks() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the first byte of the next token, 0 at the end.
func (s *scanner) peek() byte {
	s.blanks()
	if s.pos >= len(s.data) {
		return 0
	}
	return s.data[s.pos]
}

// take consumes b if it is the next token.
func (s *scanner) take(b byte) bool {
	if s.peek() == b && s.pos < len(s.data) {
		s.pos++
		return true
	}
	return false
}

// enter counts one more value and, for containers, one more level.
func (s *scanner) enter() error {
	s.values++
	s.depth++
	if s.depth > maxDepth {
		return s.fail("nested too deeply")
	}
	if s.values > maxValues {
		return s.fail("too many values")
	}
	return nil
}

// object calls field for each member, positioned at its value, which field must consume.
func (s *scanner) object(field func(key string) error) error {
	return s.container('{', '}', func(int) error {
		if s.peek() != '"' {
			return s.fail("expected a field name")
		}
		key, err := s.str()
		if err != nil {
			return err
		}
		if !s.take(':') {
			return s.fail("expected ':'")
		}
		return field(key)
	})
}

// array calls item for each element, positioned at it, which item must consume.
func (s *scanner) array(item func(i int) error) error { return s.container('[', ']', item) }

func (s *scanner) container(open, end byte, item func(i int) error) error {
	if !s.take(open) {
		return s.fail("unexpected character")
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer func() { s.depth-- }()
	if s.take(end) {
		return nil
	}
	for i := 0; ; i++ {
		if err := item(i); err != nil {
			return err
		}
		if s.take(end) {
			return nil
		}
		if !s.take(',') {
			return s.fail("expected ',' or '" + string(end) + "'")
		}
	}
}

// skip consumes one value of any kind.
func (s *scanner) skip() error {
	switch s.peek() {
	case '{':
		return s.object(func(string) error { return s.skip() })
	case '[':
		return s.array(func(int) error { return s.skip() })
	case '"':
		_, err := s.str()
		return err
	}
	_, err := s.literal()
	return err
}

// literal consumes true, false, null, a number or one of Python's three bare tokens, and returns its text.
func (s *scanner) literal() (string, error) {
	s.blanks()
	s.values++
	if s.values > maxValues {
		return "", s.fail("too many values")
	}
	start := s.pos
	for s.pos < len(s.data) && literalByte(s.data[s.pos]) {
		s.pos++
	}
	text := string(s.data[start:s.pos])
	switch text {
	case "true", "false", "null", "NaN", "Infinity", "-Infinity":
		return text, nil
	}
	if !isNumber(text) {
		s.pos = start
		if start >= len(s.data) {
			return "", s.fail("unexpected end")
		}
		return "", s.fail("unexpected character")
	}
	return text, nil
}

func literalByte(b byte) bool {
	return b == '-' || b == '+' || b == '.' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
}

// isNumber checks RFC 8259's grammar of numbers.
func isNumber(t string) bool {
	digits := func() bool {
		n := 0
		for n < len(t) && t[n] >= '0' && t[n] <= '9' {
			n++
		}
		t = t[n:]
		return n > 0
	}
	if t != "" && t[0] == '-' {
		t = t[1:]
	}
	if len(t) > 1 && t[0] == '0' && t[1] >= '0' && t[1] <= '9' || !digits() {
		return false
	}
	if t != "" && t[0] == '.' {
		t = t[1:]
		if !digits() {
			return false
		}
	}
	if t != "" && (t[0] == 'e' || t[0] == 'E') {
		t = t[1:]
		if t != "" && (t[0] == '+' || t[0] == '-') {
			t = t[1:]
		}
		if !digits() {
			return false
		}
	}
	return t == ""
}

// str consumes a string and returns it unescaped, as a copy.
func (s *scanner) str() (string, error) {
	s.blanks()
	s.values++
	if s.values > maxValues {
		return "", s.fail("too many values")
	}
	if s.pos >= len(s.data) || s.data[s.pos] != '"' {
		return "", s.fail("expected a string")
	}
	s.pos++
	start := s.pos
	for s.pos < len(s.data) {
		switch b := s.data[s.pos]; {
		case b == '"':
			text := string(s.data[start:s.pos])
			if !utf8.ValidString(text) {
				return "", s.fail("invalid UTF-8")
			}
			s.pos++
			return text, nil
		case b == '\\':
			return s.escaped(start)
		case b < ' ':
			return "", s.fail("control character in a string")
		}
		s.pos++
	}
	return "", s.fail("unterminated string")
}

// escaped finishes a string that has an escape at pos.
func (s *scanner) escaped(start int) (string, error) {
	out := append(make([]byte, 0, s.pos-start+16), s.data[start:s.pos]...)
	for s.pos < len(s.data) {
		switch b := s.data[s.pos]; {
		case b == '"':
			if !utf8.Valid(out) {
				return "", s.fail("invalid UTF-8")
			}
			s.pos++
			return string(out), nil
		case b < ' ':
			return "", s.fail("control character in a string")
		case b != '\\':
			out = append(out, b)
			s.pos++
		default:
			var err error
			if out, err = s.escape(out); err != nil {
				return "", err
			}
		}
	}
	return "", s.fail("unterminated string")
}

// escape consumes one escape sequence and appends what it means.
func (s *scanner) escape(out []byte) ([]byte, error) {
	if s.pos+1 >= len(s.data) {
		return nil, s.fail("unterminated string")
	}
	switch b := s.data[s.pos+1]; b {
	case '"', '\\', '/':
		out = append(out, b)
	case 'b':
		out = append(out, '\b')
	case 'f':
		out = append(out, '\f')
	case 'n':
		out = append(out, '\n')
	case 'r':
		out = append(out, '\r')
	case 't':
		out = append(out, '\t')
	case 'u':
		return s.unicode(out)
	default:
		return nil, s.fail("unknown escape")
	}
	s.pos += 2
	return out, nil
}

// unicode consumes \uXXXX, or two of them that form a surrogate pair. Half a pair is refused: it has no UTF-8.
func (s *scanner) unicode(out []byte) ([]byte, error) {
	r, ok := s.hex4(s.pos)
	if !ok {
		return nil, s.fail("broken \\u escape")
	}
	if !utf16.IsSurrogate(r) {
		s.pos += 6
		return utf8.AppendRune(out, r), nil
	}
	low, ok := s.hex4(s.pos + 6)
	r = utf16.DecodeRune(r, low)
	if !ok || r == utf8.RuneError {
		return nil, s.fail("lone surrogate")
	}
	s.pos += 12
	return utf8.AppendRune(out, r), nil
}

func (s *scanner) hex4(at int) (rune, bool) {
	if at+6 > len(s.data) || s.data[at] != '\\' || s.data[at+1] != 'u' {
		return 0, false
	}
	v, err := strconv.ParseUint(string(s.data[at+2:at+6]), 16, 16)
	return rune(v), err == nil
}
