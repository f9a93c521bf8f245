package sqlstore_test

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"sort"
	"testing"

	"sluice/tracking"
)

// writeOurs writes one of everything through the Service.
func writeOurs(t *testing.T, store tracking.Store) {
	t.Helper()
	ctx := t.Context()
	svc, err := tracking.New(store, nil)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(err)
	check(svc.EnsureDefaultExperiment(ctx))
	e, err := svc.CreateExperiment(ctx, tracking.ExperimentSpec{Name: "ours", Tags: []tracking.Tag{{Key: "k", Value: "v"}}})
	check(err)
	gone, err := svc.CreateExperiment(ctx, tracking.ExperimentSpec{Name: "ours, gone", ArtifactLocation: "s3://bucket/x"})
	check(err)
	check(svc.DeleteExperiment(ctx, gone))
	made, err := svc.CreateRun(ctx, tracking.RunSpec{ExperimentID: e, UserID: "ada", Name: "our run", StartTimeMS: 77, Tags: []tracking.Tag{{Key: "t", Value: "ü"}}})
	check(err)
	run := made.Info.ID
	model, err := svc.CreateLoggedModel(ctx, tracking.LoggedModelSpec{
		ExperimentID: e, Name: "our-model", ModelType: "classifier", SourceRunID: run, Params: []tracking.Param{{Key: "lr", Value: "0.1"}}, Tags: []tracking.Tag{{Key: "a", Value: "b"}},
	})
	check(err)
	check(svc.LogBatch(ctx, run, tracking.Batch{
		Metrics: []tracking.Metric{
			{Key: "m", Value: 1, TimestampMS: 5, Step: 1}, {Key: "m", Value: 2, TimestampMS: 4, Step: 2}, {Key: "nan", Value: math.NaN(), TimestampMS: 1},
			{Key: "inf", Value: math.Inf(-1), TimestampMS: 1},
			{Key: "far", Value: 1.0 / 3, TimestampMS: 1 << 62, Step: 1 << 62}, {Key: "far", Value: 3, TimestampMS: 1, Step: -1 << 62}, {Key: "plus inf", Value: math.Inf(1), TimestampMS: 1}, {Key: "acc", Value: 0.5, TimestampMS: 2, Step: 1, ModelID: model.ID, DatasetName: "d", DatasetDigest: "1"},
		},
		Params: []tracking.Param{{Key: "p", Value: ""}, {Key: "q/r", Value: "日本"}},
		Tags:   []tracking.Tag{{Key: "u", Value: "1"}},
	}))
	check(svc.LogInputs(ctx, run, []tracking.DatasetInput{{
		Dataset: tracking.Dataset{Name: "d", Digest: "1", SourceType: "local", Source: "{}", Schema: "s"}, Tags: []tracking.Tag{{Key: tracking.DatasetContextTag, Value: "train"}},
	}}, []tracking.ModelInput{{ModelID: model.ID}}))
	check(svc.LogOutputs(ctx, run, []tracking.ModelOutput{{ModelID: model.ID, Step: 3}}))
	_, err = svc.FinalizeLoggedModel(ctx, model.ID, tracking.ModelUploadFailed)
	check(err)
	end := int64(99)
	_, err = svc.UpdateRun(ctx, run, tracking.RunUpdate{Status: tracking.Finished, EndTimeMS: &end, Name: "renamed"})
	check(err)
	dead, err := svc.CreateRun(ctx, tracking.RunSpec{ExperimentID: e})
	check(err)
	check(svc.DeleteRun(ctx, dead.Info.ID))
}

