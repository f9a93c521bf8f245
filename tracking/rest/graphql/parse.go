package graphql

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

// Operation is a query or mutation with its fragments filled in.
type Operation struct {
	Kind   string // "query" or "mutation"
	Name   string
	Select []Field
}

// Parse reads a document and returns the operation of the name, or the only one if name is empty. Fragments are filled in
// whatever their type; directives other than skip and include, which are refused, are passed over. Bounds: bytes, tokens, depth,
// fields, root fields and aliases.
func Parse(document, name string) (Operation, error) {
	if len(document) > maxBytes {
		return Operation{}, fmt.Errorf("the document has more than %d bytes", maxBytes)
	}
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: document}, maxTokens)
	if err != nil {
		return Operation{}, errors.New(err.Error())
	}
	found := doc.Operations.ForName(name)
	if found == nil || (name == "" && len(doc.Operations) > 1) {
		return Operation{}, errors.New("the document has no operation of that name, or several and no name was given")
	}
	if found.Operation == ast.Subscription {
		return Operation{}, errors.New("subscriptions are not supported")
	}
	for _, v := range found.VariableDefinitions {
		if v.DefaultValue != nil {
			return Operation{}, fmt.Errorf("variable $%s has a default value, which is not supported", v.Variable)
		}
	}
	r := reader{fragments: doc.Fragments}
	fields, err := r.fields(found.SelectionSet, 1)
	if err != nil {
		return Operation{}, err
	}
	op := Operation{Kind: string(found.Operation), Name: found.Name, Select: fields}
	return op, r.checkWidth(op)
}

// checkWidth holds the operation against MLflow's limits on root fields and aliases.
func (r *reader) checkWidth(op Operation) error {
	const sentence = "GraphQL queries should have at most %d %s, got %d %s."
	if n := len(op.Select); n > maxRoot {
		return fmt.Errorf(sentence, maxRoot, "root fields", n, "root fields")
	}
	if n := r.aliases; n > maxAliases {
		return fmt.Errorf(sentence, maxAliases, "aliases", n, "aliases")
	}
	return nil
}

// reader turns the parser's tree into fields. Fragments that name each other in a circle end at maxFields.
type reader struct {
	fragments ast.FragmentDefinitionList
	count     int // of fields and of fragments filled in
	aliases   int // the most in one selection
}

func (r *reader) fields(set ast.SelectionSet, depth int) ([]Field, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("Query exceeds maximum depth of %d", maxDepth) //nolint:staticcheck // MLflow's own sentence
	}
	var out []Field
	for _, s := range set {
		var more []Field
		var err error
		switch s := s.(type) {
		case *ast.Field:
			var f Field
			f, err = r.field(s, depth)
			more = []Field{f}
		case *ast.InlineFragment:
			more, err = r.fragment(s.Directives, s.SelectionSet, depth)
		case *ast.FragmentSpread:
			definition := r.fragments.ForName(s.Name)
			if definition == nil {
				return nil, fmt.Errorf("Unknown fragment '%s'.", s.Name) //nolint:staticcheck // GraphQL's own sentence
			}
			more, err = r.fragment(s.Directives, definition.SelectionSet, depth)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	aliases := 0
	for _, f := range out {
		if f.Key != f.Name {
			aliases++
		}
	}
	r.aliases = max(r.aliases, aliases)
	return out, nil
}

// more counts against what a document may unfold to.
func (r *reader) more() error {
	if r.count++; r.count > maxFields {
		return fmt.Errorf("Query exceeds maximum total selections of %d", maxFields) //nolint:staticcheck // MLflow's own sentence
	}
	return nil
}

func (r *reader) fragment(directives ast.DirectiveList, set ast.SelectionSet, depth int) ([]Field, error) {
	if err := r.more(); err != nil {
		return nil, err
	}
	if err := checkDirectives(directives); err != nil {
		return nil, err
	}
	return r.fields(set, depth) // merges into the selection around it
}

func (r *reader) field(f *ast.Field, depth int) (Field, error) {
	out := Field{Name: f.Name, Key: f.Alias}
	if err := r.more(); err != nil {
		return out, err
	}
	if err := checkDirectives(f.Directives); err != nil {
		return out, err
	}
	for _, a := range f.Arguments {
		v, err := argument(a.Value)
		if err != nil {
			return out, err
		}
		if out.Args == nil {
			out.Args = map[string]Value{}
		}
		out.Args[a.Name] = v
	}
	if f.SelectionSet == nil {
		return out, nil
	}
	var err error
	out.Select, err = r.fields(f.SelectionSet, depth+1)
	return out, err
}

func checkDirectives(all ast.DirectiveList) error {
	for _, d := range all {
		if d.Name == "skip" || d.Name == "include" {
			return fmt.Errorf("the directive @%s is not supported", d.Name)
		}
	}
	return nil
}

// argument makes a JSON document of a literal; an enum becomes its name.
func argument(v *ast.Value) (Value, error) {
	if v.Kind == ast.Variable {
		return Value{Variable: v.Raw}, nil
	}
	literal, err := literalOf(v, 1)
	if err != nil {
		return Value{}, err
	}
	text, err := json.Marshal(literal)
	return Value{JSON: text}, err
}

func literalOf(v *ast.Value, depth int) (any, error) {
	switch {
	case depth > maxNesting:
		return nil, fmt.Errorf("a value has more than %d levels", maxNesting)
	case v.Kind == ast.Variable:
		return nil, errors.New("a variable inside a value is not supported")
	case v.Kind == ast.IntValue || v.Kind == ast.FloatValue:
		return json.Number(v.Raw), nil
	case v.Kind == ast.BooleanValue:
		return v.Raw == "true", nil
	case v.Kind == ast.NullValue:
		return nil, nil
	case v.Kind == ast.ListValue:
		list := make([]any, len(v.Children))
		for i, c := range v.Children {
			var err error
			if list[i], err = literalOf(c.Value, depth+1); err != nil {
				return nil, err
			}
		}
		return list, nil
	case v.Kind == ast.ObjectValue:
		object := make(map[string]any, len(v.Children))
		for _, c := range v.Children {
			var err error
			if object[c.Name], err = literalOf(c.Value, depth+1); err != nil {
				return nil, err
			}
		}
		return object, nil
	}
	return v.Raw, nil // strings and enums
}

// Argument returns the field's argument as JSON, with variables from their JSON object; absent is "{}".
func (f Field) Argument(name string, variables map[string]json.RawMessage) ([]byte, error) {
	v, ok := f.Args[name]
	if !ok {
		return []byte("{}"), nil
	}
	if v.JSON != nil {
		return v.JSON, nil
	}
	raw, ok := variables[v.Variable]
	if !ok {
		return nil, errors.New("Variable '$" + v.Variable + "' was not provided.") //nolint:staticcheck // GraphQL's own sentence
	}
	return raw, nil
}
