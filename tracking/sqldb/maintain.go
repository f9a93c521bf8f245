package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/tracking/mlflow"
)

// Inspection is what Inspect found.
type Inspection struct {
	URI      string // without password
	Revision string // Alembic's; "" means that these are not MLflow's tables
	// Known says that this program works on the revision, Newest that it is the one of a fresh database.
	Known, Newest bool
	// Steps are the newest migrations of our own tables by component; empty if sluice never opened the database.
	Steps map[string]int
	// Problems are damages of the file and rows that refer to nothing, at most maxProblems; only SQLite is asked, servers keep their own.
	Problems []string
}

const maxProblems = 100

// Inspect looks at a SQLite database without changing it; a server may be working on it. Returns NOT_FOUND if there is no such file and
// NOT_IMPLEMENTED for other databases.
func Inspect(ctx context.Context, uri string) (Inspection, error) {
	addr, raw, err := openExisting(uri)
	if err != nil {
		return Inspection{}, err
	}
	defer raw.Close()
	found := Inspection{URI: addr.Redacted(), Steps: map[string]int{}}
	if found.Problems, err = problems(ctx, raw); err != nil {
		return Inspection{}, Classify(err)
	}
	if err := found.read(ctx, raw); err != nil {
		return Inspection{}, Classify(err)
	}
	found.Known = slices.Contains(KnownRevisions(), found.Revision)
	found.Newest = found.Revision == HeadRevision()
	return found, nil
}

// openExisting opens a SQLite file that is there, for one connection that changes nothing, its journal mode neither.
func openExisting(uri string) (Address, *sql.DB, error) {
	addr, err := ParseURI(uri)
	if err != nil {
		return Address{}, nil, err
	}
	if addr.Dialect != SQLite {
		return addr, nil, mlflow.Errorf(mlflow.NotImplemented, "%s has tools of its own for this: %s", addr.Dialect, ownTools(addr.Dialect))
	}
	if _, err := os.Stat(addr.Path); errors.Is(err, fs.ErrNotExist) {
		return addr, nil, mlflow.Errorf(mlflow.NotFound, "there is no database at %s", addr.Redacted())
	} else if err != nil {
		return addr, nil, err
	}
	return addr, openFile(addr.Path), nil
}

// openFile opens an existing SQLite file; "rw" because a reader of a database in WAL mode needs its companion files.
func openFile(path string) *sql.DB {
	q := url.Values{}
	q.Set("mode", "rw")
	q.Set("_busy_timeout", strconv.Itoa(20_000))
	escape := strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23")
	db := sql.OpenDB(sqliteConnector{dsn: "file:" + escape.Replace(filepath.ToSlash(path)) + "?" + q.Encode()})
	db.SetMaxOpenConns(1)
	return db
}

func ownTools(d Dialect) string {
	if d == Postgres {
		return "pg_amcheck and pg_dump"
	}
	return "mariadb-check and mariadb-dump"
}

// problems asks SQLite about the file, and about rows that refer to nothing.
func problems(ctx context.Context, db *sql.DB) ([]string, error) {
	out, err := lines(ctx, db, fmt.Sprintf("PRAGMA integrity_check(%d)", maxProblems))
	if err != nil {
		return nil, err
	}
	if len(out) == 1 && out[0] == "ok" {
		out = nil
	}
	orphans, err := lines(ctx, db, fmt.Sprintf(`SELECT 'row ' || COALESCE(rowid, '?') || ' of ' || "table" || ' refers to nothing in ' || parent
		FROM pragma_foreign_key_check LIMIT %d`, maxProblems))
	return slices.Concat(out, orphans)[:min(len(out)+len(orphans), maxProblems)], err
}

func lines(ctx context.Context, db *sql.DB, query string) ([]string, error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, err
		}
		out = append(out, line)
	}
	return out, rows.Err()
}

// read fills the revision and the steps, each if its table is there.
func (i *Inspection) read(ctx context.Context, db *sql.DB) error {
	tables, err := lines(ctx, db, "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ('alembic_version', 'sluice_migrations')")
	if err != nil {
		return err
	}
	if slices.Contains(tables, "alembic_version") {
		if err := db.QueryRowContext(ctx, "SELECT COALESCE(MAX(version_num), '') FROM alembic_version").Scan(&i.Revision); err != nil {
			return err
		}
	}
	if !slices.Contains(tables, "sluice_migrations") {
		return nil
	}
	rows, err := db.QueryContext(ctx, "SELECT component, MAX(id) FROM sluice_migrations GROUP BY component")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var component string
		var step int
		if err := rows.Scan(&component, &step); err != nil {
			return err
		}
		i.Steps[component] = step
	}
	return rows.Err()
}

// Backup copies a SQLite database, as of one commit, into a new file that only its owner reads, while a server goes on working on it.
// The copy is checked and durable before it appears under its name. It returns the size in bytes. Returns ALREADY_EXISTS if file is
// there, NOT_FOUND if the database is not, NOT_IMPLEMENTED for other databases.
func Backup(ctx context.Context, uri, file string) (int64, error) {
	_, raw, err := openExisting(uri)
	if err != nil {
		return 0, err
	}
	defer raw.Close()
	if _, err := os.Lstat(file); err == nil {
		return 0, mlflow.Errorf(mlflow.AlreadyExists, "%s is there already", file)
	}
	tmp := fmt.Sprintf("%s.%d.partial", file, time.Now().UnixNano())
	if err := createPrivate(tmp); err != nil {
		return 0, err
	}
	defer os.Remove(tmp)
	if _, err := raw.ExecContext(ctx, "VACUUM INTO ?", tmp); err != nil {
		return 0, fmt.Errorf("copy the database: %w", err)
	}
	if err := checkCopy(ctx, tmp); err != nil {
		return 0, err
	}
	size, err := syncFile(tmp)
	if err != nil {
		return 0, err
	}
	if err := os.Link(tmp, file); err != nil { // unlike a rename it never replaces
		return 0, fmt.Errorf("name the copy: %w", err)
	}
	return size, nil
}

func checkCopy(ctx context.Context, file string) error {
	db := openFile(file)
	defer db.Close()
	found, err := problems(ctx, db)
	if err != nil {
		return fmt.Errorf("check the copy: %w", err)
	}
	if len(found) > 0 {
		return mlflow.Errorf(mlflow.DataLoss, "the copy is damaged as the database is: %s", found[0])
	}
	return nil
}

// syncFile makes the file durable and returns its size in bytes.
func syncFile(path string) (int64, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return 0, err
	}
	return info.Size(), nil
}
