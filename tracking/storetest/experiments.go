package storetest

import (
	"strconv"
	"strings"

	"sluice/tracking"
	"sluice/tracking/mlflow"
)

var experimentCases = []testCase{
	{"the default experiment is 0 and made once", func(f *fixture) {
		f.must(f.svc.EnsureDefaultExperiment(f.ctx))
		e, err := f.svc.Experiment(f.ctx, "0")
		f.must(err)
		equal(f, e, tracking.Experiment{ID: "0", Name: "Default", ArtifactLocation: "mlflow-artifacts:/0", Lifecycle: tracking.Active, CreatedMS: startMS + 1, UpdatedMS: startMS + 1}, "default")
	}},
	{"create, get, get by name", func(f *fixture) {
		id, err := f.svc.CreateExperiment(f.ctx, tracking.ExperimentSpec{Name: "wine é'\"", ArtifactLocation: "s3://bucket/x", Tags: []tracking.Tag{{Key: "b", Value: "2"}, {Key: "a", Value: "1"}}})
		f.must(err)
		byID, err := f.svc.Experiment(f.ctx, id)
		f.must(err)
		byName, err := f.svc.ExperimentByName(f.ctx, "wine é'\"")
		f.must(err)
		equal(f, byName, byID, "by name")
		equal(f, byID.ArtifactLocation, "s3://bucket/x", "location")
		equal(f, byID.Tags, []tracking.Tag{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}}, "tags")
	}},
	{"the location comes from the id", func(f *fixture) {
		id := f.experiment("here")
		e, err := f.svc.Experiment(f.ctx, id)
		f.must(err)
		equal(f, e.ArtifactLocation, "mlflow-artifacts:/"+id, "location")
	}},
	{"unknown ones", func(f *fixture) {
		_, err := f.svc.Experiment(f.ctx, "4711")
		f.refused(err, mlflow.ResourceDoesNotExist)
		_, err = f.svc.Experiment(f.ctx, "x1")
		f.refused(err, mlflow.InvalidParameterValue)
		_, err = f.svc.ExperimentByName(f.ctx, "nobody")
		f.refused(err, mlflow.ResourceDoesNotExist)
		_, err = f.svc.ExperimentByName(f.ctx, "DEFAULT")
		f.refused(err, mlflow.ResourceDoesNotExist)
	}},
	{"a name is taken once, by deleted ones too", func(f *fixture) {
		id := f.experiment("taken")
		_, err := f.svc.CreateExperiment(f.ctx, tracking.ExperimentSpec{Name: "taken"})
		f.refused(err, mlflow.ResourceAlreadyExists)
		f.must(f.svc.DeleteExperiment(f.ctx, id))
		_, err = f.svc.CreateExperiment(f.ctx, tracking.ExperimentSpec{Name: "taken"})
		f.refused(err, mlflow.ResourceAlreadyExists)
		f.refused(f.svc.RenameExperiment(f.ctx, f.experiment("other"), "taken"), mlflow.BadRequest)
	}},
	{"rename moves the time, deleted ones refuse", func(f *fixture) {
		id := f.experiment("old")
		f.must(f.svc.RenameExperiment(f.ctx, id, "new"))
		e, err := f.svc.Experiment(f.ctx, id)
		f.must(err)
		if e.Name != "new" || e.UpdatedMS <= e.CreatedMS {
			f.Fatalf("after rename: %+v", e)
		}
		f.must(f.svc.DeleteExperiment(f.ctx, id))
		f.refused(f.svc.RenameExperiment(f.ctx, id, "newer"), mlflow.InvalidState)
		f.refused(f.svc.RenameExperiment(f.ctx, "4711", "newer"), mlflow.ResourceDoesNotExist)
	}},
	{"delete and restore take the runs along", func(f *fixture) {
		id := f.experiment("gone")
		run := f.runIn(id, "r")
		f.must(f.svc.DeleteExperiment(f.ctx, id))
		equal(f, f.get(run).Info.Lifecycle, tracking.Deleted, "run after delete")
		f.refused(f.svc.DeleteExperiment(f.ctx, id), mlflow.ResourceDoesNotExist)
		_, err := f.svc.CreateRun(f.ctx, tracking.RunSpec{ExperimentID: id})
		f.refused(err, mlflow.InvalidParameterValue)
		f.must(f.svc.RestoreExperiment(f.ctx, id))
		equal(f, f.get(run).Info.Lifecycle, tracking.Active, "run after restore")
		f.refused(f.svc.RestoreExperiment(f.ctx, id), mlflow.ResourceDoesNotExist)
	}},
	{"tags are set, overwritten and deleted", func(f *fixture) {
		id := f.experiment("tagged")
		f.must(f.svc.SetExperimentTag(f.ctx, id, tracking.Tag{Key: "k", Value: "1"}))
		f.must(f.svc.SetExperimentTag(f.ctx, id, tracking.Tag{Key: "k", Value: strings.Repeat("ü", mlflow.MaxExperimentTagValue)}))
		e, err := f.svc.Experiment(f.ctx, id)
		f.must(err)
		equal(f, len(e.Tags), 1, "tags")
		f.must(f.svc.DeleteExperimentTag(f.ctx, id, "k"))
		f.refused(f.svc.DeleteExperimentTag(f.ctx, id, "k"), mlflow.ResourceDoesNotExist)
		f.must(f.svc.DeleteExperiment(f.ctx, id))
		f.refused(f.svc.SetExperimentTag(f.ctx, id, tracking.Tag{Key: "k"}), mlflow.InvalidParameterValue)
	}},
	{"search by filter, view and order", func(f *fixture) {
		a, b := f.experiment("Apple"), f.experiment("banana")
		f.must(f.svc.SetExperimentTag(f.ctx, a, tracking.Tag{Key: "kind", Value: "Pome"}))
		f.must(f.svc.DeleteExperiment(f.ctx, f.experiment("cherry")))
		e, err := f.svc.Experiment(f.ctx, b)
		f.must(err)
		for _, c := range []struct {
			filter string
			view   tracking.ViewType
			order  []string
			want   []string
		}{
			{"", tracking.ActiveOnly, nil, []string{"banana", "Apple", "Default"}},
			{"", tracking.All, []string{"experiment_id"}, []string{"Default", "Apple", "banana", "cherry"}},
			{"", tracking.DeletedOnly, nil, []string{"cherry"}},
			{"name LIKE 'app%'", tracking.ActiveOnly, nil, nil},
			{"name ILIKE 'app%'", tracking.ActiveOnly, nil, []string{"Apple"}},
			{"name != 'Default'", tracking.All, []string{"name DESC"}, []string{"cherry", "banana", "Apple"}},
			{"name != 'Apple' AND tags.kind IS NULL", tracking.ActiveOnly, []string{"experiment_id DESC"}, []string{"banana", "Default"}},
			{"tags.kind = 'Pome'", tracking.ActiveOnly, nil, []string{"Apple"}},
			{"tags.kind != 'x'", tracking.ActiveOnly, nil, []string{"Apple"}},
			{"tag.kind IS NOT NULL", tracking.ActiveOnly, nil, []string{"Apple"}},
			{"experiment_id IN ('" + a + "', '0')", tracking.ActiveOnly, []string{"experiment_id"}, []string{"Default", "Apple"}},
			{"experiment_id != '0'", tracking.ActiveOnly, []string{"experiment_id DESC"}, []string{"banana", "Apple"}},
			{"creation_time >= " + strconv.FormatInt(e.CreatedMS, 10), tracking.ActiveOnly, nil, []string{"banana"}},
		} {
			page, err := f.svc.SearchExperiments(f.ctx, tracking.ExperimentQuery{Filter: c.filter, View: c.view, OrderBy: c.order, MaxResults: 10})
			f.must(err)
			var got []string
			for _, e := range page.Experiments {
				got = append(got, e.Name)
			}
			equal(f, got, c.want, c.filter)
		}
	}},
	{"ids that no database has are unknown", func(f *fixture) {
		for _, id := range []string{"77", "2147483648", "9223372036854775807"} {
			_, err := f.svc.Experiment(f.ctx, id)
			f.refused(err, mlflow.ResourceDoesNotExist)
			_, err = f.svc.CreateRun(f.ctx, tracking.RunSpec{ExperimentID: id})
			f.refused(err, mlflow.ResourceDoesNotExist)
			equal(f, f.search(tracking.RunQuery{ExperimentIDs: []string{id}}), []string(nil), "runs in "+id)
		}
	}},
	{"search pages without gaps", func(f *fixture) {
		for _, n := range []string{"e", "f", "g", "h"} { // by name after "Default", whether letter case counts or not
			f.experiment(n)
		}
		var got []string
		q := tracking.ExperimentQuery{MaxResults: 2, OrderBy: []string{"name"}}
		for pages := 1; ; pages++ {
			page, err := f.svc.SearchExperiments(f.ctx, q)
			f.must(err)
			for _, e := range page.Experiments {
				got = append(got, e.Name)
			}
			if q.PageToken = page.NextPageToken; q.PageToken == "" {
				equal(f, pages, 3, "pages")
				break
			}
		}
		equal(f, got, []string{"Default", "e", "f", "g", "h"}, "names")
	}},
}
