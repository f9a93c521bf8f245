package sqlstore

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"

	"sluice/tracking"
	"sluice/tracking/page"
	"sluice/tracking/sqldb"
)

const runColumns = "r.run_uuid, COALESCE(r.name, ''), r.experiment_id, COALESCE(r.user_id, ''), COALESCE(r.status, ''), " +
	"COALESCE(r.start_time, 0), COALESCE(r.end_time, 0), COALESCE(r.artifact_uri, ''), COALESCE(r.lifecycle_stage, 'active')"

func scanRun(rows interface{ Scan(...any) error }) (tracking.RunInfo, error) {
	var r tracking.RunInfo
	var experiment int64
	err := rows.Scan(&r.ID, &r.Name, &experiment, &r.UserID, &r.Status, &r.StartTimeMS, &r.EndTimeMS, &r.ArtifactURI, &r.Lifecycle)
	r.ExperimentID = strconv.FormatInt(experiment, 10)
	return r, err
}

// runInfo returns the head of a run.
func runInfo(ctx context.Context, q sqldb.Querier, id string) (tracking.RunInfo, error) {
	return runWhere(ctx, q, id, "")
}

// runWhere is runInfo with an end of the statement that may lock the row.
func runWhere(ctx context.Context, q sqldb.Querier, id, lock string) (tracking.RunInfo, error) {
	r, err := scanRun(q.QueryRowContext(ctx, "SELECT "+runColumns+" FROM runs r WHERE r.run_uuid = ?"+lock, id))
	if ok, err := found(err); err != nil {
		return r, err
	} else if !ok {
		return r, tracking.UnknownRun(id)
	}
	return r, nil
}

// Run implements tracking.RunReader.
func (s *Store) Run(ctx context.Context, id string) (tracking.Run, error) {
	var out tracking.Run
	err := s.db.ReadTx(ctx, func(q sqldb.Querier) error {
		info, err := runInfo(ctx, q, id)
		if err != nil {
			return err
		}
		list := []tracking.Run{{Info: info}}
		if err := s.loadRuns(ctx, q, list); err != nil {
			return err
		}
		out = list[0]
		out.Inputs.Models, err = modelInputs(ctx, q, id)
		return err
	})
	return out, err
}

// SearchRuns implements tracking.RunReader.
func (s *Store) SearchRuns(ctx context.Context, search tracking.RunSearch) (page.Found[tracking.Run], error) {
	var none page.Found[tracking.Run]
	in, err := experimentIDs(search.ExperimentIDs)
	if err != nil {
		return none, err
	}
	w := s.newWhere()
	w.add("r.experiment_id IN (" + in + ")")
	w.stages("r.lifecycle_stage", search.View)
	if err := w.runFilter(search.Filter); err != nil {
		return none, err
	}
	order, err := s.runOrder(search.Order)
	if err != nil {
		return none, err
	}
	if s.byMetric(search.Order) {
		return s.readByMetric(ctx, w, search, order)
	}
	scan := func(row interface{ Scan(...any) error }) (tracking.Run, error) {
		info, err := scanRun(row)
		return tracking.Run{Info: info}, err
	}
	return readPage(ctx, s.db.ReadLong, runColumns, "runs r", w, order, search.After, search.Limit, scan, s.loadRuns)
}

// loadRuns fills data, dataset inputs and outputs of runs: five queries for every chunk of runs.
func (s *Store) loadRuns(ctx context.Context, q sqldb.Querier, runs []tracking.Run) error {
	if len(runs) == 0 {
		return nil
	}
	index := make(map[string]*tracking.Run, len(runs))
	ids := make([]string, len(runs))
	for i := range runs {
		index[runs[i].Info.ID], ids[i] = &runs[i], runs[i].Info.ID
	}
	for _, load := range []func(context.Context, sqldb.Querier, []string, map[string]*tracking.Run) error{
		s.loadLatestMetrics, s.loadParams, s.loadTags, s.loadDatasets, s.loadOutputs,
	} {
		if err := load(ctx, q, ids, index); err != nil {
			return err
		}
	}
	for i := range runs {
		nameFromTag(&runs[i])
	}
	return nil
}

