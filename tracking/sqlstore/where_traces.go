package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"sluice/tracking"
	"sluice/tracking/filter"
	"sluice/tracking/pyjson"
	"sluice/tracking/sqldb"
)

// traceColumn leads from the attributes of traces to columns of "trace_info ti".
var traceColumn = map[string]string{
	"request_id": "ti.request_id", "experiment_id": "ti.experiment_id", "timestamp_ms": "ti.timestamp_ms", "execution_time_ms": "ti.execution_time_ms",
	"end_time_ms": "(ti.timestamp_ms + COALESCE(ti.execution_time_ms, 0))", "status": "ti.status", "client_request_id": "ti.client_request_id",
}

// traceFilter adds a filter on "trace_info ti"; scope is the list of experiments that are searched.
func (w *where) traceFilter(e filter.Expr, scope string) error {
	spans := &where{d: w.d}
	for _, c := range e.Clauses {
		var err error
		if c.Entity == filter.Span {
			err = spans.span(c)
		} else {
			err = w.traceClause(c, scope)
		}
		if err != nil {
			return err
		}
	}
	if len(spans.terms) > 0 { // all of them hold for one span
		w.exists(false, "spans s WHERE s.trace_id = ti.request_id AND "+spans.sql(), spans.args, "", nil)
	}
	return nil
}

func (w *where) traceClause(c filter.Clause, scope string) error {
	switch c.Entity {
	case filter.Tag:
		return w.traceTag(c)
	case filter.Metadata:
		return w.traceMetadata(c)
	case filter.Feedback, filter.Expectation:
		return w.assessment(c, scope)
	case filter.Issue:
		w.exists(false, "assessments a WHERE a.trace_id = ti.request_id AND a.assessment_type = 'issue' AND a.name = ?", []any{c.Value.Text}, "", nil)
		return nil
	}
	column, ok := traceColumn[c.Key]
	if !ok {
		return fmt.Errorf("filter attribute %q reached the store", c.Key)
	}
	return w.traceCompare(column, c)
}

// traceCompare adds a comparison of a column that may be NULL, by IS NULL and RLIKE too.
func (w *where) traceCompare(column string, c filter.Clause) error {
	if c.Op == filter.IsNull || c.Op == filter.IsNotNull {
		w.add(column + " " + string(c.Op))
		return nil
	}
	term, args, err := w.traceTerm(column, c)
	if err == nil {
		w.add(term, args...)
	}
	return err
}

// traceTerm compiles one comparison, by a regular expression too.
func (w *where) traceTerm(column string, c filter.Clause) (string, []any, error) {
	if c.Op == filter.RLike && c.Value.Kind == filter.Text {
		return w.regexp(column), []any{c.Value.Text}, nil
	}
	return compareValue(w.d, column, c.Op, c.Value)
}

func (w *where) regexp(column string) string {
	switch w.d {
	case sqldb.Postgres:
		return column + " ~ ?"
	case sqldb.MySQL:
		return "(CAST(" + column + " AS BINARY) REGEXP BINARY ?)"
	}
	return column + " REGEXP ?"
}

func (w *where) traceTag(c filter.Clause) error {
	switch c.Key {
	case tracking.TraceNameTag:
		return w.traceCompare("ti.trace_name", c)
	case tracking.LinkedPromptsTag:
		if c.Op == filter.Equal {
			w.linked("prompt_version", c.Value.Text)
			return nil
		}
	}
	return w.tracePair("trace_tags", c)
}

// linked adds that the trace has an edge to something.
func (w *where) linked(kind, id string) {
	w.exists(false, "entity_associations ea WHERE ea.source_type = 'trace' AND ea.source_id = ti.request_id AND ea.destination_type = ? "+
		"AND ea.destination_id = ?", []any{kind, id}, "", nil)
}

func (w *where) traceMetadata(c filter.Clause) error {
	switch {
	case c.Key == tracking.TraceSessionKey:
		return w.traceCompare("ti.session_id", c)
	case c.Key == tracking.TraceTokensKey:
		return w.promotedSum(c, tracking.TokenKeys)
	case c.Key == tracking.TraceCostKey:
		return w.promotedSum(c, tracking.CostKeys)
	case c.Key == tracking.SourceRunKey && c.Op == filter.Equal:
		return w.ofRun(c)
	}
	return w.tracePair("trace_request_metadata", c)
}

