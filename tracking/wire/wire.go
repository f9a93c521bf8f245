// Package wire is the wire contract of every REST handler: the endpoint table, JSON binding and the one error handler.
//
// It owns Route (path, method, permission, audit name), the decoding of requests as MLflow's server decodes them, and the
// encoding of answers and errors. It is called by every rest package and by cmd, which mounts the table; it must not know what
// any endpoint does, nor any store. Everything here is safe for concurrent use.
package wire

import "github.com/gofiber/fiber/v2"

// Permission is what a caller must be allowed to do; cmd refuses to start on a route without one.
type Permission string

// The permissions, from none to all. A key holds a set of them; Manage implies the others.
const (
	Public  Permission = "public"  // no credential needed (health, version, static files)
	Read    Permission = "read"    // read tracking, registry, endpoints, prediction logs
	Write   Permission = "write"   // change tracking and registry
	Predict Permission = "predict" // ask for predictions
	Manage  Permission = "manage"  // endpoints, keys, hard deletes
)

// Route is one row of the endpoint table.
type Route struct {
	Method string // an HTTP method
	Path   string // Fiber's path syntax, beginning with "/"
	// Permission is required of the caller; empty is a programming error that the app refuses to start on.
	Permission Permission
	// Audit names the action in logs and audit records, "area.noun.verb" (for example "tracking.run.create"); never empty.
	Audit   string
	Handler fiber.Handler
	Doc     Doc
}

// API returns a route under /api/<version>/mlflow and its browser twin under /ajax-api; version is "2.0" or "3.0".
func API(version, method, path string, perm Permission, audit string, h fiber.Handler) []Route {
	return []Route{
		{Method: method, Path: "/api/" + version + "/mlflow" + path, Permission: perm, Audit: audit, Handler: h},
		{Method: method, Path: "/ajax-api/" + version + "/mlflow" + path, Permission: perm, Audit: audit, Handler: h},
	}
}
