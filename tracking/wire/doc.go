package wire

import (
	"encoding/json"
	"reflect"
)

// Doc says what a route takes and answers, for the OpenAPI document. The zero value says: some JSON.
type Doc struct {
	// Takes and Answers are the types of JSON bodies, as encoding/json writes them; nil: not described. What they hold is all that an answer has.
	Takes, Answers reflect.Type
	// Media are further media types of an answer; where Answers is nil they are the only ones.
	Media []string
	// Example is a body that is taken.
	Example json.RawMessage
	// Query names the query parameters, texts all.
	Query []string
}

// Key names a route among Docs.
func Key(method, path string) string { return method + " " + path }

// Describe sets the Docs of routes, by Key, in place and returns the routes.
func Describe(routes []Route, docs map[string]Doc) []Route {
	for i := range routes {
		if d, ok := docs[Key(routes[i].Method, routes[i].Path)]; ok {
			routes[i].Doc = d
		}
	}
	return routes
}
