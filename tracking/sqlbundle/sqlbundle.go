// Package sqlbundle moves whole rows between MLflow's tables and a bundle.
//
// It owns the statements that are the same for every table of bundle.Tables: select by owner, insert in batches, ask what is there. It is
// called by the sqlstores of tracking and registry; it must not know what a row means, nor which rows belong together.
package sqlbundle

import (
	"context"
	"database/sql"
	"strings"

	"sluice/tracking/bundle"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
)

// chunk is how many ids one IN list has; a shorter last one is filled up with copies, so that statements repeat.
const chunk = 200

// columns returns the columns of a table that this database has: an older schema lacks some.
func columns(db *sqldb.DB, t *bundle.Table) (list []string, at []int) {
	for i, c := range t.Columns {
		if db.HasColumn(t.Name, c.Name) {
			list, at = append(list, c.Name), append(at, i)
		}
	}
	return list, at
}

// Select calls emit for the rows of which column is one of ids, in the order in which they came where the database keeps it, and for which
// the condition and (with ? for args) holds; "" is none.
func Select(ctx context.Context, db *sqldb.DB, q sqldb.Querier, t *bundle.Table, column string, ids []string, and string, args []any, emit bundle.Emit) error {
	if !db.HasTable(t.Name) {
		return nil
	}
	list, at := columns(db, t)
	d := db.Dialect()
	quoted := make([]string, len(list))
	for i, c := range list {
		quoted[i] = "t." + d.Quote(c)
	}
	order := strings.TrimSuffix(d.Arrival("t"), ", ")
	if order != "" {
		order = " ORDER BY " + order
	}
	if and != "" {
		and = " AND " + and
	}
	for len(ids) > 0 {
		n := min(chunk, len(ids))
		query := "SELECT " + strings.Join(quoted, ", ") + " FROM " + d.Quote(t.Name) + " t WHERE " + "t." + d.Quote(column) + " IN (" + sqldb.Placeholders(n) + ")" + and + order
		all := make([]any, 0, n+len(args))
		for _, id := range ids[:n] {
			all = append(all, value(t, column, id))
		}
		if err := scan(ctx, q, t, at, emit, query, append(all, args...)...); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// value is an id as its column wants it.
func value(t *bundle.Table, column, id string) any {
	if i := t.Column(column); i >= 0 && t.Columns[i].Type == bundle.Int {
		return number(id)
	}
	return id
}

func scan(ctx context.Context, q sqldb.Querier, t *bundle.Table, at []int, emit bundle.Emit, query string, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	cells := make([]any, len(at))
	for i, column := range at {
		switch t.Columns[column].Type {
		case bundle.Int:
			cells[i] = new(sql.NullInt64)
		case bundle.Float:
			cells[i] = new(sql.NullFloat64)
		case bundle.Bool:
			cells[i] = new(sql.NullBool)
		default:
			cells[i] = new(sql.NullString)
		}
	}
	for rows.Next() {
		if err := rows.Scan(cells...); err != nil {
			return err
		}
		row := make(bundle.Row, len(t.Columns))
		for i := range row {
			row[i] = t.Columns[i].Default
		}
		for i, column := range at {
			row[column] = cell(cells[i])
		}
		if err := emit(t, row); err != nil {
			return err
		}
	}
	return rows.Err()
}

func cell(v any) any {
	switch v := v.(type) {
	case *sql.NullInt64:
		if v.Valid {
			return v.Int64
		}
	case *sql.NullFloat64:
		if v.Valid {
			return v.Float64
		}
	case *sql.NullBool:
		if v.Valid {
			return v.Bool
		}
	case *sql.NullString:
		if v.Valid {
			return v.String
		}
	}
	return nil
}

// Existing returns those of ids that stand in a column of a table.
func Existing(ctx context.Context, q sqldb.Querier, d sqldb.Dialect, table, column string, ids []string) ([]string, error) {
	var out []string
	for len(ids) > 0 {
		n := min(chunk, len(ids))
		args := make([]any, n)
		for i, id := range ids[:n] {
			args[i] = id
		}
		found, err := strs(ctx, q, "SELECT "+d.Quote(column)+" FROM "+d.Quote(table)+" WHERE "+d.Quote(column)+" IN ("+sqldb.Placeholders(n)+")", args...)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
		ids = ids[n:]
	}
	return out, nil
}

// strs returns the one text column of a query.
func strs(ctx context.Context, q sqldb.Querier, query string, args ...any) ([]string, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// missing is NOT_IMPLEMENTED for rows that this database has no place for.
func missing(t *bundle.Table, column string) error {
	if column != "" {
		column = "." + column
	}
	return mlflow.Errorf(mlflow.NotImplemented, "The database has an older schema without %s%s, which the bundle needs: take a backup, then run: sluice db upgrade --mlflow", t.Name, column)
}
