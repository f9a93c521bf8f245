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
	// Problems are rollups of traces and other workspaces, which Open refuses, at the newest revision tables, columns and indexes that are missing, and on SQLite
	// damages of the file and rows that refer to nothing: at most maxProblems. Servers watch over their files themselves.
	Problems []string
}

const maxProblems = 100

// Inspect looks at a database without changing it; servers may be working on it. Returns NOT_FOUND if there is no such SQLite file,
// and TEMPORARILY_UNAVAILABLE for a database server that does not answer.
func Inspect(ctx context.Context, uri string) (Inspection, error) {
	addr, raw, err := openExisting(ctx, uri)
	if err != nil {
		return Inspection{}, err
	}
	defer raw.Close()
	found := Inspection{URI: addr.Redacted(), Steps: map[string]int{}}
	if addr.Dialect == SQLite {
		if found.Problems, err = problems(ctx, raw); err != nil {
			return Inspection{}, Classify(err)
		}
	}
	if err := found.read(ctx, addr.Dialect, raw); err != nil {
		return Inspection{}, Classify(err)
	}
	rollups, err := heldRollups(ctx, addr.Dialect, raw)
	if err != nil {
		return Inspection{}, Classify(err)
	}
	found.Problems = append(found.Problems, rollups...)
	found.Known = slices.Contains(KnownRevisions(), found.Revision)
	if found.Known {
		foreign, err := foreignWorkspaces(ctx, raw)
		if err != nil {
			return Inspection{}, Classify(err)
		}
		found.Problems = append(found.Problems, foreign...)
	}
	found.Newest = found.Revision == HeadRevision()
	if found.Newest {
		missing, err := missingParts(ctx, addr.Dialect, raw)
		if err != nil {
			return Inspection{}, Classify(err)
		}
		found.Problems = append(found.Problems, missing...)
		found.Problems = found.Problems[:min(len(found.Problems), maxProblems)]
	}
	return found, nil
}

// openExisting opens a database that is there, for one connection that changes nothing, a SQLite file's journal mode neither.
func openExisting(ctx context.Context, uri string) (Address, *sql.DB, error) {
	addr, err := ParseURI(uri)
	if err != nil {
		return Address{}, nil, err
	}
	if addr.Dialect != SQLite {
		raw, err := openServer(ctx, addr)
		return addr, raw, err
	}
	if _, err := os.Stat(addr.Path); errors.Is(err, fs.ErrNotExist) {
		return addr, nil, mlflow.Errorf(mlflow.NotFound, "there is no database at %s", addr.Redacted())
	} else if err != nil {
		return addr, nil, err
	}
	return addr, openFile(addr.Path), nil
}

// openServer opens one connection to a server's database.
func openServer(ctx context.Context, addr Address) (*sql.DB, error) {
	opts := (&Options{Readers: 1, Writers: 1}).withDefaults()
	db := &DB{dialect: addr.Dialect, opts: opts, address: addr}
	connect := map[Dialect]func(context.Context) error{Postgres: db.connectPostgres, MySQL: db.connectMySQL}
	if err := connect[addr.Dialect](ctx); err != nil {
		return nil, err
	}
	return db.readers, db.writers.Close()
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
func (i *Inspection) read(ctx context.Context, d Dialect, db *sql.DB) error {
	tables, err := lines(ctx, db, "SELECT name FROM ("+d.tables()+") a WHERE name IN ('alembic_version', 'sluice_migrations')")
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
