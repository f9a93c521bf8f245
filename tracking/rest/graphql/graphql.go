// Package graphql reads the small part of the GraphQL language that MLflow's web UI speaks, and cuts answers to what was asked.
//
// It owns the parser (Parse) and the projection of a resolved tree (Project). It is called by tracking/rest, which resolves root
// fields; it must not know MLflow's schema. Documents are parsed by vektah/gqlparser, the parser that most Go GraphQL servers stand on;
// without a schema it brings nothing else in. Fragments are filled in; subscriptions, skip and include, and introspection beyond
// __typename are refused. Everything here is a pure function.
package graphql

import (
	"context"
	"errors"
	"fmt"
)

// Bounds on a document.
const (
	maxBytes   = 64 << 10
	maxNesting = 16 // of values
	maxTokens  = 20_000
	// MLflow's own limits, with MLflow's answers (source: mlflow/server/graphql/graphql_no_batching.py, MLflow 3.17).
	maxDepth   = 10   // selections in selections
	maxFields  = 1000 // selected fields, with what fragments bring in
	maxRoot    = 10   // root fields of an operation
	maxAliases = 10   // among the fields of one selection
)

// Field is one selected field.
type Field struct {
	Name string
	Key  string // the alias, else Name: the field's name in the answer
	// Args are the arguments as JSON documents; a variable stands for itself until Bind has replaced it.
	Args   map[string]Value
	Select []Field
}

// Value is an argument: a JSON document, or the name of a variable.
type Value struct {
	JSON     []byte // nil for a variable
	Variable string
}

// Object is a resolved object: its fields by name. A field may be a scalar, an Object, a []Object, nil, or a Lazy that is only
// called if the field was selected. All fields of the type are there, so that a name which is not is a mistake of the query.
type Object map[string]any

// Lazy resolves a field on demand.
type Lazy func(ctx context.Context) (any, error)

// Project cuts a resolved value to the selection. Returns an error for a field that the type does not have, for a selection on a
// scalar and for an object without a selection.
func Project(ctx context.Context, v any, selection []Field) (any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case Lazy:
		resolved, err := v(ctx)
		if err != nil {
			return nil, err
		}
		return Project(ctx, resolved, selection)
	case []Object:
		list := make([]any, len(v))
		for i, item := range v {
			var err error
			if list[i], err = Project(ctx, item, selection); err != nil {
				return nil, err
			}
		}
		return list, nil
	case Object:
		return projectObject(ctx, v, selection)
	}
	if selection != nil {
		return nil, errors.New("a scalar has no fields to select")
	}
	return v, nil
}

func projectObject(ctx context.Context, v Object, selection []Field) (any, error) {
	if selection == nil {
		return nil, errors.New("an object needs a selection of fields")
	}
	out := make(map[string]any, len(selection))
	for _, f := range selection {
		value, ok := v[f.Name]
		if !ok {
			return nil, fmt.Errorf("Cannot query field '%s' on type '%v'.", f.Name, v["__typename"]) //nolint:staticcheck // GraphQL's own sentence
		}
		got, err := Project(ctx, value, f.Select)
		if err != nil {
			return nil, err
		}
		out[f.Key] = got
	}
	return out, nil
}
