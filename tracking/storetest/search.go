package storetest

import (
	"fmt"
	"math"
	"strings"

	"sluice/tracking"
	"sluice/tracking/filter"
	"sluice/tracking/mlflow"
)

// searchRuns makes four runs: a, b, c start in this order; d is deleted.
func searchRuns(f *fixture) map[string]string {
	ids := map[string]string{}
	for i, name := range []string{"a", "b", "c", "d"} {
		ids[name] = f.run(name, tracking.Tag{Key: "kind", Value: map[bool]string{true: "Tree", false: "wood"}[i%2 == 0]})
		f.must(f.svc.LogParam(f.ctx, ids[name], tracking.Param{Key: "lr rate", Value: fmt.Sprintf("0.%d", i)}))
	}
	f.metric(ids["a"], "acc", 0.9, 1, 1)
	f.metric(ids["b"], "acc", math.NaN(), 1, 1)
	f.metric(ids["d"], "acc", 0.1, 1, 1)
	f.must(f.svc.SetTag(f.ctx, ids["c"], tracking.Tag{Key: "mlflow.source.name", Value: "train.py"}))
	end := int64(startMS + 1000)
	_, err := f.svc.UpdateRun(f.ctx, ids["a"], tracking.RunUpdate{Status: tracking.Finished, EndTimeMS: &end})
	f.must(err)
	f.must(f.svc.LogInputs(f.ctx, ids["c"], []tracking.DatasetInput{
		{Dataset: tracking.Dataset{Name: "iris", Digest: "d1", SourceType: "local", Source: "x"}, Tags: []tracking.Tag{{Key: tracking.DatasetContextTag, Value: "train"}}},
		{Dataset: tracking.Dataset{Name: "wine", Digest: "d2", SourceType: "local", Source: "x"}},
	}, nil))
	f.must(f.svc.DeleteRun(f.ctx, ids["d"]))
	return ids
}

