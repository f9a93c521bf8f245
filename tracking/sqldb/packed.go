package sqldb

import (
	"context"
	"errors"
	"slices"
	"strings"

	"sluice/tracking/sqldb/sqlitepack"
)

// RowsOf asks for all rows of some ids in one table.
type RowsOf struct {
	Table string
	ID    string   // the column that the ids stand in, which has an index
	IDs   []string // distinct
	// Columns are plain names of columns, quoted where they need it.
	Columns []string
}

// idsAtOnce is how many ids one statement asks for: below every dialect's bound on parameters.
const idsAtOnce = 500

// EachOf calls take for each row, with the id as column 0 and Columns behind it; the rows of one id are neighbours on SQLite, and in no
// order beyond that. On SQLite the rows of an id come out of the database as one value, at half of what Each takes for tens of thousands
// of rows; they are held in memory meanwhile. q is what Each takes, and take keeps the same rules.
func EachOf(ctx context.Context, q Querier, rows RowsOf, take func(row *Values) error) error {
	for ids := range slices.Chunk(rows.IDs, idsAtOnce) {
		some := rows
		some.IDs = ids
		if err := some.each(ctx, q, take); err != nil {
			return err
		}
	}
	return nil
}

func (r RowsOf) each(ctx context.Context, q Querier, take func(row *Values) error) error {
	args, columns := make([]any, len(r.IDs)), strings.Join(r.Columns, ", ")
	for i, id := range r.IDs {
		args[i] = id
	}
	if !onSQLite(q) {
		query := "SELECT " + r.ID + ", " + columns + " FROM " + r.Table + " WHERE " + r.ID + " IN (" + Placeholders(len(args)) + ")"
		return Each(ctx, q, query, args, take)
	}
	query := "WITH asked(id) AS (VALUES " + strings.TrimSuffix(strings.Repeat("(?), ", len(args)), ", ") + ") " +
		"SELECT id, (SELECT sluice_pack(" + columns + ") FROM " + r.Table + " WHERE " + r.ID + " = id) FROM asked"
	row := &Values{packed: make([]sqlitepack.Value, len(r.Columns))}
	return Each(ctx, q, query, args, func(packed *Values) error {
		row.id, row.reader = packed.Text(0), sqlitepack.NewReader(packed.bytes(1))
		return row.eachPacked(take)
	})
}

// eachPacked calls take for each packed row of an id.
func (v *Values) eachPacked(take func(row *Values) error) error {
	for v.reader.More() {
		if err := v.reader.Row(v.packed); err != nil {
			return err
		}
		if err := take(v); err != nil || v.err != nil {
			return errors.Join(err, v.err)
		}
	}
	return nil
}

// onSQLite looks at what DB.Read, DB.ReadTx or DB.WithTx gave.
func onSQLite(q Querier) bool {
	switch q := q.(type) {
	case *cachedPool:
		return q.dialect == SQLite
	case *Tx:
		return q.dialect == SQLite
	}
	return false
}

// bytes returns column i, a blob or NULL, as the driver gave it.
func (v *Values) bytes(i int) []byte {
	b, _ := v.list[i].([]byte)
	return b
}

func (v *Values) packedText(i int, known string) string {
	if i == 0 {
		return v.id
	}
	switch x := &v.packed[i-1]; x.Kind {
	case sqlitepack.Text, sqlitepack.Blob:
		text := v.reader.Bytes(x)
		if string(text) == known {
			return known
		}
		return string(text)
	case sqlitepack.Null:
		return ""
	}
	v.unread(i, "text")
	return ""
}

func (v *Values) packedInt(i int) int64 {
	if i > 0 {
		switch x := &v.packed[i-1]; x.Kind {
		case sqlitepack.Integer:
			return x.Int()
		case sqlitepack.Null:
			return 0
		case sqlitepack.Float:
			if n, ok := whole(x.Float()); ok {
				return n
			}
		}
	}
	v.unread(i, "integer")
	return 0
}

func (v *Values) packedFloat(i int) float64 {
	if i > 0 {
		switch x := &v.packed[i-1]; x.Kind {
		case sqlitepack.Float:
			return x.Float()
		case sqlitepack.Integer: // SQLite keeps whole numbers so
			return float64(x.Int())
		case sqlitepack.Null:
			return 0
		}
	}
	v.unread(i, "number")
	return 0
}
