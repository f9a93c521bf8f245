// Package outbox delivers the registry's changes to webhooks.
//
// It owns the loop that carries deliveries out, the HTTP request of one attempt with its signature, what is tried again and when, and the
// guard that keeps the server from calling addresses inside its own network. It is called by cmd, which starts it, and through
// registry.WebhookOptions by the rules of webhooks (CheckURL, Try); it must not know SQL, nor how a change becomes a payload.
//
// # What is promised
//
// A change and its deliveries are written in one transaction, so every change that a client saw acknowledged is told to every webhook that was active
// and listened to it: at least once, under the same X-MLflow-Delivery-Id at every attempt. Deliveries of one registered model to one
// webhook keep the order of the changes; those behind wait for the one in front. Connection errors, time-outs and the statuses 429, 500,
// 502, 503 and 504 are tried again with growing pauses, or after the Retry-After that was asked for, for Options.GiveUpAfter; what fails
// otherwise, or for too long, becomes a dead delivery that stays to be looked at and replayed. Everything that waits lies in the
// database, with bounds (Options.MaxPending, Options.MaxDead); in memory are only the deliveries under way, Options.Workers of them.
//
// Several servers on one database share the work: a claimed delivery is nobody else's until its lease ends.
//
// # The message
//
// POST of {"entity", "action", "timestamp", "data"} with the headers X-MLflow-Delivery-Id (a UUID), X-MLflow-Timestamp (Unix seconds of
// the attempt) and, if the webhook has a secret, X-MLflow-Signature: "v1," and the base64 of HMAC-SHA256 over "id.timestamp.body"
// (source: mlflow/webhooks/delivery.py, MLflow 3.17). timestamp in the body is the time of the change. Redirects are not followed.
package outbox
