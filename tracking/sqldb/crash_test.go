package sqldb_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"sluice/tracking/sqldb"
	"sluice/tracking/sqldb/sqldbtest"
)

func openForClauses(t *testing.T) *sqldb.DB {
	db := sqldbtest.Open(t, nil)
	exec1 := func(query string, args ...any) { t.Helper(); execOn(t, db, query, args...) }
	exec1("CREATE TABLE sluice_c (k VARCHAR(10) PRIMARY KEY, n INTEGER)")
	exec1(db.Dialect().Insert("sluice_c", "k", "n"), "abc", 1)
	exec1(db.Dialect().Insert("sluice_c", "k", "n")+db.Dialect().Upsert([]string{"k"}, "n"), "abc", 7)
	exec1(db.Dialect().InsertIgnore("sluice_c", []string{"k"}, "k", "n"), "abc", 8)
	exec1(db.Dialect().Insert("sluice_c", "k", "n"), "ABC", nil)
	return db
}

// crashPath makes the test binary a writer that is killed: it commits numbered rows and tells each on stdout.
const crashPath = "SLUICE_TEST_CRASH_DB"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashPath); path != "" {
		writeForever(path)
	}
	os.Exit(sqldbtest.Main(m))
}

func writeForever(path string) {
	// A child process has no *testing.T; anything that goes wrong ends it, which the parent notices.
	bg := context.Background()
	db, err := sqldb.Open(bg, "sqlite:///"+path, nil)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for i := 1; ; i++ {
		err := db.WithTx(bg, func(tx *sqldb.Tx) error {
			for half := range 2 { // a half transaction would leave an odd number of rows
				name := fmt.Sprintf("w%d-%d-%d", os.Getpid(), i, half)
				if _, err := tx.ExecContext(bg, "INSERT INTO workspaces (name) VALUES (?)", name); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(i)
	}
}

// TestKill9 kills a writer, also while it creates the schema, and finds everything that it acknowledged and nothing half done.
func TestKill9(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	acknowledged := 0
	for _, stopAt := range []int{0, 0, 5, 40} {
		child := exec.Command(os.Args[0], "-test.run=^$")
		child.Env = append(os.Environ(), crashPath+"="+path)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		acknowledged += readUntil(t, bufio.NewScanner(out), stopAt)
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // "signal: killed"
	}
	db := sqldbtest.OpenFile(t, path, nil)
	rows := count(t, db.Read(), "SELECT COUNT(*) FROM workspaces WHERE name <> 'default'")
	if rows < 2*acknowledged || rows%2 != 0 {
		t.Errorf("%d rows after %d acknowledged transactions of two", rows, acknowledged)
	}
	var check string
	if err := db.Read().QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&check); err != nil || check != "ok" {
		t.Errorf("integrity: %q, %v", check, err)
	}
}

// readUntil returns how many transactions the child has acknowledged once it is past the number.
func readUntil(t *testing.T, lines *bufio.Scanner, number int) int {
	t.Helper()
	for n := 0; n < number; {
		if !lines.Scan() {
			t.Fatalf("the writer ended: %v", lines.Err())
		}
		var err error
		if n, err = strconv.Atoi(strings.TrimSpace(lines.Text())); err != nil {
			t.Fatalf("the writer says %q", lines.Text())
		}
	}
	return number
}
