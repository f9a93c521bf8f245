package storetest

import (
	"strings"

	"sluice/tracking"
	"sluice/tracking/mlflow"
)

func dataset(name, digest, profile string, tags ...tracking.Tag) tracking.DatasetInput {
	return tracking.DatasetInput{Dataset: tracking.Dataset{Name: name, Digest: digest, SourceType: "local", Source: "s", Profile: profile}, Tags: tags}
}

var inputCases = []testCase{
	{"datasets and models come back", func(f *fixture) {
		id := f.run("r")
		train := tracking.Tag{Key: tracking.DatasetContextTag, Value: "train"}
		f.must(f.svc.LogInputs(f.ctx, id, []tracking.DatasetInput{dataset("a", "1", ""), dataset("b", "1", "p", train, tracking.Tag{Key: "a", Value: "1"})}, []tracking.ModelInput{{ModelID: "m-1"}}))
		f.must(f.svc.LogOutputs(f.ctx, id, []tracking.ModelOutput{{ModelID: "m-2", Step: 4}}))
		r := f.get(id)
		equal(f, r.Inputs, tracking.RunInputs{
			Datasets: []tracking.DatasetInput{dataset("a", "1", ""), dataset("b", "1", "p", tracking.Tag{Key: "a", Value: "1"}, train)},
			Models:   []tracking.ModelInput{{ModelID: "m-1"}},
		}, "inputs")
		equal(f, r.Outputs, []tracking.ModelOutput{{ModelID: "m-2", Step: 4}}, "outputs")
	}},
	{"the first description and the first tags stay", func(f *fixture) {
		a, b := f.run("a"), f.run("b")
		one, two := tracking.Tag{Key: "k", Value: "1"}, tracking.Tag{Key: "k", Value: "2"}
		f.must(f.svc.LogInputs(f.ctx, a, []tracking.DatasetInput{dataset("d", "1", "first", one), dataset("d", "1", "twice", two)}, nil))
		f.must(f.svc.LogInputs(f.ctx, a, []tracking.DatasetInput{dataset("d", "1", "again", two)}, nil))
		f.must(f.svc.LogInputs(f.ctx, b, []tracking.DatasetInput{dataset("d", "1", "other", two)}, nil))
		equal(f, f.get(a).Inputs.Datasets, []tracking.DatasetInput{dataset("d", "1", "first", one)}, "of a")
		equal(f, f.get(b).Inputs.Datasets, []tracking.DatasetInput{dataset("d", "1", "first", two)}, "of b")
	}},
	{"experiments do not share datasets", func(f *fixture) {
		a, b := f.run("a"), f.runIn(f.experiment("x"), "b")
		f.must(f.svc.LogInputs(f.ctx, a, []tracking.DatasetInput{dataset("d", "1", "first")}, nil))
		f.must(f.svc.LogInputs(f.ctx, b, []tracking.DatasetInput{dataset("d", "1", "second")}, nil))
		equal(f, f.get(b).Inputs.Datasets[0].Dataset.Profile, "second", "profile")
	}},
	{"twice is once", func(f *fixture) {
		id := f.run("r")
		for range 2 {
			f.must(f.svc.LogInputs(f.ctx, id, nil, []tracking.ModelInput{{ModelID: "m-1"}}))
			f.must(f.svc.LogOutputs(f.ctx, id, []tracking.ModelOutput{{ModelID: "m-1", Step: 1}, {ModelID: "m-1", Step: 2}}))
		}
		r := f.get(id)
		equal(f, r.Inputs.Models, []tracking.ModelInput{{ModelID: "m-1"}}, "inputs")
		equal(f, r.Outputs, []tracking.ModelOutput{{ModelID: "m-1", Step: 1}}, "outputs")
	}},
	{"summaries", func(f *fixture) {
		a, b := f.run("a"), f.run("b")
		train := tracking.Tag{Key: tracking.DatasetContextTag, Value: "train"}
		for _, id := range []string{a, b} {
			f.must(f.svc.LogInputs(f.ctx, id, []tracking.DatasetInput{dataset("d", "1", "", train)}, nil))
		}
		f.must(f.svc.LogInputs(f.ctx, a, []tracking.DatasetInput{dataset("e", "2", "")}, nil))
		got, err := f.svc.SearchDatasets(f.ctx, []string{"0", "4711"})
		f.must(err)
		equal(f, got, []tracking.DatasetSummary{{ExperimentID: "0", Name: "d", Digest: "1", Context: "train", HasContext: true}, {ExperimentID: "0", Name: "e", Digest: "2"}}, "summaries")
		_, err = f.svc.SearchDatasets(f.ctx, nil)
		f.refused(err, mlflow.InvalidParameterValue)
	}},
	{"limits", func(f *fixture) {
		id := f.run("r")
		for _, d := range []tracking.DatasetInput{
			dataset("", "1", ""), dataset("d", "", ""), dataset(strings.Repeat("n", 501), "1", ""), dataset("d", strings.Repeat("x", 37), ""),
			dataset("d", "1", "", tracking.Tag{Key: strings.Repeat("k", 256)}), dataset("d", "1", "", tracking.Tag{Key: "k", Value: strings.Repeat("v", 501)}),
		} {
			f.refused(f.svc.LogInputs(f.ctx, id, []tracking.DatasetInput{d}, nil), mlflow.InvalidParameterValue)
		}
		f.refused(f.svc.LogInputs(f.ctx, "../x", nil, nil), mlflow.InvalidParameterValue)
	}},
}
