package convert

import (
	"fmt"
	"slices"

	"sluice/runtime/mlmodel"
)

// loaders are the loader modules of packages that the program has a converter for.
var loaders = []string{"mlflow.sklearn", "mlflow.lightgbm", "mlflow.xgboost", "mlflow.catboost"}

// Hopeless says why a package need not be tried: nothing that a process could find out would help. Empty: try.
func Hopeless(m *mlmodel.Model) string {
	f, err := m.PyFunc()
	switch {
	case err != nil:
		return err.Error()
	case !slices.Contains(loaders, f.LoaderModule):
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
	return ""
}
