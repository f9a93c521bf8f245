package storetest

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"sluice/tracking"
	"sluice/tracking/mlflow"
)

// byOnes reads a search in pages of one row each and returns the names; read returns the name of the one row ("" for none) and the token.
func byOnes(f *fixture, read func(token string) (names []string, next string)) []string {
	f.Helper()
	var out []string
	for token, pages := "", 0; ; pages++ {
		names, next := read(token)
		if len(names) > 1 || pages > 1000 {
			f.Fatalf("page %d has %q", pages, names)
		}
		out = append(out, names...)
		if token = next; token == "" {
			return out
		}
	}
}

// runPages reads a search of runs in pages of one run each.
func (f *fixture) runPages(q tracking.RunQuery) []string {
	f.Helper()
	q.MaxResults = 1
	return byOnes(f, func(token string) ([]string, string) {
		q.PageToken = token
		found, err := f.svc.SearchRuns(f.ctx, q)
		if err != nil {
			f.Fatalf("pages of %q order %q: %v", q.Filter, q.OrderBy, err)
		}
		return runNames(found.Runs), found.NextPageToken
	})
}

func runNames(runs []tracking.Run) []string {
	var out []string
	for _, r := range runs {
		out = append(out, r.Info.Name)
	}
	return out
}

// sparse makes runs a … j with values, NaN, infinities and gaps in metrics, params, tags and times.
func sparse(f *fixture) map[string]string {
	ids := map[string]string{}
	for i, name := range strings.Split("abcdefghij", "") {
		id := f.run(name)
		ids[name] = id
		switch i % 5 {
		case 0:
			f.metric(id, "m", math.NaN(), 1, 1)
		case 1:
			f.metric(id, "m", 0.1*float64(i), 1, 1)
			f.must(f.svc.LogParam(f.ctx, id, tracking.Param{Key: "p", Value: strings.Repeat("é", 2000) + name}))
		case 2:
			f.metric(id, "m", math.Copysign(math.Inf(1), float64(i)-5), 1, 1)
			f.must(f.svc.LogParam(f.ctx, id, tracking.Param{Key: "p", Value: ""}))
		case 3:
			f.must(f.svc.LogParam(f.ctx, id, tracking.Param{Key: "p", Value: "same"}))
			f.must(f.svc.SetTag(f.ctx, id, tracking.Tag{Key: "t", Value: name}))
		case 4:
			f.metric(id, "m", 7, 1, 1)
			end := int64(startMS + i%2)
			_, err := f.svc.UpdateRun(f.ctx, id, tracking.RunUpdate{Status: tracking.Finished, EndTimeMS: &end})
			f.must(err)
		}
	}
	return ids
}

