package sqldb

import (
	"strconv"
	"strings"
)

// Dialect is the SQL dialect of a database.
type Dialect string

// The dialects that MLflow's stores speak and we know (source: mlflow/store/db/db_types.py).
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgresql"
	MySQL    Dialect = "mysql"
)

// Quote returns the identifier quoted, as key and value columns need it.
func (d Dialect) Quote(ident string) string {
	if d == MySQL {
		return "`" + strings.ReplaceAll(ident, "`", "``") + "`"
	}
	return `"` + strings.ReplaceAll(ident, `"`, `""`) + `"`
}

// Equal returns the case-sensitive "column = text" and its parameters. MySQL's usual collations ignore letter case: there the
// plain comparison finds the rows by index and the binary one decides.
func (d Dialect) Equal(column, text string) (string, []any) {
	if d == MySQL {
		return "(" + column + " = ? AND BINARY " + column + " = ?)", []any{text, text}
	}
	return column + " = ?", []any{text}
}

// NotEqual returns the case-sensitive "column <> text" and its parameters.
func (d Dialect) NotEqual(column, text string) (string, []any) {
	if d == MySQL {
		return "(" + column + " != ? OR BINARY " + column + " != ?)", []any{text, text}
	}
	return column + " != ?", []any{text}
}

// Exact returns the column for case-sensitive comparisons with lists of texts.
func (d Dialect) Exact(column string) string {
	if d == MySQL {
		return "BINARY " + column
	}
	return column
}

// Like returns the case-sensitive "column LIKE ?".
func (d Dialect) Like(column string) string {
	if d == MySQL {
		return column + " LIKE BINARY ?"
	}
	return column + " LIKE ?"
}

// ILike returns "column LIKE ?" without regard to letter case; on SQLite that holds for ASCII letters, as in MLflow.
func (d Dialect) ILike(column string) string {
	if d == Postgres {
		return column + " ILIKE ?"
	}
	return "LOWER(" + column + ") LIKE LOWER(?)"
}

// Upsert returns the tail of an INSERT … VALUES (…) that overwrites the columns update of the row with the same key.
// With no column to update the existing row stays as it is.
func (d Dialect) Upsert(key []string, update ...string) string {
	if d == MySQL {
		return d.upsertMySQL(key, update)
	}
	if len(update) == 0 {
		return " ON CONFLICT (" + d.list(key) + ") DO NOTHING"
	}
	return " ON CONFLICT (" + d.list(key) + ") DO UPDATE SET " + d.assign(update, func(q string) string { return "excluded." + q })
}

func (d Dialect) upsertMySQL(key, update []string) string {
	if len(update) == 0 {
		q := d.Quote(key[0])
		return " ON DUPLICATE KEY UPDATE " + q + " = " + q
	}
	return " ON DUPLICATE KEY UPDATE " + d.assign(update, func(q string) string { return "VALUES(" + q + ")" })
}

// InsertIgnore returns "INSERT INTO table (columns) VALUES (?, …)" that leaves an existing row with the same key alone.
// RowsAffected is then 0.
func (d Dialect) InsertIgnore(table string, key []string, columns ...string) string {
	return d.Insert(table, columns...) + d.Upsert(key)
}

// Insert returns "INSERT INTO table (columns) VALUES (?, …)".
func (d Dialect) Insert(table string, columns ...string) string {
	return "INSERT INTO " + d.Quote(table) + " (" + d.list(columns) + ") VALUES (" + Placeholders(len(columns)) + ")"
}

// HasReturning says whether INSERT … RETURNING works; without it use Result.LastInsertId.
func (d Dialect) HasReturning() bool { return d != MySQL }

// Arrival returns what sorts a table's rows, under the given alias, in the order in which they came, with a comma behind it; "" where the
// database does not keep that order. MLflow leaves such orders to the database, which on SQLite means this one.
func (d Dialect) Arrival(alias string) string {
	if d == SQLite {
		return alias + ".rowid, "
	}
	return ""
}

// NullsLast returns an ORDER BY term that sorts rows without a value after the others in both directions.
func (d Dialect) NullsLast(expr string, desc bool) string {
	dir := " ASC"
	if desc {
		dir = " DESC"
	}
	return "CASE WHEN (" + expr + ") IS NULL THEN 1 ELSE 0 END, " + expr + dir
}

// Rebind replaces ? placeholders by the dialect's own ($1, $2, … on PostgreSQL), leaving quoted text and comments alone.
func (d Dialect) Rebind(query string) string {
	if d != Postgres || strings.IndexByte(query, '?') < 0 {
		return query
	}
	var b strings.Builder
	b.Grow(len(query) + 16)
	n := 0
	for i := 0; i < len(query); {
		end := skipQuoted(query, i)
		if end > i {
			b.WriteString(query[i:end])
			i = end
			continue
		}
		if query[i] == '?' {
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
		} else {
			b.WriteByte(query[i])
		}
		i++
	}
	return b.String()
}

// skipQuoted returns the end of the quoted text or comment that begins at i, or i if none does.
func skipQuoted(q string, i int) int {
	switch {
	case q[i] == '\'' || q[i] == '"':
		return endOf(q, i+1, string(q[i]))
	case strings.HasPrefix(q[i:], "--"):
		return endOf(q, i+2, "\n")
	case strings.HasPrefix(q[i:], "/*"):
		return endOf(q, i+2, "*/")
	}
	return i
}

func endOf(q string, from int, mark string) int {
	if j := strings.Index(q[from:], mark); j >= 0 {
		return from + j + len(mark)
	}
	return len(q)
}

// Placeholders returns "?, ?, …" with n question marks.
func Placeholders(n int) string {
	if n <= 0 {
		return ""
	}
	return strings.Repeat("?, ", n-1) + "?"
}

func (d Dialect) list(columns []string) string {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = d.Quote(c)
	}
	return strings.Join(quoted, ", ")
}

func (d Dialect) assign(columns []string, value func(quoted string) string) string {
	parts := make([]string, len(columns))
	for i, c := range columns {
		q := d.Quote(c)
		parts[i] = q + " = " + value(q)
	}
	return strings.Join(parts, ", ")
}
