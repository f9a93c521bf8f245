package baseline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"sluice/gateway"
	"sluice/gateway/baseline"
	"sluice/gateway/drift"
	"sluice/gateway/predlog"
	"sluice/registry"
	"sluice/runtime/batch"
	"sluice/runtime/mlmodel"
	"sluice/runtime/servable"
	"sluice/runtime/tensor"
	"sluice/tracking"
	"sluice/tracking/artifact"
	"sluice/tracking/artifact/fileartifact"
	"sluice/tracking/mlflow"
)

var wine = predlog.Series{Endpoint: "cellar", Model: "wine", Version: 3}

const signature = `signature:
  inputs: '[{"type": "double", "name": "x", "required": true}, {"type": "string", "name": "c", "required": true}]'
`

// world is a version, its run and its files.
type world struct {
	t       *testing.T
	version registry.Version
	run     tracking.Run
	repo    *artifact.Repo
	model   *mlmodel.Model
	most    int // rows that the model takes at once
	refuse  error
	absent  error // of the version's Acquire
	rows    int   // it was asked for
	held    int

	redaction baseline.Redaction
}

func newWorld(t *testing.T) *world {
	t.Helper()
	driver, err := fileartifact.New(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = driver.Close() })
	model, err := mlmodel.Parse([]byte(signature))
	if err != nil {
		t.Fatal(err)
	}
	id := "r1"
	w := &world{t: t, repo: artifact.NewRepo(driver), model: model, most: 1000}
	w.version = registry.Version{Name: "wine", Version: 3, RunID: &id, Source: "mlflow-artifacts:/r1/model"}
	w.run.Info = tracking.RunInfo{ID: id, ArtifactURI: "mlflow-artifacts:/r1"}
	w.put("r1/model/MLmodel", signature)
	return w
}

