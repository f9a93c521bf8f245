package convert

import (
	"fmt"
	"slices"

	"sluice/runtime/mlmodel"
)

// The loader modules of packages that the program has a converter for.
var (
	loaders  = []string{"mlflow.sklearn", "mlflow.lightgbm", "mlflow.xgboost", "mlflow.catboost"}
	networks = []string{"mlflow.pytorch", "mlflow.keras", "mlflow.tensorflow"}
)

// isNetwork says whether a package holds a neural network, which takes tensors of any shape.
func isNetwork(m *mlmodel.Model) bool {
	f, err := m.PyFunc()
	return err == nil && slices.Contains(networks, f.LoaderModule)
}

// Hopeless says why a package need not be tried: nothing that a process could find out would help. Empty: try.
func Hopeless(m *mlmodel.Model) string {
	f, err := m.PyFunc()
	switch {
	case err != nil:
		return err.Error()
	case !slices.Contains(loaders, f.LoaderModule) && !isNetwork(m):
		return fmt.Sprintf("no converter is known for models of %s", f.LoaderModule)
	case m.Signature == nil || m.Signature.Inputs.Len() == 0:
		return "the model has no signature, so what it is fed is not known: log it with a signature or an input example"
	case len(m.Signature.Params) > 0:
		return "the model takes parameters with a request"
	}
	for _, c := range m.Signature.Inputs.Columns {
		if !c.Kind.Scalar() || c.Kind == mlmodel.Binary || c.Kind == mlmodel.Datetime {
			return fmt.Sprintf("column %q is of type %s, which ONNX does not have", c.Name, c.Kind)
		}
	}
	if isNetwork(m) {
		return openShape(m.Signature.Inputs)
	}
	return ""
}

// openShape says which tensor's shape the signature does not tell but for the number of rows.
func openShape(inputs *mlmodel.Schema) string {
	for _, t := range inputs.Tensors {
		if len(t.Shape) == 0 || t.Shape[0] != -1 {
			return fmt.Sprintf("the signature's shape %v of tensor %q has no axis of rows, which is a first one of -1", t.Shape, t.Name)
		}
		if slices.ContainsFunc(t.Shape[1:], func(n int64) bool { return n < 1 }) {
			return fmt.Sprintf("the signature's shape %v of tensor %q leaves an axis open besides that of the rows", t.Shape, t.Name)
		}
	}
	return ""
}
