package filter

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sluice/tracking/mlflow"
)

// Bounds of the language. A text beyond one is refused with INVALID_PARAMETER_VALUE before any work is spent on the rest.
const (
	MaxLength  = 256 << 10 // of a filter, bytes
	MaxClauses = 200       // clauses of a filter
	MaxList    = 10_000    // texts in the lists of a filter, together
	MaxOrder   = 32        // entries of order_by
)

// Parse reads a filter; "" means everything. Returns INVALID_PARAMETER_VALUE, in MLflow's words, for what the grammar
// does not allow. As in MLflow, AND between clauses may be missing or doubled.
func (g *Grammar) Parse(text string) (Expr, error) {
	if len(text) > MaxLength {
		return Expr{}, mlflow.Invalidf("Invalid filter string: it has %d bytes, at most %d are allowed.", len(text), MaxLength)
	}
	if text != "" && strings.TrimSpace(text) == "" && g.kind != loggedModels {
		return Expr{}, mlflow.Invalidf("Invalid filter '%s'. Could not be parsed.", shorten(text))
	}
	p := &parser{grammar: g, lexer: lexer{text: text}}
	p.advance()
	for p.tok.kind != endToken {
		if p.tok.is("AND") {
			p.advance()
			continue
		}
		if err := p.clause(); err != nil {
			return Expr{}, err
		}
	}
	e := Expr{make([]Clause, len(p.raws))}
	for i, r := range p.raws {
		var err error
		if e.Clauses[i], err = p.check(r); err != nil {
			return Expr{}, err
		}
	}
	return e, nil
}

// raw is a clause as it is written; value is the zero token for IS [NOT] NULL.
type raw struct {
	field token
	op    Op
	value token
}

type parser struct {
	grammar *Grammar
	lexer   lexer
	tok     token        // not yet used
	more    func() token // where tokens come from; nil means lexer
	raws    []raw
	listed  int // texts in lists so far
}

func (p *parser) advance() {
	if p.more != nil {
		p.tok = p.more()
		return
	}
	p.tok = p.lexer.next()
}

// clause reads one clause as it is written.
func (p *parser) clause() error {
	if len(p.raws) == MaxClauses {
		return mlflow.Invalidf("Invalid filter string: it has more than %d clauses.", MaxClauses)
	}
	r := raw{field: p.tok}
	if !isValue(r.field) {
		return p.invalid(r.field.start)
	}
	p.advance()
	var ok bool
	if r.op, ok = p.operator(); !ok {
		return p.invalid(r.field.start)
	}
	if r.op != IsNull && r.op != IsNotNull {
		if r.value = p.tok; !isValue(r.value) || isBool(r.value) {
			return p.invalid(r.field.start)
		}
		p.advance()
	}
	if r.field.kind != wordToken {
		return p.notAField(r.field)
	}
	p.raws = append(p.raws, r)
	return nil
}

// check gives a clause its types: field, then value, then operator, in MLflow's order.
func (p *parser) check(r raw) (Clause, error) {
	if p.grammar.kind == traces {
		c, err := p.grammar.checkTrace(r)
		if err == nil {
			err = p.count(c)
		}
		return c, err
	}
	c := Clause{Op: r.op}
	var err error
	if c.Entity, c.Key, err = p.grammar.field(r.field); err != nil {
		return c, err
	}
	if c.Op == IsNull || c.Op == IsNotNull {
		return c, p.grammar.checkNull(c)
	}
	if p.grammar.kind == loggedModels && !slices.Contains(p.grammar.ops(c), c.Op) {
		return c, p.grammar.checkOp(c)
	}
	if c.Value, err = p.grammar.value(c, writtenKey(r.field), r.value); err != nil {
		return c, err
	}
	if err := p.count(c); err != nil {
		return c, err
	}
	return c, p.grammar.checkOp(c)
}

// count refuses the clause with which the lists of the filter have too many texts together.
func (p *parser) count(c Clause) error {
	if p.listed += len(c.Value.List); p.listed > MaxList {
		return mlflow.Invalidf("Invalid filter string: its lists have more than %d values.", MaxList)
	}
	return nil
}

func isValue(t token) bool {
	return t.kind == wordToken || t.kind == textToken || t.kind == numberToken || t.kind == listToken
}

// isBool reports whether the token is true or false, which are no values here.
func isBool(t token) bool { return t.is("TRUE") || t.is("FALSE") }

