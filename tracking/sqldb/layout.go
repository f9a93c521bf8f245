package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// missingParts names the tables, columns and indexes of the newest schema that a database lacks, in order. SQLite's tables, made in
// memory, tell what belongs there: MLflow's migrations give their parts the same names on every database.
func missingParts(ctx context.Context, d Dialect, db *sql.DB) ([]string, error) {
	wanted, err := wantedColumns(ctx)
	if err != nil {
		return nil, fmt.Errorf("list what belongs into a database: %w", err)
	}
	columns, err := lines(ctx, db, d.columnNames())
	if err != nil {
		return nil, err
	}
	indexes, err := lines(ctx, db, d.indexNames())
	if err != nil {
		return nil, err
	}
	have := setOf(append(columns, indexes...))
	tables := map[string]bool{}
	for _, c := range columns {
		table, _, _ := strings.Cut(c, ".")
		tables[table] = true
	}
	var missing []string
	for _, c := range wanted {
		if table, _, _ := strings.Cut(c, "."); !tables[table] {
			missing = append(missing, "table "+table+" is missing")
		} else if !have[c] {
			missing = append(missing, "column "+c+" is missing")
		}
	}
	for _, i := range wantedIndexes(d) {
		if tables[i.table] && !have[i.name] {
			missing = append(missing, "index "+i.name+" of "+i.table+" is missing")
		}
	}
	return slices.Compact(missing), nil
}

// wantedColumns returns "table.column" for all of the newest schema, in order.
func wantedColumns(ctx context.Context) ([]string, error) {
	db := sql.OpenDB(sqliteConnector{dsn: "file::memory:"})
	db.SetMaxOpenConns(1)
	defer db.Close()
	for _, stmt := range ddlStatements(SQLite) {
		if _, err := db.ExecContext(ctx, stmt); err != nil {
			return nil, err
		}
	}
	return lines(ctx, db, SQLite.columnNames()+" ORDER BY 1")
}

// index is a part of a table.
type index struct{ name, table string }

var indexStatement = regexp.MustCompile(`(?m)^CREATE (?:UNIQUE )?INDEX "?(\w+)"? ON "?(\w+)"?`)

// wantedIndexes returns the indexes that migrations make on a dialect.
func wantedIndexes(d Dialect) []index {
	own := setOf(regexp.MustCompile(`\w+`).FindAllString(strings.Join(ddlStatements(d), "\n"), -1))
	var all []index
	for _, m := range indexStatement.FindAllStringSubmatch(strings.Join(ddlStatements(SQLite), "\n"), -1) {
		if own[m[1]] {
			all = append(all, index{m[1], m[2]})
		}
	}
	return all
}

// columnNames selects "table.column" of every column.
func (d Dialect) columnNames() string {
	switch d {
	case Postgres:
		return "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = current_schema()"
	case MySQL:
		return "SELECT CONCAT(table_name, '.', column_name) FROM information_schema.columns WHERE table_schema = DATABASE()"
	}
	return "SELECT m.name || '.' || c.name FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite!_%' ESCAPE '!'"
}

// indexNames selects the name of every index.
func (d Dialect) indexNames() string {
	switch d {
	case Postgres:
		return "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema()"
	case MySQL:
		return "SELECT DISTINCT index_name FROM information_schema.statistics WHERE table_schema = DATABASE()"
	}
	return "SELECT name FROM sqlite_master WHERE type = 'index'"
}

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, n := range names {
		set[n] = true
	}
	return set
}
