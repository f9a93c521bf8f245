package sqlstore

import (
	"context"

	"sluice/tracking/page"
	"sluice/tracking/sqldb"
)

// ordering is a compiled order_by: the joins that bring the values, their parameters, and the keys by which rows are sorted and pages
// follow each other.
type ordering struct {
	joins string
	first int // length of the first of the joins
	args  []any
	keys  sqldb.Keyset
}

// newOrdering returns an empty order; id is the column that ends every order and tells rows apart.
func (s *Store) newOrdering(id string) ordering {
	return ordering{keys: sqldb.Keyset{Dialect: s.db.Dialect(), ID: id}}
}

func (o *ordering) join(text string, args ...any) {
	if o.joins += text; o.first == 0 {
		o.first = len(text)
	}
	o.args = append(o.args, args...)
}

// moreJoins are the joins behind the first.
func (o *ordering) moreJoins() string { return o.joins[o.first:] }

func (o *ordering) add(keys ...sqldb.SortKey) { o.keys.Keys = append(o.keys.Keys, keys...) }

// longText is a column of texts up to thousands of letters as a sort key. MySQL sorts by the first 1024 bytes alone (max_sort_length)
// but compares whole texts: there the key is what surely fits, so that both agree.
func (s *Store) longText(column string, descending bool) []sqldb.SortKey {
	if s.db.Dialect() == sqldb.MySQL {
		column = "LEFT(" + column + ", 255)"
	}
	return s.db.Dialect().NullsLastKeys(column, sqldb.TextKey, descending)
}

// attributeKind returns what the values of an attribute are: a time, a number, or a text.
func attributeKind(key string) sqldb.KeyKind {
	switch key {
	case "start_time", "end_time", "creation_time", "last_update_time", "creation_timestamp", "last_updated_timestamp", "timestamp_ms",
		"execution_time_ms", "end_time_ms", "experiment_id":
		return sqldb.IntKey
	}
	return sqldb.TextKey
}

// readPage reads one page of a table and what load adds to its rows, of one commit: by DB.ReadTx, or by DB.ReadLong where pages are long.
func readPage[T any](ctx context.Context, read func(context.Context, func(sqldb.Querier) error) error, columns, from string, w *where, o ordering, after page.Place, limit int,
	scan func(row interface{ Scan(...any) error }) (T, error), load func(ctx context.Context, q sqldb.Querier, rows []T) error) (found page.Found[T], err error) {
	query := sqldb.PageQuery{
		Columns: columns, From: from + o.joins, FromArgs: o.args, Where: w.sql(), WhereArgs: w.args, Keys: o.keys, After: after, Limit: limit,
	}
	err = read(ctx, func(q sqldb.Querier) error {
		found, err = sqldb.ReadPage(ctx, q, query, func(row *sqldb.Row) (T, error) { return scan(row) })
		if err != nil {
			return err
		}
		return load(ctx, q, found.Rows)
	})
	return found, err
}
