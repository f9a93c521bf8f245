package sqldb

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"

	"sluice/tracking/sqldb/sqlitepack"
)

// Into says where rows are inserted.
type Into struct {
	Table   string
	Columns []string
	// Tail stands behind VALUES (see Dialect.Upsert).
	Tail string
}

// Bounds of inserting: the rows of one statement, which are sent in powers of two up to it, so that few texts serve all sizes and stay
// prepared; on SQLite, the rows from which on they cross in one piece, which has to be prepared each time, and the bytes of a piece.
const (
	insertRows  = 128
	packedRows  = 16
	packedBytes = 1 << 20
)

// Insert inserts rows rows and returns how many the database says it changed. fill gives the values of row i to the NewRow, in the order of
// the columns; it must not run statements.
func (tx *Tx) Insert(ctx context.Context, into Into, rows int, fill func(i int, to *NewRow)) (changed int64, err error) {
	if tx.dialect == SQLite && rows >= packedRows {
		return tx.insertPacked(ctx, into, rows, fill)
	}
	width := len(into.Columns)
	one, group := tx.dialect.Insert(into.Table, into.Columns...), ", ("+Placeholders(width)+")"
	row, statement, of := &NewRow{columns: width}, "", 0
	for done := 0; done < rows; {
		n := insertRows
		for n > rows-done {
			n /= 2
		}
		if n != of {
			statement, of = one+strings.Repeat(group, n-1)+into.Tail, n
		}
		row.flat = row.flat[:0]
		for i := range n {
			fill(done+i, row)
		}
		if row.err != nil {
			return changed, row.err
		}
		result, err := tx.ExecContext(ctx, statement, row.flat...)
		if err != nil {
			return changed, err
		}
		n64, err := result.RowsAffected()
		if err != nil {
			return changed, err
		}
		changed, done = changed+n64, done+n
	}
	return changed, nil
}

func (tx *Tx) insertPacked(ctx context.Context, into Into, rows int, fill func(i int, to *NewRow)) (changed int64, err error) {
	statement := tx.dialect.Insert(into.Table, into.Columns...) + into.Tail
	row := &NewRow{packer: sqlitepack.NewPacker(len(into.Columns))}
	tx.wrote = true
	for i := range rows {
		fill(i, row)
		if i < rows-1 && len(row.packer.Bytes()) < packedBytes {
			continue
		}
		if row.err != nil {
			return changed, row.err
		}
		err := eachRaw(tx.context(ctx), tx.conn, sqlitepack.Insert, []any{statement, row.packer.Bytes()}, func(v *Values) error {
			changed += v.Int(0)
			return nil
		})
		if err != nil {
			return changed, err
		}
		row.packer.Reset()
	}
	return changed, nil
}

// NewRow takes the values of rows to insert, one after the other.
type NewRow struct {
	packer  *sqlitepack.Packer // takes them on SQLite, if there are many
	flat    []any              // takes them otherwise
	columns int
	err     error
}

// Text adds a text.
func (r *NewRow) Text(s string) {
	if r.packer != nil {
		r.packer.Text(s)
		return
	}
	if above := len(r.flat) - r.columns; above >= 0 { // what the row above has is in an interface already
		if old, ok := r.flat[above].(string); ok && old == s {
			r.flat = append(r.flat, r.flat[above])
			return
		}
	}
	r.flat = append(r.flat, s)
}

// Int adds an integer.
func (r *NewRow) Int(n int64) {
	if r.packer != nil {
		r.packer.Int(n)
		return
	}
	r.flat = append(r.flat, n)
}

// Float adds a number.
func (r *NewRow) Float(x float64) {
	if r.packer != nil {
		r.packer.Float(x)
		return
	}
	r.flat = append(r.flat, x)
}

// Bool adds a truth value.
func (r *NewRow) Bool(b bool) {
	switch {
	case r.packer == nil:
		r.flat = append(r.flat, b)
	case b:
		r.packer.Int(1)
	default:
		r.packer.Int(0)
	}
}

// Value adds a value that database/sql takes.
func (r *NewRow) Value(v any) {
	if r.packer == nil {
		r.flat = append(r.flat, v)
		return
	}
	switch v := v.(type) {
	case string:
		r.packer.Text(v)
	case int64:
		r.packer.Int(v)
	case float64:
		r.packer.Float(v)
	case bool:
		r.Bool(v)
	case []byte:
		r.blob(v)
	case nil:
		r.packer.Null()
	default:
		r.converted(v)
	}
}

// blob keeps nil apart from no bytes, as the driver does.
func (r *NewRow) blob(b []byte) {
	if b == nil {
		r.packer.Null()
		return
	}
	r.packer.Blob(b)
}

func (r *NewRow) converted(v any) {
	plain, err := driver.DefaultParameterConverter.ConvertValue(v)
	if err == nil {
		switch plain.(type) {
		case string, int64, float64, bool, []byte, nil:
			r.Value(plain)
			return
		}
		err = fmt.Errorf("%T is not stored", plain)
	}
	if r.err == nil {
		r.err = fmt.Errorf("a value to insert: %w", err)
	}
}
