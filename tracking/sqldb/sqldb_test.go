package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
	"sluice/tracking/sqldb/sqldbtest"
)

func execOn(t *testing.T, db *sqldb.DB, query string, args ...any) {
	t.Helper()
	err := db.WithTx(t.Context(), func(tx *sqldb.Tx) error {
		_, err := tx.ExecContext(t.Context(), query, args...)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func count(t *testing.T, q sqldb.Querier, query string, args ...any) int {
	t.Helper()
	var n int
	if err := q.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func TestOpenCreatesAndReopens(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "deep", "er", "my?db#1%.db")
	for range 2 {
		db, err := sqldb.Open(t.Context(), "sqlite:///"+strings.ReplaceAll(path, "?", "_"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := db.Revision(); got != "dc11669786a5" {
			t.Errorf("revision = %q", got)
		}
		if got := count(t, db.Read(), "SELECT COUNT(*) FROM workspaces WHERE name = 'default'"); got != 1 {
			t.Errorf("default workspaces = %d", got)
		}
		if !db.HasTable("runs") || !db.HasColumn("runs", "run_uuid") || db.HasColumn("runs", "nope") || db.HasTable("nope") {
			t.Error("HasTable or HasColumn answers wrongly")
		}
		if err := db.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(strings.ReplaceAll(path, "?", "_")); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode of the file: %v, %v", info, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConnectionSettings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		opts        *sqldb.Options
		synchronous int
	}{{"default", nil, 2}, {"relaxed", &sqldb.Options{RelaxedSync: true}, 1}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := sqldbtest.Open(t, c.opts)
			check := func(q sqldb.Querier, pragma, want string) {
				t.Helper()
				var got string
				if err := q.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
					t.Errorf("%s = %q, %v; want %q", pragma, got, err, want)
				}
			}
			err := db.WithTx(t.Context(), func(tx *sqldb.Tx) error {
				check(tx, "journal_mode", "wal")
				check(tx, "synchronous", fmt.Sprint(c.synchronous))
				check(tx, "foreign_keys", "1")
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			check(db.Read(), "busy_timeout", "20000")
			check(db.Read(), "query_only", "1")
			if got := count(t, db.Read(), "SELECT ('a' LIKE 'A') + 2 * ('abc' REGEXP '^a.c$')"); got != 2 {
				t.Errorf("LIKE and REGEXP give %d, want 2", got)
			}
			if _, err := db.Read().ExecContext(t.Context(), "DELETE FROM workspaces"); err == nil {
				t.Error("a reader connection wrote")
			}
		})
	}
}

func TestParseURI(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ uri, path, code, redacted string }{
		{uri: "sqlite:///rel/a.db", path: "rel/a.db", redacted: "sqlite:///rel/a.db"},
		{uri: "sqlite:////abs/a.db", path: "/abs/a.db", redacted: "sqlite:////abs/a.db"},
		{uri: "sqlite://a.db", code: "INVALID_PARAMETER_VALUE"},
		{uri: "sqlite://", code: "INVALID_PARAMETER_VALUE"},
		{uri: "sqlite:///:memory:", code: "INVALID_PARAMETER_VALUE"},
		{uri: "sqlite:///a.db?mode=ro", code: "INVALID_PARAMETER_VALUE"},
		{uri: "a.db", code: "INVALID_PARAMETER_VALUE"},
		{uri: "oracle://h/db", code: "INVALID_PARAMETER_VALUE"},
		{uri: "mssql+pyodbc://h/db", code: "NOT_IMPLEMENTED"},
		{uri: "postgresql+psycopg2://u:secret@h:5432/db", redacted: "postgresql+psycopg2://u:***@h:5432/db"},
		{uri: "postgresql://u:se/cr?et#secret@h/db", redacted: "postgresql://u:***@h/db"},
		{uri: "postgresql://u:@[::1]:5432/db?sslmode=require&password=secret", redacted: "postgresql://u:***@[::1]:5432/db?password=***&sslmode=require"},
		{uri: "postgresql://u@/db?host=/run/postgresql", redacted: "postgresql://u@/db?host=/run/postgresql"},
		{uri: "mysql+pymysql://u@h/db", redacted: "mysql+pymysql://u@h/db"},
		{uri: "mysql://h", redacted: "mysql://h/"},
		{uri: "mysql://u:sec%ret@h/db", code: "INVALID_PARAMETER_VALUE"},
		{uri: "mysql://u:secret@h:0/db", code: "INVALID_PARAMETER_VALUE"},
		{uri: "mysql://u:secret@h/db?charset=utf8mb4&charset=utf8", code: "INVALID_PARAMETER_VALUE"},
		{uri: "postgresql://", code: "INVALID_PARAMETER_VALUE"},
		{uri: "postgresql://u:secret@h:port/db", code: "INVALID_PARAMETER_VALUE"},
	} {
		got, err := sqldb.ParseURI(c.uri)
		if string(mlflow.CodeOf(err)) != c.code {
			t.Errorf("%s: error %v, want code %q", c.uri, err, c.code)
		}
		if err != nil {
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: the error tells the password: %v", c.uri, err)
			}
			continue
		}
		if got.Path != c.path || got.Redacted() != c.redacted {
			t.Errorf("%s: path %q, redacted %q", c.uri, got.Path, got.Redacted())
		}
	}
}

func TestRevisions(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	set := func(rev string) {
		db := sqldbtest.OpenFile(t, path, nil)
		execOn(t, db, "UPDATE alembic_version SET version_num = ?", rev)
		db.Close()
	}
	for _, rev := range sqldb.KnownRevisions() {
		set(rev)
		db, err := sqldb.Open(t.Context(), "sqlite:///"+path, nil)
		if err != nil {
			t.Fatalf("%s: %v", rev, err)
		}
		if db.Revision() != rev {
			t.Errorf("revision = %s, want %s", db.Revision(), rev)
		}
		db.Close()
	}
	set("ae8bbe7743c9") // the revision before MLflow 3.12's head
	_, err := sqldb.Open(t.Context(), "sqlite:///"+path, nil)
	if mlflow.CodeOf(err) != mlflow.InvalidState || !strings.Contains(err.Error(), "mlflow db upgrade sqlite:///"+path) {
		t.Errorf("older revision: %v", err)
	}
}

func TestForeignDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	sqldbtest.Python(t, `import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute("create table shop(id)"); c.commit()`, path)
	_, err := sqldb.Open(t.Context(), "sqlite:///"+path, nil)
	if mlflow.CodeOf(err) != mlflow.InvalidState {
		t.Errorf("got %v", err)
	}
}

func TestWithTx(t *testing.T) {
	t.Parallel()
	db := sqldbtest.Open(t, nil)
	ctx := t.Context()
	insert := func(tx *sqldb.Tx, name string) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO workspaces (name) VALUES (?)", name)
		return err
	}
	t.Run("rolls back on error", func(t *testing.T) {
		boom := mlflow.Invalidf("boom")
		err := db.WithTx(ctx, func(tx *sqldb.Tx) error { return errors.Join(insert(tx, "a"), boom) })
		if !errors.Is(err, boom) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("rolls back on panic", func(t *testing.T) {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = db.WithTx(ctx, func(tx *sqldb.Tx) error { _ = insert(tx, "b"); panic("boom") })
	})
	t.Run("rolls back on a cancelled context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctx)
		err := db.WithTx(ctx, func(tx *sqldb.Tx) error {
			if err := insert(tx, "c"); err != nil {
				return err
			}
			cancel()
			return nil
		})
		if mlflow.CodeOf(err) != mlflow.Cancelled {
			t.Errorf("got %v", err)
		}
	})
	t.Run("commits", func(t *testing.T) {
		if err := db.WithTx(ctx, func(tx *sqldb.Tx) error { return insert(tx, "d") }); err != nil {
			t.Error(err)
		}
	})
	if got := count(t, db.Read(), "SELECT COUNT(*) FROM workspaces WHERE name IN ('a','b','c','d')"); got != 1 {
		t.Errorf("rows = %d, want 1", got)
	}
	t.Run("classifies", func(t *testing.T) {
		err := db.WithTx(ctx, func(tx *sqldb.Tx) error { return insert(tx, "d") })
		if !sqldb.IsUniqueViolation(err) || mlflow.CodeOf(err) != mlflow.InternalError {
			t.Errorf("got %v", err)
		}
		err = db.WithTx(ctx, func(tx *sqldb.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO model_versions (name, version) VALUES ('nope', 1)")
			return err
		})
		if !sqldb.IsForeignKeyViolation(err) {
			t.Errorf("got %v", err)
		}
	})
}

func TestWritersTakeTurnsAndWaitingEnds(t *testing.T) {
	t.Parallel()
	db := sqldbtest.Open(t, nil)
	execOn(t, db, "CREATE TABLE sluice_counter (n INTEGER)")
	execOn(t, db, "INSERT INTO sluice_counter VALUES (0)")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				err := db.WithTx(t.Context(), func(tx *sqldb.Tx) error {
					n := 0
					if err := tx.QueryRowContext(t.Context(), "SELECT n FROM sluice_counter").Scan(&n); err != nil {
						return err
					}
					_, err := tx.ExecContext(t.Context(), "UPDATE sluice_counter SET n = ?", n+1)
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := count(t, db.Read(), "SELECT n FROM sluice_counter"); got != 80 {
		t.Errorf("n = %d, want 80", got)
	}
	err := db.WithTx(t.Context(), func(*sqldb.Tx) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		return db.WithTx(ctx, func(*sqldb.Tx) error { return nil })
	})
	if mlflow.CodeOf(err) != mlflow.DeadlineExceeded {
		t.Errorf("waiting for the writer: %v", err)
	}
}

func TestReadTxSeesOneCommit(t *testing.T) {
	t.Parallel()
	db := sqldbtest.Open(t, nil)
	err := db.ReadTx(t.Context(), func(q sqldb.Querier) error {
		before := count(t, q, "SELECT COUNT(*) FROM workspaces")
		execOn(t, db, "INSERT INTO workspaces (name) VALUES ('later')")
		if got := count(t, q, "SELECT COUNT(*) FROM workspaces"); got != before {
			t.Errorf("inside: %d rows, want %d", got, before)
		}
		if got := count(t, db.Read(), "SELECT COUNT(*) FROM workspaces"); got != before+1 {
			t.Errorf("outside: %d rows, want %d", got, before+1)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestStatementsOutliveTheCache(t *testing.T) {
	t.Parallel()
	db := sqldbtest.Open(t, &sqldb.Options{Readers: 4})
	execOn(t, db, "CREATE TABLE sluice_t (n INTEGER)")
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 400 { // more texts than the cache holds, shared and not
				q := fmt.Sprintf("SELECT %d + ?", i+g%2)
				var n int
				if err := db.Read().QueryRowContext(t.Context(), q, 1).Scan(&n); err != nil || n != i+g%2+1 {
					t.Errorf("%s = %d, %v", q, n, err)
				}
			}
		})
	}
	wg.Wait()
	for i := range 300 {
		execOn(t, db, fmt.Sprintf("INSERT INTO sluice_t SELECT %d", i))
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	db := sqldbtest.Open(t, nil)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.WithTx(t.Context(), func(*sqldb.Tx) error { return nil }); mlflow.CodeOf(err) != mlflow.TemporarilyUnavailable {
		t.Errorf("after Close: %v", err)
	}
	if err := db.Ping(t.Context()); err == nil {
		t.Error("Ping of a closed database succeeded")
	}
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	one := sqldb.Migration{ID: 1, Name: "first", SQL: []string{"CREATE TABLE sluice_m (a INTEGER)", "INSERT INTO sluice_m VALUES (1)"}}
	two := sqldb.Migration{ID: 2, Name: "second", Do: func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO sluice_m VALUES (2)")
		return err
	}}
	bad := sqldb.Migration{ID: 2, Name: "bad", SQL: []string{"INSERT INTO sluice_m VALUES (3)", "INSERT INTO nowhere VALUES (1)"}}
	db := sqldbtest.OpenFile(t, path, &sqldb.Options{Now: func() time.Time { return time.UnixMilli(42) }})
	if err := db.Migrate(t.Context(), "m", []sqldb.Migration{one}); err != nil {
		t.Fatal(err)
	}
	if !db.HasColumn("sluice_m", "a") {
		t.Error("HasColumn does not know the new table")
	}
	if err := db.Migrate(t.Context(), "m", []sqldb.Migration{one, bad}); err == nil {
		t.Error("a broken step succeeded")
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := db.Migrate(t.Context(), "m", []sqldb.Migration{one, two}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := count(t, db.Read(), "SELECT SUM(a) FROM sluice_m"); got != 3 {
		t.Errorf("sum = %d, want 3", got)
	}
	if got := count(t, db.Read(), "SELECT COUNT(*) FROM sluice_migrations WHERE component = 'm' AND applied_ms = 42"); got != 2 {
		t.Errorf("records = %d, want 2", got)
	}
	if err := db.Migrate(t.Context(), "m", []sqldb.Migration{one}); mlflow.CodeOf(err) != mlflow.InvalidState {
		t.Errorf("downgrade: %v", err)
	}
	if err := db.Migrate(t.Context(), "x", []sqldb.Migration{two}); err == nil {
		t.Error("steps that do not begin at 1 were accepted")
	}
	db.Close()
	again := sqldbtest.OpenFile(t, path, nil)
	if !again.HasTable("sluice_m") {
		t.Error("our table is gone after reopening")
	}
}

func BenchmarkOpenExisting(b *testing.B) {
	path := filepath.Join(b.TempDir(), "a.db")
	b.ReportAllocs()
	for b.Loop() {
		db, err := sqldb.Open(b.Context(), "sqlite:///"+path, nil)
		if err != nil {
			b.Fatal(err)
		}
		db.Close()
	}
}

func BenchmarkRead(b *testing.B) {
	db := sqldbtest.Open(b, nil)
	b.ReportAllocs()
	for b.Loop() {
		var name string
		if err := db.Read().QueryRowContext(b.Context(), "SELECT name FROM workspaces WHERE name = ?", "default").Scan(&name); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWithTx(b *testing.B) {
	for _, relaxed := range []bool{false, true} {
		b.Run(fmt.Sprintf("relaxed=%t", relaxed), func(b *testing.B) {
			db := sqldbtest.Open(b, &sqldb.Options{RelaxedSync: relaxed})
			b.ReportAllocs()
			for b.Loop() {
				err := db.WithTx(b.Context(), func(tx *sqldb.Tx) error {
					_, err := tx.ExecContext(b.Context(), "UPDATE workspaces SET description = ?", "x")
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
