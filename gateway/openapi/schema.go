package openapi

import (
	"encoding/json"
	"path"
	"reflect"
	"strings"
	"time"
)

// schemas collects the schemas of named Go structs as components.
type schemas struct {
	defs  Object
	names map[reflect.Type]string
	// taken are the types that requests are made of: those may leave fields out.
	taken map[reflect.Type]bool
}

func newSchemas() *schemas {
	return &schemas{defs: Object{"Error": errorSchema()}, names: map[reflect.Type]string{}, taken: map[reflect.Type]bool{}}
}

var marshaler = reflect.TypeFor[json.Marshaler]()

// take notes a type of requests, and what it is made of, before any schema is made.
func (s *schemas) take(t reflect.Type) {
	if t == nil {
		return
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		s.take(t.Elem())
	case reflect.Struct:
		if s.taken[t] {
			return
		}
		s.taken[t] = true
		for f := range t.Fields() {
			s.take(f.Type)
		}
	}
}

// of returns the schema of values that encoding/json writes of the type; nil for nil. Named structs become components.
func (s *schemas) of(t reflect.Type) Object {
	switch t {
	case nil:
		return nil
	case reflect.TypeFor[json.RawMessage]():
		return Object{} // whatever it is
	case reflect.TypeFor[time.Time]():
		return Object{"type": "string", "format": "date-time"}
	}
	if t.Implements(marshaler) && t.Kind() != reflect.Struct && t.Kind() != reflect.Pointer { // the numbers that we write ourselves
		return Object{"type": "number"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Bool:
		return Object{"type": "boolean"}
	case reflect.Int, reflect.Int32, reflect.Int64:
		return Object{"type": "integer"}
	case reflect.Uint, reflect.Uint32, reflect.Uint64:
		return Object{"type": "integer", "minimum": 0}
	case reflect.Float32, reflect.Float64:
		return Object{"type": "number"}
	case reflect.String:
		return Object{"type": "string"}
	case reflect.Slice:
		return s.list(t)
	case reflect.Map:
		return Object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		return s.ref(t)
	}
	return Object{}
}

func (s *schemas) list(t reflect.Type) Object {
	if t.Elem().Kind() == reflect.Uint8 {
		return Object{"type": "string", "contentEncoding": "base64"}
	}
	return Object{"type": "array", "items": s.of(t.Elem())}
}

// ref is the component of a struct; a struct without a name stands where it is used.
func (s *schemas) ref(t reflect.Type) Object {
	if t.Name() == "" {
		return s.object(t)
	}
	name, done := s.names[t]
	if !done {
		name = s.name(t)
		s.names[t], s.defs[name] = name, Object{} // for types that hold themselves
		s.defs[name] = s.object(t)
	}
	return Object{"$ref": "#/components/schemas/" + name}
}

// name is that of a type in the document: without its last word if that says "answer", with its package's in front where another type has it.
func (s *schemas) name(t reflect.Type) string {
	short := t.Name()
	for _, end := range []string{"Answer", "Request", "JSON"} {
		if len(short) > len(end) {
			short = strings.TrimSuffix(short, end)
		}
	}
	whole, in, above := capital(t.Name()), capital(path.Base(t.PkgPath())), capital(path.Base(path.Dir(t.PkgPath())))
	for _, name := range []string{capital(short), in + capital(short), in + whole} {
		if _, other := s.defs[name]; !other {
			return name
		}
	}
	return above + in + whole
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func (s *schemas) object(t reflect.Type) Object {
	properties, required := Object{}, []string{}
	s.fields(t, properties, &required)
	o := Object{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 && !s.taken[t] {
		o["required"] = required
	}
	return o
}

// fields adds the fields of a struct, those of embedded ones included, and the names of those that are always written.
func (s *schemas) fields(t reflect.Type, into Object, required *[]string) {
	for f := range t.Fields() {
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && tag == "":
			s.fields(f.Type, into, required)
		case tag != "-" && tag != "":
			into[tag] = s.of(f.Type)
			if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") {
				*required = append(*required, tag)
			}
		}
	}
}
