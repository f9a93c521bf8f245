// Package mlmodel reads MLflow's model package: the MLmodel file, its signature, flavors and input example; and checks and coerces
// a batch as pyfunc does.
//
// It owns the parsing of files that anybody may have written: every size and depth is bounded and a damaged file is a clear error.
// It is called by the backends, servable, gateway/payload and the registry's readers; it must not know HTTP, stores or ONNX Runtime.
// A Model is immutable after Load and safe for concurrent use.
//
// The authority on the formats is MLflow 3.17 (mlflow/models/model.py, mlflow/types/schema.py) and on coercion
// mlflow/models/utils.py (_enforce_schema, _enforce_params_schema).
package mlmodel
