package storetest

import (
	"encoding/json"
	"strings"

	"sluice/tracking"
	"sluice/tracking/mlflow"
)

var runCases = []testCase{
	{"create and get", func(f *fixture) {
		made, err := f.svc.CreateRun(f.ctx, tracking.RunSpec{ExperimentID: "0", UserID: "ada", Name: "first", StartTimeMS: 5, Tags: []tracking.Tag{{Key: "z", Value: "1"}}})
		f.must(err)
		want := tracking.Run{Info: tracking.RunInfo{
			ID: made.Info.ID, Name: "first", ExperimentID: "0", UserID: "ada", Status: tracking.Running, StartTimeMS: 5,
			ArtifactURI: "mlflow-artifacts:/0/" + made.Info.ID + "/artifacts", Lifecycle: tracking.Active,
		}, Data: tracking.RunData{Tags: []tracking.Tag{{Key: "mlflow.runName", Value: "first"}, {Key: "z", Value: "1"}}}}
		equal(f, made, want, "made")
		equal(f, f.get(made.Info.ID), want, "read")
		if len(made.Info.ID) != 32 {
			f.Fatalf("id %q", made.Info.ID)
		}
	}},
	{"names: random, from the tag, contradicting", func(f *fixture) {
		r, err := f.svc.CreateRun(f.ctx, tracking.RunSpec{ExperimentID: "0"})
		f.must(err)
		if strings.Count(r.Info.Name, "-") != 2 || r.Data.Tags[0].Value != r.Info.Name {
			f.Fatalf("random name: %+v", r)
		}
		tag := tracking.Tag{Key: tracking.RunNameTag, Value: "tagged"}
		equal(f, f.get(f.run("", tag)).Info.Name, "tagged", "name")
		_, err = f.svc.CreateRun(f.ctx, tracking.RunSpec{ExperimentID: "0", Name: "other", Tags: []tracking.Tag{tag}})
		f.refused(err, mlflow.InvalidParameterValue)
	}},
	{"unknown experiments and runs", func(f *fixture) {
		_, err := f.svc.CreateRun(f.ctx, tracking.RunSpec{})
		f.refused(err, mlflow.BadRequest)
		_, err = f.svc.CreateRun(f.ctx, tracking.RunSpec{ExperimentID: "4711"})
		f.refused(err, mlflow.ResourceDoesNotExist)
		_, err = f.svc.Run(f.ctx, "nope")
		f.refused(err, mlflow.ResourceDoesNotExist)
		_, err = f.svc.UpdateRun(f.ctx, "nope", tracking.RunUpdate{})
		f.refused(err, mlflow.ResourceDoesNotExist)
		for _, err := range []error{
			f.svc.DeleteRun(f.ctx, "nope"), f.svc.RestoreRun(f.ctx, "nope"), f.svc.DeleteTag(f.ctx, "nope", "k"),
			f.svc.LogMetric(f.ctx, "nope", tracking.Metric{Key: "m"}), f.svc.LogParam(f.ctx, "nope", tracking.Param{Key: "p"}),
			f.svc.SetTag(f.ctx, "nope", tracking.Tag{Key: "t"}), f.svc.LogBatch(f.ctx, "nope", tracking.Batch{}),
			f.svc.LogInputs(f.ctx, "nope", nil, nil), f.svc.LogOutputs(f.ctx, "nope", nil),
		} {
			f.refused(err, mlflow.ResourceDoesNotExist)
		}
	}},
	{"update keeps what it is not told", func(f *fixture) {
		id, end := f.run("before"), int64(99)
		info, err := f.svc.UpdateRun(f.ctx, id, tracking.RunUpdate{Status: tracking.Finished, EndTimeMS: &end})
		f.must(err)
		equal(f, []any{info.Status, info.EndTimeMS, info.Name}, []any{tracking.Finished, 99, "before"}, "info")
		info, err = f.svc.UpdateRun(f.ctx, id, tracking.RunUpdate{Name: "after"})
		f.must(err)
		r := f.get(id)
		equal(f, r.Info, info, "read back")
		equal(f, []any{info.Status, info.EndTimeMS, info.Name, r.Data.Tags[0].Value}, []any{tracking.Finished, 99, "after", "after"}, "run")
		_, err = f.svc.UpdateRun(f.ctx, id, tracking.RunUpdate{Status: "DANCING"})
		f.refused(err, mlflow.InvalidParameterValue)
	}},
	{"the name tag renames the run", func(f *fixture) {
		id := f.run("before")
		f.must(f.svc.SetTag(f.ctx, id, tracking.Tag{Key: tracking.RunNameTag, Value: "after"}))
		equal(f, f.get(id).Info.Name, "after", "name")
		f.must(f.svc.SetTag(f.ctx, id, tracking.Tag{Key: tracking.RunNameTag}))
		equal(f, f.get(id).Info.Name, "after", "name after an empty tag")
	}},
	{"a deleted run refuses writes until restored", func(f *fixture) {
		id := f.run("r", tracking.Tag{Key: "t", Value: "1"})
		f.must(f.svc.DeleteRun(f.ctx, id))
		f.must(f.svc.DeleteRun(f.ctx, id))
		equal(f, f.get(id).Info.Lifecycle, tracking.Deleted, "stage")
		_, err := f.svc.UpdateRun(f.ctx, id, tracking.RunUpdate{Name: "x"})
		for _, err := range []error{
			err, f.svc.SetTag(f.ctx, id, tracking.Tag{Key: "t"}), f.svc.DeleteTag(f.ctx, id, "t"), f.svc.LogBatch(f.ctx, id, tracking.Batch{}),
			f.svc.LogParam(f.ctx, id, tracking.Param{Key: "p"}), f.svc.LogMetric(f.ctx, id, tracking.Metric{Key: "m"}),
			f.svc.LogInputs(f.ctx, id, nil, nil), f.svc.LogOutputs(f.ctx, id, nil),
		} {
			f.refused(err, mlflow.InvalidParameterValue)
			if !strings.Contains(err.Error(), "must be in the 'active' state") {
				f.Fatal(err)
			}
		}
		f.must(f.svc.RestoreRun(f.ctx, id))
		f.must(f.svc.RestoreRun(f.ctx, id))
		f.must(f.svc.SetTag(f.ctx, id, tracking.Tag{Key: "t"}))
	}},
	{"tags are overwritten and deleted", func(f *fixture) {
		id := f.run("r")
		for _, v := range []string{"1", "", "3"} {
			f.must(f.svc.SetTag(f.ctx, id, tracking.Tag{Key: "t", Value: v}))
		}
		equal(f, f.get(id).Data.Tags[1], tracking.Tag{Key: "t", Value: "3"}, "tag")
		f.must(f.svc.DeleteTag(f.ctx, id, "t"))
		f.refused(f.svc.DeleteTag(f.ctx, id, "t"), mlflow.ResourceDoesNotExist)
	}},
	{"params never change", func(f *fixture) {
		id := f.run("r")
		f.must(f.svc.LogParam(f.ctx, id, tracking.Param{Key: "p", Value: "1"}))
		f.must(f.svc.LogParam(f.ctx, id, tracking.Param{Key: "p", Value: "1"}))
		err := f.svc.LogParam(f.ctx, id, tracking.Param{Key: "p", Value: "2"})
		f.refused(err, mlflow.InvalidParameterValue)
		if !strings.Contains(err.Error(), "Changing param values is not allowed. Param with key='p' was already logged with value='1'") {
			f.Fatal(err)
		}
		equal(f, f.get(id).Data.Params, []tracking.Param{{Key: "p", Value: "1"}}, "params")
	}},
	{"empty values and odd characters survive", func(f *fixture) {
		id := f.run("r")
		for _, v := range []string{"", "'; DROP TABLE runs; --", "日本語 🦦", "a\nb\t\"c\""} {
			key := "k/" + string(rune('a'+len(v)%26))
			f.must(f.svc.LogParam(f.ctx, id, tracking.Param{Key: key, Value: v}))
			f.must(f.svc.SetTag(f.ctx, id, tracking.Tag{Key: key, Value: v}))
			r := f.get(id)
			equal(f, r.Data.Params[len(r.Data.Params)-1].Value != v && len(r.Data.Params) == 1, false, "param")
			found := false
			for _, p := range r.Data.Params {
				found = found || p == tracking.Param{Key: key, Value: v}
			}
			equal(f, found, true, "param "+v)
		}
	}},
	{"the history tag of log-model is spelled as MLflow spells it", func(f *fixture) {
		id := f.run("r")
		f.must(f.svc.LogModel(f.ctx, id, `{"flavors":{"tf":"bödy","python_function":{"z":1.0,"config":{},"a":[1,2]}},"model_uuid":"u","utc_time_created":"now","artifact_path":"m","run_id":null}`))
		f.must(f.svc.LogModel(f.ctx, id, `{"artifact_path":"n","run_id":"x","utc_time_created":"now","flavors":{}}`))
		want := `[{"artifact_path": "m", "utc_time_created": "now", "model_uuid": "u", "flavors": {"tf": "b\u00f6dy", "python_function": {"z": 1.0, "a": [1, 2]}}}, ` +
			`{"run_id": "x", "artifact_path": "n", "utc_time_created": "now", "model_uuid": null, "flavors": {}}]`
		for _, t := range f.get(id).Data.Tags {
			if t.Key == tracking.LogModelHistoryTag {
				equal(f, t.Value, want, "tag")
			}
		}
	}},
	{"log-model appends to the history tag", func(f *fixture) {
		id := f.run("r")
		model := `{"artifact_path":"m","run_id":"x","utc_time_created":"now","flavors":{"onnx":{"config":{"a":1},"data":"model.onnx"}},"signature":{}}`
		f.must(f.svc.LogModel(f.ctx, id, model))
		f.must(f.svc.LogModel(f.ctx, id, model))
		var list []map[string]any
		for _, t := range f.get(id).Data.Tags {
			if t.Key == tracking.LogModelHistoryTag {
				f.must(json.Unmarshal([]byte(t.Value), &list))
			}
		}
		equal(f, len(list), 2, "entries")
		equal(f, list[0], map[string]any{"artifact_path": "m", "run_id": "x", "utc_time_created": "now", "model_uuid": nil, "flavors": map[string]any{"onnx": map[string]any{"data": "model.onnx"}}}, "entry")
		f.refused(f.svc.LogModel(f.ctx, id, `{"artifact_path":"m"}`), mlflow.InvalidParameterValue)
		f.refused(f.svc.LogModel(f.ctx, id, `{"artifact_path":"m","run_id":"x","utc_time_created":"now","flavors":["onnx"]}`), mlflow.InvalidParameterValue)
		f.refused(f.svc.LogModel(f.ctx, id, `[`), mlflow.InvalidParameterValue)
	}},
}
