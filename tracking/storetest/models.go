package storetest

import (
	"fmt"
	"strings"

	"sluice/tracking"
	"sluice/tracking/mlflow"
)

func (f *fixture) model(name string, params ...tracking.Param) string {
	f.Helper()
	m, err := f.svc.CreateLoggedModel(f.ctx, tracking.LoggedModelSpec{ExperimentID: "0", Name: name, Params: params})
	f.must(err)
	return m.ID
}

func (f *fixture) getModel(id string) tracking.LoggedModel {
	f.Helper()
	m, err := f.svc.LoggedModel(f.ctx, id, true)
	f.must(err)
	return m
}

var modelCases = []testCase{
	{"create and get", func(f *fixture) {
		run := f.run("r")
		made, err := f.svc.CreateLoggedModel(f.ctx, tracking.LoggedModelSpec{
			ExperimentID: "0", Name: "wine", ModelType: "classifier", SourceRunID: run,
			Params: []tracking.Param{{Key: "a", Value: "1"}}, Tags: []tracking.Tag{{Key: "t", Value: "x"}},
		})
		f.must(err)
		equal(f, f.getModel(made.ID), made, "read back")
		want := tracking.LoggedModel{
			ID: made.ID, ExperimentID: "0", Name: "wine", ArtifactLocation: "mlflow-artifacts:/0/models/" + made.ID + "/artifacts",
			CreatedMS: made.CreatedMS, UpdatedMS: made.CreatedMS, Status: tracking.ModelPending, ModelType: "classifier", SourceRunID: run,
			Lifecycle: tracking.Active, Tags: []tracking.Tag{{Key: "t", Value: "x"}}, Params: []tracking.Param{{Key: "a", Value: "1"}},
		}
		equal(f, made, want, "made")
		if !strings.HasPrefix(made.ID, "m-") || len(made.ID) != 34 {
			f.Fatalf("id %q", made.ID)
		}
		random, err := f.svc.CreateLoggedModel(f.ctx, tracking.LoggedModelSpec{ExperimentID: "0"})
		f.must(err)
		equal(f, strings.Count(random.Name, "-"), 2, "dashes of a random name")
		long := f.getModel(f.model("long", tracking.Param{Key: "prompt", Value: strings.Repeat("🍷", 16_383)}, tracking.Param{Key: "too long", Value: strings.Repeat("x", 20_000)}))
		equal(f, []int{len([]rune(long.Params[0].Value)), len(long.Params[1].Value)}, []int{16_383, 16_383}, "lengths of long params")
	}},
	{"refusals", func(f *fixture) {
		for _, name := range []string{"a/b", "a.b", "a:b", "a%b", `a"b`, "a'b"} {
			_, err := f.svc.CreateLoggedModel(f.ctx, tracking.LoggedModelSpec{ExperimentID: "0", Name: name})
			f.refused(err, mlflow.InvalidParameterValue)
		}
		_, err := f.svc.CreateLoggedModel(f.ctx, tracking.LoggedModelSpec{ExperimentID: "4711"})
		f.refused(err, mlflow.ResourceDoesNotExist)
		_, err = f.svc.LoggedModel(f.ctx, "m-nope", true)
		f.refused(err, mlflow.ResourceDoesNotExist)
		_, err = f.svc.FinalizeLoggedModel(f.ctx, "m-nope", tracking.ModelReady)
		f.refused(err, mlflow.ResourceDoesNotExist)
		_, err = f.svc.FinalizeLoggedModel(f.ctx, f.model("m"), "DONE")
		f.refused(err, mlflow.InvalidParameterValue)
		for _, err := range []error{
			f.svc.DeleteLoggedModel(f.ctx, "m-nope"), f.svc.SetLoggedModelTags(f.ctx, "m-nope", nil), f.svc.DeleteLoggedModelTag(f.ctx, "m-nope", "k"),
			f.svc.LogLoggedModelParams(f.ctx, "m-nope", nil),
		} {
			f.refused(err, mlflow.ResourceDoesNotExist)
		}
		run := f.run("r")
		f.refused(f.svc.LogMetric(f.ctx, run, tracking.Metric{Key: "m", ModelID: "m-nope"}), mlflow.BadRequest)
		equal(f, len(f.history(run, "m")), 0, "history of the refused metric")
	}},
	{"finalize and delete move the time", func(f *fixture) {
		id := f.model("m")
		m, err := f.svc.FinalizeLoggedModel(f.ctx, id, tracking.ModelReady)
		f.must(err)
		equal(f, m, f.getModel(id), "finalized")
		if m.Status != tracking.ModelReady || m.UpdatedMS <= m.CreatedMS {
			f.Fatalf("finalized: %+v", m)
		}
		f.must(f.svc.DeleteLoggedModel(f.ctx, id))
		_, err = f.svc.LoggedModel(f.ctx, id, false)
		f.refused(err, mlflow.ResourceDoesNotExist)
		equal(f, f.getModel(id).Lifecycle, tracking.Deleted, "stage")
	}},
	{"tags and params", func(f *fixture) {
		id := f.model("m", tracking.Param{Key: "p", Value: "1"})
		f.must(f.svc.SetLoggedModelTags(f.ctx, id, []tracking.Tag{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}, {Key: "a", Value: "3"}}))
		f.must(f.svc.SetLoggedModelTags(f.ctx, id, []tracking.Tag{{Key: "b", Value: ""}}))
		f.must(f.svc.LogLoggedModelParams(f.ctx, id, []tracking.Param{{Key: "q", Value: "2"}, {Key: "p", Value: "1"}}))
		m := f.getModel(id)
		equal(f, m.Tags, []tracking.Tag{{Key: "a", Value: "3"}, {Key: "b"}}, "tags")
		equal(f, m.Params, []tracking.Param{{Key: "p", Value: "1"}, {Key: "q", Value: "2"}}, "params")
		f.refused(f.svc.LogLoggedModelParams(f.ctx, id, []tracking.Param{{Key: "new", Value: "x"}, {Key: "p", Value: "2"}}), mlflow.BadRequest)
		equal(f, len(f.getModel(id).Params), 2, "params after a refusal")
		f.must(f.svc.DeleteLoggedModelTag(f.ctx, id, "a"))
		f.refused(f.svc.DeleteLoggedModelTag(f.ctx, id, "a"), mlflow.ResourceDoesNotExist)
	}},
	{"a run's metric belongs to its model too", func(f *fixture) {
		run, id := f.run("r"), f.model("m")
		m := tracking.Metric{Key: "acc", Value: 0.5, TimestampMS: 3, Step: 2, ModelID: id, DatasetName: "iris", DatasetDigest: "d1"}
		for range 2 {
			f.must(f.svc.LogMetric(f.ctx, run, m))
		}
		f.must(f.svc.LogBatch(f.ctx, run, tracking.Batch{Metrics: []tracking.Metric{{Key: "acc", Value: 1, TimestampMS: 4, ModelID: id}, {Key: "own", Value: 2}}}))
		got := f.getModel(id).Metrics
		m.RunID = run
		equal(f, got, []tracking.Metric{m, {Key: "acc", Value: 1, TimestampMS: 4, ModelID: id, RunID: run}}, "metrics of the model")
		equal(f, len(f.get(run).Data.Metrics), 2, "metrics of the run")
	}},
}