// everything reads the whole store in the shape that testdata/mlflow.py prints.
func everything(t *testing.T, store tracking.Store) any {
	t.Helper()
	svc, err := tracking.New(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	experiments, err := svc.SearchExperiments(ctx, tracking.ExperimentQuery{View: tracking.All, MaxResults: 1000})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]any{"experiments": {}, "runs": {}, "models": {}}
	var ids []string
	for _, e := range experiments.Experiments {
		ids = append(ids, e.ID)
		out["experiments"][e.ID] = map[string]any{
			"name": e.Name, "location": e.ArtifactLocation, "stage": e.Lifecycle, "tags": pairs(e.Tags), "created": e.CreatedMS, "updated": e.UpdatedMS,
		}
	}
	runs, err := svc.SearchRuns(ctx, tracking.RunQuery{ExperimentIDs: ids, View: tracking.All, MaxResults: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs.Runs {
		out["runs"][r.Info.ID] = dumpRun(t, svc, r.Info.ID)
	}
	models, err := svc.SearchLoggedModels(ctx, tracking.LoggedModelQuery{ExperimentIDs: ids})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range models.Models {
		out["models"][m.ID] = dumpModel(m)
	}
	return throughJSON(t, out)
}

func dumpRun(t *testing.T, svc *tracking.Service, id string) any {
	r, err := svc.Run(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	metrics, history := map[string]any{}, map[string]any{}
	for _, m := range r.Data.Metrics {
		metrics[m.Key] = point(m)
		page, err := svc.MetricHistory(t.Context(), tracking.HistoryQuery{RunID: id, Key: m.Key})
		if err != nil {
			t.Fatal(err)
		}
		points := []any{}
		for _, h := range page.Metrics {
			points = append(points, point(h))
		}
		history[m.Key] = points
	}
	datasets, inputs, outputs := []any{}, []string{}, []any{}
	for _, d := range r.Inputs.Datasets {
		s := d.Dataset
		datasets = append(datasets, []any{s.Name, s.Digest, s.SourceType, s.Source, s.Schema, s.Profile, pairs(d.Tags)})
	}
	for _, m := range r.Inputs.Models {
		inputs = append(inputs, m.ModelID)
	}
	for _, m := range r.Outputs {
		outputs = append(outputs, []any{m.ModelID, m.Step})
	}
	i := r.Info
	return map[string]any{
		"name": i.Name, "experiment": i.ExperimentID, "user": i.UserID, "status": i.Status, "start": i.StartTimeMS, "end": i.EndTimeMS, "uri": i.ArtifactURI,
		"stage": i.Lifecycle, "metrics": metrics, "history": history, "params": pairs(r.Data.Params), "tags": pairs(r.Data.Tags), "datasets": datasets,
		"inputs": inputs, "outputs": outputs,
	}
}

func dumpModel(m tracking.LoggedModel) any {
	metrics := []any{}
	for _, x := range m.Metrics {
		metrics = append(metrics, []any{x.Key, x.Value, x.TimestampMS, x.Step, x.RunID, x.DatasetName, x.DatasetDigest})
	}
	return map[string]any{
		"name": m.Name, "experiment": m.ExperimentID, "location": m.ArtifactLocation, "status": m.Status.Number(), "type": m.ModelType, "run": m.SourceRunID,
		"created": m.CreatedMS, "updated": m.UpdatedMS, "params": pairs(m.Params), "tags": pairs(m.Tags), "metrics": metrics,
	}
}

func point(m tracking.Metric) any {
	if math.IsNaN(m.Value) {
		return []any{"NaN", m.TimestampMS, m.Step}
	}
	return []any{m.Value, m.TimestampMS, m.Step}
}

func pairs[T ~struct{ Key, Value string }](list []T) map[string]string {
	out := map[string]string{}
	for _, p := range list {
		out[struct{ Key, Value string }(p).Key] = struct{ Key, Value string }(p).Value
	}
	return out
}

func throughJSON(t *testing.T, v any) any {
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// sameJSON reports every leaf that differs.
func sameJSON(t *testing.T, path string, theirs, ours any) {
	t.Helper()
	a, isMap := theirs.(map[string]any)
	b, alsoMap := ours.(map[string]any)
	if !isMap || !alsoMap {
		if !reflect.DeepEqual(theirs, ours) {
			t.Errorf("%s: MLflow reads %v, we read %v", path, theirs, ours)
		}
		return
	}
	keys := map[string]bool{}
	for k := range a {
		keys[k] = true
	}
	for k := range b {
		keys[k] = true
	}
	var sorted []string
	for k := range keys {
		sorted = append(sorted, k)
	}
	sort.Strings(sorted)
	for _, k := range sorted {
		sameJSON(t, fmt.Sprint(path, " / ", k), a[k], b[k])
	}
}
