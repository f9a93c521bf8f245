// Package openapi writes OpenAPI 3.1 documents.
//
// It owns the making of a document from the endpoint table, which the server mounts too, and of JSON Schemas from Go types and from the
// signatures of models; so neither can drift from what is served. It is called by cmd for the whole server and by gateway/rest for one
// endpoint; it must not know what any route does. The functions are pure.
package openapi

import (
	"encoding/json"
	"regexp"
	"strings"

	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// Version is the version of the specification that documents follow.
const Version = "3.1.0"

// Object is a JSON object under construction.
type Object map[string]any

// Document returns the document of the routes, as their Docs describe them.
func Document(version string, routes []wire.Route) ([]byte, error) {
	s := newSchemas()
	for _, r := range routes {
		s.take(r.Doc.Takes)
	}
	paths := Object{}
	for _, r := range routes {
		path := template(r.Path)
		item, ok := paths[path].(Object)
		if !ok {
			item = Object{}
			paths[path] = item
		}
		item[strings.ToLower(r.Method)] = operation(s, r, path)
	}
	return json.Marshal(Object{
		"openapi": Version,
		"info":    Object{"title": "sluice", "version": version, "description": "Model serving gateway with its registry inside."},
		"paths":   paths,
		"components": Object{
			"schemas": s.defs,
			"securitySchemes": Object{
				"bearer": Object{"type": "http", "scheme": "bearer"},
				"basic":  Object{"type": "http", "scheme": "basic", "description": "The key as password, any user name."},
			},
		},
	})
}

// errorSchema is MLflow's error.
func errorSchema() Object {
	return Object{
		"type":       "object",
		"required":   []string{"error_code", "message"},
		"properties": Object{"error_code": Object{"type": "string", "examples": []string{string(mlflow.InvalidParameterValue)}}, "message": Object{"type": "string"}},
	}
}

func operation(s *schemas, r wire.Route, path string) Object {
	op := Object{
		"operationId": operationID(r.Method, path),
		"summary":     r.Audit,
		"tags":        []string{strings.Join(strings.SplitN(r.Audit, ".", 3)[:min(2, strings.Count(r.Audit, ".")+1)], ".")},
		"responses": Object{
			"200":     Object{"description": "success", "content": answerContent(s, &r.Doc)},
			"default": Object{"description": "refused or failed", "content": jsonContent(Object{"$ref": "#/components/schemas/Error"}, nil)},
		},
		"x-sluice-permission": string(r.Permission),
		"security":            security(r.Permission),
	}
	if params := parameters(path, r.Doc.Query); len(params) > 0 {
		op["parameters"] = params
	}
	if r.Doc.Takes != nil {
		op["requestBody"] = Object{"required": true, "content": jsonContent(s.of(r.Doc.Takes), r.Doc.Example)}
	} else if r.Method == "POST" || r.Method == "PUT" || r.Method == "PATCH" {
		op["requestBody"] = Object{"content": Object{"*/*": Object{}}}
	}
	return op
}

// answerContent is the answer in each of its media types.
func answerContent(s *schemas, d *wire.Doc) Object {
	content := Object{}
	if d.Answers != nil || len(d.Media) == 0 {
		content = jsonContent(s.of(d.Answers), nil)
	}
	for _, media := range d.Media {
		content[media] = Object{}
	}
	return content
}

// security says who gets in: while no key exists, everybody.
func security(p wire.Permission) []Object {
	if p == wire.Public {
		return []Object{}
	}
	return []Object{{"bearer": []string{}}, {"basic": []string{}}}
}

func jsonContent(schema Object, example json.RawMessage) Object {
	media := Object{}
	if schema != nil {
		media["schema"] = schema
	}
	if example != nil {
		media["example"] = example
	}
	return Object{"application/json": media}
}

var (
	param    = regexp.MustCompile(`:([A-Za-z_]+)`)
	inBraces = regexp.MustCompile(`\{([^}]+)\}`)
	words    = regexp.MustCompile(`[A-Za-z0-9]+`)
)

// template writes a path of the endpoint table as OpenAPI has it.
func template(path string) string {
	return strings.ReplaceAll(param.ReplaceAllString(path, "{$1}"), "*", "{path}")
}

func parameters(path string, query []string) []Object {
	var out []Object
	for _, m := range inBraces.FindAllStringSubmatch(path, -1) {
		out = append(out, Object{"name": m[1], "in": "path", "required": true, "schema": Object{"type": "string"}})
	}
	for _, name := range query {
		out = append(out, Object{"name": name, "in": "query", "schema": Object{"type": "string"}})
	}
	return out
}

// operationID is unique, as method and path are together; a trailing slash is a word of its own.
func operationID(method, path string) string {
	parts := words.FindAllString(path, -1)
	if strings.HasSuffix(path, "/") {
		parts = append(parts, "slash")
	}
	return strings.ToLower(method) + "_" + strings.Join(parts, "_")
}
