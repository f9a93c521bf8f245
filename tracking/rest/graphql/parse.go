package graphql

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Operation is one operation of a document.
type Operation struct {
	Kind   string // "query" or "mutation"
	Name   string // "" if it has none
	Select []Field
}

// Parse reads a document and returns the operation called name, or the only one if name is "".
func Parse(document, name string) (Operation, error) {
	if len(document) > maxBytes {
		return Operation{}, fmt.Errorf("the document has more than %d bytes", maxBytes)
	}
	p := &parser{lexer: lexer{src: document}}
	p.next()
	var ops []Operation
	for p.tok != "" && p.err == nil {
		ops = append(ops, p.operation())
	}
	if p.err != nil {
		return Operation{}, p.err
	}
	for _, op := range ops {
		if op.Name == name && name != "" || name == "" && len(ops) == 1 {
			return op, limits(op)
		}
	}
	return Operation{}, fmt.Errorf("the document has no operation named %q", name)
}

// limits refuses batches of the same question under many names.
func limits(op Operation) error {
	count := map[string]int{}
	for _, f := range op.Select {
		count[f.Name]++
		if count[f.Name] > maxAliases {
			return fmt.Errorf("Query exceeds the limit of %d aliases.", maxAliases) //nolint:staticcheck // MLflow's own kind of sentence
		}
	}
	if len(op.Select) > maxRoot {
		return fmt.Errorf("Query exceeds the limit of %d root fields.", maxRoot) //nolint:staticcheck // MLflow's own kind of sentence
	}
	return nil
}

// lexer cuts a document into tokens: names, numbers, strings (with their quotes), variables ($x) and punctuation.
type lexer struct {
	src string
	tok string // "" at the end
	err error
}

func (l *lexer) fail(format string, args ...any) {
	if l.err == nil {
		l.err = fmt.Errorf("syntax error: "+format, args...)
	}
	l.tok, l.src = "", ""
}

func (l *lexer) next() {
	l.blanks()
	if l.src == "" || l.err != nil {
		l.tok = ""
		return
	}
	n := 1
	switch c := l.src[0]; {
	case c == '"':
		n = stringLength(l.src)
	case nameByte(c) || c == '-' || c == '$':
		for n < len(l.src) && (nameByte(l.src[n]) || l.src[n] == '.' && c != '$' || l.src[n] == '+' || l.src[n] == '-') {
			n++
		}
	case strings.HasPrefix(l.src, "..."):
		n = 3
	case !strings.ContainsRune("{}()[]:=!@", rune(c)):
		n = 0
	}
	if n == 0 {
		l.fail("unexpected character %q", l.src[0])
		return
	}
	l.tok, l.src = l.src[:n], l.src[n:]
}

// blanks skips white space, commas, comments and the byte order mark.
func (l *lexer) blanks() {
	for {
		l.src = strings.TrimLeft(l.src, " \t\r\n,\ufeff")
		if !strings.HasPrefix(l.src, "#") {
			return
		}
		if i := strings.IndexByte(l.src, '\n'); i >= 0 {
			l.src = l.src[i:]
		} else {
			l.src = ""
		}
	}
}

func nameByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// stringLength returns the length of the quoted string at the start of s, 0 if it does not end. Block strings are refused.
func stringLength(s string) int {
	if strings.HasPrefix(s, `"""`) {
		return 0
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		case '\n', '\r':
			return 0
		}
	}
	return 0
}

type parser struct {
	lexer
	depth, fields int
}

func (p *parser) take(tok string) bool {
	if p.tok == tok && p.err == nil {
		p.next()
		return true
	}
	return false
}

func (p *parser) want(tok string) {
	if !p.take(tok) {
		p.fail("expected %q, found %q", tok, p.tok)
	}
}

func (p *parser) name() string {
	tok := p.tok
	if tok == "" || !nameByte(tok[0]) || tok[0] >= '0' && tok[0] <= '9' || strings.ContainsAny(tok, ".+-") {
		p.fail("expected a name, found %q", tok)
		return ""
	}
	p.next()
	return tok
}

