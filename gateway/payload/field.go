package payload

import (
	"bytes"
	"unicode/utf8"
)

// Field returns the text, number or truth value that stands at the place in a JSON body that the reference tokens of a JSON Pointer
// (RFC 6901, unescaped) name: a text without its quotes, the others as they are written. Escapes in a text are resolved into scratch, which
// Field returns grown. found is false where there is no such place, where null, a list or an object stands there, and where the body is no
// JSON up to there; what follows is not looked at. Of members of one name the first counts. Field reads the body once and builds nothing.
func Field(body []byte, tokens []string, scratch []byte) (value, grown []byte, found bool) {
	s := skipper{b: body, scratch: scratch}
	s.space()
	for _, token := range tokens {
		if !s.descend(token) {
			return nil, s.scratch, false
		}
	}
	if s.i >= len(s.b) {
		return nil, s.scratch, false
	}
	switch s.b[s.i] {
	case '{', '[', 'n':
		return nil, s.scratch, false
	case '"':
		raw, ok := s.text()
		if !ok {
			return nil, s.scratch, false
		}
		return s.plain(raw), s.scratch, true
	}
	at := s.i
	if !s.value() || s.i == at {
		return nil, s.scratch, false
	}
	return s.b[at:s.i], s.scratch, true
}

// skipper walks over a JSON text without checking more than it needs to find its way.
type skipper struct {
	b       []byte
	i       int
	scratch []byte
}

func (s *skipper) space() {
	for s.i < len(s.b) && isSpace(s.b[s.i]) {
		s.i++
	}
}

// eat steps over c, and what blanks follow; false if something else is there.
func (s *skipper) eat(c byte) bool {
	if s.i >= len(s.b) || s.b[s.i] != c {
		return false
	}
	s.i++
	s.space()
	return true
}

// descend goes from an object or list to the member or element that the token names.
func (s *skipper) descend(token string) bool {
	if s.i >= len(s.b) {
		return false
	}
	if s.b[s.i] == '[' {
		return s.element(token)
	}
	if !s.eat('{') {
		return false
	}
	for {
		raw, ok := s.text()
		if !ok {
			return false
		}
		s.space()
		if !s.eat(':') {
			return false
		}
		if bytes.IndexByte(raw, '\\') < 0 && string(raw) == token || bytes.IndexByte(raw, '\\') >= 0 && string(s.plain(raw)) == token {
			return true
		}
		if !s.value() {
			return false
		}
		s.space()
		if !s.eat(',') {
			return false
		}
	}
}

// element goes to an element of a list; its token is a number without leading zeros (RFC 6901, section 4).
func (s *skipper) element(token string) bool {
	n, ok := 0, token == "0" || token != "" && token[0] != '0' && len(token) < 9
	for i := 0; ok && i < len(token); i++ {
		ok = token[i] >= '0' && token[i] <= '9'
		n = n*10 + int(token[i]-'0')
	}
	if !ok || !s.eat('[') || s.i < len(s.b) && s.b[s.i] == ']' {
		return false
	}
	for ; n > 0; n-- {
		if !s.value() {
			return false
		}
		s.space()
		if !s.eat(',') {
			return false
		}
	}
	return true
}

// text steps over a text and returns what stands between its quotes.
func (s *skipper) text() ([]byte, bool) {
	if s.i >= len(s.b) || s.b[s.i] != '"' {
		return nil, false
	}
	at := s.i + 1
	for s.i = at; s.i < len(s.b); s.i++ {
		switch s.b[s.i] {
		case '"':
			raw := s.b[at:s.i]
			s.i++
			return raw, true
		case '\\':
			s.i++
		}
	}
	return nil, false
}

// value steps over a value of any depth.
func (s *skipper) value() bool {
	depth := 0
	for s.i < len(s.b) {
		switch c := s.b[s.i]; {
		case c == '"':
			if _, ok := s.text(); !ok {
				return false
			}
			if depth == 0 {
				return true
			}
			continue
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth <= 0 {
				s.i++
				return depth == 0
			}
		case depth == 0:
			return s.scalar()
		}
		s.i++
	}
	return false
}

// scalar steps over a number or a word.
func (s *skipper) scalar() bool {
	at := s.i
	for s.i < len(s.b) && s.b[s.i] != ',' && s.b[s.i] != '}' && s.b[s.i] != ']' && !isSpace(s.b[s.i]) {
		s.i++
	}
	return s.i > at
}

// plain resolves the escapes of a text, into scratch if it has any. A broken escape stays as it is.
func (s *skipper) plain(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	out := s.scratch[:0]
	for i := 0; i < len(raw); {
		n := 0
		if raw[i] == '\\' {
			n = escapeLen(raw[i:])
		}
		switch n {
		case 0:
			out = append(out, raw[i])
			n = 1
		case 2:
			out = append(out, shortEscape(raw[i+1]))
		case 6:
			out = utf8.AppendRune(out, hex4(raw[i:]))
		default: // a pair of surrogates
			out = utf8.AppendRune(out, (hex4(raw[i:])-0xd800)<<10+hex4(raw[i+6:])-0xdc00+0x10000)
		}
		i += n
	}
	s.scratch = out
	return out
}

// shortEscape is the character that a backslash before c means.
func shortEscape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}
