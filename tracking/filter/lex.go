package filter

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind uint8

const (
	endToken    tokenKind = iota
	wordToken             // a field, keyword or unquoted value: parts joined by dots
	textToken             // 'text'
	numberToken           // -1, 2.5, 1e-3
	opToken               // a run of < > = ! ~
	listToken             // ( … ), whole
	splitToken            // ;
	badToken              // anything else, to the end of the text
)

// token is one piece of the text. Its zero value is the end.
type token struct {
	kind  tokenKind
	raw   string   // as it stands in the text
	parts []string // wordToken: the parts between dots, with their quotes
	start int      // offset in the text, bytes
}

// is reports whether the token is that keyword; keyword is upper case.
func (t token) is(keyword string) bool {
	return t.kind == wordToken && len(t.parts) == 1 && strings.EqualFold(t.raw, keyword)
}

// isText reports whether the token stands where a text could: quoted, or a word, which is refused later; NULL is neither.
func (t token) isText() bool { return t.kind == textToken || t.kind == wordToken && !t.is("NULL") }

// quoted reports whether the token is a text in single or double quotes, and returns what stands inside.
func (t token) quoted() (string, bool) {
	if t.kind == textToken {
		return t.raw[1 : len(t.raw)-1], true
	}
	if t.kind == wordToken && len(t.parts) == 1 && strings.HasPrefix(t.raw, `"`) {
		return t.raw[1 : len(t.raw)-1], true
	}
	return "", false
}

// lexer cuts a text into tokens, one by one, in one pass.
type lexer struct {
	text string
	pos  int // offset of the next token, bytes
}

func (l *lexer) next() token {
	l.skipSpace()
	start := l.pos
	t := l.scan()
	t.start, t.raw = start, l.text[start:l.pos]
	return t
}

func (l *lexer) skipSpace() {
	for l.pos < len(l.text) {
		r, n := utf8.DecodeRuneInString(l.text[l.pos:])
		if !unicode.IsSpace(r) {
			return
		}
		l.pos += n
	}
}

func (l *lexer) scan() token {
	if l.pos >= len(l.text) {
		return token{}
	}
	c := l.text[l.pos]
	switch {
	case c == '\'':
		return l.quotedOr(textToken)
	case c == '(':
		return l.list()
	case c == ';':
		l.pos++
		return token{kind: splitToken}
	case strings.IndexByte("<>=!~", c) >= 0:
		l.pos += spanLen(l.text[l.pos:], "<>=!~")
		return token{kind: opToken}
	}
	if n := numberLen(l.text[l.pos:]); n > 0 {
		l.pos += n
		return token{kind: numberToken}
	}
	return l.word()
}

// quotedOr takes a quoted piece, or everything that is left if the quote never closes.
func (l *lexer) quotedOr(k tokenKind) token {
	n := quotedLen(l.text[l.pos:])
	if n == 0 {
		return l.bad()
	}
	l.pos += n
	return token{kind: k}
}

func (l *lexer) bad() token {
	l.pos = len(l.text)
	return token{kind: badToken}
}

// list takes everything from "(" to the ")" that closes it, over quoted texts.
func (l *lexer) list() token {
	depth := 0
	for i := l.pos; i < len(l.text); {
		switch l.text[i] {
		case '\'', '"':
			n := quotedLen(l.text[i:])
			if n == 0 {
				return l.bad()
			}
			i += n
			continue
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				l.pos = i + 1
				return token{kind: listToken}
			}
		}
		i++
	}
	return l.bad()
}

// word takes parts joined by dots: plain words, or pieces in back or double quotes; behind a dot a piece in single quotes ends it.
func (l *lexer) word() token {
	t := token{kind: wordToken}
	for {
		rest := l.text[l.pos:]
		n, last := partLen(rest), false
		if len(t.parts) > 0 && strings.HasPrefix(rest, "'") {
			n, last = quotedLen(rest), true
		}
		if n == 0 {
			return l.bad()
		}
		t.parts = append(t.parts, l.text[l.pos:l.pos+n])
		l.pos += n
		if last || l.pos >= len(l.text) || l.text[l.pos] != '.' {
			return t
		}
		l.pos++
	}
}

func partLen(s string) int {
	if s == "" {
		return 0
	}
	if s[0] == '"' {
		return quotedLen(s)
	}
	if s[0] == '`' {
		end := strings.IndexByte(s[1:], '`')
		if end < 0 {
			return 0
		}
		return end + 2
	}
	for i, r := range s {
		if r != '_' && r != '$' && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return i
		}
	}
	return len(s)
}

// quotedLen returns the length of the quoted piece that s begins with, 0 if it never closes. A doubled quote, and one behind a
// backslash, belongs to the piece if another quote closes it later; it stays in the text as it is, as in MLflow.
func quotedLen(s string) int {
	quote, closed := s[0], 0
	for i := 1; i < len(s); i++ {
		escapes := s[i] == '\\' || s[i] == quote
		if escapes && i+1 < len(s) && s[i+1] == quote {
			i++
			closed = i + 1 // where it ends if no other quote follows
			continue
		}
		if s[i] == quote {
			return i + 1
		}
	}
	if closed > 0 && s[closed-2] == quote {
		return closed - 1 // '' at the end: the first of the two closed it
	}
	return closed
}

func spanLen(s, set string) int {
	return len(s) - len(strings.TrimLeft(s, set))
}

// numberLen returns the length of the number that s begins with, 0 if there is none: [-] digits [. digits] [e [±] digits], not
// followed by a letter.
func numberLen(s string) int {
	i := 0
	if i < len(s) && s[i] == '-' {
		i++
	}
	whole := digits(s[i:])
	i += whole
	fraction := 0
	if i < len(s) && s[i] == '.' {
		fraction = digits(s[i+1:])
		if whole+fraction > 0 {
			i += 1 + fraction
		}
	}
	if whole+fraction == 0 {
		return 0
	}
	i += exponentLen(s[i:])
	if r, _ := utf8.DecodeRuneInString(s[i:]); i < len(s) && (r == '_' || unicode.IsLetter(r)) {
		return 0
	}
	return i
}

func exponentLen(s string) int {
	if s == "" || s[0] != 'e' && s[0] != 'E' {
		return 0
	}
	i := 1
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		i++
	}
	n := digits(s[i:])
	if n == 0 {
		return 0
	}
	return i + n
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
