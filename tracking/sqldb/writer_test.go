package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"sluice/tracking/sqldb"
)

// TestWritersShareCommits: of many writers at once each has its own outcome: what succeeded is there, what failed, panicked or was
// cancelled is not, whoever shared the commit.
func TestWritersShareCommits(t *testing.T) {
	t.Parallel()
	db, err := sqldb.Open(t.Context(), "sqlite:///"+filepath.Join(t.TempDir(), "a.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(db.WithTx(t.Context(), func(tx *sqldb.Tx) error {
		_, err := tx.ExecContext(t.Context(), "CREATE TABLE sluice_test (id INTEGER PRIMARY KEY, rest INTEGER)")
		return err
	}))
	broken := errors.New("broken")
	const writers, each = 32, 20
	var wg sync.WaitGroup
	results := make([][each]error, writers)
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				results[w][i] = write(t.Context(), db, w*each+i, i%5, broken)
			}
		})
	}
	wg.Wait()
	for w := range writers {
		for i := range each {
			id, err := w*each+i, results[w][i]
			var n int
			must(db.Read().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM sluice_test WHERE id = ?", id).Scan(&n))
			if kind := i % 5; (n == 1) != (kind < 2) || (err == nil) != (kind < 2) || kind == 2 && !errors.Is(err, broken) || kind == 3 && !errors.Is(err, context.Canceled) {
				t.Errorf("row %d, kind %d: %d rows, error %v", id, kind, n, err)
			}
		}
	}
}

// write inserts a row and then does what kind says: 0 and 1 nothing, 2 it fails, 3 its context ends, 4 it panics.
func write(ctx context.Context, db *sqldb.DB, id, kind int, broken error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	run := db.WithTx
	if id%7 == 0 {
		run = db.WithLargeTx
	}
	return run(ctx, func(tx *sqldb.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO sluice_test (id, rest) VALUES (?, ?)", id, kind); err != nil {
			return err
		}
		switch kind {
		case 2:
			return broken
		case 3:
			cancel()
			_, err := tx.ExecContext(ctx, "INSERT INTO sluice_test (id, rest) VALUES (?, ?)", -id-1, kind)
			return err
		case 4:
			panic("of the caller")
		}
		return nil
	})
}

// TestALostTransactionIsTold: where SQLite rolls back the whole transaction by itself, none of those who share it hears that he succeeded.
func TestALostTransactionIsTold(t *testing.T) {
	t.Parallel()
	db, err := sqldb.Open(t.Context(), "sqlite:///"+filepath.Join(t.TempDir(), "a.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.WithTx(t.Context(), func(tx *sqldb.Tx) error {
		if _, err := tx.ExecContext(t.Context(), "CREATE TABLE sluice_test (id INTEGER PRIMARY KEY ON CONFLICT ROLLBACK)"); err != nil {
			return err
		}
		_, err := tx.ExecContext(t.Context(), "INSERT INTO sluice_test (id) VALUES (1)")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	entered, others := make(chan struct{}), make(chan error, 3)
	var wg sync.WaitGroup
	first := func(tx *sqldb.Tx) error {
		close(entered)
		_, err := tx.ExecContext(t.Context(), "INSERT INTO sluice_test (id) VALUES (2)")
		return err
	}
	clash := func(tx *sqldb.Tx) error { // makes nothing of the error
		_, _ = tx.ExecContext(t.Context(), "INSERT INTO sluice_test (id) VALUES (1)")
		return nil
	}
	wg.Go(func() { others <- db.WithTx(t.Context(), first) })
	<-entered
	wg.Go(func() { others <- db.WithTx(t.Context(), clash) })
	wg.Wait()
	a, b := <-others, <-others
	var n int
	if err := db.Read().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM sluice_test WHERE id = 2").Scan(&n); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, err := range []error{a, b} {
		if err != nil {
			failed++
		}
	}
	if failed != 2-n { // the clash fails always, the first one exactly if his row is gone
		t.Errorf("%d row(s), errors %v and %v", n, a, b)
	}
	if err := db.WithTx(t.Context(), func(tx *sqldb.Tx) error {
		_, err := tx.ExecContext(t.Context(), "INSERT INTO sluice_test (id) VALUES (3)")
		return err
	}); err != nil {
		t.Error("the writer goes on:", err)
	}
}
