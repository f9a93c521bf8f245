package sqldb_test

import (
	"strings"
	"testing"

	"sluice/tracking/sqldb"
)

func TestRebind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ query, postgres string }{
		{"SELECT 1", "SELECT 1"},
		{"a = ? AND b = ?", "a = $1 AND b = $2"},
		{"a = '?' AND b = ?", "a = '?' AND b = $1"},
		{"a = 'it''s ?' AND b = ?", "a = 'it''s ?' AND b = $1"},
		{`"odd?" = ?`, `"odd?" = $1`},
		{"a = ? -- why?\nAND b = ?", "a = $1 -- why?\nAND b = $2"},
		{"a /* ? */ = ?", "a /* ? */ = $1"},
		{"a = 'open ?", "a = 'open ?"},
		{strings.Repeat("?", 11), "$1$2$3$4$5$6$7$8$9$10$11"},
	} {
		if got := sqldb.Postgres.Rebind(c.query); got != c.postgres {
			t.Errorf("Rebind(%q) = %q, want %q", c.query, got, c.postgres)
		}
		for _, d := range []sqldb.Dialect{sqldb.SQLite, sqldb.MySQL} {
			if got := d.Rebind(c.query); got != c.query {
				t.Errorf("%s: Rebind(%q) = %q", d, c.query, got)
			}
		}
	}
}

func FuzzRebind(f *testing.F) {
	for _, s := range []string{"", "?", "'?", `"?" ?`, "-- ?\n?", "/* ?", "''?"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if len(query) > 10_000 {
			return
		}
		got := sqldb.Postgres.Rebind(query)
		if strings.Count(got, "?") > strings.Count(query, "?") || len(got) < len(query) {
			t.Errorf("%q became %q", query, got)
		}
	})
}

func FuzzParseURI(f *testing.F) {
	for _, s := range []string{"sqlite:///a.db", "sqlite:////a", "postgresql://u:p@h/d", "mysql+x://h", "://", "sqlite"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		a, err := sqldb.ParseURI(uri)
		if err == nil && a.Dialect == sqldb.SQLite && (a.Path == "" || strings.ContainsAny(a.Path, "?\x00")) {
			t.Errorf("%q gives the path %q", uri, a.Path)
		}
	})
}

func TestDialectClauses(t *testing.T) {
	t.Parallel()
	key := []string{"workspace", "key"}
	for _, c := range []struct{ name, got, want string }{
		{"quote", sqldb.SQLite.Quote(`a"b`), `"a""b"`},
		{"quote", sqldb.MySQL.Quote("a`b"), "`a``b`"},
		{"upsert", sqldb.Postgres.Upsert(key, "value"), ` ON CONFLICT ("workspace", "key") DO UPDATE SET "value" = excluded."value"`},
		{"upsert", sqldb.MySQL.Upsert(key, "value"), " ON DUPLICATE KEY UPDATE `value` = VALUES(`value`)"},
		{"ignore", sqldb.SQLite.InsertIgnore("t", key, "workspace", "key"), `INSERT INTO "t" ("workspace", "key") VALUES (?, ?) ON CONFLICT ("workspace", "key") DO NOTHING`},
		{"ignore", sqldb.MySQL.InsertIgnore("t", key, "workspace"), "INSERT INTO `t` (`workspace`) VALUES (?) ON DUPLICATE KEY UPDATE `workspace` = `workspace`"},
		{"like", sqldb.MySQL.Like("a"), "a LIKE BINARY ?"},
		{"ilike", sqldb.Postgres.ILike("a"), "a ILIKE ?"},
		{"ilike", sqldb.SQLite.ILike("a"), "LOWER(a) LIKE LOWER(?)"},
		{"nulls", sqldb.SQLite.NullsLast("a", true), "CASE WHEN (a) IS NULL THEN 1 ELSE 0 END, a DESC"},
		{"placeholders", sqldb.Placeholders(3) + sqldb.Placeholders(0), "?, ?, ?"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, c.got, c.want)
		}
	}
}

func TestClausesOnSQLite(t *testing.T) {
	t.Parallel()
	db := openForClauses(t)
	for _, c := range []struct {
		query string
		args  []any
		want  int
	}{
		{"SELECT COUNT(*) FROM sluice_c WHERE " + sqldb.SQLite.Like("k"), []any{"a%"}, 1},
		{"SELECT COUNT(*) FROM sluice_c WHERE " + sqldb.SQLite.ILike("k"), []any{"A%"}, 2},
		{"SELECT n FROM sluice_c WHERE k = ?", []any{"abc"}, 7},
		{"SELECT n FROM sluice_c ORDER BY " + sqldb.SQLite.NullsLast("n", true) + " LIMIT 1", nil, 7},
		{"SELECT COUNT(*) FROM (SELECT n FROM sluice_c ORDER BY " + sqldb.SQLite.NullsLast("n", false) + " LIMIT 1) WHERE n = 7", nil, 1},
	} {
		if got := count(t, db.Read(), c.query, c.args...); got != c.want {
			t.Errorf("%s = %d, want %d", c.query, got, c.want)
		}
	}
}
