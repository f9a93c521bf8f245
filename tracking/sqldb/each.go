package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/mattn/go-sqlite3"

	"sluice/tracking/sqldb/sqlitepack"
)

// Values are the columns of one row, as the driver gave them or as they were packed. A NULL reads as the zero of each kind. What a method
// cannot read is an error, which Each and EachOf return after the row.
type Values struct {
	list   []driver.Value
	packed []sqlitepack.Value // instead of list, if not nil: the columns behind the id, which reader has read
	reader sqlitepack.Reader
	id     string // column 0 of what is packed
	err    error
}

// Text returns column i as text.
func (v *Values) Text(i int) string { return v.TextLike(i, "") }

// TextLike is Text for a column that probably reads as known, which is returned if so: no text is made then.
func (v *Values) TextLike(i int, known string) string {
	if v.packed != nil {
		return v.packedText(i, known)
	}
	switch x := v.list[i].(type) {
	case string:
		return x
	case []byte:
		return string(x)
	case nil:
		return ""
	}
	v.unread(i, "text")
	return ""
}

// Int returns column i as an integer.
func (v *Values) Int(i int) int64 {
	if v.packed != nil {
		return v.packedInt(i)
	}
	switch x := v.list[i].(type) {
	case int64:
		return x
	case nil:
		return 0
	case bool:
		if x {
			return 1
		}
		return 0
	case float64:
		if n, ok := whole(x); ok {
			return n
		}
	case []byte:
		if n, err := strconv.ParseInt(string(x), 10, 64); err == nil {
			return n
		}
	}
	v.unread(i, "integer")
	return 0
}

// whole returns a number without a fraction as an integer.
func whole(x float64) (int64, bool) {
	return int64(x), x == math.Trunc(x) && math.Abs(x) < 1<<63
}

// Float returns column i as a number.
func (v *Values) Float(i int) float64 {
	if v.packed != nil {
		return v.packedFloat(i)
	}
	switch x := v.list[i].(type) {
	case float64:
		return x
	case float32:
		return float64(x)
	case int64: // SQLite keeps whole numbers so
		return float64(x)
	case nil:
		return 0
	case []byte:
		if f, err := strconv.ParseFloat(string(x), 64); err == nil {
			return f
		}
	}
	v.unread(i, "number")
	return 0
}

// Bool returns column i as a truth value; every number but 0 is true.
func (v *Values) Bool(i int) bool {
	if v.packed == nil {
		if b, ok := v.list[i].(bool); ok {
			return b
		}
	}
	return v.Int(i) != 0
}

func (v *Values) unread(i int, want string) {
	if v.err == nil && v.packed != nil {
		kind := sqlitepack.Text // of the id
		if i > 0 {
			kind = v.packed[i-1].Kind
		}
		v.err = fmt.Errorf("column %d is of kind %d, want %s", i, kind, want)
	} else if v.err == nil {
		v.err = fmt.Errorf("column %d is %T, want %s", i, v.list[i], want)
	}
}

// Each runs a query and calls take for each row. On SQLite it reads from the driver itself, at a third of what database/sql takes for a
// row: made for statements of thousands of rows, each found quickly. q is what DB.Read, DB.ReadTx or DB.WithTx gave. take must not run
// statements, nor keep the Values.
func Each(ctx context.Context, q Querier, query string, args []any, take func(row *Values) error) error {
	switch q := q.(type) {
	case *cachedPool:
		if q.dialect == SQLite {
			conn, err := q.pool.Conn(ctx)
			if err != nil {
				return err
			}
			defer conn.Close()
			return eachRaw(ctx, conn, query, args, take)
		}
	case *Tx:
		if q.dialect == SQLite {
			q.noteQuery(query)
			return eachRaw(q.context(ctx), q.conn, query, args, take)
		}
	}
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	return eachScanned(rows, take)
}

// eachScanned reads rows through database/sql.
func eachScanned(rows *sql.Rows, take func(row *Values) error) error {
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	row, list, into := &Values{}, make([]any, len(columns)), make([]any, len(columns))
	row.list = make([]driver.Value, len(columns))
	for i := range list {
		into[i] = &list[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i, v := range list {
			row.list[i] = v
		}
		if err := errors.Join(take(row), row.err); err != nil {
			return err
		}
	}
	return rows.Err()
}

// eachRaw reads rows from SQLite's driver. The end of ctx is seen between rows, not by an interrupt: a statement under way is quick.
func eachRaw(ctx context.Context, conn *sql.Conn, query string, args []any, take func(row *Values) error) error {
	named, err := parameters(args)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return conn.Raw(func(c any) error {
		lite, ok := c.(*sqlite3.SQLiteConn)
		if !ok {
			return fmt.Errorf("the connection is a %T", c)
		}
		rows, err := lite.QueryContext(context.WithoutCancel(ctx), query, named)
		if err != nil {
			return err
		}
		defer rows.Close()
		return eachStep(ctx, rows, take)
	})
}

// parameters are args as drivers take them.
func parameters(args []any) ([]driver.NamedValue, error) {
	named := make([]driver.NamedValue, len(args))
	for i, a := range args {
		switch a.(type) {
		case int64, float64, string, bool, nil, []byte:
		default:
			v, err := driver.DefaultParameterConverter.ConvertValue(a)
			if err != nil {
				return nil, fmt.Errorf("parameter %d: %w", i+1, err)
			}
			a = v
		}
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	return named, nil
}

func eachStep(ctx context.Context, rows driver.Rows, take func(row *Values) error) error {
	const looks = 1024 // rows between two looks at ctx
	row := &Values{list: make([]driver.Value, len(rows.Columns()))}
	for n := 1; ; n++ {
		if err := rows.Next(row.list); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		err := take(row)
		if row.err != nil && err == nil {
			err = row.err
		}
		if err == nil && n%looks == 0 {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}
