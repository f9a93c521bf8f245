// Package sqldbtest gives tests a fresh database, and the real MLflow to compare with.
//
// It owns the finding of the repository's Python environment (.venv), temporary SQLite files, and one PostgreSQL and one MariaDB
// server for each test binary: started from Debian's packages when a test first asks for them, stopped by Main. A missing server
// fails the test. It is called by tests only; it must not know any store.
package sqldbtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sluice/tracking/sqldb"
)

// Opener returns a fresh database, closed at the end of the test. opts may be nil.
type Opener func(t testing.TB, opts *sqldb.Options) *sqldb.DB

// Each runs a subtest on every dialect, named after it.
func Each(t *testing.T, run func(t *testing.T, open Opener)) {
	for _, d := range []sqldb.Dialect{sqldb.SQLite, sqldb.Postgres, sqldb.MySQL} {
		t.Run(string(d), func(t *testing.T) { run(t, On(d)) })
	}
}

// EachExact is Each with a database of MySQL that minds letter case, for suites whose names differ in nothing else: with the usual
// collation such names are one, for MLflow too.
func EachExact(t *testing.T, run func(t *testing.T, open Opener)) {
	for _, d := range []sqldb.Dialect{sqldb.SQLite, sqldb.Postgres} {
		t.Run(string(d), func(t *testing.T) { run(t, On(d)) })
	}
	t.Run(string(sqldb.MySQL), func(t *testing.T) {
		run(t, func(t testing.TB, opts *sqldb.Options) *sqldb.DB {
			t.Helper()
			s := serverFor(t, sqldb.MySQL)
			return OpenURI(t, s.uri(s.lend(t, "utf8mb4_bin")), opts)
		})
	})
}

// EachServer is Each without SQLite, for what a suite on SQLite tests elsewhere.
func EachServer(t *testing.T, run func(t *testing.T, d sqldb.Dialect)) {
	for _, d := range []sqldb.Dialect{sqldb.Postgres, sqldb.MySQL} {
		t.Run(string(d), func(t *testing.T) { run(t, d) })
	}
}

// On returns the Opener of a dialect.
func On(d sqldb.Dialect) Opener {
	if d == sqldb.SQLite {
		return Open
	}
	return func(t testing.TB, opts *sqldb.Options) *sqldb.DB {
		t.Helper()
		return OpenURI(t, URI(t, d, true), opts)
	}
}

// URI returns the address of a fresh database, which is gone after the test. With schema it has MLflow's tables, else none.
// MLflow can use the address, too.
func URI(t testing.TB, d sqldb.Dialect, schema bool) string {
	t.Helper()
	switch d {
	case sqldb.Postgres, sqldb.MySQL:
		s := serverFor(t, d)
		if schema {
			return s.uri(s.lend(t, ""))
		}
		return s.uri(s.create(t, ""))
	}
	path := filepath.Join(t.TempDir(), "mlflow.db")
	if schema {
		OpenFile(t, path, nil).Close()
	}
	return "sqlite:///" + path
}

// Open returns a fresh SQLite database in a temporary folder, closed at the end of the test. opts may be nil.
func Open(t testing.TB, opts *sqldb.Options) *sqldb.DB {
	t.Helper()
	return OpenFile(t, filepath.Join(t.TempDir(), "mlflow.db"), opts)
}

// OpenFile opens the database file at path, closed at the end of the test.
func OpenFile(t testing.TB, path string, opts *sqldb.Options) *sqldb.DB {
	t.Helper()
	return OpenURI(t, "sqlite:///"+path, opts)
}

// OpenURI opens the database at an address, closed at the end of the test.
func OpenURI(t testing.TB, uri string, opts *sqldb.Options) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), uri, opts)
	if err != nil {
		t.Fatalf("open %s: %v", uri, err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close %s: %v", uri, err)
		}
	})
	return db
}

// PythonPath returns the interpreter of the repository's .venv, which has the real MLflow; the test fails without one.
func PythonPath(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		python := filepath.Join(dir, ".venv", "bin", "python")
		if _, err := os.Stat(python); err == nil {
			return python
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no .venv with MLflow found upwards of the test's folder: run `make setup`")
		}
		dir = up
	}
}

// Python runs the script with the real MLflow at hand and returns what it printed, without white space at both ends. The
// script finds args in sys.argv[1:]; a non-zero exit fails the test with its stderr.
func Python(t testing.TB, script string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), PythonPath(t), append([]string{"-c", script}, args...)...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "MLFLOW_DISABLE_TELEMETRY=true", "DO_NOT_TRACK=true", "GIT_PYTHON_REFRESH=quiet")
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("python: %v\n%s%s", err, out.String(), errs.String())
	}
	return strings.TrimSpace(out.String())
}
