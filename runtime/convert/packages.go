package convert

import "sluice/runtime/mlmodel"

// The oldest converters that the program is written for.
const (
	onnxPackage        = "onnx>=1.16"
	skl2onnxPackage    = "skl2onnx>=1.17"
	onnxmltoolsPackage = "onnxmltools>=1.13"
	onnxscriptPackage  = "onnxscript>=0.5"
	tf2onnxPackage     = "tf2onnx>=1.16"
	jax2onnxPackage    = "jax2onnx>=0.11"
)

// Packages are the requirements of Python packages that a conversion of m takes besides what m itself asks for; none for models that no converter is
// known for.
func Packages(m *mlmodel.Model) []string {
	f, err := m.PyFunc()
	if err != nil {
		return nil
	}
	switch f.LoaderModule {
	case "mlflow.sklearn", "mlflow.lightgbm", "mlflow.xgboost":
		return []string{onnxPackage, skl2onnxPackage, onnxmltoolsPackage}
	case "mlflow.catboost":
		return []string{onnxPackage}
	case "mlflow.pytorch":
		return []string{onnxPackage, onnxscriptPackage}
	case "mlflow.tensorflow":
		return []string{onnxPackage, tf2onnxPackage}
	case "mlflow.keras":
		return kerasPackages(m)
	}
	return nil
}

func kerasPackages(m *mlmodel.Model) []string {
	backend, _ := m.Flavors["keras"]["keras_backend"].(string)
	switch backend {
	case "torch":
		return []string{onnxPackage, onnxscriptPackage}
	case "jax":
		return []string{onnxPackage, jax2onnxPackage}
	}
	return []string{onnxPackage, tf2onnxPackage}
}
