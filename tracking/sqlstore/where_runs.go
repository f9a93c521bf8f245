package sqlstore

import (
	"fmt"

	"sluice/tracking"
	"sluice/tracking/filter"
	"sluice/tracking/sqldb"
)

// runColumn leads from the attributes of runs to columns of "runs r".
var runColumn = map[string]string{
	"run_id": "r.run_uuid", "run_name": "r.name", "status": "r.status", "user_id": "r.user_id", "artifact_uri": "r.artifact_uri",
	"start_time": "r.start_time", "end_time": "r.end_time",
}

// runFilter adds a filter on "runs r". SQLite looks rows up in the order in which the conditions stand: metrics come last, for theirs is
// the table of most rows, whose pages are the least likely to be in memory.
func (w *where) runFilter(e filter.Expr) error {
	for _, metrics := range []bool{false, true} {
		for _, c := range e.Clauses {
			if (c.Entity == filter.Metric) != metrics {
				continue
			}
			if err := w.runClause(c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *where) runClause(c filter.Clause) error {
	switch c.Entity {
	case filter.Metric:
		return w.metric(c)
	case filter.Param:
		return w.keyed("params p", "p", "p.run_uuid = r.run_uuid", c)
	case filter.Tag:
		return w.keyed("tags t", "t", "t.run_uuid = r.run_uuid", c)
	case filter.Dataset:
		return w.dataset(c)
	}
	if c.Key == "run_name" { // the column is empty for runs of MLflow 1.29 and older, the tag is not
		return w.keyed("tags t", "t", "t.run_uuid = r.run_uuid", filter.Clause{Key: tracking.RunNameTag, Op: c.Op, Value: c.Value})
	}
	column, ok := runColumn[c.Key]
	if !ok {
		return fmt.Errorf("filter attribute %q reached the store", c.Key)
	}
	return w.compare(column, c.Op, c.Value)
}

// metric adds a comparison of the latest value. NaN is stored as 0 with a mark: it differs from everything and compares with
// nothing else.
func (w *where) metric(c filter.Clause) error {
	plain := "" // the + keeps SQLite from walking all values of the metric for each run, when one row is to be looked up
	if w.d == sqldb.SQLite {
		plain = "+"
	}
	term, args, err := compareValue(w.d, plain+"m.value", c.Op, c.Value)
	if err != nil {
		return err
	}
	if c.Op == filter.NotEqual {
		term = "(" + term + " OR " + plain + "m.is_nan = TRUE)"
	} else {
		term += " AND " + plain + "m.is_nan = FALSE"
	}
	from := "latest_metrics m WHERE m.run_uuid = r.run_uuid AND m." + w.d.Quote("key") + " = ?"
	w.exists(false, from, []any{c.Key}, " AND "+term, args)
	return nil
}

// datasetColumn leads from the keys of datasets to columns of the joined tables below.
var datasetColumn = map[string]string{"name": "ds.name", "digest": "ds.digest", "context": "it.value"}

func (w *where) dataset(c filter.Clause) error {
	from, args := "inputs i JOIN datasets ds ON ds.dataset_uuid = i.source_id", []any{}
	if c.Key == "context" {
		from += " JOIN input_tags it ON it.input_uuid = i.input_uuid AND it.name = ?"
		args = append(args, tracking.DatasetContextTag)
	}
	from += " WHERE i.destination_type = 'RUN' AND i.destination_id = r.run_uuid AND i.source_type = 'DATASET'"
	term, more, err := compareValue(w.d, datasetColumn[c.Key], c.Op, c.Value)
	if err == nil {
		w.exists(false, from, args, " AND "+term, more)
	}
	return err
}

// runOrder compiles order_by of "runs r". Rows without a value come last both ways, NaN right before them; start_time DESC and
// run_uuid break ties.
func (s *Store) runOrder(order []filter.Order) (ordering, error) {
	out := s.newOrdering("r.run_uuid")
	byStart := false
	for i, o := range order {
		if o.Entity == filter.Attribute {
			column, ok := runColumn[o.Key]
			if !ok {
				return out, fmt.Errorf("order attribute %q reached the store", o.Key)
			}
			byStart = byStart || o.Key == "start_time"
			out.add(s.db.Dialect().NullsLastKeys(column, attributeKind(o.Key), o.Descending)...)
			continue
		}
		alias := fmt.Sprintf("o%d", i)
		table := map[filter.Entity]string{filter.Metric: "latest_metrics", filter.Param: "params", filter.Tag: "tags"}[o.Entity]
		if table == "" {
			return out, fmt.Errorf("order entity %q reached the store", o.Entity)
		}
		out.join(fmt.Sprintf(" LEFT JOIN %s %s ON %s.run_uuid = r.run_uuid AND %s.%s = ?", table, alias, alias, alias, s.q("key")), o.Key)
		if o.Entity == filter.Metric {
			out.add(sqldb.SortKey{Expr: fmt.Sprintf("CASE WHEN %s.is_nan = TRUE THEN 1 WHEN %s.value IS NULL THEN 2 ELSE 0 END", alias, alias), NotNull: true},
				sqldb.SortKey{Expr: alias + ".value", Kind: sqldb.FloatKey, Desc: o.Descending})
			continue
		}
		out.add(s.longText(alias+".value", o.Descending)...)
	}
	if !byStart {
		out.add(sqldb.SortKey{Expr: "r.start_time", Desc: true})
	}
	out.add(sqldb.SortKey{Expr: "r.run_uuid", Kind: sqldb.TextKey, NotNull: true})
	return out, nil
}
