// Package registry keeps registered models: their versions, stages, aliases and tags, and the record of every change.
//
// It owns the nouns, the rules (Service) and the contract of storage (Store). It is called by registry/rest, by gateway's plan
// (Snapshot and Subscribe) and by modelcache (DownloadURI); it must not know SQL, HTTP, or where artifacts lie, and it is never
// called by a prediction. Drivers implement Store and pass registry/storetest.
//
// The rules are those of MLflow 3.17: same error codes, same sentences (source: mlflow/store/model_registry/sqlalchemy_store.py,
// mlflow/server/handlers.py, mlflow/utils/validation.py). Prompts are registered models with the tag PromptTag; searches hide
// them unless they ask for that tag, and Snapshot never shows them.
//
// # Events
//
// Every change is also an Event, written in the change's own transaction under the next revision. After the commit the Service
// hands it to its subscribers, in the order of revisions. A change that another program (MLflow on the same database) makes has
// no event; who must see those too reads Snapshot now and then.
//
// # Webhooks
//
// Webhooks (the type) holds the rules of webhooks and Announce says what they are told of a change: MLflow's events and payloads. Who
// keeps them writes a Delivery for each webhook that listens in the change's own transaction (WebhookStore, DeliveryStore);
// registry/outbox carries them out.
//
// # Concurrency
//
// A Service is safe for concurrent use. Its writes are taken one after the other, so of two stage transitions the later one wins
// and the order of events is the order of changes. What a method has acknowledged is durable, what it refused left no trace.
package registry