// ofRun adds that the trace came from a run or was linked to it.
func (w *where) ofRun(c filter.Clause) error {
	either := &where{d: w.d}
	either.linked("run", c.Value.Text)
	if err := either.tracePair("trace_request_metadata", c); err != nil {
		return err
	}
	w.add("("+strings.Join(either.terms, " OR ")+")", either.args...)
	return nil
}

// tracePair adds a condition on one tag or one piece of metadata.
func (w *where) tracePair(table string, c filter.Clause) error {
	from := table + " p WHERE p.request_id = ti.request_id AND p." + w.d.Quote("key") + " = ?"
	if c.Op == filter.IsNull || c.Op == filter.IsNotNull {
		w.exists(c.Op == filter.IsNull, from, []any{c.Key}, "", nil)
		return nil
	}
	term, args, err := w.traceTerm("p.value", c)
	if err == nil {
		w.exists(false, from, []any{c.Key}, " AND "+term, args)
	}
	return err
}

// span adds a comparison of "spans s".
func (w *where) span(c filter.Clause) error {
	name, ok := strings.CutPrefix(c.Key, "attributes.")
	if !ok {
		return w.traceCompare("s."+c.Key, c)
	}
	term, args, err := w.spanAttribute(name, c)
	if err == nil {
		w.add(term, args...)
	}
	return err
}

// spanAttribute compares an attribute within the JSON of a span, in which it stands as "name": "value" with the value's own
// quotes escaped. LIKE patterns may begin or end anywhere in what follows the name, as in MLflow.
func (w *where) spanAttribute(name string, c filter.Clause) (string, []any, error) {
	quoted := pyjson.Text(name)
	switch c.Op {
	case filter.Like:
		return w.d.Like("s.content"), []any{"%" + quoted + c.Value.Text + "%"}, nil
	case filter.ILike:
		return w.d.ILike("s.content"), []any{"%" + quoted + c.Value.Text + "%"}, nil
	case filter.RLike:
		return w.regexp("s.content"), []any{attributePattern(quoted, c.Value.Text)}, nil
	}
	values := c.Value.List
	if c.Value.Kind == filter.Text {
		values = []string{c.Value.Text}
	}
	var terms []string
	var args []any
	for _, v := range values { // a text in quotes, or a number, true or false as it stands
		for _, raw := range []string{pyjson.Text(v), v} {
			terms = append(terms, w.contains("s.content"))
			args = append(args, quoted+": "+pyjson.Text(raw))
		}
	}
	term := "(" + strings.Join(terms, " OR ") + ")"
	if c.Op == filter.NotEqual || c.Op == filter.NotIn { // of spans that have the attribute
		return w.contains("s.content") + " AND NOT " + term, append([]any{quoted + ": "}, args...), nil
	}
	return term, args, nil
}

// contains compiles "column holds the text ?", letter case counts.
func (w *where) contains(column string) string {
	switch w.d {
	case sqldb.Postgres:
		return "strpos(" + column + ", ?) > 0"
	case sqldb.MySQL:
		return "INSTR(" + column + ", BINARY ?) > 0"
	}
	return "instr(" + column + ", ?) > 0"
}

// attributePattern makes a regular expression on the JSON of a span of one on the attribute's value; ^ and $ mean the value's ends.
func attributePattern(quoted, pattern string) string {
	begin, end := `"\\".*`, ""
	if p, ok := strings.CutPrefix(pattern, "^"); ok {
		begin, pattern = `"\\"`, p
	}
	if p, ok := strings.CutSuffix(pattern, "$"); ok {
		end, pattern = `\\"`, p
	}
	return quoted + ": " + begin + pattern + end
}

