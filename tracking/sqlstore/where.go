package sqlstore

import (
	"fmt"
	"strings"

	"sluice/tracking"
	"sluice/tracking/filter"
	"sluice/tracking/sqldb"
)

// where collects the conditions of a WHERE clause and their parameters, in order. Column names come from the code, values go
// into parameters: nothing that a client wrote becomes part of the text.
type where struct {
	d     sqldb.Dialect
	terms []string
	args  []any
}

func (s *Store) newWhere() *where { return &where{d: s.db.Dialect()} }

func (w *where) add(term string, args ...any) {
	w.terms = append(w.terms, term)
	w.args = append(w.args, args...)
}

// sql returns the conditions joined by AND; never empty.
func (w *where) sql() string {
	if len(w.terms) == 0 {
		return "1 = 1"
	}
	return strings.Join(w.terms, " AND ")
}

func (w *where) stages(column string, view tracking.ViewType) {
	stages := view.Stages()
	args := make([]any, len(stages))
	for i, st := range stages {
		args[i] = string(st)
	}
	w.add(column+" IN ("+sqldb.Placeholders(len(args))+")", args...)
}

// compare adds "column op value".
func (w *where) compare(column string, op filter.Op, v filter.Value) error {
	term, args, err := compareValue(w.d, column, op, v)
	if err == nil {
		w.add(term, args...)
	}
	return err
}

// exists adds "[NOT] EXISTS (SELECT 1 FROM …)" around conditions that begin with from and its parameters.
func (w *where) exists(not bool, from string, args []any, more string, moreArgs []any) {
	term := "EXISTS (SELECT 1 FROM " + from + more + ")"
	if not {
		term = "NOT " + term
	}
	w.add(term, append(append([]any{}, args...), moreArgs...)...)
}

// compareValue compiles one comparison of a column.
func compareValue(d sqldb.Dialect, column string, op filter.Op, v filter.Value) (string, []any, error) {
	switch v.Kind {
	case filter.Text:
		term, args := textCompare(d, column, op, v.Text)
		if term != "" {
			return term, args, nil
		}
	case filter.List:
		if op == filter.In || op == filter.NotIn {
			return d.Exact(column) + " " + string(op) + " (" + sqldb.Placeholders(len(v.List)) + ")", anys(v.List), nil
		}
	case filter.Integer:
		if numeric(op) {
			return column + " " + string(op) + " ?", []any{v.Int}, nil
		}
	case filter.Float:
		if numeric(op) {
			return column + " " + string(op) + " ?", []any{v.Num}, nil
		}
	}
	return "", nil, fmt.Errorf("filter %s %s with a value of kind %d reached the store", column, op, v.Kind)
}

func numeric(op filter.Op) bool {
	switch op {
	case filter.Equal, filter.NotEqual, filter.Less, filter.LessOrEqual, filter.Greater, filter.GreaterOrEqual:
		return true
	}
	return false
}

// textCompare compiles a case-sensitive comparison of text (ILIKE excepted); "" for an operator that texts lack.
func textCompare(d sqldb.Dialect, column string, op filter.Op, text string) (string, []any) {
	switch op {
	case filter.Equal:
		return d.Equal(column, text)
	case filter.NotEqual:
		return d.NotEqual(column, text)
	case filter.Like:
		return d.Like(column), []any{text}
	case filter.ILike:
		return d.ILike(column), []any{text}
	}
	return "", nil
}

// keyed adds a condition on one row of a key-value table: that it exists, or that its value compares. from is "table alias",
// link ties it to the outer row.
func (w *where) keyed(from, alias, link string, c filter.Clause) error {
	key := alias + "." + w.d.Quote("key")
	from += " WHERE " + link + " AND " + key + " = ?"
	if c.Op == filter.IsNull || c.Op == filter.IsNotNull {
		w.exists(c.Op == filter.IsNull, from, []any{c.Key}, "", nil)
		return nil
	}
	term, args, err := compareValue(w.d, alias+".value", c.Op, c.Value)
	if err == nil {
		w.exists(false, from, []any{c.Key}, " AND "+term, args)
	}
	return err
}

// experimentFilter adds a filter on "experiments e".
func (w *where) experimentFilter(e filter.Expr) error {
	for _, c := range e.Clauses {
		var err error
		switch {
		case c.Entity == filter.Tag:
			err = w.keyed("experiment_tags t", "t", "t.experiment_id = e.experiment_id", c)
		case c.Key == "experiment_id":
			err = w.experimentIDs(c)
		default:
			err = w.compare("e."+c.Key, c.Op, c.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// experimentIDs adds a comparison of experiment ids, which are texts in filters and integers in the table.
func (w *where) experimentIDs(c filter.Clause) error {
	list, op := c.Value.List, c.Op
	if c.Value.Kind == filter.Text {
		list = []string{c.Value.Text}
		op = map[filter.Op]filter.Op{filter.Equal: filter.In, filter.NotEqual: filter.NotIn}[c.Op]
	}
	in, err := experimentIDs(list)
	if err != nil {
		return err
	}
	if op != filter.In && op != filter.NotIn {
		return fmt.Errorf("filter experiment_id %s reached the store", c.Op)
	}
	w.add("e.experiment_id " + string(op) + " (" + in + ")")
	return nil
}
