package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"sluice/tracking/sqldb"
)

// makeMetrics fills a table with runs of some metrics each, one of them of every kind, and returns the runs' ids.
func makeMetrics(t testing.TB, db *sqldb.DB, runs, metrics int) []string {
	t.Helper()
	var ids []string
	err := db.WithTx(t.Context(), func(tx *sqldb.Tx) error {
		if _, err := tx.ExecContext(t.Context(), "CREATE TABLE sluice_test (run TEXT, name TEXT, value, mark BOOLEAN)"); err != nil {
			return err
		}
		if _, err := tx.ExecContext(t.Context(), "CREATE INDEX sluice_test_run ON sluice_test (run)"); err != nil {
			return err
		}
		for r := range runs {
			ids = append(ids, fmt.Sprintf("%032d", r))
			for m := range metrics {
				value := []any{0.5 + float64(m), int64(m), nil}[m%3]
				if _, err := tx.ExecContext(t.Context(), "INSERT INTO sluice_test VALUES (?, ?, ?, ?)", ids[r], fmt.Sprint("m", m), value, m%2 == 0); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// TestEachOfReadsWhatEachReads: the same rows in the same order, in and outside of transactions, for more ids than a statement takes.
func TestEachOfReadsWhatEachReads(t *testing.T) {
	t.Parallel()
	db := openEach(t)
	ids := makeMetrics(t, db, 600, 4)
	look := func(row *sqldb.Values) string {
		return fmt.Sprint(row.Text(0), row.TextLike(1, "m1"), row.Float(2), row.Bool(3), row.Int(3))
	}
	var want []string
	err := sqldb.Each(t.Context(), db.Read(), "SELECT run, name, value, mark FROM sluice_test ORDER BY run, rowid", nil, func(row *sqldb.Values) error {
		want = append(want, look(row))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	asked := sqldb.RowsOf{Table: "sluice_test", ID: "run", IDs: append(slices.Clone(ids), "unknown"), Columns: []string{"name", "value", "mark"}}
	read := func(q sqldb.Querier) error {
		var got []string
		err := sqldb.EachOf(t.Context(), q, asked, func(row *sqldb.Values) error {
			got = append(got, look(row))
			return nil
		})
		if !slices.Equal(got, want) {
			t.Errorf("got %d rows, want %d; first %.1q and %.1q", len(got), len(want), got, want)
		}
		return err
	}
	for name, err := range map[string]error{"outside": read(db.Read()), "reading": db.ReadTx(t.Context(), read), "long": db.ReadLong(t.Context(), read)} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEachOfFails: a column of another kind than asked for, the function's error and a broken statement come back.
func TestEachOfFails(t *testing.T) {
	t.Parallel()
	db := openEach(t)
	ids := makeMetrics(t, db, 1, 1)
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		column string
		take   func(*sqldb.Values) error
		want   error
	}{
		"a text is no integer":     {"name", func(v *sqldb.Values) error { v.Int(1); return nil }, nil},
		"a text is no number":      {"name", func(v *sqldb.Values) error { v.Float(1); return nil }, nil},
		"a number is no text":      {"value", func(v *sqldb.Values) error { v.Text(1); return nil }, nil},
		"a fraction is no integer": {"value", func(v *sqldb.Values) error { v.Int(1); return nil }, nil},
		"the function's own":       {"value", func(*sqldb.Values) error { return broken }, broken},
		"no such column":           {"nothing", func(*sqldb.Values) error { return nil }, nil},
	} {
		err := sqldb.EachOf(t.Context(), db.Read(), sqldb.RowsOf{Table: "sluice_test", ID: "run", IDs: ids, Columns: []string{c.column}}, c.take)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestLongReadsWait: no more run at once than are let in, who waits can leave, and short reads do not wait.
func TestLongReadsWait(t *testing.T) {
	t.Parallel()
	db, err := sqldb.Open(t.Context(), "sqlite:///"+filepath.Join(t.TempDir(), "a.db"), &sqldb.Options{Readers: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	var running, most atomic.Int64
	begun, done, results := make(chan struct{}, 100), make(chan struct{}), make(chan error, 100)
	const readers = 20
	for range readers {
		go func() {
			results <- db.ReadLong(t.Context(), func(q sqldb.Querier) error {
				n := running.Add(1)
				defer running.Add(-1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				begun <- struct{}{}
				<-done
				return nil
			})
		}()
	}
	<-begun
	if err := db.Ping(t.Context()); err != nil { // has a connection of its own
		t.Error(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() { // waits or is let in, and ends either way
		left <- db.ReadLong(ctx, func(sqldb.Querier) error { <-ctx.Done(); return ctx.Err() })
	}()
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the one who left got %v", err)
	}
	close(done)
	for range readers {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if limit := max(1, min(runtime.NumCPU(), 3)); most.Load() > int64(limit) { // of the 4 readers one is for short reads
		t.Errorf("%d ran at once, want at most %d", most.Load(), limit)
	}
}

// BenchmarkEachOf reads a page of runs with many metrics.
func BenchmarkEachOf(b *testing.B) {
	db := openEach(b)
	asked := sqldb.RowsOf{Table: "sluice_test", ID: "run", IDs: makeMetrics(b, db, 100, 200), Columns: []string{"name", "value", "mark"}}
	b.ReportAllocs()
	for b.Loop() {
		rows := 0
		if err := sqldb.EachOf(b.Context(), db.Read(), asked, func(row *sqldb.Values) error { rows++; return nil }); err != nil || rows != 20_000 {
			b.Fatal(rows, err)
		}
	}
}
