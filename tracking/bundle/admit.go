package bundle

import (
	"path"
	"strings"
	"unicode"

	"sluice/tracking/mlflow"
)

// admit checks how a row belongs to the rows before it: an owner is there once, everything else belongs to one that is there.
func (r *reader) admit(t *Table, row Row) error {
	if err := r.checkRefs(t, row); err != nil {
		return err
	}
	if t.Name == "input_tags" {
		if _, ok := r.c.inputs[row.Text(t, "input_uuid")]; !ok {
			return broken("a row of input_tags belongs to no input.")
		}
		return nil
	}
	o, ok := t.owner(row)
	if !ok {
		return broken("a row of %s belongs to nothing.", t.Name)
	}
	if !t.Defines {
		if !r.c.has[o] {
			return broken("a row of %s belongs to the %s, which is not in it.", t.Name, o)
		}
		return r.admitEdge(t, row, o)
	}
	if r.c.has[o] {
		return broken("the %s is there twice.", o)
	}
	if len(r.c.has) >= r.service.opts.Limits.Owners {
		return tooLarge("runs, models and traces", int64(r.service.opts.Limits.Owners))
	}
	if err := checkOwner(t, row, o); err != nil {
		return err
	}
	r.c.has[o] = true
	r.c.owners[o.Class] = append(r.c.owners[o.Class], o.ID)
	if t.Column("experiment_id") >= 0 {
		r.c.experimentOf[o] = row.Int(t, "experiment_id")
	}
	return nil
}

func (r *reader) checkRefs(t *Table, row Row) error {
	for column, class := range t.Refs {
		id, ok := idOf(row[t.Column(column)])
		if ok && !r.c.has[Owner{class, id}] {
			return broken("a row of %s names the %s, which is not in it.", t.Name, Owner{class, id})
		}
	}
	return nil
}

// admitEdge remembers whose an input is, and refuses edges to what is not in the bundle.
func (r *reader) admitEdge(t *Table, row Row, o Owner) error {
	switch t.Name {
	case "inputs":
		id := row.Text(t, "input_uuid")
		if _, twice := r.c.inputs[id]; twice {
			return broken("the input %s is there twice.", mlflow.Repr(id))
		}
		if int64(len(r.c.inputs)) > int64(10*r.service.opts.Limits.Owners) {
			return tooLarge("inputs", int64(10*r.service.opts.Limits.Owners))
		}
		r.c.inputs[id] = o
	case "entity_associations":
		if trace := (Owner{ClassTrace, row.Text(t, "source_id")}); !r.c.has[trace] {
			return broken("a row of %s names the %s, which is not in it.", t.Name, trace)
		}
	}
	return nil
}

// checkOwner checks what becomes part of a path or a URI, and what the database would not refuse everywhere.
func checkOwner(t *Table, row Row, o Owner) error {
	switch o.Class {
	case ClassExperiment:
		name := row.Text(t, "name")
		if row.Int(t, "experiment_id") < 0 || strings.TrimSpace(name) == "" || strings.ContainsFunc(name, unicode.IsControl) {
			return broken("an experiment has no usable id or name.")
		}
	case ClassRun:
		if o.ID == "models" || o.ID == "traces" {
			return broken("%s is no id of a run.", mlflow.Repr(o.ID)) // folders of an experiment
		}
	case ClassRegistered:
		if strings.TrimSpace(o.ID) == "" || strings.ContainsAny(o.ID, "/:\\") || path.Clean(o.ID) != o.ID || strings.HasPrefix(o.ID, "..") || strings.ContainsFunc(o.ID, unicode.IsControl) {
			return broken("%s is no name of a registered model.", mlflow.Repr(o.ID))
		}
	case ClassVersion:
		if v := row.Int(t, "version"); v < 1 || v > 1<<30 {
			return broken("%d is no version.", v)
		}
	}
	return nil
}
