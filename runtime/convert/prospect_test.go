package convert_test

import (
	"strings"
	"testing"

	"sluice/runtime/convert"
	"sluice/runtime/mlmodel"
)

func TestHopeless(t *testing.T) {
	const column = `[{"type": "double", "name": "a", "required": true}]`
	for _, c := range []struct{ name, loader, inputs, params, want string }{
		{"a forest", "mlflow.sklearn", column, "", ""},
		{"unknown to converters", "mlflow.prophet", column, "", "mlflow.prophet"},
		{"without signature", "mlflow.sklearn", "", "", "no signature"},
		{"with parameters", "mlflow.sklearn", column, `[{"name": "n", "type": "long", "default": 1, "shape": null}]`, "parameters"},
		{"times", "mlflow.xgboost", `[{"type": "datetime", "name": "at", "required": true}]`, "", "datetime"},
		{"lists", "mlflow.xgboost", `[{"type": "array", "items": {"type": "long"}, "name": "l", "required": true}]`, "", "array"},
		{"no python", "", column, "", "python_function"},
		{"a network", "mlflow.pytorch", `[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 3, 8, 8]}}]`, "", ""},
		{"a network of open shape", "mlflow.keras", `[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1, -1]}}]`, "", "leaves an axis open"},
		{"a network without rows", "mlflow.keras", `[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [4, 8]}}]`, "", "no axis of rows"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := "signature:\n  inputs: '" + c.inputs + "'\n  params: '" + c.params + "'\nflavors:\n"
			if c.loader != "" {
				text += "  python_function:\n    loader_module: " + c.loader + "\n"
			}
			m, err := mlmodel.Parse([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			got := convert.Hopeless(m)
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
