package filter

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Subject is a record that an expression can be held against.
type Subject interface {
	// Values returns what the record has under a field: nothing, one value, or several (the metrics of a logged model, the
	// datasets of a run). Kinds are Text, Integer or Float; a metric may be NaN.
	Values(entity Entity, key string) []Value
}

// Match reports whether every clause holds for s. A clause holds if it holds for one of the field's values, so that, as in
// MLflow's SQL store, no comparison, != neither, holds for a record without the field; only IS NULL does.
func (e Expr) Match(s Subject) bool {
	for _, c := range e.Clauses {
		if !c.Match(s.Values(c.Entity, c.Key)) {
			return false
		}
	}
	return true
}

// Match reports whether the clause holds for one of the values.
func (c Clause) Match(values []Value) bool {
	switch c.Op {
	case IsNull:
		return len(values) == 0
	case IsNotNull:
		return len(values) > 0
	}
	return slices.ContainsFunc(values, c.holds)
}

func (c Clause) holds(v Value) bool {
	switch c.Value.Kind {
	case Text:
		return v.Kind == Text && c.holdsText(v.Text)
	case List:
		return v.Kind == Text && slices.Contains(c.Value.List, v.Text) == (c.Op == In)
	case Integer, Float:
		return (v.Kind == Integer || v.Kind == Float) && c.holdsNumber(v)
	}
	return false
}

func (c Clause) holdsText(text string) bool {
	switch c.Op {
	case Equal:
		return text == c.Value.Text
	case NotEqual:
		return text != c.Value.Text
	case Like:
		return like(c.Value.Text, text)
	case ILike:
		return like(strings.ToLower(c.Value.Text), strings.ToLower(text))
	}
	return false
}

func (c Clause) holdsNumber(v Value) bool {
	if v.Kind == Integer && c.Value.Kind == Integer {
		return compare(c.Op, v.Int, c.Value.Int)
	}
	return compare(c.Op, v.number(), c.Value.number())
}

func (v Value) number() float64 {
	if v.Kind == Integer {
		return float64(v.Int)
	}
	return v.Num
}

// compare applies a numeric comparison; NaN is different from everything and otherwise holds nothing.
func compare[T int64 | float64](op Op, a, b T) bool {
	switch op {
	case Equal:
		return a == b
	case NotEqual:
		return a != b
	case Less:
		return a < b
	case LessOrEqual:
		return a <= b
	case Greater:
		return a > b
	case GreaterOrEqual:
		return a >= b
	}
	return false
}

// like reports whether text matches a pattern in which % stands for any characters and _ for one. It takes at most
// len(pattern) × len(text) steps.
func like(pattern, text string) bool {
	p, t := 0, 0
	star, resume := -1, 0 // the last % and where the text goes on if it takes one character more
	for t < len(text) {
		if p < len(pattern) && pattern[p] == '%' {
			star, resume = p, t
			p++
			continue
		}
		if p < len(pattern) {
			pr, pn := utf8.DecodeRuneInString(pattern[p:])
			tr, tn := utf8.DecodeRuneInString(text[t:])
			if pr == '_' || pr == tr && pattern[p:p+pn] == text[t:t+tn] {
				p, t = p+pn, t+tn
				continue
			}
		}
		if star < 0 {
			return false
		}
		_, n := utf8.DecodeRuneInString(text[resume:])
		resume += n
		p, t = star+1, resume
	}
	return strings.Trim(pattern[p:], "%") == ""
}