func (w *world) put(path, content string) {
	w.t.Helper()
	if _, err := w.repo.Write(w.t.Context(), path, strings.NewReader(content)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) dataset(context, kind, source string) {
	w.run.Inputs.Datasets = append(w.run.Inputs.Datasets, tracking.DatasetInput{
		Dataset: tracking.Dataset{Name: "data", SourceType: kind, Source: source, Profile: `{"num_rows": 150}`},
		Tags:    []tracking.Tag{{Key: tracking.DatasetContextTag, Value: context}},
	})
}

func (w *world) Model() *mlmodel.Model { return w.model }
func (w *world) Release()              { w.held-- }

// Predict answers with x + 1 and a field that is not looked at.
func (w *world) Predict(_ context.Context, in *tensor.Batch, _ map[string]any, out *tensor.Batch, _ *batch.Timing) error {
	if w.refuse != nil {
		return w.refuse
	}
	if in.Rows > w.most {
		return fmt.Errorf("%w: %d rows", servable.ErrBadInput, in.Rows)
	}
	w.rows += in.Rows
	out.Reset(tensor.Table)
	out.Grow(2)
	out.AddColumn("other").Reset(tensor.Float64, 0)
	out.AddColumn("y").Reset(tensor.Float64, 0)
	for i := range in.Rows {
		tensor.Append(&out.Columns[0].Tensor, -1.0)
		tensor.Append(&out.Columns[1].Tensor, in.Column("x").Tensor.At(i)+1)
	}
	return out.CountRows()
}

func (w *world) find(settings gateway.Drift) (drift.Given, error) {
	w.t.Helper()
	f := baseline.New(baseline.Deps{
		Version: func(context.Context, string, int) (registry.Version, error) { return w.version, nil },
		Run: func(_ context.Context, id string) (tracking.Run, error) {
			if id != w.run.Info.ID {
				return tracking.Run{}, mlflow.Missingf("no run %s", id)
			}
			return w.run, nil
		},
		Locate: func(_ context.Context, uri string) (string, error) {
			if rest, ok := strings.CutPrefix(uri, "runs:/r1/"); ok {
				return w.run.Info.ArtifactURI + "/" + rest, nil
			}
			return uri, nil
		},
		Resolve: artifact.NewResolver(w.repo, map[string]artifact.Opener{"file": func(artifact.URI) (*artifact.Repo, error) {
			return nil, mlflow.Errorf(mlflow.PermissionDenied, "not a folder of this server")
		}}).Resolve,
		Acquire:   func(context.Context, predlog.Series) (baseline.Model, error) { w.held++; return w, w.absent },
		Redaction: func(context.Context, string) (baseline.Redaction, error) { return w.redaction, nil },
	})
	given, err := f.Baseline(w.t.Context(), wine, settings.WithDefaults(), "y")
	if w.absent == nil && w.held != 0 {
		w.t.Errorf("%d handles are held", w.held)
	}
	return given, err
}

// csv is a table of n rows, with a label that the model does not take.
func csv(n int) string {
	var b strings.Builder
	b.WriteString("c,label,x\n")
	for i := range n {
		fmt.Fprintf(&b, "%s,7,%d\n", []string{"a", "b"}[i%2], i)
	}
	return b.String()
}

// table is the same as JSON, as mlflow.log_table and input examples write it.
func table(n int) string {
	var rows []string
	for i := range n {
		rows = append(rows, fmt.Sprintf(`["%s", 7, %d.0]`, []string{"a", "b"}[i%2], i))
	}
	return `{"columns": ["c", "label", "x"], "data": [` + strings.Join(rows, ", ") + `]}`
}

var settings = gateway.Drift{MinRows: 100, BaselineRows: 500}

func TestSources(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(w *world)
		setting string
		source  drift.Source
		from    string
		rows    uint64
		notes   string // in the notes, in this order
		failed  string
	}{
		"nothing": {prepare: func(*world) {}},
		"a path among the run's artifacts": {
			func(w *world) { w.put("r1/data/base.csv", csv(200)) }, "data/base.csv", drift.FromTable, "mlflow-artifacts:/r1/data/base.csv", 200, "", "",
		},
		"a URI": {
			func(w *world) { w.put("r1/base.json", table(200)) }, "runs:/r1/base.json", drift.FromTable, "runs:/r1/base.json", 200, "", "",
		},
		"the version's tag before the endpoint's setting": {
			func(w *world) {
				w.put("r1/base.csv", csv(200))
				w.put("r1/other.csv", csv(150))
				w.version.Tags = []registry.Tag{{Key: baseline.TagBaseline, Value: "other.csv"}}
			}, "base.csv", drift.FromTable, "mlflow-artifacts:/r1/other.csv", 150, "", "",
		},
		"a version without a run": {
			func(w *world) { w.version.RunID = nil; w.put("r1/model/base.csv", csv(200)) }, "base.csv", drift.FromTable, "mlflow-artifacts:/r1/model/base.csv", 200, "", "",
		},
		"a named table that is not there, then the training dataset": {
			func(w *world) {
				w.put("r1/train.csv", csv(300))
				w.dataset("eval", "local", `{"uri": "mlflow-artifacts:/r1/eval.csv"}`)
				w.dataset("training", "local", `{"uri": "mlflow-artifacts:/r1/train.csv"}`)
			}, "base.csv", drift.FromDataset, "mlflow-artifacts:/r1/train.csv", 300, "table mlflow-artifacts:/r1/base.csv: ", "base.csv",
		},
		"a large dataset": {
			func(w *world) {
				w.put("r1/train.csv", csv(20_000))
				w.dataset("train", "local", `{"uri": "mlflow-artifacts:/r1/train.csv"}`)
			}, "", drift.FromDataset, "mlflow-artifacts:/r1/train.csv", 500, "", "",
		},
		"a dataset of the client's that was logged as an artifact": {
			func(w *world) {
				w.put("r1/train.csv", csv(200))
				w.dataset("training", "local", `{"uri": "/their/train.csv"}`)
			}, "", drift.FromDataset, "mlflow-artifacts:/r1/train.csv", 200, "/their/train.csv: ", "",
		},
		"datasets that lie elsewhere, then the example": {
			func(w *world) {
				w.dataset("training", "local", `{"uri": "/their/train.csv"}`)
				w.dataset("training", "http", `{"url": "https://example.com/train.csv"}`)
				w.dataset("training", "code", `{"tags": {"mlflow.source.name": "train.py"}}`)
				w.put("r1/model/MLmodel", signature+"saved_input_example_info:\n  artifact_path: input_example.json\n  type: dataframe\n  serving_input_path: serving_input_example.json\n")
				w.put("r1/model/serving_input_example.json", `{"dataframe_split": `+table(120)+`}`)
			}, "", drift.FromExample, "mlflow-artifacts:/r1/model/serving_input_example.json", 120,
			"training_dataset data: its source, of type code, names no file|/their/train.csv: |https://example.com/train.csv: ", "",
		},
		"an example of before MLflow 2.16, of too few rows": {
			func(w *world) {
				w.put("r1/model/MLmodel", signature+"saved_input_example_info:\n  artifact_path: input_example.json\n  type: dataframe\n")
				w.put("r1/model/input_example.json", table(5))
			}, "", "", "", 0, "it has 5 rows, fewer than drift.min_rows 100", "",
		},
		"another form of file": {
			func(w *world) { w.put("r1/base.pkl", "!") }, "base.pkl", "", "", 0, "it is no .parquet", "it is no .parquet",
		},
		"a path out of the run": {func(*world) {}, "../r2/base.csv", "", "", 0, "../r2/base.csv: ", "r2"},
		"a file of the machine": {func(*world) {}, "file:///etc/hosts.csv", "", "", 0, "not a folder of this server", "not a folder"},
		"a column is missing": {
			func(w *world) { w.put("r1/base.csv", "c\na\n") }, "base.csv", "", "", 0, "x", "base.csv",
		},
		"no package": {func(w *world) { w.version.Source = "mlflow-artifacts:/gone" }, "", "", "", 0, "input_example: ", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.prepare(w)
			s := settings
			s.Baseline = c.setting
			got, err := w.find(s)
			if err != nil {
				t.Fatal(err)
			}
			notes := strings.Join(got.Notes, "\n")
			for _, want := range strings.Split(c.notes, "|") {
				if !strings.Contains(notes, want) {
					t.Errorf("notes %q, want %q in them", notes, want)
				}
			}
			if got.Source != c.source || got.From != c.from || (got.Failed == "") != (c.failed == "") || !strings.Contains(got.Failed, c.failed) {
				t.Errorf("got %+v", got)
			}
			if (got.Profile != nil) != (c.rows > 0) {
				t.Fatalf("got %+v", got.Profile)
			}
			if got.Profile == nil {
				return
			}
			p := got.Profile
			x, y, label := p.Columns["x"], p.Columns[drift.Prediction], p.Columns["label"]
			if p.Rows != c.rows || w.rows != int(c.rows) || x.Count() != c.rows || p.Columns["c"].Texts() != c.rows || label != nil {
				t.Fatalf("%d rows, asked for %d, columns %v", p.Rows, w.rows, p.Columns)
			}
			if d := y.Mean() - x.Mean(); d < 0.99 || d > 1.01 {
				t.Errorf("the predictions are %v above x", d)
			}
			if c.rows == 500 && (x.Quantile(0.1) > 2500 || x.Quantile(0.9) < 17_500) {
				t.Errorf("the rows do not lie evenly: %v–%v", x.Quantile(0.1), x.Quantile(0.9))
			}
		})
	}
}

