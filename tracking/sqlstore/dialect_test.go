package sqlstore

import (
	"strings"
	"testing"

	"sluice/tracking/filter"
	"sluice/tracking/sqldb"
)

// What MySQL needs said differently, and that every placeholder has its parameter.
func TestCompareValue(t *testing.T) {
	t.Parallel()
	text := filter.Value{Kind: filter.Text, Text: "x"}
	list := filter.Value{Kind: filter.List, List: []string{"a", "b"}}
	for _, c := range []struct {
		d     sqldb.Dialect
		op    filter.Op
		v     filter.Value
		want  string
		count int
	}{
		{sqldb.SQLite, filter.Equal, text, "c = ?", 1},
		{sqldb.Postgres, filter.NotEqual, text, "c != ?", 1},
		{sqldb.MySQL, filter.Equal, text, "(c = ? AND BINARY c = ?)", 2},
		{sqldb.MySQL, filter.NotEqual, text, "(c != ? OR BINARY c != ?)", 2},
		{sqldb.MySQL, filter.In, list, "BINARY c IN (?, ?)", 2},
		{sqldb.Postgres, filter.NotIn, list, "c NOT IN (?, ?)", 2},
		{sqldb.SQLite, filter.Like, text, "c LIKE ?", 1},
		{sqldb.SQLite, filter.GreaterOrEqual, filter.Value{Kind: filter.Integer, Int: 3}, "c >= ?", 1},
		{sqldb.SQLite, filter.Less, filter.Value{Kind: filter.Float, Num: 3}, "c < ?", 1},
	} {
		got, args, err := compareValue(c.d, "c", c.op, c.v)
		if err != nil || got != c.want || len(args) != c.count || strings.Count(got, "?") != len(args) {
			t.Errorf("%s %s: %q %v, %v; want %q", c.d, c.op, got, args, err, c.want)
		}
	}
	for _, bad := range []struct {
		op filter.Op
		v  filter.Value
	}{{"; DROP", text}, {filter.In, text}, {filter.Equal, list}, {filter.Like, filter.Value{Kind: filter.Float}}, {filter.Equal, filter.Value{}}} {
		if got, _, err := compareValue(sqldb.SQLite, "c", bad.op, bad.v); err == nil {
			t.Errorf("%s with kind %d compiled to %q", bad.op, bad.v.Kind, got)
		}
	}
}

func TestLatestTail(t *testing.T) {
	t.Parallel()
	for d, want := range map[sqldb.Dialect]string{
		sqldb.Postgres: ` ON CONFLICT ("key", "run_uuid") DO UPDATE SET "value" = excluded."value", "timestamp" = excluded."timestamp", "step" = excluded."step", ` +
			`"is_nan" = excluded."is_nan" WHERE (excluded.step, excluded.timestamp, excluded.value) > (latest_metrics.step, latest_metrics.timestamp, latest_metrics.value)`,
		sqldb.MySQL: " ON DUPLICATE KEY UPDATE is_nan = IF((VALUES(step), VALUES(`timestamp`), VALUES(value)) > (step, `timestamp`, value), VALUES(is_nan), is_nan), ",
	} {
		if got := latestTail(d); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s\nwant %s", d, got, want)
		}
	}
}
