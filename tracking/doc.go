// Package tracking records machine learning work: experiments, runs, metrics, params, tags, dataset inputs,
// logged models and traces.
//
// It owns the nouns, the rules (Service) and the contract of storage (Store). It is called by tracking/rest, by registry, which
// checks sources against runs, and by gateway, which writes serving runs. It must not know SQL, HTTP, or where artifacts lie:
// drivers implement Store (sqlstore; a directory and another MLflow server later), and pass tracking/storetest.
//
// The rules are those of MLflow 3.17: same error codes, same sentences, same limits (source: mlflow/utils/validation.py and
// mlflow/store/tracking/sqlalchemy_store.py). Errors that a client may see are *mlflow.Error; anything else is a failure of the
// store and becomes INTERNAL_ERROR at the edge.
//
// # Concurrency
//
// A Service is safe for concurrent use and holds no state of its own. Every write is one call of the Store, and the Store makes
// it atomic: what a method has acknowledged is durable, what it refused has left no trace.
package tracking
