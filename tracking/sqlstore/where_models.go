package sqlstore

import (
	"fmt"
	"strings"

	"sluice/tracking"
	"sluice/tracking/filter"
	"sluice/tracking/sqldb"
)

// modelColumn leads from the attributes of logged models to columns of "logged_models lm".
var modelColumn = map[string]string{
	"model_id": "lm.model_id", "name": "lm.name", "model_type": "lm.model_type", "source_run_id": "lm.source_run_id", "status": "lm.status",
	"creation_timestamp": "lm.creation_timestamp_ms", "last_updated_timestamp": "lm.last_updated_timestamp_ms",
}

// modelStatusName shows the number in lm.status as filters name it.
const modelStatusName = "(CASE lm.status WHEN 1 THEN 'PENDING' WHEN 2 THEN 'READY' WHEN 3 THEN 'UPLOAD_FAILED' ELSE 'UNSPECIFIED' END)"

// modelFilter adds a filter on "logged_models lm". datasets narrow which metric rows count; without a metric in the filter they
// demand that there is any.
func (w *where) modelFilter(e filter.Expr, datasets []tracking.DatasetFilter) error {
	narrow, args := datasetTerm(datasets)
	measured := false
	for _, c := range e.Clauses {
		var err error
		switch c.Entity {
		case filter.Metric:
			measured = true
			err = w.modelMetric(c, narrow, args)
		case filter.Param:
			err = w.modelPair("logged_model_params x", "x.param_key", "x.param_value", c)
		case filter.Tag:
			err = w.modelPair("logged_model_tags x", "x.tag_key", "x.tag_value", c)
		default:
			err = w.modelAttribute(c)
		}
		if err != nil {
			return err
		}
	}
	if narrow != "" && !measured {
		w.exists(false, "logged_model_metrics x WHERE x.model_id = lm.model_id", nil, narrow, args)
	}
	return nil
}

// datasetTerm returns " AND (…)" on the metric rows x, "" for no datasets.
func datasetTerm(datasets []tracking.DatasetFilter) (string, []any) {
	var terms []string
	var args []any
	for _, d := range datasets {
		term := "x.dataset_name = ?"
		args = append(args, d.Name)
		if d.Digest != "" {
			term = "(" + term + " AND x.dataset_digest = ?)"
			args = append(args, d.Digest)
		}
		terms = append(terms, term)
	}
	if terms == nil {
		return "", nil
	}
	return " AND (" + strings.Join(terms, " OR ") + ")", args
}

func (w *where) modelMetric(c filter.Clause, narrow string, narrowArgs []any) error {
	term, args, err := compareValue(w.d, "x.metric_value", c.Op, c.Value)
	if err == nil {
		from := "logged_model_metrics x WHERE x.model_id = lm.model_id AND x.metric_name = ?"
		w.exists(false, from, []any{c.Key}, " AND "+term+narrow, append(args, narrowArgs...))
	}
	return err
}

func (w *where) modelPair(from, key, value string, c filter.Clause) error {
	term, args, err := compareValue(w.d, value, c.Op, c.Value)
	if err == nil {
		w.exists(false, from+" WHERE x.model_id = lm.model_id AND "+key+" = ?", []any{c.Key}, " AND "+term, args)
	}
	return err
}

func (w *where) modelAttribute(c filter.Clause) error {
	if c.Key == "status" {
		return w.compare(modelStatusName, c.Op, statusValue(c.Value))
	}
	column, ok := modelColumn[c.Key]
	if !ok {
		return fmt.Errorf("filter attribute %q reached the store", c.Key)
	}
	return w.compare(column, c.Op, c.Value)
}

// statusValue turns the spellings of a status in a filter (LOGGED_MODEL_READY, READY, 2) into the short name.
func statusValue(v filter.Value) filter.Value {
	name := func(s string) string {
		for n := 1; n <= 3; n++ {
			if s == fmt.Sprint(n) {
				s = string(tracking.ModelStatusOf(n))
			}
		}
		return strings.TrimPrefix(s, "LOGGED_MODEL_")
	}
	out := filter.Value{Kind: v.Kind, Text: name(v.Text)}
	for _, s := range v.List {
		out.List = append(out.List, name(s))
	}
	return out
}

// modelOrder compiles order_by of "logged_models lm", as runOrder does. A metric's value is the one of its latest row by
// timestamp and step.
func (s *Store) modelOrder(order []filter.Order) (ordering, error) {
	out := s.newOrdering("lm.model_id")
	byCreation, byID := false, false
	for i, o := range order {
		if o.Entity == filter.Attribute {
			column, ok := modelColumn[o.Key]
			if !ok {
				return out, fmt.Errorf("order attribute %q reached the store", o.Key)
			}
			byCreation = byCreation || o.Key == "creation_timestamp"
			byID = byID || o.Key == "model_id"
			kind := attributeKind(o.Key)
			if o.Key == "status" { // a number in the table
				kind = sqldb.IntKey
			}
			out.add(s.db.Dialect().NullsLastKeys(column, kind, o.Descending)...)
			continue
		}
		alias := fmt.Sprintf("o%d", i)
		from := "SELECT x.model_id, x.metric_value, ROW_NUMBER() OVER (PARTITION BY x.model_id ORDER BY x.metric_timestamp_ms DESC, x.metric_step DESC, " +
			"x.run_id) AS newest FROM logged_model_metrics x WHERE x.metric_name = ?"
		args := []any{o.Key}
		if o.DatasetName != "" {
			from, args = from+" AND x.dataset_name = ?", append(args, o.DatasetName)
		}
		if o.DatasetDigest != "" { // counts alone, too
			from, args = from+" AND x.dataset_digest = ?", append(args, o.DatasetDigest)
		}
		out.join(fmt.Sprintf(" LEFT JOIN (%s) %s ON %s.model_id = lm.model_id AND %s.newest = 1", from, alias, alias, alias), args...)
		out.add(s.db.Dialect().NullsLastKeys(alias+".metric_value", sqldb.FloatKey, o.Descending)...)
	}
	if !byCreation {
		out.add(sqldb.SortKey{Expr: "lm.creation_timestamp_ms", Desc: true, NotNull: true})
	}
	if !byID {
		out.add(sqldb.SortKey{Expr: "lm.model_id", Kind: sqldb.TextKey, NotNull: true})
	}
	return out, nil
}
