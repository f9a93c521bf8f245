package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
	"sluice/tracking/sqldb/sqldbtest"
)

func TestServerCreatesAndReopens(t *testing.T) {
	t.Parallel()
	sqldbtest.EachServer(t, func(t *testing.T, d sqldb.Dialect) {
		t.Parallel()
		uri := sqldbtest.URI(t, d, false)
		if _, err := sqldb.Open(t.Context(), uri, &sqldb.Options{Existing: true}); !errors.Is(err, sqldb.ErrEmpty) {
			t.Errorf("an empty database that should exist: %v", err)
		}
		var wg sync.WaitGroup
		for range 3 { // three processes start on an empty database
			wg.Go(func() {
				db, err := sqldb.Open(t.Context(), uri, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if got := count(t, db.Read(), "SELECT COUNT(*) FROM workspaces WHERE name = 'default'"); got != 1 || db.Revision() != sqldb.HeadRevision() {
					t.Errorf("revision %s, %d default workspaces", db.Revision(), got)
				}
				if !db.HasTable("runs") || !db.HasColumn("runs", "run_uuid") || db.HasColumn("runs", "nope") || db.HasTable("sluice_creating") {
					t.Error("HasTable or HasColumn answers wrongly")
				}
				if err := db.Ping(t.Context()); err != nil {
					t.Error(err)
				}
				if err := db.Close(); err != nil {
					t.Error(err)
				}
				if err := db.WithTx(t.Context(), func(*sqldb.Tx) error { return nil }); mlflow.CodeOf(err) != mlflow.TemporarilyUnavailable {
					t.Errorf("after Close: %v", err)
				}
			})
		}
		wg.Wait()
	})
}

func TestServerRevisions(t *testing.T) {
	t.Parallel()
	sqldbtest.EachServer(t, func(t *testing.T, d sqldb.Dialect) {
		t.Parallel()
		uri := sqldbtest.URI(t, d, true)
		db := sqldbtest.OpenURI(t, uri, nil)
		for rev, code := range map[string]mlflow.Code{"7d34483879f0": "", "ae8bbe7743c9": mlflow.InvalidState} {
			execOn(t, db, "UPDATE alembic_version SET version_num = ?", rev)
			other, err := sqldb.Open(t.Context(), uri, nil)
			if mlflow.CodeOf(err) != code {
				t.Errorf("revision %s: %v, want %q", rev, err, code)
			}
			if err == nil {
				other.Close()
			}
		}
		execOn(t, db, "UPDATE alembic_version SET version_num = ?", sqldb.HeadRevision())
	})
}

func TestForeignTablesOnServers(t *testing.T) {
	t.Parallel()
	sqldbtest.EachServer(t, func(t *testing.T, d sqldb.Dialect) {
		t.Parallel()
		db := sqldbtest.OpenURI(t, sqldbtest.URI(t, d, false), nil)
		execOn(t, db, "DELETE FROM alembic_version")
		if _, err := sqldb.Open(t.Context(), db.URI(), nil); mlflow.CodeOf(err) != mlflow.InvalidState {
			t.Errorf("got %v", err)
		}
	})
}

// TestInterruptedCreation meets a MySQL database in which somebody died while making the tables.
func TestInterruptedCreation(t *testing.T) {
	t.Parallel()
	uri := sqldbtest.URI(t, sqldb.MySQL, false)
	db := sqldbtest.OpenURI(t, uri, nil)
	execOn(t, db, "CREATE TABLE sluice_creating (id INTEGER)")
	execOn(t, db, "DROP TABLE alembic_version")
	execOn(t, db, "DROP TABLE latest_metrics")
	again := sqldbtest.OpenURI(t, uri, nil)
	if !again.HasTable("latest_metrics") || again.HasTable("sluice_creating") || again.Revision() != sqldb.HeadRevision() {
		t.Errorf("the creation was not finished: revision %q", again.Revision())
	}
}

func TestServerTransactions(t *testing.T) {
	t.Parallel()
	sqldbtest.EachServer(t, func(t *testing.T, d sqldb.Dialect) {
		t.Parallel()
		db := sqldbtest.On(d)(t, nil)
		ctx := t.Context()
		insert := func(tx *sqldb.Tx, name string) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO workspaces (name) VALUES (?)", name)
			return err
		}
		boom := mlflow.Invalidf("boom")
		if err := db.WithTx(ctx, func(tx *sqldb.Tx) error { _ = insert(tx, "a"); return boom }); err != boom {
			t.Errorf("fn's error came back as %v", err)
		}
		cancelled, cancel := context.WithCancel(ctx)
		err := db.WithTx(cancelled, func(tx *sqldb.Tx) error { defer cancel(); return insert(tx, "b") })
		if mlflow.CodeOf(err) != mlflow.Cancelled {
			t.Errorf("cancelled: %v", err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_ = db.WithTx(ctx, func(tx *sqldb.Tx) error { _ = insert(tx, "c"); panic("boom") })
		}()
		if err := db.WithTx(ctx, func(tx *sqldb.Tx) error { return insert(tx, "d") }); err != nil {
			t.Error(err)
		}
		if got := count(t, db.Read(), "SELECT COUNT(*) FROM workspaces WHERE name IN ('a', 'b', 'c', 'd')"); got != 1 {
			t.Errorf("rows = %d, want 1", got)
		}
		err = db.ReadTx(ctx, func(q sqldb.Querier) error {
			before := count(t, q, "SELECT COUNT(*) FROM workspaces")
			execOn(t, db, "INSERT INTO workspaces (name) VALUES ('later')")
			if got := count(t, q, "SELECT COUNT(*) FROM workspaces"); got != before {
				t.Errorf("inside: %d rows, want %d", got, before)
			}
			_, err := q.ExecContext(ctx, "DELETE FROM workspaces WHERE name = 'd'")
			return err
		})
		if err == nil {
			t.Error("a reading transaction wrote")
		}
	})
}

func TestServerErrors(t *testing.T) {
	t.Parallel()
	sqldbtest.EachServer(t, func(t *testing.T, d sqldb.Dialect) {
		t.Parallel()
		db := sqldbtest.On(d)(t, nil)
		ctx := t.Context()
		fails := func(query string, args ...any) error {
			t.Helper()
			err := db.WithTx(ctx, func(tx *sqldb.Tx) error {
				_, err := tx.ExecContext(ctx, query, args...)
				return err
			})
			if err == nil {
				t.Errorf("%s succeeded", query)
			}
			return err
		}
		if err := fails("INSERT INTO workspaces (name) VALUES ('default')"); !sqldb.IsUniqueViolation(err) || mlflow.CodeOf(err) != mlflow.InternalError {
			t.Errorf("unique: %v", err)
		}
		if err := fails("INSERT INTO model_versions (name, version) VALUES ('nope', 1)"); !sqldb.IsForeignKeyViolation(err) {
			t.Errorf("foreign key: %v", err)
		}
		if err := fails("INSERT INTO experiments (name, lifecycle_stage) VALUES ('e', 'odd')"); !sqldb.IsCheckViolation(err) {
			t.Errorf("check: %v", err)
		}
		if err := fails("INSERT INTO workspaces (name) VALUES (?)", nil); !sqldb.IsCheckViolation(err) {
			t.Errorf("not null: %v", err)
		}
		if err := fails("INSERT INTO experiments (name) VALUES (?)", strings.Repeat("ü", 257)); mlflow.CodeOf(err) != mlflow.InvalidParameterValue {
			t.Errorf("too long: %v", err)
		}
		if err := fails("INSERT INTO experiments (experiment_id, name) VALUES (3000000000, 'x')"); mlflow.CodeOf(err) != mlflow.InvalidParameterValue {
			t.Errorf("out of range: %v", err)
		}
		if err := fails("INSERT INTO experiments (experiment_id, name) VALUES (?, 'x')", int64(3_000_000_000)); mlflow.CodeOf(err) != mlflow.InvalidParameterValue {
			t.Errorf("out of range in a parameter: %v", err)
		}
		if err := fails("INSERT INTO nowhere VALUES (1)"); mlflow.CodeOf(err) != mlflow.InternalError {
			t.Errorf("no such table: %v", err)
		}
		if err := db.Ping(ctx); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestServerThatIsNotThere(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{"postgresql://u:secret@127.0.0.1:1/db", "mysql://u:secret@127.0.0.1:1/db", "postgresql://u@/db?host=/nowhere", "mysql://u@/db?unix_socket=/nowhere"} {
		_, err := sqldb.Open(t.Context(), uri, nil)
		if mlflow.CodeOf(err) != mlflow.TemporarilyUnavailable || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", uri, err)
		}
	}
	for _, uri := range []string{
		"mysql://u:secret@h/db?charset=latin1", "mysql://u:secret@h/db?colour=red", "mysql://u:secret@h/db?connect_timeout=soon", "mysql://u:secret@h/db?ssl_disabled=perhaps",
		"postgresql://u:secret@h/db?sslmode=perhaps",
	} {
		_, err := sqldb.Open(t.Context(), uri, nil)
		if mlflow.CodeOf(err) != mlflow.InvalidParameterValue || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", uri, err)
		}
	}
	sqldbtest.EachServer(t, func(t *testing.T, d sqldb.Dialect) {
		uri := sqldbtest.URI(t, d, true)
		missing := strings.Replace(uri, "/sluice_", "/no_such_", 1)
		if _, err := sqldb.Open(t.Context(), missing, nil); mlflow.CodeOf(err) != mlflow.TemporarilyUnavailable {
			t.Errorf("no such database: %v", err)
		}
	})
}

// TestLockTakesTurns counts up by reading and writing, in four handles on one database.
func TestLockTakesTurns(t *testing.T) {
	t.Parallel()
	sqldbtest.EachServer(t, func(t *testing.T, d sqldb.Dialect) {
		t.Parallel()
		uri := sqldbtest.URI(t, d, true)
		first := sqldbtest.OpenURI(t, uri, nil)
		execOn(t, first, "CREATE TABLE sluice_counter (n INTEGER)")
		execOn(t, first, "INSERT INTO sluice_counter VALUES (0)")
		var wg sync.WaitGroup
		for range 4 {
			db := sqldbtest.OpenURI(t, uri, &sqldb.Options{Writers: 2})
			for range 2 {
				wg.Go(func() { countUp(t, db, 10) })
			}
		}
		wg.Wait()
		if got := count(t, first.Read(), "SELECT n FROM sluice_counter"); got != 80 {
			t.Errorf("n = %d, want 80", got)
		}
		err := first.WithTx(t.Context(), func(tx *sqldb.Tx) error {
			if err := tx.Lock(t.Context(), "counter"); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			return first.WithTx(ctx, func(tx *sqldb.Tx) error { return tx.Lock(ctx, "counter") })
		})
		if mlflow.CodeOf(err) != mlflow.DeadlineExceeded {
			t.Errorf("waiting for the lock: %v", err)
		}
	})
}

func countUp(t *testing.T, db *sqldb.DB, times int) {
	ctx := t.Context()
	for range times {
		err := db.WithTx(ctx, func(tx *sqldb.Tx) error {
			if err := tx.Lock(ctx, "counter"); err != nil {
				return err
			}
			n := 0
			if err := tx.QueryRowContext(ctx, "SELECT n FROM sluice_counter").Scan(&n); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, "UPDATE sluice_counter SET n = ?", n+1)
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// TestDeadlockRunsAgain makes two transactions wait for each other's row: the server breaks one, which runs again.
func TestDeadlockRunsAgain(t *testing.T) {
	t.Parallel()
	sqldbtest.EachServer(t, func(t *testing.T, d sqldb.Dialect) {
		t.Parallel()
		db := sqldbtest.On(d)(t, nil)
		ctx := t.Context()
		execOn(t, db, "CREATE TABLE sluice_pair (id INTEGER PRIMARY KEY, n INTEGER)")
		execOn(t, db, "INSERT INTO sluice_pair VALUES (0, 0), (1, 0)")
		var met, wg sync.WaitGroup
		var runs atomic.Int32
		met.Add(2)
		for first := range 2 {
			wg.Go(func() {
				var once sync.Once
				err := db.WithTx(ctx, func(tx *sqldb.Tx) error {
					runs.Add(1)
					for i, row := range []int{first, 1 - first} {
						if _, err := tx.ExecContext(ctx, "UPDATE sluice_pair SET n = n + 1 WHERE id = ?", row); err != nil {
							return err
						}
						if i == 0 {
							once.Do(func() { met.Done(); met.Wait() })
						}
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := count(t, db.Read(), "SELECT SUM(n) FROM sluice_pair"); got != 4 || runs.Load() < 3 {
			t.Errorf("sum = %d after %d runs, want 4 after at least 3", got, runs.Load())
		}
	})
}

func TestMigrateOnServers(t *testing.T) {
	t.Parallel()
	one := sqldb.Migration{ID: 1, Name: "first", SQL: []string{
		"CREATE TABLE sluice_m (a INTEGER NOT NULL, b TEXT, c BLOB, k VARCHAR(10), CONSTRAINT sluice_m_pk PRIMARY KEY (a))", "INSERT INTO sluice_m (a) VALUES (1)",
	}}
	two := sqldb.Migration{ID: 2, Name: "second", SQL: []string{"CREATE INDEX sluice_m_k ON sluice_m (k)"}, Do: func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, tx.Dialect().InsertIgnore("sluice_m", []string{"a"}, "a", "b", "k"), 2, strings.Repeat("x", 1<<17), "Key")
		return err
	}}
	sqldbtest.EachServer(t, func(t *testing.T, d sqldb.Dialect) {
		t.Parallel()
		uri := sqldbtest.URI(t, d, true)
		db := sqldbtest.OpenURI(t, uri, &sqldb.Options{Now: func() time.Time { return time.UnixMilli(42) }})
		other := sqldbtest.OpenURI(t, uri, nil)
		ctx := t.Context()
		if err := db.Migrate(ctx, "m", []sqldb.Migration{one}); err != nil {
			t.Fatal(err)
		}
		bad := sqldb.Migration{ID: 2, Name: "bad", SQL: []string{"CREATE INDEX sluice_m_k ON sluice_m (k)", "INSERT INTO nowhere VALUES (1)"}}
		if err := db.Migrate(ctx, "m", []sqldb.Migration{one, bad}); err == nil {
			t.Error("a broken step succeeded")
		}
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				if err := []*sqldb.DB{db, other}[i%2].Migrate(ctx, "m", []sqldb.Migration{one, two}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for query, want := range map[string]int{
			"SELECT SUM(a) FROM sluice_m": 3, "SELECT COUNT(*) FROM sluice_m WHERE k = 'key'": 0, "SELECT COUNT(*) FROM sluice_m WHERE k = 'Key'": 1,
			"SELECT COUNT(*) FROM sluice_migrations WHERE component = 'm' AND applied_ms > 0": 2,
		} {
			if got := count(t, db.Read(), query); got != want {
				t.Errorf("%s = %d, want %d", query, got, want)
			}
		}
		if err := db.Migrate(ctx, "m", []sqldb.Migration{one}); mlflow.CodeOf(err) != mlflow.InvalidState {
			t.Errorf("downgrade: %v", err)
		}
	})
}

func TestClausesOnServers(t *testing.T) {
	t.Parallel()
	sqldbtest.EachServer(t, func(t *testing.T, d sqldb.Dialect) {
		t.Parallel()
		db := sqldbtest.On(d)(t, nil)
		execOn(t, db, d.Portable("CREATE TABLE sluice_c (k VARCHAR(10) PRIMARY KEY, n INTEGER)"))
		execOn(t, db, d.Insert("sluice_c", "k", "n"), "abc", 1)
		execOn(t, db, d.Insert("sluice_c", "k", "n")+d.Upsert([]string{"k"}, "n"), "abc", 7)
		execOn(t, db, d.Insert("sluice_c", "k", "n"), "ABC", nil)
		err := db.WithTx(t.Context(), func(tx *sqldb.Tx) error {
			res, err := tx.ExecContext(t.Context(), d.InsertIgnore("sluice_c", []string{"k"}, "k", "n"), "abc", 8)
			if err != nil {
				return err
			}
			if n, err := res.RowsAffected(); n != 0 || err != nil {
				t.Errorf("an ignored row counts %d, %v", n, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			query string
			args  []any
			want  int
		}{
			{"SELECT COUNT(*) FROM sluice_c WHERE " + d.Like("k"), []any{"a%"}, 1},
			{"SELECT COUNT(*) FROM sluice_c WHERE " + d.ILike("k"), []any{"A%"}, 2},
			{"SELECT n FROM sluice_c WHERE k = ?", []any{"abc"}, 7},
			{"SELECT n FROM sluice_c ORDER BY " + d.NullsLast("n", true) + " LIMIT 1", nil, 7},
			{"SELECT COUNT(*) FROM (SELECT n FROM sluice_c ORDER BY " + d.NullsLast("n", false) + " LIMIT 1) t WHERE n = 7", nil, 1},
		} {
			if got := count(t, db.Read(), c.query, c.args...); got != c.want {
				t.Errorf("%s = %d, want %d", c.query, got, c.want)
			}
		}
	})
}

func BenchmarkServers(b *testing.B) {
	for _, d := range []sqldb.Dialect{sqldb.Postgres, sqldb.MySQL} {
		b.Run(fmt.Sprint(d, "/WithTx"), func(b *testing.B) {
			db := sqldbtest.On(d)(b, nil)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				err := db.WithTx(b.Context(), func(tx *sqldb.Tx) error {
					_, err := tx.ExecContext(b.Context(), "UPDATE workspaces SET description = ?", fmt.Sprint(i))
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprint(d, "/Read"), func(b *testing.B) {
			db := sqldbtest.On(d)(b, nil)
			b.ReportAllocs()
			for b.Loop() {
				var name string
				if err := db.Read().QueryRowContext(b.Context(), "SELECT name FROM workspaces WHERE name = ?", "default").Scan(&name); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
