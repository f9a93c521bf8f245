package sqldb_test

import (
	"fmt"
	"testing"

	"sluice/tracking/mlflow"
	"sluice/tracking/page"
	"sluice/tracking/sqldb"
)

// TestKeysetFollowsWhereNullsSort: what comes behind a row depends on where the database puts rows without a value.
func TestKeysetFollowsWhereNullsSort(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dialect sqldb.Dialect
		desc    bool
		value   any
		want    string
	}{
		{sqldb.SQLite, false, int64(5), "(a > ? OR a = ? AND id > ?)"},
		{sqldb.SQLite, false, nil, "(a IS NOT NULL OR a IS NULL AND id > ?)"},
		{sqldb.MySQL, true, int64(5), "((a < ? OR a IS NULL) OR a = ? AND id > ?)"},
		{sqldb.MySQL, true, nil, "(1 = 0 OR a IS NULL AND id > ?)"},
		{sqldb.Postgres, false, int64(5), "((a > CAST(? AS BIGINT) OR a IS NULL) OR a = CAST(? AS BIGINT) AND id > ?)"},
		{sqldb.Postgres, true, int64(5), "(a < CAST(? AS BIGINT) OR a = CAST(? AS BIGINT) AND id > ?)"},
		{sqldb.Postgres, true, nil, "(a IS NOT NULL OR a IS NULL AND id > ?)"},
	} {
		k := sqldb.Keyset{Dialect: c.dialect, Keys: []sqldb.SortKey{{Expr: "a", Desc: c.desc}, {Expr: "id", Kind: sqldb.TextKey, NotNull: true}}}
		got, args, err := k.After(page.Place{c.value, "x"})
		if err != nil || got != c.want {
			t.Errorf("%v, descending %v, %v: got %s, %v, want %s", c.dialect, c.desc, c.value, got, err, c.want)
		}
		if n := len(args); c.value == nil && n != 1 || c.value != nil && n != 3 || fmt.Sprint(args[n-1]) != "x" {
			t.Errorf("%v: arguments %v", c, args)
		}
	}
}

func TestKeysetRefusesForeignPlaces(t *testing.T) {
	t.Parallel()
	k := sqldb.Keyset{Keys: []sqldb.SortKey{{Expr: "a"}, {Expr: "b", Kind: sqldb.FloatKey}, {Expr: "id", Kind: sqldb.TextKey, NotNull: true}}}
	for _, bad := range []page.Place{
		{}, {int64(1), 1.5}, {1.5, 1.5, "x"}, {"1", 1.5, "x"}, {int64(1), "1.5", "x"}, {int64(1), 1.5, nil}, {int64(1), 1.5, int64(2)},
		{int64(1), 1.5, page.DigestOf("x")}, {int64(1), 1.5, "x", "y"}, {true, 1.5, "x"},
	} {
		if _, _, err := k.After(bad); mlflow.CodeOf(err) != mlflow.InvalidParameterValue {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if condition, _, err := k.After(page.Place{nil, int64(3), "x"}); err != nil || condition == "" { // a whole float lost its point
		t.Error(condition, err)
	}
}