// A model that takes one row at a time is asked one by one; one that refuses the rows makes them unusable; what another try may mend is an error.
func TestModels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("r1/base.csv", csv(150))
	s := settings
	s.Baseline = "base.csv"
	w.most = 1
	if got, err := w.find(s); err != nil || got.Profile == nil || w.rows != 150 {
		t.Errorf("one by one: %d rows, %+v %v", w.rows, got, err)
	}
	w.refuse = fmt.Errorf("%w: never", servable.ErrBadInput)
	if got, err := w.find(s); err != nil || got.Profile != nil || !strings.Contains(got.Failed, "the model does not take it") {
		t.Errorf("refused: %+v %v", got, err)
	}
	w.refuse = errors.New("the worker died")
	if _, err := w.find(s); err == nil {
		t.Error("a failure of the model is not tried again")
	}
	w.absent = servable.ErrNotAvailable
	if _, err := w.find(s); !errors.Is(err, servable.ErrNotAvailable) {
		t.Errorf("got %v", err)
	}
}

// R45: what the log does not keep of a row is not kept of its baseline, nor told.
func TestRedactedColumns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.redaction = baseline.Redaction{Columns: []string{"c", "gone"}, Answer: func(answer []byte) []byte {
		return bytes.ReplaceAll(answer, []byte(`"y"`), []byte(`"other"`))
	}}
	w.put("r1/base.csv", csv(150))
	s := settings
	s.Baseline = "base.csv"
	got, err := w.find(s)
	if err != nil || got.Profile == nil {
		t.Fatalf("%+v %v", got, err)
	}
	if p := got.Profile; p.Columns["c"] != nil || p.Columns["x"].Count() != 150 || p.Columns[drift.Prediction].Missing != 150 {
		t.Errorf("columns %v", p.Columns)
	}
	w.put("r1/base.csv", "c,x\n"+strings.Repeat("a,CANARY\n", 150))
	if got, err = w.find(s); err != nil || got.Profile != nil || !strings.Contains(got.Failed, "redacts") || strings.Contains(fmt.Sprint(got), "CANARY") {
		t.Errorf("a value that is none: %+v %v", got, err)
	}
}
