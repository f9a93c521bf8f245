package sqlstore

import (
	"slices"
	"strconv"
	"strings"

	"sluice/tracking/filter"
	"sluice/tracking/mlflow"
	"sluice/tracking/pyjson"
)

// promotedSum adds a condition on a trace's tokens or cost, which stand in columns: whether there are any, or whether they are
// those of a JSON text, which has to be spelled as it is on reading.
func (w *where) promotedSum(c filter.Clause, members []string) error {
	some := "COALESCE(ti." + strings.Join(members, ", ti.") + ") IS NOT NULL"
	switch c.Op {
	case filter.IsNotNull:
		w.add(some)
	case filter.IsNull:
		w.add("NOT " + some)
	case filter.Equal:
		same, args := equalSum(c, members)
		w.add(same, args...)
	case filter.NotEqual:
		same, args := equalSum(c, members)
		w.add(some+" AND NOT ("+same+")", args...)
	default:
		return mlflow.Invalidf("Comparator '%s' is not supported for reserved metadata '%s'. Only '=', '!=', 'IS NULL', and 'IS NOT NULL' are supported.", c.Op, c.Key)
	}
	return nil
}

// equalSum is true of the traces whose tokens or cost are spelled as the clause's text on reading; of none if nothing is.
func equalSum(c filter.Clause, members []string) (term string, args []any) {
	columns, values := analytics(map[string]string{c.Key: c.Value.Text})
	terms, spelled := make([]string, len(members)), map[string]string{}
	putSum(spelled, c.Key, members, func(i int) ([]byte, bool) {
		at := slices.Index(columns, members[i])
		if at < 0 || values[at] == nil {
			terms[i] = "ti." + members[i] + " IS NULL"
			return nil, false
		}
		terms[i] = "COALESCE(ti." + members[i] + " = ?, 1 = 0)"
		args = append(args, values[at])
		if n, ok := values[at].(int64); ok {
			return strconv.AppendInt(nil, n, 10), true
		}
		v, _ := values[at].(float64)
		return pyjson.AppendFloat(nil, v), true
	})
	if spelled[c.Key] != c.Value.Text {
		return "1 = 0", nil
	}
	return strings.Join(terms, " AND "), args
}