// nameFromTag names a run of MLflow 1.29 or older, whose name stands in the tag alone.
func nameFromTag(r *tracking.Run) {
	if r.Info.Name != "" {
		return
	}
	for _, t := range r.Data.Tags {
		if t.Key == tracking.RunNameTag {
			r.Info.Name = t.Value
		}
	}
}

// loadLatestMetrics, like the other tables of a page, is read in the order in which the database finds it fastest, and sorted here.
func (s *Store) loadLatestMetrics(ctx context.Context, q sqldb.Querier, ids []string, index map[string]*tracking.Run) error {
	rows := sqldb.RowsOf{Table: "latest_metrics", ID: "run_uuid", IDs: ids, Columns: []string{s.q("key"), "value", "timestamp", "step", "is_nan"}}
	run := &tracking.Run{}                // neighbours mostly share theirs
	var before, metrics []tracking.Metric // of the run before, which mostly has the same keys in the same order, and of this one
	err := sqldb.EachOf(ctx, q, rows, func(row *sqldb.Values) error {
		if id := row.TextLike(0, run.Info.ID); run.Info.ID != id {
			run.Data.Metrics, before, run = metrics, metrics, index[id]
			if metrics = run.Data.Metrics; metrics == nil {
				metrics = make([]tracking.Metric, 0, max(1, len(before)))
			}
		}
		known := ""
		if n := len(metrics); n < len(before) {
			known = before[n].Key
		}
		metrics = append(metrics, metricOf(row, known))
		return nil
	})
	run.Data.Metrics = metrics
	for _, run := range index {
		sortByKey(run.Data.Metrics, func(m *tracking.Metric) string { return m.Key })
	}
	return err
}

// sortByKey sorts rows that mostly are sorted already.
func sortByKey[T any](rows []T, key func(*T) string) {
	for i := 1; i < len(rows); i++ {
		if key(&rows[i]) < key(&rows[i-1]) {
			slices.SortFunc(rows, func(a, b T) int { return strings.Compare(key(&a), key(&b)) })
			return
		}
	}
}

// metricOf reads run id, key, value, timestamp, step and the mark of NaN. known is what the key probably is.
func metricOf(row *sqldb.Values, known string) tracking.Metric {
	m := tracking.Metric{Key: row.TextLike(1, known), Value: row.Float(2), TimestampMS: row.Int(3), Step: row.Int(4)}
	if row.Bool(5) {
		m.Value = math.NaN()
	}
	return m
}

func (s *Store) loadParams(ctx context.Context, q sqldb.Querier, ids []string, index map[string]*tracking.Run) error {
	err := s.loadPairs(ctx, q, "params", ids, func(id, key, value string) {
		index[id].Data.Params = append(index[id].Data.Params, tracking.Param{Key: key, Value: value})
	})
	for _, run := range index {
		sortByKey(run.Data.Params, func(p *tracking.Param) string { return p.Key })
	}
	return err
}

func (s *Store) loadTags(ctx context.Context, q sqldb.Querier, ids []string, index map[string]*tracking.Run) error {
	err := s.loadPairs(ctx, q, "tags", ids, func(id, key, value string) {
		index[id].Data.Tags = append(index[id].Data.Tags, tracking.Tag{Key: key, Value: value})
	})
	for _, run := range index {
		sortByKey(run.Data.Tags, func(t *tracking.Tag) string { return t.Key })
	}
	return err
}

func (s *Store) loadPairs(ctx context.Context, q sqldb.Querier, table string, ids []string, take func(id, key, value string)) error {
	rows := sqldb.RowsOf{Table: table, ID: "run_uuid", IDs: ids, Columns: []string{s.q("key"), "value"}}
	id := "" // neighbours mostly share theirs
	return sqldb.EachOf(ctx, q, rows, func(row *sqldb.Values) error {
		id = row.TextLike(0, id)
		take(id, row.Text(1), row.Text(2))
		return nil
	})
}
