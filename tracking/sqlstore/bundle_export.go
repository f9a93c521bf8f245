package sqlstore

import (
	"context"
	"database/sql"
	"strconv"

	"sluice/tracking"
	"sluice/tracking/bundle"
	"sluice/tracking/sqlbundle"
	"sluice/tracking/sqldb"
)

// BundleRefs names what a registered model's versions came from.
type BundleRefs struct{ Runs, Models []string }

// ExportRun emits the rows of a run's bundle, of one commit. Returns RESOURCE_DOES_NOT_EXIST.
func (s *Store) ExportRun(ctx context.Context, id string, emit bundle.Emit) error {
	return s.exporting(ctx, emit, func(x *exporter) error {
		if err := x.add(x.runs, "SELECT run_uuid FROM runs WHERE run_uuid IN (%s)", []string{id}); err != nil {
			return err
		}
		if len(x.runs.list) == 0 {
			return tracking.UnknownRun(id)
		}
		return x.ofRuns()
	})
}

// ExportExperiment emits the rows of an experiment's bundle, of one commit; the experiment is known by its id or its name.
// Returns RESOURCE_DOES_NOT_EXIST.
func (s *Store) ExportExperiment(ctx context.Context, key string, emit bundle.Emit) (id string, err error) {
	err = s.exporting(ctx, emit, func(x *exporter) error {
		if id, err = x.experiment(key); err != nil {
			return err
		}
		x.experiments.put(id)
		n, err := experimentID(id)
		if err != nil {
			return err
		}
		for set, query := range map[*idSet]string{
			x.runs:   "SELECT run_uuid FROM runs WHERE experiment_id = ?",
			x.models: "SELECT model_id FROM logged_models WHERE experiment_id = ?",
			x.traces: "SELECT request_id FROM trace_info WHERE experiment_id = ?",
		} {
			if err := x.read(set, query, n); err != nil {
				return err
			}
		}
		return nil
	})
	return id, err
}

// ExportRefs emits the rows of runs and logged models that a registered model's bundle needs, of one commit; ids that are not there are
// left out.
func (s *Store) ExportRefs(ctx context.Context, refs BundleRefs, emit bundle.Emit) error {
	return s.exporting(ctx, emit, func(x *exporter) error {
		if err := x.add(x.models, "SELECT model_id FROM logged_models WHERE model_id IN (%s)", refs.Models); err != nil {
			return err
		}
		if err := x.add(x.runs, "SELECT run_uuid FROM runs WHERE run_uuid IN (%s)", refs.Runs); err != nil {
			return err
		}
		return x.add(x.runs, "SELECT r.run_uuid FROM logged_models m JOIN runs r ON r.run_uuid = m.source_run_id WHERE m.model_id IN (%s)", x.models.list)
	})
}

// exporting runs choose, which fills the sets, and emits everything about them.
func (s *Store) exporting(ctx context.Context, emit bundle.Emit, choose func(x *exporter) error) error {
	return s.db.ReadTx(ctx, func(q sqldb.Querier) error {
		x := &exporter{ctx: ctx, s: s, q: q, emit: emit, experiments: newIDSet(), runs: newIDSet(), models: newIDSet(), traces: newIDSet(), inputs: newIDSet(), datasets: newIDSet()}
		if err := choose(x); err != nil {
			return err
		}
		return x.all()
	})
}

// idSet is ids in the order in which they came.
type idSet struct {
	list []string
	has  map[string]bool
}

func newIDSet() *idSet { return &idSet{has: map[string]bool{}} }

func (s *idSet) put(id string) {
	if !s.has[id] {
		s.has[id] = true
		s.list = append(s.list, id)
	}
}

// exporter is one export; the sets are what is exported.
type exporter struct {
	ctx                                                 context.Context
	s                                                   *Store
	q                                                   sqldb.Querier
	emit                                                bundle.Emit
	experiments, runs, models, traces, inputs, datasets *idSet
}

// read adds the ids that a query gives.
func (x *exporter) read(set *idSet, query string, args ...any) error {
	return each(x.ctx, x.q, query, args, func(rows *sql.Rows) error { return putID(set, rows) })
}

// add adds the ids that a query with an IN list of ids gives.
func (x *exporter) add(set *idSet, query string, ids []string) error {
	return eachOf(x.ctx, x.q, query, nil, ids, func(rows *sql.Rows) error { return putID(set, rows) })
}

func putID(set *idSet, rows *sql.Rows) error {
	var id string
	err := rows.Scan(&id)
	set.put(id)
	return err
}

// experiment finds an experiment by its id, else by its name.
func (x *exporter) experiment(key string) (string, error) {
	if n, err := storedExperimentID(x.s.db.Dialect(), key); err == nil {
		var stored int64
		err := x.q.QueryRowContext(x.ctx, "SELECT experiment_id FROM experiments WHERE experiment_id = ?", n).Scan(&stored)
		if ok, err := found(err); ok || err != nil {
			return strconv.FormatInt(stored, 10), err
		}
	}
	is, args := x.s.db.Dialect().Equal("name", key)
	var n int64
	err := x.q.QueryRowContext(x.ctx, "SELECT experiment_id FROM experiments WHERE "+is, args...).Scan(&n)
	if ok, err := found(err); err != nil {
		return "", err
	} else if !ok {
		return "", tracking.UnknownExperimentName(key)
	}
	return strconv.FormatInt(n, 10), nil
}

