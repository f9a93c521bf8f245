package convert_test

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sluice/runtime/convert"
	"sluice/runtime/onnx/onnxtest"
	"sluice/runtime/servable"
	"sluice/runtime/tensor"
)

// python is the interpreter of the environment that `make setup` makes at the repository's root.
func python(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		path := filepath.Join(dir, ".venv", "bin", "python")
		if _, err := os.Stat(path); err == nil {
			return path
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no .venv: run `make setup`")
		}
	}
}

var made struct {
	sync.Once
	dir string
	err error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if made.dir != "" {
		_ = os.RemoveAll(made.dir)
	}
	os.Exit(code)
}

// packages are the models of testdata/make_models.py, made once a run.
func packages(t testing.TB) string {
	t.Helper()
	made.Do(func() {
		if made.dir, made.err = os.MkdirTemp("", "convert-models-"); made.err != nil {
			return
		}
		var out []byte
		if out, made.err = exec.Command(python(t), "testdata/make_models.py", made.dir).CombinedOutput(); made.err != nil {
			made.err = errors.New(string(out))
		}
	})
	if made.err != nil {
		t.Fatal(made.err)
	}
	return made.dir
}

func TestVerdicts(t *testing.T) {
	rt := onnxtest.Open(t, os.Getenv("ORT_LIB"))
	for _, c := range []struct {
		model, way, reason string
		check              func(t *testing.T, l *servable.Loaded)
	}{
		{model: "forest", way: "one matrix of float", check: answersLabels},
		{model: "proba", way: "one matrix of float", check: answersRows},
		{model: "matrix", way: "one matrix of float", check: answersLabels},
		{model: "people", way: "columns of float", check: refusesStrangers},
		{model: "custom", reason: "Doubling"},
		{model: "pyfunc", reason: "no converter is known for models of mlflow.pyfunc.model"},
		{model: "unsigned", reason: "no signature"},
	} {
		t.Run(c.model, func(t *testing.T) {
			t.Parallel()
			dir, out := filepath.Join(packages(t), c.model), t.TempDir()
			got, err := convert.Convert(t.Context(), rt, python(t), dir, out, &convert.Options{Environ: os.Environ(), Rows: 64})
			if err != nil {
				t.Fatal(err)
			}
			if (got.Verdict == convert.Pass) != (c.reason == "") || got.Way != c.way || !strings.Contains(got.Reason, c.reason) {
				t.Fatalf("got %+v, want the way %q or a reason with %q", got, c.way, c.reason)
			}
			l, err := convert.Open(t.Context(), rt, dir, out)
			if c.check == nil {
				if !errors.Is(err, convert.ErrNotConverted) {
					t.Fatalf("opening what was not converted: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer l.Backend.Close()
			if got.Versions["skl2onnx"] == "" || got.Versions["onnxruntime"] == "" || got.Rows < 64 {
				t.Errorf("the record says too little: %+v", got)
			}
			c.check(t, l)
		})
	}
}

func predict(t *testing.T, l *servable.Loaded, in *tensor.Batch) *tensor.Batch {
	t.Helper()
	var out tensor.Batch
	if err := l.Backend.Predict(t.Context(), in, nil, &out); err != nil {
		t.Fatal(err)
	}
	return &out
}

// answersLabels wants what predict of a classifier gives: a list of labels, not records with probabilities.
func answersLabels(t *testing.T, l *servable.Loaded) {
	out := predict(t, l, l.Sample)
	if out.Form != tensor.Bare || len(out.Columns) != 1 || out.Columns[0].Tensor.Type != tensor.Int64 || len(out.Columns[0].Tensor.Shape) != 1 {
		t.Errorf("got form %v, %+v", out.Form, out.Columns)
	}
}

func answersRows(t *testing.T, l *servable.Loaded) {
	out := predict(t, l, l.Sample)
	if out.Form != tensor.Bare || len(out.Columns) != 1 || len(out.Columns[0].Tensor.Shape) != 2 || out.Columns[0].Tensor.Shape[1] != 3 {
		t.Errorf("got form %v, %+v", out.Form, out.Columns)
	}
}

// refusesStrangers wants texts answered, unknown ones refused where the original does, and NaN where it has an imputer only.
func refusesStrangers(t *testing.T, l *servable.Loaded) {
	out := predict(t, l, l.Sample)
	if got := out.Columns[0].Tensor.Strings(); out.Form != tensor.Bare || len(got) != l.Sample.Rows || (got[0] != "yes" && got[0] != "no") {
		t.Fatalf("got %v in form %v", got, out.Form)
	}
	var in tensor.Batch
	in.CopyFrom(l.Sample)
	in.Column("city").Tensor.Strings()[0] = "Atlantis"
	if err := l.Backend.Predict(t.Context(), &in, nil, out); !errors.Is(err, servable.ErrBadInput) {
		t.Errorf("a city that the encoder never saw: %v", err)
	}
	in.CopyFrom(l.Sample)
	tensor.Of[float64](&in.Column("income").Tensor)[0] = math.NaN()
	predict(t, l, &in)
	tensor.Of[float64](&in.Column("income").Tensor)[0] = math.Inf(1)
	if err := l.Backend.Predict(t.Context(), &in, nil, out); !errors.Is(err, servable.ErrBadInput) || !strings.Contains(err.Error(), "income") {
		t.Errorf("infinity: %v", err)
	}
}