var pagingCases = []testCase{
	{"pages of one run follow every order", func(f *fixture) {
		sparse(f)
		for _, order := range []string{
			"", "metrics.m", "metrics.m DESC", "params.p", "params.p DESC", "tags.t", "tags.t DESC", "start_time", "start_time DESC", "end_time", "end_time DESC",
			"run_name DESC", "status", "status DESC", "run_id", "run_id DESC", "user_id", "artifact_uri", "metrics.none", "params.none DESC",
			"metrics.m DESC,params.p,tags.t DESC", "status,metrics.m", "params.p DESC,metrics.m DESC,start_time", "user_id DESC,end_time,metrics.m",
		} {
			var by []string
			if order != "" {
				by = strings.Split(order, ",")
			}
			q := tracking.RunQuery{ExperimentIDs: []string{"0"}, OrderBy: by, MaxResults: 100}
			whole, err := f.svc.SearchRuns(f.ctx, q)
			f.must(err)
			equal(f, len(whole.Runs), 10, "runs")
			equal(f, f.runPages(q), runNames(whole.Runs), order)
		}
		q := tracking.RunQuery{ExperimentIDs: []string{"0"}, OrderBy: []string{"metrics.m"}, MaxResults: 100}
		equal(f, strings.Join(f.search(q), " "), "c b g j e h f a i d", "-Inf, values, Inf, NaN, nothing")
		q.OrderBy = []string{"metrics.m DESC"}
		equal(f, strings.Join(f.search(q), " "), "h j e g b c f a i d", "Inf, values, -Inf, NaN, nothing")
	}},
	{"runs that come and go between pages move no others", func(f *fixture) {
		ids := sparse(f)
		for _, order := range [][]string{nil, {"metrics.m DESC"}, {"params.p"}, {"tags.t DESC", "metrics.m"}} {
			q := tracking.RunQuery{ExperimentIDs: []string{"0"}, OrderBy: order, MaxResults: 4}
			want := f.search(tracking.RunQuery{OrderBy: order})
			first, err := f.svc.SearchRuns(f.ctx, q)
			f.must(err)
			seen := runNames(first.Runs)
			newest := f.run("new") // before all others in the default order
			f.metric(newest, "m", math.Inf(1), 1, 1)
			f.must(f.svc.DeleteRun(f.ctx, ids[seen[0]]))
			for q.PageToken = first.NextPageToken; q.PageToken != ""; {
				next, err := f.svc.SearchRuns(f.ctx, q)
				f.must(err)
				seen = append(seen, runNames(next.Runs)...)
				q.PageToken = next.NextPageToken
			}
			seen = slices.DeleteFunc(seen, func(name string) bool { return name == "new" }) // some orders put it on a later page
			equal(f, seen, want, fmt.Sprint(order))
			f.must(f.svc.DeleteRun(f.ctx, newest))
			f.must(f.svc.RestoreRun(f.ctx, ids[seen[0]]))
		}
	}},
	{"a token that follows a long text is stale once the text has gone", func(f *fixture) {
		ids := sparse(f)
		for _, name := range []string{"b", "g"} {
			f.must(f.svc.SetTag(f.ctx, ids[name], tracking.Tag{Key: "long", Value: name + strings.Repeat("x", 2000)}))
		}
		q := tracking.RunQuery{ExperimentIDs: []string{"0"}, OrderBy: []string{"tags.long"}, MaxResults: 1}
		first, err := f.svc.SearchRuns(f.ctx, q)
		f.must(err)
		if len(first.NextPageToken) > 1000 {
			f.Errorf("a token of %d bytes", len(first.NextPageToken))
		}
		q.PageToken = first.NextPageToken
		again, err := f.svc.SearchRuns(f.ctx, q)
		f.must(err)
		equal(f, append(runNames(first.Runs), runNames(again.Runs)...), []string{"b", "g"}, "pages")
		f.must(f.svc.SetTag(f.ctx, ids["b"], tracking.Tag{Key: "long", Value: "short"}))
		if again, err = f.svc.SearchRuns(f.ctx, q); err != nil { // a store that sorts by the beginning of texts can go on
			f.refused(err, mlflow.InvalidParameterValue)
		} else {
			equal(f, runNames(again.Runs), []string{"g"}, "the second page")
		}
	}},
	{"tokens belong to one search", func(f *fixture) {
		sparse(f)
		q := tracking.RunQuery{ExperimentIDs: []string{"0"}, OrderBy: []string{"metrics.m"}, MaxResults: 1}
		first, err := f.svc.SearchRuns(f.ctx, q)
		f.must(err)
		q.PageToken = first.NextPageToken
		q.MaxResults = 3 // a page may have another size
		_, err = f.svc.SearchRuns(f.ctx, q)
		f.must(err)
		for name, change := range map[string]func(*tracking.RunQuery){
			"filter": func(q *tracking.RunQuery) { q.Filter = "metrics.m > 1" }, "order": func(q *tracking.RunQuery) { q.OrderBy = []string{"metrics.m DESC"} },
			"scope": func(q *tracking.RunQuery) { q.ExperimentIDs = []string{"0", "1"} }, "view": func(q *tracking.RunQuery) { q.View = tracking.All },
			"MLflow's own token": func(q *tracking.RunQuery) { q.PageToken = "eyJvZmZzZXQiOiAxfQ==" }, // {"offset": 1}
		} {
			other := q
			change(&other)
			if _, err := f.svc.SearchRuns(f.ctx, other); mlflow.CodeOf(err) != mlflow.InvalidParameterValue {
				f.Errorf("%s: %v", name, err)
			}
		}
		_, err = f.svc.SearchExperiments(f.ctx, tracking.ExperimentQuery{MaxResults: 1, PageToken: q.PageToken})
		f.refused(err, mlflow.InvalidParameterValue)
	}},
	{"pages of a history while points come", func(f *fixture) {
		id := f.run("r")
		for i := range int64(6) {
			f.metric(id, "m", math.NaN(), 1+i/2, i%2)
			f.metric(id, "m", 0, 1+i/2, i%2)
		}
		q := tracking.HistoryQuery{RunID: id, Key: "m", MaxResults: 5}
		var got []string
		for {
			part, err := f.svc.MetricHistory(f.ctx, q)
			f.must(err)
			for _, m := range part.Metrics {
				if m.TimestampMS > 0 {
					got = append(got, fmt.Sprint(m.TimestampMS, m.Step, m.Value))
				}
			}
			f.metric(id, "m", 5, 0, int64(len(got))) // in front
			if q.PageToken = part.NextPageToken; q.PageToken == "" {
				break
			}
		}
		var want []string
		for i := range int64(6) {
			want = append(want, fmt.Sprint(1+i/2, i%2, 0.0), fmt.Sprint(1+i/2, i%2, math.NaN()))
		}
		equal(f, got, want, "points")
		q.Key, q.PageToken = "m", ""
		first, err := f.svc.MetricHistory(f.ctx, q)
		f.must(err)
		q.Key, q.PageToken = "other", first.NextPageToken
		_, err = f.svc.MetricHistory(f.ctx, q)
		f.refused(err, mlflow.InvalidParameterValue)
	}},
	{"experiments in pages of one", func(f *fixture) {
		for _, n := range []string{"b", "a", "c"} {
			f.experiment(n)
		}
		for _, order := range [][]string{nil, {"name"}, {"name DESC"}, {"creation_time"}, {"last_update_time DESC"}, {"experiment_id"}, {"experiment_id DESC", "name"}} {
			whole, err := f.svc.SearchExperiments(f.ctx, tracking.ExperimentQuery{MaxResults: 100, OrderBy: order})
			f.must(err)
			got := byOnes(f, func(token string) ([]string, string) {
				found, err := f.svc.SearchExperiments(f.ctx, tracking.ExperimentQuery{MaxResults: 1, OrderBy: order, PageToken: token})
				f.must(err)
				return experimentNames(found.Experiments), found.NextPageToken
			})
			equal(f, got, experimentNames(whole.Experiments), fmt.Sprint(order))
		}
	}},
}

func experimentNames(list []tracking.Experiment) []string {
	var out []string
	for _, e := range list {
		out = append(out, e.Name)
	}
	return out
}