// operator reads a comparison, in symbols or words.
func (p *parser) operator() (Op, bool) {
	t := p.tok
	p.advance()
	switch {
	case t.kind == opToken:
		return Op(t.raw), true
	case t.is("LIKE"):
		return Like, true
	case t.is("ILIKE"):
		return ILike, true
	case t.is("RLIKE"):
		return RLike, true
	case t.is("IN"):
		return In, p.tok.kind == listToken
	case t.is("NOT"):
		return p.negated()
	case t.is("IS"):
		return p.null()
	}
	return "", false
}

func (p *parser) negated() (Op, bool) {
	t := p.tok
	p.advance()
	switch {
	case t.is("IN"):
		return NotIn, p.tok.kind == listToken
	case t.is("LIKE"), t.is("ILIKE"), t.is("RLIKE"):
		return Op("NOT " + strings.ToUpper(t.raw)), true
	}
	return "", false
}

func (p *parser) null() (Op, bool) {
	op := IsNull
	if p.tok.is("NOT") {
		op = IsNotNull
		p.advance()
	}
	ok := p.tok.is("NULL")
	p.advance()
	return op, ok
}

// field reads entity and key of a clause or order_by entry and checks them against the search attributes.
func (g *Grammar) field(t token) (Entity, string, error) {
	entity, key, err := g.split(t)
	if err != nil {
		return "", "", err
	}
	switch {
	case entity == Attribute && !slices.Contains(g.text, key) && !slices.Contains(g.numeric, key):
		return "", "", mlflow.Invalidf("Invalid attribute key '%s' specified. Valid keys are '%s'", shorten(writtenKey(t)), set(g.keys()))
	case entity == Dataset && !slices.Contains(g.datasets, key):
		return "", "", mlflow.Invalidf("Invalid dataset key '%s' specified. Valid keys are '%s'", shorten(key), set(g.datasets))
	case key == "":
		return "", "", mlflow.Invalidf("Invalid clause(s) in filter string: '%s'", t.raw)
	}
	return entity, key, nil
}

// writtenKey returns the key of a field as it is written: all that stands behind the first dot.
func writtenKey(t token) string {
	switch len(t.parts) {
	case 1:
		return unquoteKey(t.raw)
	case 2:
		return unquoteKey(t.raw[len(t.parts[0])+1:])
	}
	return t.raw[len(t.parts[0])+1:]
}

// split reads entity and canonical key without checking the key.
func (g *Grammar) split(t token) (Entity, string, error) {
	if len(t.parts) == 1 {
		return Attribute, g.canonical(writtenKey(t)), nil
	}
	entity, ok := g.entity(unquoteKey(t.parts[0]))
	if !ok {
		return "", "", g.unknownEntity(unquoteKey(t.parts[0]))
	}
	key := writtenKey(t)
	if entity == Attribute {
		key = g.canonical(key)
	}
	return entity, key, nil
}

func (g *Grammar) entity(word string) (Entity, bool) {
	for _, e := range g.entities {
		if e.word == word {
			return e.entity, true
		}
	}
	return "", false
}

// word returns the grammar's first word for an entity.
func (g *Grammar) word(e Entity) string {
	i := slices.IndexFunc(g.entities, func(n entityName) bool { return n.entity == e })
	return g.entities[i].word
}

func (g *Grammar) unknownEntity(word string) error {
	switch g.kind {
	case runs, traces:
		return mlflow.Invalidf("Invalid entity type '%s'. Valid values are %s", word, g.expected)
	case loggedModels:
		return mlflow.Invalidf("Invalid entity type: %s. Expected one of %s.", mlflow.Repr(word), g.expected)
	}
	return mlflow.Invalidf("Invalid entity type '%s'. Valid entity types are %s", word, g.expected)
}

// checkNull checks a clause with IS NULL or IS NOT NULL.
func (g *Grammar) checkNull(c Clause) error {
	if slices.Contains(g.nulls, c.Entity) {
		return nil
	}
	switch g.kind {
	case runs:
		return mlflow.Invalidf("IS NULL / IS NOT NULL is only supported for tags and params, not for '%s' '%s'", c.Entity, c.Key)
	case experiments:
		return mlflow.Invalidf("IS NULL / IS NOT NULL is only supported for tags, not for attribute '%s'", c.Key)
	case loggedModels:
		return mlflow.Invalidf("Invalid comparison: %s.%s%s. Expected a comparison with 3 tokens.", g.word(c.Entity), c.Key, c.Op)
	}
	return mlflow.Invalidf("Invalid comparison clause. Expected 3 tokens found 2")
}

