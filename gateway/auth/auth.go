// Package auth answers who calls and whether they may, and guards the server against browsers that were led astray.
//
// It owns API keys (Key, the contract of their Store), the Authority that checks them in front of every route of the endpoint table,
// the Guard (Host, Origin and CSRF checks, CORS, security headers) and CheckBind, the rule on listening addresses. It is called by
// cmd, which mounts Guard before everything and Authority.Require before each route; it must not know what a route does, nor SQL.
//
// # When credentials count
//
// While no valid key exists everybody may do everything, and credentials that are sent are ignored: the server listens on loopback
// only (CheckBind). A server that listens elsewhere lets nobody in when its last key is revoked (Options.Always). From the first key on, every route that is not public needs one, as `Authorization: Bearer <key>` or as Basic with
// the key as password and any user name; this is what MLflow's client sends for MLFLOW_TRACKING_TOKEN and
// MLFLOW_TRACKING_USERNAME/PASSWORD. Keys made or revoked by another process take effect within a second.
//
// X-Forwarded-* headers are never read: they are the client's words.
//
// Authority and the handlers are safe for concurrent use. A request with a known credential costs two hashes and no allocation.
package auth
