package sqldb_test

import (
	"database/sql"
	"fmt"
	"math"
	"strings"
	"testing"

	"sluice/tracking/sqldb"
	"sluice/tracking/sqldb/sqldbtest"
)

// TestInsertRows: rows of every number and kind are stored alike, whichever way they take, and counted.
func TestInsertRows(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, open sqldbtest.Opener) {
		t.Parallel()
		db := open(t, nil)
		execOn(t, db, db.Dialect().Portable("CREATE TABLE sluice_i (id BIGINT PRIMARY KEY, t TEXT, f DOUBLE PRECISION, b BOOLEAN, x BLOB, n INTEGER)"))
		columns := []string{"id", "t", "f", "b", "x", "n"}
		into := sqldb.Into{Table: "sluice_i", Columns: columns, Tail: db.Dialect().Upsert(columns[:1])}
		text := func(i int) string { return strings.Repeat("ä\n'", i/3%7) } // neighbours share it
		for _, rows := range []int{0, 1, 15, 16, 17, 200, 1000} {
			insert := func() (changed int64) {
				err := db.WithTx(t.Context(), func(tx *sqldb.Tx) (err error) {
					changed, err = tx.Insert(t.Context(), into, rows, func(i int, to *sqldb.NewRow) {
						to.Int(math.MinInt64 + int64(i))
						to.Text(text(i))
						to.Float(float64(i) / 3)
						to.Bool(i%2 == 0)
						if i%3 == 0 {
							to.Value(nil)
						} else {
							to.Value([]byte{0, byte(i)})
						}
						to.Value(sql.NullInt32{Int32: int32(i), Valid: i%5 != 0})
					})
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				return changed
			}
			if n := insert(); n != int64(rows) {
				t.Errorf("%d rows: %d are counted", rows, n)
			}
			if n := insert(); n != 0 {
				t.Errorf("%d rows that are there: %d are counted", rows, n)
			}
			i := 0
			err := sqldb.Each(t.Context(), db.Read(), "SELECT id, t, f, b, x, n FROM sluice_i ORDER BY id", nil, func(row *sqldb.Values) error {
				got := fmt.Sprintf("%d %q %v %v %q %d", row.Int(0), row.Text(1), row.Float(2), row.Bool(3), row.Text(4), row.Int(5))
				x, n := "", 0
				if i%3 != 0 {
					x = string([]byte{0, byte(i)})
				}
				if i%5 != 0 {
					n = i
				}
				if want := fmt.Sprintf("%d %q %v %v %q %d", math.MinInt64+int64(i), text(i), float64(i)/3, i%2 == 0, x, n); got != want {
					t.Errorf("%d rows: got %s, want %s", rows, got, want)
				}
				i++
				return nil
			})
			if err != nil || i != rows {
				t.Errorf("%d rows: read %d, %v", rows, i, err)
			}
			execOn(t, db, "DELETE FROM sluice_i")
		}
	})
}

// TestInsertRowsFails: the error is classified, and of the rows none is left.
func TestInsertRowsFails(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, open sqldbtest.Opener) {
		t.Parallel()
		db := open(t, nil)
		execOn(t, db, "CREATE TABLE sluice_i (id BIGINT PRIMARY KEY)")
		into := sqldb.Into{Table: "sluice_i", Columns: []string{"id"}}
		for _, rows := range []int{2, 500} {
			try := func(value func(i int) any) error {
				return db.WithTx(t.Context(), func(tx *sqldb.Tx) error {
					_, err := tx.Insert(t.Context(), into, rows, func(i int, to *sqldb.NewRow) { to.Value(value(i)) })
					return err
				})
			}
			if err := try(func(i int) any { return min(i, rows-2) }); !sqldb.IsUniqueViolation(err) {
				t.Errorf("%d rows, one twice: %v", rows, err)
			}
			if err := try(func(i int) any { return []any{i, struct{}{}}[i/(rows-1)] }); err == nil {
				t.Errorf("%d rows, one of no kind: no error", rows)
			}
			if n := count(t, db.Read(), "SELECT COUNT(*) FROM sluice_i"); n != 0 {
				t.Errorf("%d rows: %d are left", rows, n)
			}
		}
	})
}
