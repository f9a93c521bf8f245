package pyworker_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"sluice/runtime/pyworker"
	"sluice/runtime/tensor"
)

// interpreter has MLflow; models is the folder of what testdata/models.py saves.
var interpreter, models string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if interpreter, err = findPython(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if models, err = os.MkdirTemp("", "models-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(models)
		save := exec.Command(interpreter, filepath.Join("testdata", "models.py"), models)
		save.Env = append(os.Environ(), "MLFLOW_DISABLE_TELEMETRY=true")
		if out, err := save.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "save the models: %v\n%s", err, out)
			return 1
		}
		code := m.Run()
		if code == 0 {
			if err := goleak.Find(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
		return code
	}())
}

// findPython looks for .venv/bin/python from this folder upwards.
func findPython() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		candidate := filepath.Join(dir, ".venv", "bin", "python")
		if _, err := os.Stat(candidate); err == nil {
			return candidate, nil
		}
	}
	return "", fmt.Errorf("no .venv/bin/python with MLflow above this folder: run `make venv`")
}

// open loads one of the models; the caller closes it.
func open(t testing.TB, name string, opts *pyworker.Options) *pyworker.Backend {
	t.Helper()
	return openDir(t, filepath.Join(models, name), opts)
}

func openDir(t testing.TB, dir string, opts *pyworker.Options) *pyworker.Backend {
	t.Helper()
	var o pyworker.Options
	if opts != nil {
		o = *opts
	}
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	loaded, err := pyworker.LoadDir(t.Context(), interpreter, dir, &o)
	if err != nil {
		t.Fatal(err)
	}
	return loaded.Backend.(*pyworker.Backend)
}

// column is a name with its values.
type column struct {
	name   string
	values any
}

// table makes a frame of one-dimensional columns.
func table(t testing.TB, columns ...column) *tensor.Batch {
	t.Helper()
	b := new(tensor.Batch)
	b.Reset(tensor.Table)
	for _, c := range columns {
		to := b.AddColumn(c.name)
		switch v := c.values.(type) {
		case []float64:
			to.Reset(tensor.Float64, int64(len(v)))
			copy(tensor.Of[float64](to), v)
		case []int64:
			to.Reset(tensor.Int64, int64(len(v)))
			copy(tensor.Of[int64](to), v)
		case []string:
			to.Reset(tensor.String, int64(len(v)))
			copy(to.Strings(), v)
		default:
			t.Fatalf("column of %T", v)
		}
	}
	if err := b.CountRows(); err != nil {
		t.Fatal(err)
	}
	return b
}