// searchModels makes four models: a, b, c in this order; d is deleted.
func searchModels(f *fixture) map[string]string {
	ids := map[string]string{}
	run := f.run("r")
	for i, name := range []string{"a", "b", "c", "d"} {
		ids[name] = f.model(name, tracking.Param{Key: "lr", Value: fmt.Sprintf("0.%d", i)})
	}
	for _, m := range []tracking.Metric{
		{Key: "acc", Value: 0.9, TimestampMS: 1, ModelID: ids["a"], DatasetName: "iris", DatasetDigest: "d1"},
		{Key: "acc", Value: 0.2, TimestampMS: 2, ModelID: ids["a"], DatasetName: "wine", DatasetDigest: "d2"},
		{Key: "acc", Value: 0.5, TimestampMS: 1, ModelID: ids["b"], DatasetName: "iris", DatasetDigest: "d9"},
	} {
		f.must(f.svc.LogMetric(f.ctx, run, m))
	}
	f.must(f.svc.SetLoggedModelTags(f.ctx, ids["c"], []tracking.Tag{{Key: "team", Value: "x"}}))
	_, err := f.svc.FinalizeLoggedModel(f.ctx, ids["b"], tracking.ModelReady)
	f.must(err)
	f.must(f.svc.DeleteLoggedModel(f.ctx, ids["d"]))
	return ids
}

func (f *fixture) models(q tracking.LoggedModelQuery) string {
	f.Helper()
	q.ExperimentIDs = []string{"0"}
	page, err := f.svc.SearchLoggedModels(f.ctx, q)
	if err != nil {
		f.Fatalf("search %q: %v", q.Filter, err)
	}
	var names []string
	for _, m := range page.Models {
		names = append(names, m.Name)
	}
	q.MaxResults = 1
	equal(f, byOnes(f, func(token string) ([]string, string) {
		q.PageToken = token
		one, err := f.svc.SearchLoggedModels(f.ctx, q)
		f.must(err)
		var names []string
		for _, m := range one.Models {
			names = append(names, m.Name)
		}
		return names, one.NextPageToken
	}), names, "pages of one")
	return strings.Join(names, " ")
}

