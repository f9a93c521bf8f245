package sqlitepack_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/mattn/go-sqlite3"

	"sluice/tracking/sqldb/sqlitepack"
)

// open returns one connection that knows the function.
func open(t testing.TB) *sql.Conn {
	t.Helper()
	if err := sqlitepack.Install(); err != nil {
		t.Fatal(err)
	}
	driver := sqlite3.SQLiteDriver{}
	db := sql.OpenDB(dsnConnector{driver: &driver})
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(conn.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	return conn
}

func pack(t testing.TB, conn *sql.Conn, query string, args ...any) []byte {
	t.Helper()
	var packed []byte
	if err := conn.QueryRowContext(context.Background(), query, args...).Scan(&packed); err != nil {
		t.Fatalf("%.80s: %v", query, err)
	}
	return packed
}

// TestEveryKind: values come back as they are stored, bit by bit, in their order.
func TestEveryKind(t *testing.T) {
	t.Parallel()
	conn := open(t)
	long := strings.Repeat("ä", 100_000)
	values := []any{nil, int64(math.MinInt64), int64(0), int64(math.MaxInt64), 0.1, math.Copysign(0, -1), math.Inf(1), math.SmallestNonzeroFloat64, "", "a\x00b", "\xff", long, []byte{}, []byte{0, 255}}
	text := "SELECT sluice_pack(" + strings.TrimSuffix(strings.Repeat("?, ", len(values)), ", ") + ")"
	got := make([]sqlitepack.Value, len(values))
	r := sqlitepack.NewReader(pack(t, conn, text, values...))
	if err := r.Row(got); err != nil || r.More() {
		t.Fatalf("error %v, more %v", err, r.More())
	}
	for i, want := range values {
		if have := plain(&r, &got[i]); !reflect.DeepEqual(have, want) {
			t.Errorf("value %d: got %.40v, want %.40v", i, have, want)
		}
		if f, ok := want.(float64); ok && math.Float64bits(f) != math.Float64bits(got[i].Float()) {
			t.Errorf("value %d: other bits", i)
		}
	}
}

// plain returns a value as database/sql gives it.
func plain(r *sqlitepack.Reader, v *sqlitepack.Value) any {
	switch v.Kind {
	case sqlitepack.Integer:
		return v.Int()
	case sqlitepack.Float:
		return v.Float()
	case sqlitepack.Text:
		return string(r.Bytes(v))
	case sqlitepack.Blob:
		return r.Bytes(v)
	}
	return nil
}

// TestGroups: each group has its rows, none has the value NULL, and the order of a sorted subquery stays.
func TestGroups(t *testing.T) {
	t.Parallel()
	conn := open(t)
	const rows = 10_000
	packed := pack(t, conn, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT sluice_pack(i, 'n' || i) FROM (SELECT i FROM n ORDER BY -i)", rows)
	row, n := make([]sqlitepack.Value, 2), rows
	for r := sqlitepack.NewReader(packed); r.More(); n-- {
		if err := r.Row(row); err != nil {
			t.Fatal(err)
		}
		if row[0].Int() != int64(n) || string(r.Bytes(&row[1])) != fmt.Sprint("n", n) {
			t.Fatalf("got %d %s, want %d", row[0].Int(), r.Bytes(&row[1]), n)
		}
	}
	if n != 0 {
		t.Errorf("%d rows are missing", n)
	}
	if none := pack(t, conn, "SELECT sluice_pack(1) WHERE 1 = 0"); none != nil {
		t.Errorf("no rows are %q, want NULL", none)
	}
	if empty := sqlitepack.NewReader(nil); empty.More() {
		t.Error("NULL has rows")
	}
}

// TestTooMuch: more than SQLite holds in a value is an error of the statement.
func TestTooMuch(t *testing.T) {
	t.Parallel()
	conn := open(t)
	err := conn.Raw(func(c any) error {
		c.(*sqlite3.SQLiteConn).SetLimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var packed []byte
	const query = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20) SELECT sluice_pack(hex(zeroblob(500))) FROM n"
	if err := conn.QueryRowContext(t.Context(), query).Scan(&packed); err == nil {
		t.Errorf("got %d bytes and no error", len(packed))
	}
	pack(t, conn, "SELECT sluice_pack(1)") // the connection works on
}

// FuzzReader: any bytes give rows or ErrFormat, and reading ends.
func FuzzReader(f *testing.F) {
	f.Add(pack(f, open(f), "SELECT sluice_pack(1, 2.5, 'text', x'00ff', NULL)"), 5)
	f.Add([]byte{3, 255, 255, 255, 255}, 1)
	f.Fuzz(func(t *testing.T, packed []byte, columns int) {
		if columns < 1 || columns > 16 {
			return
		}
		row := make([]sqlitepack.Value, columns)
		r := sqlitepack.NewReader(packed)
		for n := 0; r.More(); n++ {
			if err := r.Row(row); err != nil {
				if !errors.Is(err, sqlitepack.ErrFormat) {
					t.Fatal(err)
				}
				return
			}
			if n > len(packed) {
				t.Fatal("more rows than bytes")
			}
		}
	})
}