// ops returns the comparisons that a field allows.
func (g *Grammar) ops(c Clause) []Op {
	switch {
	case c.Entity == Metric, c.Entity == Attribute && slices.Contains(g.numeric, c.Key):
		return numericOps
	case c.Entity == Dataset, g.anyList:
		return textInOps
	case c.Entity == Attribute && g.kind == experiments && c.Key == "experiment_id":
		return idOps
	case c.Entity == Attribute && (g.kind == runs || g.kind == experiments || slices.Contains(g.lists, c.Key)):
		return textInOps
	case slices.Contains(g.nulls, c.Entity):
		return textNulls
	}
	return textOps
}

// checkOp checks the comparison, and that lists stand with IN and NOT IN alone.
func (g *Grammar) checkOp(c Clause) error {
	ops := g.ops(c)
	lists := c.Op == In || c.Op == NotIn
	if slices.Contains(ops, c.Op) && lists == (c.Value.Kind == List) {
		return nil
	}
	switch g.kind {
	case loggedModels:
		return mlflow.Invalidf("Invalid comparison operator for %s.%s: %s. Expected one of %s.", g.word(c.Entity), c.Key, mlflow.Repr(string(c.Op)), opTuple(ops))
	case registeredModels, modelVersions:
		if slices.Contains(g.numeric, c.Key) && c.Entity == Attribute {
			return mlflow.Invalidf("Invalid comparator for attribute %s: %s", c.Key, c.Op)
		}
		return mlflow.Invalidf("Invalid comparator for %s: %s", c.Entity, c.Op)
	case experiments:
		if c.Entity == Tag {
			return mlflow.Invalidf("Invalid comparator for tag: %s", c.Op)
		}
		if c.Key == "experiment_id" {
			return mlflow.Invalidf("Invalid comparator for experiment_id: %s", c.Op)
		}
	}
	if g.kind == runs && (c.Entity == Attribute && slices.Contains(g.numeric, c.Key)) {
		ops = textInOps // MLflow names those of the other attributes
	}
	return mlflow.Invalidf("Invalid comparator '%s' not one of '%s%s", c.Op, opSet(ops), g.closing(c))
}

// closing is the quote that closes a set in a refusal; MLflow forgets it for some entities of runs.
func (g *Grammar) closing(c Clause) string {
	numeric := c.Entity == Attribute && slices.Contains(g.numeric, c.Key)
	if (g.kind == runs || g.kind == traces) && (c.Entity == Metric || c.Entity == Tag || c.Entity == Dataset || numeric) {
		return ""
	}
	return "'"
}

// unquoteKey strips one pair of quotes.
func unquoteKey(s string) string {
	if len(s) >= 2 && (s[0] == '`' || s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

// set writes names as Python writes a set, sorted.
func set(names []string) string {
	names = slices.Clone(names)
	slices.Sort(names)
	return "{'" + strings.Join(names, "', '") + "'}"
}

func opSet(ops []Op) string { return "{" + joinOps(ops) + "}" }

// opTuple writes comparisons as Python writes a tuple, in MLflow's order.
func opTuple(ops []Op) string {
	order := []Op{Less, LessOrEqual, Greater, GreaterOrEqual, Equal, NotEqual, Like, ILike, In, NotIn}
	return "(" + joinOps(slices.DeleteFunc(order, func(o Op) bool { return !slices.Contains(ops, o) })) + ")"
}

func joinOps(ops []Op) string {
	parts := make([]string, len(ops))
	for i, o := range ops {
		parts[i] = "'" + string(o) + "'"
	}
	return strings.Join(parts, ", ")
}

// shorten cuts what an error repeats of a long text.
func shorten(s string) string {
	const most = 300
	if len(s) <= most {
		return s
	}
	return mlflow.Truncate(strings.ToValidUTF8(s[:min(len(s), 4*most)], ""), most) + " …"
}

// parseNumber reads a number token: Integer if it is written as one and fits, else Float.
func parseNumber(raw string) Value {
	if i, err := strconv.ParseInt(raw, 10, 64); err == nil {
		return Value{Kind: Integer, Int: i, Num: float64(i)}
	}
	f, _ := strconv.ParseFloat(raw, 64) // the lexer let only numbers pass; beyond the range it is ±Inf
	return Value{Kind: Float, Num: f}
}

func notQuoted(raw string) error {
	return mlflow.Invalidf("Parameter value is either not quoted or unidentified quote types used for string value %s. "+
		"Use either single or double quotes.", shorten(raw))
}

func illTyped(format string, raw string, args ...any) error {
	return mlflow.Invalidf("%s %s", fmt.Sprintf(format, args...), shorten(raw))
}
