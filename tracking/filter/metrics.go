package filter

import (
	"slices"

	"sluice/tracking/mlflow"
)

// Equality is the one form of filter that sums over traces know: field = 'value', where the field is an entity with a name and,
// for some, a key (source: SearchTraceMetricsUtils in mlflow/utils/search_utils.py, MLflow 3.17).
type Equality struct {
	View  string // trace, span or assessment
	Field string // of trace: status, tag, metadata; of span: name, status, type; of assessment: name, type
	Key   string // of trace.tag and trace.metadata, else ""
	Value string
}

// equalityFields are the fields of each view; true demands a key.
var equalityFields = map[string]map[string]bool{
	"trace":      {"status": false, "tag": true, "metadata": true},
	"span":       {"name": false, "status": false, "type": false},
	"assessment": {"name": false, "type": false},
}

// ParseEquality reads one filter of sums over traces. Returns INVALID_PARAMETER_VALUE for anything else.
func ParseEquality(text string) (Equality, error) {
	if len(text) > MaxLength {
		return Equality{}, mlflow.Invalidf("Invalid filter string: it has %d bytes, at most %d are allowed.", len(text), MaxLength)
	}
	l := lexer{text: text}
	field, op := l.next(), comparator(&l)
	value, end := l.next(), l.next()
	if field.kind != wordToken || op.kind != opToken || end.kind != endToken || !slices.Contains([]tokenKind{textToken, wordToken}, value.kind) {
		return Equality{}, mlflow.Invalidf("Invalid filter: '%s'. Expected one filter clause.", shorten(text))
	}
	e, err := equalityField(field)
	if err != nil {
		return Equality{}, err
	}
	if op.raw != string(Equal) {
		return Equality{}, mlflow.Invalidf("Invalid comparator: '%s', only '=' operator is supported", op.raw)
	}
	v, err := quotedValue(value)
	e.Value = v.Text
	return e, err
}

// comparator reads an operator, as one also LIKE and its kin: they are refused by name.
func comparator(l *lexer) token {
	op := l.next()
	like := op
	if op.is("NOT") {
		like = l.next()
		op.raw += " " + like.raw
	}
	if like.is("LIKE") || like.is("ILIKE") || like.is("RLIKE") {
		op.kind = opToken
	}
	return op
}

func equalityField(t token) (Equality, error) {
	if len(t.parts) < 2 {
		return Equality{}, mlflow.Invalidf("Invalid identifier %s. Columns should be specified as 'trace.<key>', 'span.<key>', 'assessment.<key>'.",
			mlflow.Repr(shorten(t.raw)))
	}
	e := Equality{View: unquoteKey(t.parts[0]), Field: t.parts[1]}
	fields, ok := equalityFields[e.View]
	if !ok {
		return e, mlflow.Invalidf("Invalid view type '%s'. Valid values are trace, span and assessment.", shorten(e.View))
	}
	needsKey, ok := fields[e.Field]
	switch {
	case !ok:
		return e, mlflow.Invalidf("Invalid entity '%s' specified for view type '%s'.", shorten(e.Field), e.View)
	case needsKey && len(t.parts) == 2:
		return e, mlflow.Invalidf("Filtering by %s requires a key, e.g. '%s.%s.<key> = <value>'", e.Field, e.View, e.Field)
	case !needsKey && len(t.parts) > 2:
		return e, mlflow.Invalidf("Filtering by %s does not require a key, use '%s.%s' instead", e.Field, e.View, e.Field)
	case needsKey:
		e.Key = unquoteKey(t.raw[len(t.parts[0])+len(t.parts[1])+2:])
	}
	return e, nil
}
