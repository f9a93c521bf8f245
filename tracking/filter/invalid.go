package filter

import (
	"slices"
	"strings"

	"sluice/tracking/mlflow"
)

// invalid is the refusal of a text with something between its comparisons, of which the first begins at start. It lists these pieces, as
// MLflow does; for logged models it shows the whole text.
func (p *parser) invalid(start int) error {
	text := p.lexer.text
	if i := p.semicolon(start); i >= 0 && strings.TrimSpace(text[i+1:]) != "" {
		return mlflow.Invalidf("Search filter contained multiple expression %s. Provide AND-ed expression list.", mlflow.Repr(shorten(text)))
	}
	const most = 4 << 10 // bytes that are cut into pieces; a refusal shows fewer
	switch {
	case len(text) > most:
		return mlflow.Invalidf("Invalid clause(s) in filter string: '%s'", shorten(clauseAt(text, start)))
	case p.grammar.kind == loggedModels:
		return mlflow.Invalidf("Invalid filter string: %s. Expected a list of comparisons separated by 'AND' "+
			"(e.g. 'metrics.loss > 0.1 AND params.lr = 0.01').", mlflow.Repr(shorten(text)))
	case p.grammar.kind == runs || p.grammar.kind == traces:
		return mlflow.Invalidf("Invalid clause(s) in filter string: '%s'", shorten(strings.Join(leftovers(text), "', '")))
	}
	return mlflow.Invalidf("Invalid clause(s) in filter string: %s", shorten(strings.Join(leftovers(text), ", ")))
}

// notAField is the refusal of a comparison whose left side is a value.
func (p *parser) notAField(t token) error {
	if p.grammar.kind == loggedModels {
		return p.invalid(t.start)
	}
	return mlflow.Invalidf("Invalid comparison clause. Expected 'Identifier' found '%s'", shorten(t.raw))
}

// clauseAt returns the text from start to the next AND.
func clauseAt(text string, start int) string {
	l := lexer{text: text, pos: start}
	end := start
	for t := l.next(); t.kind != endToken && !t.is("AND"); t = l.next() {
		end = l.pos
	}
	return text[start:end]
}

// semicolon returns the offset of the first semicolon outside quotes from start on, -1 if there is none.
func (p *parser) semicolon(start int) int {
	l := lexer{text: p.lexer.text, pos: start}
	for t := l.next(); t.kind != endToken; t = l.next() {
		if t.kind == splitToken {
			return t.start
		}
	}
	return -1
}

// leftovers returns the pieces of a text that belong to no comparison and are not AND, in their order: what MLflow's parser, which
// puts comparisons together first, is left with. A text that is one list with commas is one piece.
func leftovers(text string) []string {
	tokens := pieces(text)
	if slices.ContainsFunc(tokens, func(t token) bool { return t.raw == "," }) {
		return []string{strings.TrimSpace(text)}
	}
	var left []string
	for len(tokens) > 0 {
		if n := comparison(tokens); n > 0 {
			tokens = tokens[n:]
			continue
		}
		if !tokens[0].is("AND") {
			left = append(left, tokens[0].raw)
		}
		tokens = tokens[1:]
	}
	return left
}

// comparison returns how many tokens the comparison has that they begin with, 0 if they begin with none.
func comparison(tokens []token) int {
	if !isValue(tokens[0]) || tokens[0].is("AND") || tokens[0].is("NOT") || tokens[0].is("OR") {
		return 0
	}
	p := &parser{}
	rest := tokens[1:]
	p.more = func() token {
		if len(rest) == 0 {
			return token{}
		}
		t := rest[0]
		rest = rest[1:]
		return t
	}
	p.advance()
	op, ok := p.operator()
	if !ok {
		return 0
	}
	if op == IsNull || op == IsNotNull {
		return len(tokens) - len(rest) - min(1, len(p.tok.raw))
	}
	if !isValue(p.tok) || isBool(p.tok) {
		return 0
	}
	return len(tokens) - len(rest)
}

// pieces cuts a text as MLflow's parser does: what the language has no token for is cut too.
func pieces(text string) []token {
	var out []token
	l := lexer{text: text}
	for t := l.next(); t.kind != endToken; t = l.next() {
		if end := comment(text[t.start:]); end > 0 {
			t = token{kind: badToken, start: t.start}
			l.pos = t.start + end
		} else if t.kind == badToken {
			l.pos = t.start + badLen(text[t.start:])
		}
		t.raw = text[t.start:l.pos]
		out = append(out, t)
	}
	return out
}

// comment returns the length of the comment that s begins with, 0 if there is none.
func comment(s string) int {
	switch {
	case strings.HasPrefix(s, "/*"):
		if end := strings.Index(s, "*/"); end > 0 {
			return end + 2
		}
	case strings.HasPrefix(s, "--"), strings.HasPrefix(s, "#"):
		if end := strings.IndexByte(s, '\n'); end > 0 {
			return end
		}
		return len(s)
	}
	return 0
}

// badLen returns how much of s, which begins with no token, is one piece: a word with the dot behind it, or one character.
func badLen(s string) int {
	if n := partLen(s); n > 0 {
		if n < len(s) && s[n] == '.' {
			n++
		}
		return n
	}
	for i := range s {
		if i > 0 {
			return i
		}
	}
	return len(s)
}
