package sqlbundle

import (
	"context"
	"strconv"
	"strings"

	"sluice/tracking/bundle"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
)

const (
	maxRows  = 128     // in one INSERT
	maxBytes = 1 << 20 // of text in one INSERT, unless one row has more: databases bound a statement
)

// Inserter inserts rows of one table, many at a time. Flush ends it. It is used by one goroutine.
type Inserter struct {
	tx      *sqldb.Tx
	db      *sqldb.DB
	table   *bundle.Table
	columns []string
	at      []int
	fixed   []any // values of the columns behind those of the table
	key     []string
	flat    []any
	rows    int
	bytes   int
	wrote   int64
}

// NewInserter returns an Inserter. key, if not nil, makes rows whose key is there already be left alone. fixed are further columns with the
// same value in every row.
func NewInserter(tx *sqldb.Tx, db *sqldb.DB, t *bundle.Table, key []string, fixed ...any) *Inserter {
	in := &Inserter{tx: tx, db: db, table: t, key: key}
	in.columns, in.at = columns(db, t)
	for i := 0; i+1 < len(fixed); i += 2 {
		in.columns, in.fixed = append(in.columns, fixed[i].(string)), append(in.fixed, fixed[i+1])
	}
	return in
}

// Add inserts a row, now or later.
func (in *Inserter) Add(ctx context.Context, row bundle.Row) error {
	if len(in.at) < len(row) {
		if err := in.fits(row); err != nil {
			return err
		}
	}
	for _, i := range in.at {
		if s, ok := row[i].(string); ok {
			in.bytes += len(s)
		}
		in.flat = append(in.flat, row[i])
	}
	in.flat = append(in.flat, in.fixed...)
	if in.rows++; in.rows == maxRows || in.bytes >= maxBytes {
		return in.Flush(ctx)
	}
	return nil
}

// fits refuses a row that has something to say in a column that this database lacks.
func (in *Inserter) fits(row bundle.Row) error {
	if !in.db.HasTable(in.table.Name) {
		return missing(in.table, "")
	}
	for i, c := range in.table.Columns {
		if row[i] != c.Default && row[i] != nil && !in.db.HasColumn(in.table.Name, c.Name) {
			return missing(in.table, c.Name)
		}
	}
	return nil
}

// Flush inserts what waits. Returns RESOURCE_ALREADY_EXISTS for a row whose key is there.
func (in *Inserter) Flush(ctx context.Context) error {
	width := len(in.columns)
	one := in.tx.Dialect().Insert(in.table.Name, in.columns...)
	tail := ""
	if in.key != nil {
		tail = in.tx.Dialect().Upsert(in.key)
	}
	group := ", (" + sqldb.Placeholders(width) + ")"
	flat := in.flat
	for in.rows > 0 {
		n := maxRows
		for n > in.rows {
			n /= 2
		}
		res, err := in.tx.ExecContext(ctx, one+strings.Repeat(group, n-1)+tail, flat[:n*width]...)
		if sqldb.IsUniqueViolation(err) {
			return &mlflow.Error{Code: mlflow.ResourceAlreadyExists, Message: "A row of " + in.table.Name + " is there already, or twice in the bundle.", Cause: err}
		}
		if sqldb.IsCheckViolation(err) || sqldb.IsForeignKeyViolation(err) {
			return &mlflow.Error{Code: mlflow.InvalidParameterValue, Message: "The database refuses a row of " + in.table.Name + ".", Cause: err}
		}
		if err != nil {
			return err
		}
		changed, err := res.RowsAffected()
		if err != nil {
			return err
		}
		in.wrote += changed
		in.rows, flat = in.rows-n, flat[n*width:]
	}
	in.flat, in.bytes = in.flat[:0], 0
	return nil
}

// Wrote returns how many rows were inserted.
func (in *Inserter) Wrote() int64 { return in.wrote }

func number(id string) any {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return id
	}
	return n
}

// Import inserts the rows of a table that the plan keeps, and notes with it how many were written. look sees each of them before; it may
// change the row, and leaves it out by answering false.
func (in *Inserter) Import(ctx context.Context, c *bundle.Contents, p *bundle.Plan, look func(bundle.Row) (keep bool, err error)) error {
	for row, err := range c.Rows(in.table) {
		if err != nil {
			return err
		}
		row, keep, err := p.Map(in.table, row)
		if err == nil && keep {
			keep, err = look(row)
		}
		if err == nil && keep {
			err = in.Add(ctx, row)
		}
		if err != nil {
			return err
		}
	}
	err := in.Flush(ctx)
	if in.Wrote() > 0 {
		p.Wrote(in.table, in.Wrote())
	}
	return err
}