var modelSearchCases = []testCase{
	{"filters", func(f *fixture) {
		ids := searchModels(f)
		iris, wine := tracking.DatasetFilter{Name: "iris"}, tracking.DatasetFilter{Name: "wine", Digest: "d2"}
		for _, c := range []struct {
			filter   string
			datasets []tracking.DatasetFilter
			want     string
		}{
			{"", nil, "c b a"}, {"name = 'a'", nil, "a"}, {"name LIKE '_' AND name != 'b'", nil, "c a"}, {"name IN ('a', 'c')", nil, "c a"},
			{"params.lr = '0.1'", nil, "b"}, {"params.lr = 0.1", nil, "b"}, {"tags.team ILIKE 'X'", nil, "c"},
			{"metrics.acc > 0.4", nil, "b a"}, {"metrics.acc > 0.4", []tracking.DatasetFilter{wine}, ""}, {"metrics.acc > 0.1", []tracking.DatasetFilter{wine}, "a"},
			{"", []tracking.DatasetFilter{iris}, "b a"}, {"", []tracking.DatasetFilter{{Name: "iris", Digest: "d9"}, wine}, "b a"},
			{"status = 'READY'", nil, "b"}, {"status != 'LOGGED_MODEL_READY'", nil, "c a"}, {"model_id = '" + ids["c"] + "'", nil, "c"},
			{"creation_time > 0 AND last_updated_timestamp > 0", nil, "c b a"},
		} {
			equal(f, f.models(tracking.LoggedModelQuery{Filter: c.filter, Datasets: c.datasets}), c.want, fmt.Sprint(c.filter, c.datasets))
		}
	}},
	{"orders", func(f *fixture) {
		searchModels(f)
		for _, c := range []struct {
			order tracking.ModelOrder
			want  string
		}{
			{tracking.ModelOrder{Field: "name"}, "a b c"}, {tracking.ModelOrder{Field: "creation_time", Descending: true}, "c b a"},
			{tracking.ModelOrder{Field: "metrics.acc"}, "a b c"}, {tracking.ModelOrder{Field: "metrics.acc", Descending: true}, "b a c"},
			{tracking.ModelOrder{Field: "metrics.acc", Descending: true, DatasetName: "iris"}, "a b c"},
			{tracking.ModelOrder{Field: "metrics.acc", DatasetName: "iris", DatasetDigest: "d9"}, "b c a"},
			{tracking.ModelOrder{Field: "metrics.acc", DatasetDigest: "d9"}, "b c a"},
			{tracking.ModelOrder{Field: "metrics.acc", DatasetDigest: "d2"}, "a c b"},
		} {
			equal(f, f.models(tracking.LoggedModelQuery{OrderBy: []tracking.ModelOrder{c.order}}), c.want, fmt.Sprint(c.order))
		}
		for _, bad := range []tracking.ModelOrder{{Field: "params.lr"}, {Field: "nothing"}} {
			_, err := f.svc.SearchLoggedModels(f.ctx, tracking.LoggedModelQuery{ExperimentIDs: []string{"0"}, OrderBy: []tracking.ModelOrder{bad}})
			f.refused(err, mlflow.InvalidParameterValue)
		}
	}},
	{"pages, and tokens belong to one question", func(f *fixture) {
		searchModels(f)
		q := tracking.LoggedModelQuery{ExperimentIDs: []string{"0"}, MaxResults: 2, OrderBy: []tracking.ModelOrder{{Field: "name"}}}
		first, err := f.svc.SearchLoggedModels(f.ctx, q)
		f.must(err)
		q.PageToken = first.NextPageToken
		second, err := f.svc.SearchLoggedModels(f.ctx, q)
		f.must(err)
		equal(f, []any{len(first.Models), len(second.Models), second.Models[0].Name, second.NextPageToken}, []any{2, 1, "c", ""}, "pages")
		for _, change := range []func(*tracking.LoggedModelQuery){
			func(q *tracking.LoggedModelQuery) { q.Filter = "name = 'a'" },
			func(q *tracking.LoggedModelQuery) { q.OrderBy = nil },
			func(q *tracking.LoggedModelQuery) { q.ExperimentIDs = []string{"1"} },
			func(q *tracking.LoggedModelQuery) { q.PageToken = "zzz" },
			func(q *tracking.LoggedModelQuery) { q.Datasets = make([]tracking.DatasetFilter, 1) },
		} {
			other := q
			change(&other)
			_, err := f.svc.SearchLoggedModels(f.ctx, other)
			f.refused(err, mlflow.InvalidParameterValue)
		}
	}},
}