// assessment adds a condition on feedback or an expectation: the trace's own, or one of its session that counts for the session.
func (w *where) assessment(c filter.Clause, scope string) error {
	conditions := "a.assessment_type = ? AND a.name = ? AND a.valid = TRUE"
	args := []any{string(c.Entity), c.Key}
	if c.Op != filter.IsNull && c.Op != filter.IsNotNull {
		term, more, err := w.assessmentValue(c)
		if err != nil {
			return err
		}
		conditions, args = conditions+" AND "+term, append(args, more...)
	}
	own := "EXISTS (SELECT 1 FROM assessments a WHERE a.trace_id = ti.request_id AND " + conditions + ")"
	session := "EXISTS (SELECT 1 FROM trace_info t2 JOIN assessments a ON a.trace_id = t2.request_id WHERE t2.session_id = ti.session_id " +
		"AND t2.experiment_id IN (" + scope + ") AND " + conditions + " AND a.assessment_metadata LIKE ?)"
	term := "(" + own + " OR " + session + ")"
	if c.Op == filter.IsNull {
		term = "NOT " + term
	}
	args = append(append(args, args...), `%"`+tracking.TraceSessionKey+`":%`)
	w.add(term, args...)
	return nil
}

// assessmentValue compares the JSON of a value: a text in its quotes, anything else as it stands.
func (w *where) assessmentValue(c filter.Clause) (string, []any, error) {
	switch c.Op {
	case filter.Equal, filter.NotEqual:
		raw, args1 := textCompare(w.d, "a.value", filter.Equal, c.Value.Text)
		quoted, args2 := textCompare(w.d, "a.value", filter.Equal, asciiText(c.Value.Text))
		term := "(" + raw + " OR " + quoted + ")"
		if c.Op == filter.NotEqual {
			term = "NOT " + term
		}
		return term, append(args1, args2...), nil
	case filter.Less, filter.LessOrEqual, filter.Greater, filter.GreaterOrEqual:
		term, args, err := compareValue(w.d, "a.aggregate_value", c.Op, c.Value)
		return "a.is_numeric_value = TRUE AND " + term, args, err
	}
	return w.traceTerm("a.value", c)
}

// traceOrder compiles order_by of "trace_info ti", as runOrder does for runs.
func (s *Store) traceOrder(order []filter.Order) (ordering, error) {
	out := s.newOrdering("ti.request_id")
	seen := map[string]bool{}
	for i, o := range order {
		column, kind := "", sqldb.TextKey
		switch {
		case o.Entity == filter.Attribute:
			column, kind, seen[o.Key] = traceColumn[o.Key], attributeKind(o.Key), true
		case o.Entity == filter.Tag && o.Key == tracking.TraceNameTag:
			column = "ti.trace_name"
		case o.Entity == filter.Metadata && o.Key == tracking.TraceSessionKey:
			column = "ti.session_id"
		case o.Entity == filter.Tag || o.Entity == filter.Metadata:
			alias := fmt.Sprintf("o%d", i)
			table := map[filter.Entity]string{filter.Tag: "trace_tags", filter.Metadata: "trace_request_metadata"}[o.Entity]
			out.join(fmt.Sprintf(" LEFT JOIN %s %s ON %s.request_id = ti.request_id AND %s.%s = ?", table, alias, alias, alias, s.q("key")), o.Key)
			out.add(s.longText(alias+".value", o.Descending)...)
			continue
		}
		if column == "" {
			return out, fmt.Errorf("order %s reached the store", o)
		}
		out.add(s.db.Dialect().NullsLastKeys(column, kind, o.Descending)...)
	}
	if !seen["timestamp_ms"] {
		out.add(sqldb.SortKey{Expr: "ti.timestamp_ms", Desc: true, NotNull: true})
	}
	if !seen["request_id"] {
		out.add(sqldb.SortKey{Expr: "ti.request_id", Kind: sqldb.TextKey, NotNull: true})
	}
	return out, nil
}

// tracesToDelete returns the ids of an experiment's traces that a deletion means, oldest first.
func (s *Store) tracesToDelete(ctx context.Context, tx *sqldb.Tx, experiment int64, d tracking.TraceDelete) ([]string, error) {
	var ids []string
	scan := func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	}
	if len(d.IDs) > 0 {
		err := eachOf(ctx, tx, "SELECT request_id FROM trace_info WHERE experiment_id = ? AND request_id IN (%s)", []any{experiment}, d.IDs, scan)
		return ids, err
	}
	limit := int64(noLimit)
	if d.Limit > 0 {
		limit = int64(d.Limit)
	}
	query := "SELECT request_id FROM trace_info WHERE experiment_id = ? AND timestamp_ms <= ? ORDER BY timestamp_ms, request_id LIMIT ?"
	err := each(ctx, tx, query, []any{experiment, d.MaxTimeMS, limit}, scan)
	return ids, err
}
