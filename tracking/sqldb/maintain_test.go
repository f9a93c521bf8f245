package sqldb_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
	"sluice/tracking/sqldb/sqldbtest"
)

func TestInspect(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a b%23.db")
	if _, err := sqldb.Inspect(t.Context(), "sqlite:///"+file); mlflow.CodeOf(err) != mlflow.NotFound {
		t.Errorf("no file: %v", err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Fatal("looking made the file")
	}
	db := sqldbtest.OpenFile(t, file, nil)
	if err := db.Migrate(t.Context(), "test", []sqldb.Migration{{ID: 1, Name: "one", SQL: []string{"CREATE TABLE sluice_x (a INTEGER)"}}}); err != nil {
		t.Fatal(err)
	}
	got, err := sqldb.Inspect(t.Context(), "sqlite:///"+file)
	if err != nil || !got.Known || !got.Newest || got.Revision != sqldb.HeadRevision() || got.Steps["test"] != 1 || len(got.Problems) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	err = db.WithTx(t.Context(), func(tx *sqldb.Tx) error {
		_, err := tx.ExecContext(t.Context(), "UPDATE alembic_version SET version_num = 'fffffffffff0'")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := sqldb.Inspect(t.Context(), "sqlite:///"+file); err != nil || got.Known || got.Newest || got.Revision != "fffffffffff0" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestInspectFindsDamage(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a.db")
	db := sqldbtest.OpenFile(t, file, nil)
	db.Close()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 5 * 4096; i < 8*4096; i++ {
		raw[i] ^= 0xff
	}
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := sqldb.Inspect(t.Context(), "sqlite:///"+file); err == nil && len(got.Problems) == 0 {
		t.Errorf("got %+v", got)
	}
	if _, err := sqldb.Backup(t.Context(), "sqlite:///"+file, file+".copy", sqldb.Tools{}); err == nil {
		t.Error("a damaged database was copied without a word")
	}
	if _, err := os.Stat(file + ".copy"); err == nil {
		t.Error("a damaged copy has a name")
	}
}

// TestBackupWhileWriting copies in the middle of writes that belong together: the copy holds all or nothing of each.
func TestBackupWhileWriting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, copied := filepath.Join(dir, "a.db"), filepath.Join(dir, "b.db")
	db := sqldbtest.OpenFile(t, file, &sqldb.Options{RelaxedSync: true})
	err := db.WithTx(t.Context(), func(tx *sqldb.Tx) error {
		_, err := tx.ExecContext(t.Context(), "INSERT INTO registered_models (workspace, name) VALUES ('default', 'm')")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	begun := make(chan struct{})
	writing.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			err := db.WithTx(ctx, func(tx *sqldb.Tx) error {
				for _, key := range []string{"a", "b"} {
					if _, err := tx.ExecContext(ctx, "INSERT INTO registered_model_tags (workspace, name, key, value) VALUES ('default', 'm', ?, ?) "+
						"ON CONFLICT (workspace, key, name) DO UPDATE SET value = excluded.value", key, n); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil && !errors.Is(err, context.Canceled) && ctx.Err() == nil {
				t.Error(err)
			}
			if n == 3 {
				close(begun)
			}
		}
	})
	<-begun
	size, err := sqldb.Backup(t.Context(), "sqlite:///"+file, copied, sqldb.Tools{})
	stop()
	writing.Wait()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(copied)
	if err != nil || info.Size() != size || info.Mode().Perm() != 0o600 {
		t.Errorf("copy: %v, %v", info, err)
	}
	again := sqldbtest.OpenFile(t, copied, nil)
	var a, b string
	if err := again.Read().QueryRowContext(t.Context(), "SELECT MAX(value) FILTER (WHERE key = 'a'), MAX(value) FILTER (WHERE key = 'b') FROM registered_model_tags").Scan(&a, &b); err != nil || a != b || a == "" {
		t.Errorf("half a change was copied: %q and %q, %v", a, b, err)
	}
	if _, err := sqldb.Backup(t.Context(), "sqlite:///"+file, copied, sqldb.Tools{}); mlflow.CodeOf(err) != mlflow.AlreadyExists {
		t.Errorf("over an existing file: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.partial")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestBackupNamesTheProgramThatIsMissing(t *testing.T) {
	t.Parallel()
	for uri, tool := range map[string]string{"postgresql://h/d": "pg_dump", "mysql://h/d": "mysqldump or mariadb-dump"} {
		none := sqldb.Tools{Find: func(string) (string, error) { return "", exec.ErrNotFound }}
		file := filepath.Join(t.TempDir(), "x")
		if _, err := sqldb.Backup(t.Context(), uri, file, none); mlflow.CodeOf(err) != mlflow.NotImplemented || !strings.Contains(err.Error(), tool) {
			t.Errorf("%s: %v", uri, err)
		}
		if _, err := os.Stat(file); err == nil {
			t.Errorf("%s left a file", uri)
		}
	}
}

// change runs one statement that writes.
func change(t *testing.T, db *sqldb.DB, statement string) {
	t.Helper()
	err := db.WithTx(t.Context(), func(tx *sqldb.Tx) error {
		_, err := tx.ExecContext(t.Context(), statement)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestInspectFindsWhatIsMissing(t *testing.T) {
	t.Parallel()
	for _, d := range []sqldb.Dialect{sqldb.SQLite, sqldb.Postgres, sqldb.MySQL} {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			uri := sqldbtest.URI(t, d, false) // not one that other tests get again
			db := sqldbtest.OpenURI(t, uri, nil)
			if err := db.Migrate(t.Context(), "test", []sqldb.Migration{{ID: 1, Name: "one", SQL: []string{"CREATE TABLE sluice_x (a INTEGER)"}}}); err != nil {
				t.Fatal(err)
			}
			got, err := sqldb.Inspect(t.Context(), uri)
			if err != nil || !got.Known || !got.Newest || got.Steps["test"] != 1 || len(got.Problems) != 0 || got.URI != db.URI() {
				t.Fatalf("got %+v, %v", got, err)
			}
			drop := "DROP INDEX index_metrics_run_uuid_key_step"
			if d == sqldb.MySQL {
				drop += " ON metrics"
			}
			for _, statement := range []string{"ALTER TABLE runs RENAME COLUMN deleted_time TO gone", "DROP TABLE webhook_events", drop} {
				change(t, db, statement)
			}
			want := []string{"column runs.deleted_time is missing", "table webhook_events is missing", "index index_metrics_run_uuid_key_step of metrics is missing"}
			if got, err := sqldb.Inspect(t.Context(), uri); err != nil || !slices.Equal(got.Problems, want) {
				t.Errorf("got %q, %v, want %q", got.Problems, err, want)
			}
			change(t, db, "UPDATE alembic_version SET version_num = 'fffffffffff0'")
			if got, err := sqldb.Inspect(t.Context(), uri); err != nil || got.Known || got.Newest || got.Revision != "fffffffffff0" {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// TestServerBackup has the servers' own programs write a copy, and looks into it.
func TestServerBackup(t *testing.T) {
	t.Parallel()
	sqldbtest.EachServer(t, func(t *testing.T, d sqldb.Dialect) {
		t.Parallel()
		uri := sqldbtest.URI(t, d, true)
		change(t, sqldbtest.OpenURI(t, uri, nil), "INSERT INTO registered_models (workspace, name) VALUES ('default', 'copied ✓')")
		dir := t.TempDir()
		file := filepath.Join(dir, "copy.sql")
		tools := sqldb.Tools{Environ: os.Environ(), Find: exec.LookPath}
		size, err := sqldb.Backup(t.Context(), uri, file, tools)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		info, serr := os.Stat(file)
		if err != nil || serr != nil || int64(len(text)) != size || info.Mode().Perm() != 0o600 || !strings.Contains(string(text), "copied ✓") || !strings.Contains(string(text), sqldb.HeadRevision()) {
			t.Errorf("%d bytes, %v, %v, %v", size, info, err, serr)
		}
		if _, err := sqldb.Backup(t.Context(), uri, file, tools); mlflow.CodeOf(err) != mlflow.AlreadyExists {
			t.Errorf("over an existing file: %v", err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
}

// A program that ends early, or with a complaint, leaves no copy; it never sees a password in its arguments.
func TestServerBackupThatFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ script, says string }{
		"cut short": {"echo '-- PostgreSQL database'", "not whole"},
		"nothing":   {"true", "not whole"},
		"complains": {`echo "no such role; $* $PGPASSWORD" >&2; exit 3`, "--dbname=postgres://ada@h/d s3cr3t"},
	} {
		dir := t.TempDir()
		program := filepath.Join(dir, "pg_dump")
		if err := os.WriteFile(program, []byte("#!/bin/sh\n"+c.script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "copy.sql")
		_, err := sqldb.Backup(t.Context(), "postgresql://ada:s3cr3t@h/d", file, sqldb.Tools{Find: func(string) (string, error) { return program, nil }})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Errorf("%s left behind: %v, %v", name, left, err)
		}
	}
}
