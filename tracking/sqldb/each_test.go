package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"sluice/tracking/sqldb"
)

func openEach(t testing.TB) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), "sqlite:///"+filepath.Join(t.TempDir(), "a.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

const countTo = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT i FROM n"

// TestEachReadsEveryKind: columns read as the kind that is asked for, NULL as zero, and what cannot be read is an error.
func TestEachReadsEveryKind(t *testing.T) {
	t.Parallel()
	db := openEach(t)
	query := "SELECT 'ä', x'6162', 7, 2.5, 4.0, NULL, ?, ?, ?, ? LIMIT 1"
	args := []any{true, int32(-5), "text", math.MaxFloat64}
	looks := map[string]func(q sqldb.Querier) error{
		"outside of a transaction": func(q sqldb.Querier) error {
			rows := 0
			err := sqldb.Each(t.Context(), q, query, args, func(v *sqldb.Values) error {
				rows++
				got := fmt.Sprint(v.Text(0), v.Text(1), v.Int(2), v.Float(2), v.Bool(2), v.Float(3), v.Int(4), v.Text(5), v.Int(5), v.Float(5), v.Bool(5), v.Int(6), v.Int(7), v.Text(8), v.Float(9) == math.MaxFloat64)
				if want := fmt.Sprint("ä", "ab", 7, 7.0, true, 2.5, 4, "", 0, 0.0, false, 1, -5, "text", true); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
				return nil
			})
			if rows != 1 {
				t.Errorf("%d rows", rows)
			}
			return err
		},
		"a text is no number": func(q sqldb.Querier) error {
			err := sqldb.Each(t.Context(), q, "SELECT 'seven'", nil, func(v *sqldb.Values) error { v.Int(0); return nil })
			if err == nil {
				t.Error("no error")
			}
			return nil
		},
		"a fraction is no integer": func(q sqldb.Querier) error {
			err := sqldb.Each(t.Context(), q, "SELECT 1.5", nil, func(v *sqldb.Values) error { v.Int(0); return nil })
			if err == nil {
				t.Error("no error")
			}
			return nil
		},
		"the function's error comes back": func(q sqldb.Querier) error {
			broken := errors.New("broken")
			if err := sqldb.Each(t.Context(), q, countTo, []any{10}, func(*sqldb.Values) error { return broken }); !errors.Is(err, broken) {
				t.Errorf("got %v", err)
			}
			return nil
		},
		"a broken statement": func(q sqldb.Querier) error {
			if err := sqldb.Each(t.Context(), q, "SELECT nothing FROM nowhere", nil, func(*sqldb.Values) error { return nil }); err == nil {
				t.Error("no error")
			}
			return nil
		},
	}
	for name, look := range looks {
		t.Run(name, func(t *testing.T) {
			if err := look(db.Read()); err != nil {
				t.Error(err)
			}
			if err := db.ReadTx(t.Context(), look); err != nil {
				t.Error("in a reading transaction:", err)
			}
		})
	}
}

// TestEachEndsWithItsContext: a caller that leaves does not have to read to the end, and the connection is usable afterwards.
func TestEachEndsWithItsContext(t *testing.T) {
	t.Parallel()
	db := openEach(t)
	ctx, cancel := context.WithCancel(t.Context())
	rows := 0
	err := sqldb.Each(ctx, db.Read(), countTo, []any{1_000_000}, func(*sqldb.Values) error {
		rows++
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || rows > 10_000 {
		t.Errorf("%d rows, %v", rows, err)
	}
	if err := sqldb.Each(ctx, db.Read(), countTo, []any{1}, func(*sqldb.Values) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("begun after the end: %v", err)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestEachSeesTheTransaction: inside WithTx it reads what was written and not yet committed.
func TestEachSeesTheTransaction(t *testing.T) {
	t.Parallel()
	db := openEach(t)
	err := db.WithTx(t.Context(), func(tx *sqldb.Tx) error {
		for _, statement := range []string{"CREATE TABLE sluice_test (x INTEGER)", "INSERT INTO sluice_test VALUES (42)"} {
			if _, err := tx.ExecContext(t.Context(), statement); err != nil {
				return err
			}
		}
		rows := 0
		err := sqldb.Each(t.Context(), tx, "SELECT x FROM sluice_test", nil, func(v *sqldb.Values) error {
			if rows++; v.Int(0) != 42 {
				t.Errorf("got %d", v.Int(0))
			}
			return nil
		})
		if rows != 1 {
			t.Errorf("%d rows", rows)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// BenchmarkRows compares the two ways to read many rows.
func BenchmarkRows(b *testing.B) {
	db := openEach(b)
	const query, rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT 'metric', i * 0.5, i, i + 1700000000000, 0 FROM n", 10_000
	b.Run("each", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sum := 0.0
			if err := sqldb.Each(b.Context(), db.Read(), query, []any{rows}, func(v *sqldb.Values) error {
				sum += v.Float(1) + float64(len(v.Text(0))) + float64(v.Int(2)+v.Int(3)+v.Int(4))
				return nil
			}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("database/sql", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			found, err := db.Read().QueryContext(b.Context(), query, rows)
			if err != nil {
				b.Fatal(err)
			}
			for found.Next() {
				var text string
				var value float64
				var x, y int64
				var mark bool
				if err := found.Scan(&text, &value, &x, &y, &mark); err != nil {
					b.Fatal(err)
				}
			}
			if err := errors.Join(found.Err(), found.Close()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