func (p *parser) operation() Operation {
	op := Operation{Kind: "query"}
	if p.tok != "{" {
		op.Kind = p.name()
		if op.Kind != "query" && op.Kind != "mutation" {
			p.fail("%q is not supported", op.Kind)
			return op
		}
		if p.tok != "{" && p.tok != "(" && p.tok != "@" {
			op.Name = p.name()
		}
		p.variables()
		p.directives()
	}
	op.Select = p.selection()
	return op
}

// variables skips the declarations: values are checked where they are used.
func (p *parser) variables() {
	if !p.take("(") {
		return
	}
	for p.err == nil && !p.take(")") {
		if !strings.HasPrefix(p.tok, "$") || len(p.tok) < 2 {
			p.fail("expected a variable, found %q", p.tok)
			return
		}
		p.next()
		p.want(":")
		for p.take("[") {
		}
		p.name()
		for p.take("]") || p.take("!") {
		}
		if p.take("=") {
			p.fail("default values are not supported")
		}
	}
}

// directives skips them, but for @skip and @include, which would change the answer.
func (p *parser) directives() {
	for p.take("@") {
		if name := p.name(); name == "skip" || name == "include" {
			p.fail("the directive @%s is not supported", name)
			return
		}
		p.arguments()
	}
}

func (p *parser) selection() []Field {
	p.want("{")
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxDepth {
		p.fail("nested too deeply")
	}
	fields := []Field{}
	for p.err == nil && !p.take("}") {
		fields = append(fields, p.field())
	}
	if len(fields) == 0 {
		p.fail("empty selection")
	}
	return fields
}

func (p *parser) field() Field {
	if p.tok == "..." {
		p.fail("fragments are not supported")
		return Field{}
	}
	if p.fields++; p.fields > maxFields {
		p.fail("more than %d fields", maxFields)
	}
	f := Field{Name: p.name()}
	f.Key = f.Name
	if p.take(":") {
		f.Name = p.name()
	}
	f.Args = p.arguments()
	p.directives()
	if p.tok == "{" {
		f.Select = p.selection()
	}
	return f
}

func (p *parser) arguments() map[string]Value {
	if !p.take("(") {
		return nil
	}
	args := map[string]Value{}
	for p.err == nil && !p.take(")") {
		name := p.name()
		p.want(":")
		if strings.HasPrefix(p.tok, "$") {
			args[name] = Value{Variable: p.tok[1:]}
			p.next()
			continue
		}
		var buf bytes.Buffer
		p.literal(&buf)
		args[name] = Value{JSON: buf.Bytes()}
	}
	return args
}

// literal writes a value as JSON; names of enumerations become strings.
func (p *parser) literal(out *bytes.Buffer) {
	p.depth++
	defer func() { p.depth-- }()
	switch {
	case p.depth > maxDepth:
		p.fail("nested too deeply")
	case p.tok == "{":
		p.next()
		p.members(out, '{', '}')
	case p.tok == "[":
		p.next()
		p.members(out, '[', ']')
	case p.tok == "true" || p.tok == "false" || p.tok == "null" || json.Valid([]byte(p.tok)):
		out.WriteString(p.tok)
		p.next()
	default:
		out.WriteString(`"` + p.name() + `"`)
	}
}

func (p *parser) members(out *bytes.Buffer, open, end byte) {
	out.WriteByte(open)
	for first := true; p.err == nil && !p.take(string(end)); first = false {
		if p.tok == "" {
			p.fail("unexpected end")
			return
		}
		if !first {
			out.WriteByte(',')
		}
		if open == '{' {
			out.WriteString(`"` + p.name() + `":`)
			p.want(":")
		}
		if strings.HasPrefix(p.tok, "$") {
			p.fail("a variable inside a value is not supported")
			return
		}
		p.literal(out)
	}
	out.WriteByte(end)
}

// Argument returns the field's argument as JSON, with variables from their JSON object; absent is "{}".
func (f Field) Argument(name string, variables map[string]json.RawMessage) ([]byte, error) {
	v, ok := f.Args[name]
	if !ok {
		return []byte("{}"), nil
	}
	if v.JSON != nil {
		return v.JSON, nil
	}
	raw, ok := variables[v.Variable]
	if !ok {
		return nil, errors.New("Variable '$" + v.Variable + "' was not provided.") //nolint:staticcheck // GraphQL's own sentence
	}
	return raw, nil
}