// ofRuns adds what a run's bundle holds besides the run: logged models that it made or names, and traces.
func (x *exporter) ofRuns() error {
	runs := x.runs.list
	for _, step := range []struct {
		set   *idSet
		query string
	}{
		{x.models, "SELECT model_id FROM logged_models WHERE source_run_id IN (%s)"},
		{x.models, "SELECT m.model_id FROM inputs i JOIN logged_models m ON m.model_id = i.destination_id WHERE i.source_type IN ('RUN_INPUT', 'RUN_OUTPUT') AND i.source_id IN (%s)"},
		{x.traces, "SELECT t.request_id FROM trace_request_metadata m JOIN trace_info t ON t.request_id = m.request_id WHERE m." + x.s.q("key") + " = '" + tracking.SourceRunKey + "' AND m.value IN (%s)"},
		{x.traces, "SELECT t.request_id FROM entity_associations a JOIN trace_info t ON t.request_id = a.source_id WHERE a.source_type = 'trace' AND a.destination_type = 'run' AND a.destination_id IN (%s)"},
	} {
		if err := x.add(step.set, step.query, runs); err != nil {
			return err
		}
	}
	return nil
}

// all emits every row about the sets: owners first, since they tell the experiments. Traces in the layout of an older schema are refused: a
// newer one, which a bundle may go to, keeps their names, tokens and costs elsewhere.
func (x *exporter) all() error {
	if len(x.traces.list) > 0 {
		if err := x.s.tracesReady(); err != nil {
			return err
		}
	}
	tables := map[string]*bundle.Table{}
	for _, t := range bundle.Tables() {
		tables[t.Name] = t
	}
	for _, step := range []struct {
		table, column string
		of            *idSet
	}{
		{"runs", "run_uuid", x.runs}, {"logged_models", "model_id", x.models}, {"trace_info", "request_id", x.traces},
		{"experiments", "experiment_id", x.experiments}, {"experiment_tags", "experiment_id", x.experiments},
		{"params", "run_uuid", x.runs}, {"tags", "run_uuid", x.runs}, {"metrics", "run_uuid", x.runs}, {"latest_metrics", "run_uuid", x.runs},
		{"logged_model_params", "model_id", x.models}, {"logged_model_tags", "model_id", x.models}, {"logged_model_metrics", "model_id", x.models},
		{"trace_tags", "request_id", x.traces}, {"trace_request_metadata", "request_id", x.traces}, {"trace_metrics", "request_id", x.traces},
		{"spans", "trace_id", x.traces}, {"span_metrics", "trace_id", x.traces}, {"assessments", "trace_id", x.traces},
	} {
		if err := sqlbundle.Select(x.ctx, x.s.db, x.q, tables[step.table], step.column, step.of.list, "", nil, x.row); err != nil {
			return err
		}
	}
	return x.edges(tables)
}

// edges emits inputs with their datasets and tags, and the links between traces and runs.
func (x *exporter) edges(tables map[string]*bundle.Table) error {
	for _, step := range []struct{ table, column, and string }{
		{"inputs", "destination_id", "t.destination_type = 'RUN' AND t.source_type = 'DATASET'"},
		{"inputs", "source_id", "t.source_type IN ('RUN_INPUT', 'RUN_OUTPUT')"},
		{"entity_associations", "destination_id", "t.destination_type = 'run' AND t.source_type = 'trace'"},
	} {
		if err := sqlbundle.Select(x.ctx, x.s.db, x.q, tables[step.table], step.column, x.runs.list, step.and, nil, x.row); err != nil {
			return err
		}
	}
	if err := sqlbundle.Select(x.ctx, x.s.db, x.q, tables["input_tags"], "input_uuid", x.inputs.list, "", nil, x.row); err != nil {
		return err
	}
	return sqlbundle.Select(x.ctx, x.s.db, x.q, tables["datasets"], "dataset_uuid", x.datasets.list, "", nil, x.row)
}

// row hands a row on and learns from it; what names something outside of the sets is left out.
func (x *exporter) row(t *bundle.Table, row bundle.Row) error {
	if t.Name == "runs" || t.Name == "logged_models" || t.Name == "trace_info" {
		x.experiments.put(strconv.FormatInt(row.Int(t, "experiment_id"), 10))
	}
	switch t.Name {
	case "inputs":
		if row.Text(t, "source_type") == typeDataset {
			x.datasets.put(row.Text(t, "source_id"))
		} else if !x.models.has[row.Text(t, "destination_id")] {
			return nil
		}
		x.inputs.put(row.Text(t, "input_uuid"))
	case "logged_model_metrics":
		if !x.runs.has[row.Text(t, "run_id")] {
			return nil
		}
	case "entity_associations":
		if !x.traces.has[row.Text(t, "source_id")] {
			return nil
		}
	case "datasets":
		if !x.experiments.has[strconv.FormatInt(row.Int(t, "experiment_id"), 10)] {
			return nil
		}
	}
	return x.emit(t, row)
}
