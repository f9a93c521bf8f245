package sqlitepack_test

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/mattn/go-sqlite3"

	"sluice/tracking/sqldb/sqlitepack"
)

// openTable returns one connection with a table t (id, v).
func openTable(t testing.TB) *sql.Conn {
	t.Helper()
	conn := open(t)
	for _, s := range []string{"PRAGMA foreign_keys = ON", "CREATE TABLE t (id INTEGER PRIMARY KEY, v, parent INTEGER REFERENCES t (id), CHECK (id < 1000000))"} {
		if _, err := conn.ExecContext(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	return conn
}

const insertT = "INSERT INTO t (id, v) VALUES (?, ?)"

func insert(conn *sql.Conn, statement string, rows []byte) (changed int64, err error) {
	err = conn.QueryRowContext(context.Background(), sqlitepack.Insert, statement, rows).Scan(&changed)
	return changed, err
}

// TestInsertEveryKind: values are stored as the driver stores them, also where a text is the one in the row above.
func TestInsertEveryKind(t *testing.T) {
	t.Parallel()
	conn := openTable(t)
	long := strings.Repeat("ä", 100_000)
	values := []any{
		nil, int64(math.MinInt64), int64(math.MaxInt64), 0.1, math.Inf(-1), math.MaxFloat64, "", "", "a", "a", nil, "a", []byte("a"), "a", int64(1), "a\x00b",
		"\xff", long, long, []byte{}, []byte{0, 255},
	}
	p := sqlitepack.NewPacker(2)
	for range 2 { // the second time after Reset
		p.Reset()
		for i, v := range values {
			p.Int(int64(i))
			switch v := v.(type) {
			case nil:
				p.Null()
			case int64:
				p.Int(v)
			case float64:
				p.Float(v)
			case string:
				p.Text(v)
			case []byte:
				p.Blob(v)
			}
		}
	}
	if n, err := insert(conn, insertT, p.Bytes()); n != int64(len(values)) || err != nil {
		t.Fatalf("%d rows, %v", n, err)
	}
	rows, err := conn.QueryContext(t.Context(), "SELECT v, typeof(v) FROM t ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for i := 0; rows.Next(); i++ {
		var got any
		var kind string
		if err := rows.Scan(&got, &kind); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, values[i]) {
			t.Errorf("row %d: got %.40v (%s), want %.40v", i, got, kind, values[i])
		}
	}
}

func pairs(ids ...int64) []byte {
	p := sqlitepack.NewPacker(2)
	for _, id := range ids {
		p.Int(id)
		p.Text("text")
	}
	return p.Bytes()
}

// TestInsertCounts: rows that are there are counted as the statement says.
func TestInsertCounts(t *testing.T) {
	t.Parallel()
	conn := openTable(t)
	for _, c := range []struct {
		name, tail string
		ids        []int64
		want       int64
	}{
		{"new", "", []int64{1, 2, 3}, 3},
		{"none", "", nil, 0},
		{"ignored", " ON CONFLICT (id) DO NOTHING", []int64{1, 4, 4, 5}, 2},
		{"all ignored", " ON CONFLICT (id) DO NOTHING", []int64{1, 2}, 0},
		{"updated", " ON CONFLICT (id) DO UPDATE SET v = excluded.v", []int64{1, 6}, 2},
	} {
		if n, err := insert(conn, insertT+c.tail, pairs(c.ids...)); n != c.want || err != nil {
			t.Errorf("%s: %d rows, %v; want %d", c.name, n, err, c.want)
		}
	}
}

// TestInsertFails: the error is SQLite's own, what stood before it goes with the transaction, and the connection works on.
func TestInsertFails(t *testing.T) {
	t.Parallel()
	conn := openTable(t)
	exec := func(statement string) {
		t.Helper()
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(statement, err)
		}
	}
	exec("INSERT INTO t (id) VALUES (7)")
	for _, c := range []struct {
		name, statement string
		rows            []byte
		code            sqlite3.ErrNoExtended
		says            string
	}{
		{"unique", insertT, pairs(1, 2, 7, 8), sqlite3.ErrConstraintPrimaryKey, "UNIQUE constraint failed: t.id"},
		{"check", insertT, pairs(1, 1_000_000), sqlite3.ErrConstraintCheck, "CHECK constraint failed"},
		{"foreign key", "INSERT INTO t (parent, v) VALUES (?, ?)", pairs(7, 99), sqlite3.ErrConstraintForeignKey, "FOREIGN KEY constraint failed"},
		{"syntax", "INSERT INTO", pairs(1), 1, "incomplete input"},
		{"unknown table", "INSERT INTO nobody VALUES (?)", pairs(1), 1, "no such table: nobody"},
		{"no statement", "", pairs(1), 1, "not an INSERT"},
		{"no parameters", "INSERT INTO t (id) VALUES (1)", pairs(1), 1, "not an INSERT"},
		{"a query", "SELECT ?, ?", pairs(1), 1, "not an INSERT"},
		{"half a row", insertT, pairs(1)[:9], 1, "malformed"},
		{"half a number", insertT, pairs(1)[:4], 1, "malformed"},
		{"half a text", insertT, pairs(1)[:len(pairs(1))-1], 1, "malformed"},
		{"unknown kind", insertT, []byte{9}, 1, "malformed"},
	} {
		exec("BEGIN")
		_, err := insert(conn, c.statement, c.rows)
		var lite sqlite3.Error
		if !errors.As(err, &lite) || lite.ExtendedCode != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v (%d), want %q (%d)", c.name, err, lite.ExtendedCode, c.says, c.code)
		}
		exec("ROLLBACK")
		var n int
		if err := conn.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM t").Scan(&n); err != nil || n != 1 {
			t.Errorf("%s: %d rows, %v", c.name, n, err)
		}
	}
}

// TestInsertIsOurs: a view or a trigger of somebody's database file cannot call the function.
func TestInsertIsOurs(t *testing.T) {
	t.Parallel()
	conn := openTable(t)
	if _, err := conn.ExecContext(t.Context(), "CREATE VIEW evil AS SELECT sluice_insert('DELETE FROM t WHERE id = ?', x'00')"); err != nil {
		t.Fatal(err)
	}
	var x any
	if err := conn.QueryRowContext(t.Context(), "SELECT * FROM evil").Scan(&x); err == nil || !strings.Contains(err.Error(), "unsafe use") {
		t.Errorf("the view answers %v, %v", x, err)
	}
}

// FuzzInsert: any bytes are rows or an error, and nothing outside of them is read.
func FuzzInsert(f *testing.F) {
	f.Add(pairs(1, 2, 3))
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 3, 255, 255, 255, 255})
	f.Add([]byte{0, 5, 5, 5})
	conn := openTable(f)
	f.Fuzz(func(t *testing.T, rows []byte) {
		for _, s := range []string{"BEGIN", "ROLLBACK"} {
			if _, err := conn.ExecContext(context.Background(), s); err != nil {
				t.Fatal(err)
			}
			if s == "BEGIN" {
				if n, err := insert(conn, insertT, rows); err == nil && n > int64(len(rows)) {
					t.Errorf("%d rows of %d bytes", n, len(rows))
				}
			}
		}
	})
}
