package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"sluice/tracking/mlflow"
	"sluice/tracking/page"
)

// KeyKind is what a sort key's values are.
type KeyKind int

// The kinds of sort keys.
const (
	IntKey KeyKind = iota
	FloatKey
	TextKey
)

// SortKey is one term of an ORDER BY. Expr has no parameters; where NotNull is set it has a value in every row.
type SortKey struct {
	Expr    string
	Kind    KeyKind
	Desc    bool
	NotNull bool
}

// NullsLastKeys are the sort keys of NullsLast: one where the database puts rows without a value last by itself, which leaves it free
// to walk an index, else two.
func (d Dialect) NullsLastKeys(expr string, kind KeyKind, desc bool) []SortKey {
	if desc != (d == Postgres) {
		return []SortKey{{Expr: expr, Kind: kind, Desc: desc}}
	}
	return []SortKey{{Expr: "CASE WHEN (" + expr + ") IS NULL THEN 1 ELSE 0 END", NotNull: true}, {Expr: expr, Kind: kind, Desc: desc}}
}

// Keyset is a total order of rows, by which pages follow each other: the sort keys together differ for any two rows.
type Keyset struct {
	Dialect Dialect
	Keys    []SortKey
	ID      string // Expr of the key that alone tells rows apart; "" where texts in keys are never too long for a token
}

// OrderBy returns the terms of ORDER BY.
func (k Keyset) OrderBy() string {
	terms := make([]string, len(k.Keys))
	for i, key := range k.Keys {
		terms[i] = key.Expr
		if key.Desc {
			terms[i] += " DESC"
		}
	}
	return strings.Join(terms, ", ")
}

// Columns returns the expressions as a list for SELECT, which Row reads.
func (k Keyset) Columns() string {
	list := make([]string, len(k.Keys))
	for i, key := range k.Keys {
		list[i] = key.Expr
	}
	return strings.Join(list, ", ")
}

// After returns the condition that a row comes behind place, "" for the nil Place. Returns INVALID_PARAMETER_VALUE for a place that is not
// one of this order.
func (k Keyset) After(place page.Place) (string, []any, error) {
	if place == nil {
		return "", nil, nil
	}
	if len(place) != len(k.Keys) {
		return "", nil, mlflow.Invalidf("Invalid page token: it has %d terms, want %d", len(place), len(k.Keys))
	}
	condition, args := "", []any(nil)
	for i := len(k.Keys) - 1; i >= 0; i-- {
		value, err := k.Keys[i].value(place[i])
		if err != nil {
			return "", nil, err
		}
		beyond, beyondArgs := k.beyond(k.Keys[i], value)
		if condition == "" {
			condition, args = beyond, beyondArgs
			continue
		}
		same, sameArgs := k.same(k.Keys[i], value)
		condition = "(" + beyond + " OR " + same + " AND " + condition + ")"
		args = append(append(beyondArgs, sameArgs...), args...)
	}
	return condition, args, nil
}

// beyond compiles "the key sorts behind value". Without a value rows come first or last as the database has it: PostgreSQL takes
// NULL for the greatest, the others for the least.
func (k Keyset) beyond(key SortKey, value any) (string, []any) {
	nullsFirst := key.Desc == (k.Dialect == Postgres)
	op := " > "
	if key.Desc {
		op = " < "
	}
	switch {
	case value == nil && nullsFirst:
		return key.Expr + " IS NOT NULL", nil
	case value == nil:
		return "1 = 0", nil
	case nullsFirst || key.NotNull:
		return key.Expr + op + k.mark(key.Kind), []any{value}
	}
	return "(" + key.Expr + op + k.mark(key.Kind) + " OR " + key.Expr + " IS NULL)", []any{value}
}

func (k Keyset) same(key SortKey, value any) (string, []any) {
	if value == nil {
		return key.Expr + " IS NULL", nil
	}
	return key.Expr + " = " + k.mark(key.Kind), []any{value}
}

// mark is a placeholder. PostgreSQL would take the type from the column, which may be too narrow for a forged value.
func (k Keyset) mark(kind KeyKind) string {
	if k.Dialect != Postgres {
		return "?"
	}
	return map[KeyKind]string{IntKey: "CAST(? AS BIGINT)", FloatKey: "CAST(? AS DOUBLE PRECISION)", TextKey: "?"}[kind]
}

// value checks one value of a Place.
func (key SortKey) value(v any) (any, error) {
	switch v := v.(type) {
	case nil:
		if !key.NotNull {
			return nil, nil
		}
	case string:
		if key.Kind == TextKey {
			return v, nil
		}
	case float64:
		if key.Kind == FloatKey {
			return v, nil
		}
	case int64:
		switch key.Kind {
		case IntKey:
			return v, nil
		case FloatKey: // whole numbers lose their point in a token
			return float64(v), nil
		}
	}
	return nil, mlflow.Invalidf("Invalid page token: a term is not what the search is sorted by")
}