var searchCases = []testCase{
	{"newest first, active only", func(f *fixture) {
		searchRuns(f)
		equal(f, f.names(""), []string{"c", "b", "a"}, "default order")
		equal(f, f.search(tracking.RunQuery{View: tracking.All}), []string{"d", "c", "b", "a"}, "all")
		equal(f, f.search(tracking.RunQuery{View: tracking.DeletedOnly}), []string{"d"}, "deleted")
		equal(f, f.search(tracking.RunQuery{ExperimentIDs: []string{}}), []string(nil), "no experiments")
	}},
	{"filters", func(f *fixture) {
		ids := searchRuns(f)
		for _, c := range []struct{ filter, want string }{
			{"metrics.acc > 0.5", "a"}, {"metrics.acc = 0", ""}, {"metrics.acc > -1", "a"}, {"metrics.acc != 0.9", "b"}, {"metrics.acc != 7", "ab"},
			{"metrics.acc <= 0.9", "a"}, {"metrics.none < 1", ""},
			{"params.`lr rate` = '0.1'", "b"}, {`params."lr rate" != '0.1'`, "ac"}, {"params.`lr rate` LIKE '0.%'", "abc"},
			{"params.x IS NULL", "abc"}, {"params.`lr rate` IS NOT NULL AND params.`lr rate` != '0.0'", "bc"},
			{"tags.kind = 'Tree'", "ac"}, {"tags.kind LIKE 'tree'", ""}, {"tags.kind ILIKE 'TREE'", "ac"}, {"tags.kind != 'Tree'", "b"},
			{"tags.mlflow.source.name = 'train.py'", "c"}, {"tags.`mlflow.source.name` IS NULL", "ab"},
			{"attributes.status = 'FINISHED'", "a"}, {"status != 'FINISHED'", "bc"}, {"run.user_id = 'ada'", "abc"},
			{"run_name = 'a'", "a"}, {"attribute.`Run name` LIKE '_'", "abc"}, {"artifact_uri LIKE '%" + ids["b"] + "%'", "b"},
			{"run_id IN ('" + ids["a"] + "', '" + ids["c"] + "')", "ac"}, {"run_id NOT IN ('" + ids["a"] + "')", "bc"}, {"run_id = '" + ids["b"] + "'", "b"},
			{"run_id IN ('" + strings.ToUpper(ids["a"]) + "x')", ""},
			{fmt.Sprintf("end_time >= %d", startMS+1000), "a"}, {"created > 0", "abc"}, {fmt.Sprintf("start_time < %d", startMS), ""},
			{"datasets.name = 'iris'", "c"}, {"dataset.digest IN ('d1', 'zz')", "c"}, {"dataset.context = 'train'", "c"}, {"dataset.context = 'eval'", ""},
			{"dataset.name NOT IN ('iris')", "c"}, {"dataset.name = 'iris' AND dataset.name = 'wine'", "c"},
			{"metrics.acc > 0.5 AND params.`lr rate` = '0.0' AND tags.kind = 'Tree' AND status = 'FINISHED'", "a"},
			{"tags.kind = \"Tree' OR '1'='1\"", ""},
		} {
			sameSet(f, f.names(c.filter), strings.Split(c.want, "")[:len(c.want)], c.filter)
		}
	}},
	{"orders, missing last, NaN before missing", func(f *fixture) {
		ids := searchRuns(f)
		f.metric(ids["c"], "loss", 1, 1, 1)
		for _, c := range []struct{ order, want string }{
			{"metrics.acc", "a b c"}, {"metrics.acc DESC", "a b c"}, {"metrics.loss ASC", "c b a"},
			{"params.`lr rate` DESC", "c b a"}, {"params.`lr rate`", "a b c"}, {"tags.kind", "c a b"}, {"tag.kind desc", "b c a"},
			{"start_time", "a b c"}, {"attribute.start_time ASC", "a b c"}, {"created DESC", "c b a"}, {"run_name DESC", "c b a"},
			{"end_time", "a c b"}, {"status", "a c b"}, {"tags.`mlflow.source.name`", "c b a"},
		} {
			equal(f, strings.Join(f.names("", strings.Split(c.order, ",")...), " "), c.want, c.order)
		}
		equal(f, f.names("", "tags.kind DESC", "params.`lr rate` DESC"), []string{"b", "c", "a"}, "two orders")
		_, err := f.svc.SearchRuns(f.ctx, tracking.RunQuery{ExperimentIDs: []string{"0"}, MaxResults: 5, OrderBy: []string{"metrics.acc", "metric.acc DESC"}})
		f.refused(err, mlflow.InvalidParameterValue)
	}},
	{"pages are complete and the last has no token", func(f *fixture) {
		for i := range 7 {
			f.run(fmt.Sprint(i))
		}
		q := tracking.RunQuery{ExperimentIDs: []string{"0"}, MaxResults: 3}
		var got []string
		var sizes []int
		for {
			page, err := f.svc.SearchRuns(f.ctx, q)
			f.must(err)
			sizes = append(sizes, len(page.Runs))
			for _, r := range page.Runs {
				got = append(got, r.Info.Name)
			}
			if q.PageToken = page.NextPageToken; q.PageToken == "" {
				break
			}
		}
		equal(f, got, []string{"6", "5", "4", "3", "2", "1", "0"}, "runs")
		equal(f, sizes, []int{3, 3, 1}, "sizes")
		page, err := f.svc.SearchRuns(f.ctx, tracking.RunQuery{ExperimentIDs: []string{"0"}, MaxResults: 7})
		f.must(err)
		equal(f, page.NextPageToken, "", "token of an exactly full page")
		for _, bad := range []tracking.RunQuery{
			{ExperimentIDs: []string{"0"}}, {ExperimentIDs: []string{"0"}, MaxResults: 50_001}, {ExperimentIDs: []string{"x"}, MaxResults: 1},
			{ExperimentIDs: []string{"0"}, MaxResults: 1, PageToken: "!"}, {ExperimentIDs: []string{"0"}, MaxResults: 1, PageToken: "e30="},
		} {
			_, err := f.svc.SearchRuns(f.ctx, bad)
			f.refused(err, mlflow.InvalidParameterValue)
		}
	}},
	{"runs come whole", func(f *fixture) {
		ids := searchRuns(f)
		page, err := f.svc.SearchRuns(f.ctx, tracking.RunQuery{ExperimentIDs: []string{"0"}, MaxResults: 10})
		f.must(err)
		for _, r := range page.Runs {
			equal(f, r, f.get(ids[r.Info.Name]), r.Info.Name)
		}
	}},
	{"several experiments", func(f *fixture) {
		other := f.experiment("other")
		f.run("here")
		f.runIn(other, "there")
		equal(f, f.search(tracking.RunQuery{ExperimentIDs: []string{"0", other}}), []string{"there", "here"}, "both")
		equal(f, f.search(tracking.RunQuery{ExperimentIDs: []string{other, "4711"}}), []string{"there"}, "other and unknown")
	}},
	{"many experiments", func(f *fixture) {
		f.run("r")
		ids := many(mlflow.SearchExperimentIDsMax, func(i int) string { return fmt.Sprint(i) })
		equal(f, f.search(tracking.RunQuery{ExperimentIDs: ids}), []string{"r"}, "runs")
		_, err := f.svc.SearchRuns(f.ctx, tracking.RunQuery{ExperimentIDs: append(ids, "1"), MaxResults: 1})
		f.refused(err, mlflow.InvalidParameterValue)
	}},
	{"filters at the bound", func(f *fixture) {
		f.run("r")
		equal(f, f.names(strings.Join(many(filter.MaxClauses, func(i int) string { return fmt.Sprintf("params.p%d IS NULL", i) }), " AND ")), []string{"r"}, "clauses")
		equal(f, f.names("run_id NOT IN ('"+strings.Join(many(filter.MaxList, func(i int) string { return fmt.Sprint(i) }), "','")+"')"), []string{"r"}, "list")
		var order []string
		for i := range filter.MaxOrder {
			order = append(order, fmt.Sprintf("metrics.m%d DESC", i))
		}
		equal(f, f.names("", order...), []string{"r"}, "order")
	}},
	{"more runs than one chunk", func(f *fixture) {
		const n = 1203
		for i := range n {
			f.must(f.store.CreateRun(f.ctx, tracking.Run{
				Info: tracking.RunInfo{ID: fmt.Sprintf("%032d", i), Name: fmt.Sprint(i), ExperimentID: "0", Status: tracking.Running, StartTimeMS: int64(i), Lifecycle: tracking.Active},
				Data: tracking.RunData{Tags: []tracking.Tag{{Key: "n", Value: fmt.Sprint(i)}}},
			}))
		}
		page, err := f.svc.SearchRuns(f.ctx, tracking.RunQuery{ExperimentIDs: []string{"0"}, MaxResults: n + 1})
		f.must(err)
		equal(f, len(page.Runs), n, "runs")
		for _, r := range page.Runs {
			equal(f, r.Data.Tags, []tracking.Tag{{Key: "n", Value: r.Info.Name}}, "tags")
		}
	}},
}
