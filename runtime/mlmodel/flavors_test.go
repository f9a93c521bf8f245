package mlmodel_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sluice/runtime/mlmodel"
)

// The files in testdata/flavors were written by the real client.
func TestFlavorsWrittenByMLflow(t *testing.T) {
	for name, want := range map[string]struct{ flavors, loader, data, predict string }{
		"sklearn_skops":    {"python_function sklearn", "mlflow.sklearn", "model.skops", "predict"},
		"sklearn_proba":    {"python_function sklearn", "mlflow.sklearn", "model.pkl", "predict_proba"},
		"lightgbm":         {"lightgbm python_function", "mlflow.lightgbm", "model.lgb", "predict"},
		"lightgbm_sklearn": {"lightgbm python_function", "mlflow.lightgbm", "model.skops", "predict"},
		"xgboost":          {"python_function xgboost", "mlflow.xgboost", "model.ubj", "predict"},
		"onnx":             {"onnx python_function", "mlflow.onnx", "model.onnx", "predict"},
		"pyfunc_class":     {"python_function", "mlflow.pyfunc.model", "", "predict"},
		"pyfunc_from_code": {"python_function", "mlflow.pyfunc.loaders.code_model", "", "predict"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", "flavors", name+".MLmodel"))
			if err != nil {
				t.Fatal(err)
			}
			m, err := mlmodel.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(m.FlavorNames(), " "); got != want.flavors {
				t.Errorf("flavors %q, want %q", got, want.flavors)
			}
			p, err := m.PyFunc()
			if err != nil {
				t.Fatal(err)
			}
			if p.LoaderModule != want.loader || p.Data != want.data || p.PredictFn != want.predict || p.VirtualEnv != "python_env.yaml" {
				t.Errorf("got %+v, want %+v", p, want)
			}
			if name != "onnx" && (m.Signature == nil || m.Signature.Inputs.Len() != 2) || m.Example == nil || m.Example.Path != "input_example.json" {
				t.Errorf("signature %+v, example %+v", m.Signature, m.Example)
			}
		})
	}
	files, err := filepath.Glob("testdata/flavors/*.MLmodel")
	if err != nil || len(files) != 8 {
		t.Errorf("%d files, of which 8 are looked at", len(files))
	}
}

func TestPathsOutOfThePackageAreRefused(t *testing.T) {
	paths := []string{"../x", "/etc/passwd", "a/../../x", `..\x`, "a\x00b"}
	fields := []string{"data: %", "model_path: %", "code: %", "env: %", "env: {virtualenv: %}", "env: {conda: %}", "python_model: %", "artifacts: {a: {path: %}}"}
	for _, path := range paths {
		for _, field := range fields {
			doc := "flavors:\n  python_function:\n    loader_module: m\n    " + strings.ReplaceAll(field, "%", quoted(path)) + "\n"
			m, err := mlmodel.Parse([]byte(doc))
			if err == nil {
				_, err = m.PyFunc()
			}
			if !errors.Is(err, mlmodel.ErrModel) {
				t.Errorf("%s: got %v", doc, err)
			}
		}
		m, err := mlmodel.Parse([]byte("flavors: {onnx: {data: " + quoted(path) + "}}\n"))
		if err == nil {
			_, err = m.ONNX()
		}
		if !errors.Is(err, mlmodel.ErrModel) {
			t.Errorf("onnx data %q: got %v", path, err)
		}
		m, err = mlmodel.Parse([]byte("saved_input_example_info: {artifact_path: " + quoted(path) + ", type: dataframe}\n"))
		if err == nil {
			_, _, err = m.ReadExample(t.TempDir())
		}
		if !errors.Is(err, mlmodel.ErrExample) && !errors.Is(err, mlmodel.ErrModel) {
			t.Errorf("example %q: got %v", path, err)
		}
	}
}

// quoted writes a text as YAML does, escapes and all.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, "\x00", `\0`).Replace(s) + `"`
}

// Fields of the wrong type are errors or as if they were missing, never a panic, whatever flavor is asked for.
func TestFieldsOfTheWrongType(t *testing.T) {
	values := []string{"null", "7", "2.5", "true", "[]", "[1, [2]]", "{}", "{a: {b: 1}}", "2026-01-02", "''", "!!binary aGk=", "&x [1]", ".nan"}
	fields := []string{
		"flavors", "flavors.python_function", "flavors.python_function.loader_module", "flavors.python_function.env", "flavors.python_function.artifacts",
		"flavors.python_function.config", "flavors.onnx", "flavors.onnx.data", "flavors.onnx.providers", "flavors.onnx.onnx_session_options", "signature",
		"signature.inputs", "signature.params", "saved_input_example_info", "saved_input_example_info.artifact_path", "saved_input_example_info.params",
		"metadata", "run_id", "model_size_bytes", "utc_time_created",
	}
	for _, field := range fields {
		for _, value := range values {
			parts := strings.Split(field, ".")
			slices.Reverse(parts)
			doc := value
			for _, p := range parts {
				doc = "{" + p + ": " + doc + "}"
			}
			m, err := mlmodel.Parse([]byte(doc))
			if err != nil {
				if !errors.Is(err, mlmodel.ErrModel) && !errors.Is(err, mlmodel.ErrSignature) {
					t.Errorf("%s: %v", doc, err)
				}
				continue
			}
			_, _ = m.PyFunc()
			_, _ = m.ONNX()
			_, _, _ = m.ReadExample(t.TempDir())
		}
	}
}

func TestHugeFilesAreRefusedUnread(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, mlmodel.FileName))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(1<<40), f.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := mlmodel.Load(dir); !errors.Is(err, mlmodel.ErrModel) {
		t.Errorf("got %v", err)
	}
}
