// Package rest speaks MLflow's REST surface for tracking: experiments, runs, metrics, inputs, logged models, artifacts, and
// MLflow's own web UI.
//
// It owns the shapes of requests and answers as MLflow 3.17 has them (source: mlflow/server/handlers.py and
// mlflow/protos/service.proto) and the table of what is refused (refused.go). cmd calls New and mounts Routes and then Refused;
// it must not know SQL, drivers or the registry beyond the one function that finds a version's artifacts.
//
// Every handler binds a request struct, asks tracking.Service or an artifact.Repo, and answers a struct; the rules are theirs.
// Errors leave through wire.ErrorHandler. All handlers are safe for concurrent use.
//
// # Adding a call
//
// Write the request and answer structs beside the handler, add a row to the file's …Routes method, take the path out of
// refused.go, and record a golden exchange (testdata/README.md).
package rest