// Resolve puts the texts in place of their digests: those of the row with the same ID among from, which its own keys find. Returns
// INVALID_PARAMETER_VALUE if that row has gone or changed.
func (k Keyset) Resolve(ctx context.Context, q Querier, from string, args []any, place page.Place) (page.Place, error) {
	id, digests := -1, false
	for i, v := range place {
		if _, ok := v.(page.Digest); ok {
			digests = true
		}
		if i < len(k.Keys) && k.Keys[i].Expr == k.ID {
			id = i
		}
	}
	if !digests {
		return place, nil
	}
	stale := mlflow.Invalidf("Invalid page token: the row that it follows has gone or changed. Ask for the first page again.")
	if id < 0 || len(place) != len(k.Keys) {
		return nil, stale
	}
	value, err := k.Keys[id].value(place[id])
	if err != nil {
		return nil, err
	}
	row := k.row()
	err = q.QueryRowContext(ctx, "SELECT "+k.Columns()+" FROM "+from+" WHERE "+k.ID+" = "+k.mark(k.Keys[id].Kind), append(append([]any{}, args...), value)...).Scan(row.into...)
	if err == sql.ErrNoRows {
		return nil, stale
	} else if err != nil {
		return nil, err
	}
	now, out := row.place(), append(page.Place{}, place...)
	for i, v := range out {
		if digest, ok := v.(page.Digest); ok {
			text, _ := now[i].(string)
			if page.DigestOf(text) != digest {
				return nil, stale
			}
			out[i] = text
		}
	}
	return out, nil
}

// keyRow takes the keys of rows in.
type keyRow struct {
	keys   []SortKey
	ints   []sql.NullInt64
	floats []sql.NullFloat64
	texts  []sql.NullString
	into   []any // where Scan puts them
}

func (k Keyset) row() *keyRow {
	n := len(k.Keys)
	r := &keyRow{keys: k.Keys, ints: make([]sql.NullInt64, n), floats: make([]sql.NullFloat64, n), texts: make([]sql.NullString, n), into: make([]any, n)}
	for i, key := range k.Keys {
		r.into[i] = []any{&r.ints[i], &r.floats[i], &r.texts[i]}[key.Kind]
	}
	return r
}

func (r *keyRow) place() page.Place {
	out := make(page.Place, len(r.keys))
	for i, key := range r.keys {
		switch {
		case key.Kind == IntKey && r.ints[i].Valid:
			out[i] = r.ints[i].Int64
		case key.Kind == FloatKey && r.floats[i].Valid:
			out[i] = r.floats[i].Float64
		case key.Kind == TextKey && r.texts[i].Valid:
			out[i] = r.texts[i].String
		}
	}
	return out
}

// Row is one row of a result whose last columns are a Keyset's.
type Row struct {
	rows *sql.Rows
	keys *keyRow
	all  []any
}

// Scan scans the columns before the keys.
func (r *Row) Scan(into ...any) error {
	r.all = append(append(r.all[:0], into...), r.keys.into...)
	return r.rows.Scan(r.all...)
}

// PageQuery asks for the rows behind a place, in the order of Keys.
type PageQuery struct {
	Columns   string // of SELECT
	From      string // table, alias and joins
	FromArgs  []any
	Where     string
	WhereArgs []any
	Keys      Keyset
	After     page.Place // nil: from the beginning
	Limit     int        // rows of the page, ≥ 1
}

// ReadPage reads one page. It looks one row further, to know whether more follow; scan is called for the rows of the page only.
func ReadPage[T any](ctx context.Context, q Querier, p PageQuery, scan func(row *Row) (T, error)) (page.Found[T], error) {
	var found page.Found[T]
	after, err := p.Keys.Resolve(ctx, q, p.From, p.FromArgs, p.After)
	if err != nil {
		return found, err
	}
	condition, conditionArgs, err := p.Keys.After(after)
	if err != nil {
		return found, err
	}
	if condition != "" {
		condition = " AND " + condition
	}
	query := "SELECT " + p.Columns + ", " + p.Keys.Columns() + " FROM " + p.From + " WHERE " + p.Where + condition + " ORDER BY " + p.Keys.OrderBy() + " LIMIT ?"
	args := append(append(append(append(make([]any, 0, 16), p.FromArgs...), p.WhereArgs...), conditionArgs...), int64(p.Limit)+1)
	return Page(ctx, q, p.Keys, p.Limit, scan, query, args...)
}

// Page runs a query that returns at most limit+1 rows, whose last columns are those of keys, and makes a page of its first limit.
func Page[T any](ctx context.Context, q Querier, keys Keyset, limit int, scan func(row *Row) (T, error), query string, args ...any) (found page.Found[T], err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return found, err
	}
	defer rows.Close()
	row := &Row{rows: rows, keys: keys.row()}
	for rows.Next() {
		if len(found.Rows) == limit {
			found.More = true
			break
		}
		v, err := scan(row)
		if err != nil {
			return page.Found[T]{}, fmt.Errorf("read a row: %w", err)
		}
		found.Rows = append(found.Rows, v)
	}
	if len(found.Rows) > 0 {
		found.End = row.keys.place()
	}
	return found, rows.Err()
}
