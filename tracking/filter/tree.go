package filter

import (
	"strconv"
	"strings"
)

// Entity says which part of a record a field names.
type Entity string

// The entities. A grammar allows some of them.
const (
	Attribute Entity = "attribute"
	Metric    Entity = "metric"
	Param     Entity = "parameter"
	Tag       Entity = "tag"
	Dataset   Entity = "dataset"

	// Of traces only:
	Metadata    Entity = "request_metadata"
	Span        Entity = "span"
	Feedback    Entity = "feedback"
	Expectation Entity = "expectation"
	Issue       Entity = "issue"
)

// Op is a comparison in its canonical spelling.
type Op string

// The comparisons of the language.
const (
	Equal          Op = "="
	NotEqual       Op = "!="
	Less           Op = "<"
	LessOrEqual    Op = "<="
	Greater        Op = ">"
	GreaterOrEqual Op = ">="
	Like           Op = "LIKE"  // % and _ are wildcards, letter case counts
	ILike          Op = "ILIKE" // as Like, letter case does not count
	RLike          Op = "RLIKE" // a regular expression of the store matches; traces only
	In             Op = "IN"
	NotIn          Op = "NOT IN"
	IsNull         Op = "IS NULL"
	IsNotNull      Op = "IS NOT NULL"
)

// Kind is the type of a Value.
type Kind uint8

// The kinds of values. The zero value belongs to IsNull and IsNotNull.
const (
	None Kind = iota
	Text
	Integer
	Float
	List
)

// Value is the right side of a clause; Kind says which field counts.
type Value struct {
	Kind Kind
	Text string   // Kind Text
	Int  int64    // Kind Integer
	Num  float64  // Kind Float; also set, rounded, for Integer
	List []string // Kind List; never empty; the caller must not change it
}

// Clause is one comparison: the field named by Entity and Key compared with Value. Keys are canonical: aliases of MLflow
// ("created", "Run ID") are already translated to the names that the Grammar lists.
type Clause struct {
	Entity Entity
	Key    string
	Op     Op
	Value  Value
}

// Expr is a conjunction of clauses; the zero value holds for everything.
type Expr struct{ Clauses []Clause }

// Order is one entry of order_by.
type Order struct {
	Entity     Entity
	Key        string
	Descending bool
	// DatasetName and DatasetDigest narrow a metric of a logged model to one dataset; "" means any.
	DatasetName, DatasetDigest string
}

// String returns the expression in the language itself; parsing it again gives the same tree.
func (e Expr) String() string {
	parts := make([]string, len(e.Clauses))
	for i, c := range e.Clauses {
		parts[i] = c.String()
	}
	return strings.Join(parts, " AND ")
}

// String returns the clause in the language itself.
func (c Clause) String() string {
	field := string(c.Entity) + "." + quoteKey(c.Key)
	if c.Op == IsNull || c.Op == IsNotNull {
		return field + " " + string(c.Op)
	}
	return field + " " + string(c.Op) + " " + c.Value.String()
}

// String returns the value as it is written in a filter.
func (v Value) String() string {
	switch v.Kind {
	case Text:
		return quoteText(v.Text)
	case Integer:
		return strconv.FormatInt(v.Int, 10)
	case Float:
		return formatFloat(v.Num)
	case List:
		parts := make([]string, len(v.List))
		for i, s := range v.List {
			parts[i] = quoteText(s)
		}
		return "(" + strings.Join(parts, ", ") + ")"
	default:
		return ""
	}
}

// String returns the entry as it is written in order_by.
func (o Order) String() string {
	s := string(o.Entity) + "." + quoteKey(o.Key)
	if o.Descending {
		return s + " DESC"
	}
	return s + " ASC"
}

func formatFloat(f float64) string {
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

// quoteKey back-quotes a key, or double-quotes one that holds a back quote.
func quoteKey(key string) string {
	if strings.Contains(key, "`") {
		return `"` + key + `"`
	}
	return "`" + key + "`"
}

// quoteText quotes a text with whichever quote it does not hold.
func quoteText(s string) string {
	if strings.Contains(s, "'") {
		return `"` + s + `"`
	}
	return "'" + s + "'"
}
