package openapi

import (
	"encoding/json"
	"reflect"
	"strings"
)

// schemas collects the schemas of named Go structs.
type schemas struct{ defs Object }

var marshaler = reflect.TypeFor[json.Marshaler]()

// of returns the schema of values that encoding/json writes of the type; nil for nil. Named structs become components.
func (s *schemas) of(t reflect.Type) Object {
	if t == nil {
		return nil
	}
	if t == reflect.TypeFor[json.RawMessage]() {
		return Object{"type": "object"}
	}
	if t.Implements(marshaler) { // the numbers that we write ourselves
		return Object{"type": "number"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Bool:
		return Object{"type": "boolean"}
	case reflect.Int, reflect.Int32, reflect.Int64:
		return Object{"type": "integer"}
	case reflect.Float64:
		return Object{"type": "number"}
	case reflect.String:
		return Object{"type": "string"}
	case reflect.Slice:
		return Object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return Object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		return s.ref(t)
	}
	return Object{}
}

func (s *schemas) ref(t reflect.Type) Object {
	name := strings.ToUpper(t.Name()[:1]) + strings.TrimSuffix(strings.TrimSuffix(t.Name()[1:], "Answer"), "Request")
	if _, done := s.defs[name]; !done {
		s.defs[name] = Object{} // for types that hold themselves
		properties := Object{}
		s.fields(t, properties)
		s.defs[name] = Object{"type": "object", "properties": properties, "additionalProperties": false}
	}
	return Object{"$ref": "#/components/schemas/" + name}
}

// fields adds the fields of a struct, those of embedded ones included.
func (s *schemas) fields(t reflect.Type, into Object) {
	for f := range t.Fields() {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && tag == "":
			s.fields(f.Type, into)
		case tag != "-" && tag != "":
			into[tag] = s.of(f.Type)
		}
	}
}
