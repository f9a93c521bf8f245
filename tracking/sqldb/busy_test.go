package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3"

	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
)

// hold takes the write lock of a database as another process would, until release.
func hold(t *testing.T, path string) (release func()) {
	t.Helper()
	other, err := sql.Open("sqlite3", "file:"+path+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	tx, err := other.Begin()
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
			t.Error(err)
		}
	}
}

func TestAnotherProcessHoldsTheLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	db, err := sqldb.Open(t.Context(), "sqlite:///"+path, &sqldb.Options{BusyTimeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	write := func(ctx context.Context) error {
		return db.WithTx(ctx, func(tx *sqldb.Tx) error {
			_, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS written (x INTEGER)")
			return err
		})
	}
	release := hold(t, path)
	start := time.Now()
	if err := write(t.Context()); mlflow.CodeOf(err) != mlflow.TemporarilyUnavailable {
		t.Errorf("after the busy timeout: %v", err)
	} else if took := time.Since(start); took < 300*time.Millisecond {
		t.Errorf("gave up after %v", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if err := write(ctx); mlflow.CodeOf(err) != mlflow.Cancelled {
		t.Errorf("whose caller left: %v", err)
	}
	release()
	if err := write(t.Context()); err != nil {
		t.Errorf("after the lock was released: %v", err)
	}
}

// A caller that leaves does not wait for somebody else's lock.
func TestWaitingForTheLockEndsWithTheContext(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	db, err := sqldb.Open(t.Context(), "sqlite:///"+path, &sqldb.Options{BusyTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	defer hold(t, path)()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := db.WithTx(ctx, func(*sqldb.Tx) error { return nil }); mlflow.CodeOf(err) != mlflow.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
}
