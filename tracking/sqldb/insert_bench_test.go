package sqldb_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"sluice/tracking/sqldb"
)

// BenchmarkInsertMetrics is a transaction in which eight runs log metrics under one key, 1 ms apart, over the same time.
func BenchmarkInsertMetrics(b *testing.B) {
	for _, rows := range []int{16, 1000} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) { benchInsert(b, rows) })
	}
}

func benchInsert(b *testing.B, rows int) {
	db, err := sqldb.Open(b.Context(), "sqlite:///"+filepath.Join(b.TempDir(), "a.db"), &sqldb.Options{RelaxedSync: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	d := db.Dialect()
	into := sqldb.Into{
		Table: "metrics", Columns: []string{"key", "value", "timestamp", "run_uuid", "step", "is_nan"},
		Tail: d.Upsert([]string{"key", "timestamp", "step", "run_uuid", "value", "is_nan"}),
	}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		err := db.WithTx(b.Context(), func(tx *sqldb.Tx) error {
			if _, err := tx.ExecContext(b.Context(), "INSERT INTO experiments (experiment_id, name) VALUES (0, 'bench') ON CONFLICT DO NOTHING"); err != nil {
				return err
			}
			for range 8 {
				n++
				run := fmt.Sprintf("%016x%016x", uint64(n)*0x9E3779B97F4A7C15, n)
				if _, err := tx.ExecContext(b.Context(), d.Insert("runs", "run_uuid", "experiment_id"), run, 0); err != nil {
					return err
				}
				_, err := tx.Insert(b.Context(), into, rows, func(i int, to *sqldb.NewRow) {
					to.Text("loss")
					to.Float(float64(i))
					to.Int(1_700_000_000_000 + int64(n*10+i))
					to.Text(run)
					to.Int(int64(i))
					to.Bool(false)
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
