package mlmodel

import (
	"sluice/runtime/tensor"
)

// Signature is the input, output and parameter schema of a model; Inputs, Outputs may be nil, Params empty.
type Signature struct {
	Inputs  *Schema
	Outputs *Schema
	Params  []Param
}

// Schema holds either columns or tensors, never both (source: mlflow/types/schema.py).
type Schema struct {
	Columns []ColumnSpec
	Tensors []TensorSpec
}

// Kind is MLflow's column type.
type Kind uint8

// Column types as in the signature's JSON: "boolean", "integer" (32 bit), "long", "float" (32 bit), "double", "string", "binary",
// "datetime", and the nested "array", "object", "map", "any", "sparkml_vector".
const (
	KindInvalid Kind = iota
	Boolean
	Integer
	Long
	Float
	Double
	String
	Binary
	Datetime
	Array
	Object
	Map
	Any
	SparkVector
)

var kinds = [...]struct {
	name  string
	dtype tensor.DType
	numpy string // as MLflow's messages print the type
}{
	KindInvalid: {"invalid", tensor.Invalid, ""},
	Boolean:     {"boolean", tensor.Bool, "bool"},
	Integer:     {"integer", tensor.Int32, "int32"},
	Long:        {"long", tensor.Int64, "int64"},
	Float:       {"float", tensor.Float32, "float32"},
	Double:      {"double", tensor.Float64, "float64"},
	String:      {"string", tensor.String, "<U0"},
	Binary:      {"binary", tensor.Binary, "|S0"},
	Datetime:    {"datetime", tensor.Datetime, "datetime64[ns]"},
	Array:       {"array", tensor.Invalid, ""},
	Object:      {"object", tensor.Invalid, ""},
	Map:         {"map", tensor.Invalid, ""},
	Any:         {"any", tensor.Invalid, ""},
	SparkVector: {"sparkml_vector", tensor.Invalid, ""},
}

// String is the name in the signature's JSON.
func (k Kind) String() string {
	if int(k) >= len(kinds) {
		return "invalid"
	}
	return kinds[k].name
}

// DType is the element type of a column of this kind; Invalid for the nested kinds.
func (k Kind) DType() tensor.DType {
	if int(k) >= len(kinds) {
		return tensor.Invalid
	}
	return kinds[k].dtype
}

// Scalar reports whether a value of this kind is one element, not a nested value.
func (k Kind) Scalar() bool { return k >= Boolean && k <= Datetime }

// ParseKind reads a name of the signature's JSON; KindInvalid if there is no such type.
func ParseKind(name string) Kind {
	for k := Boolean; k <= SparkVector; k++ {
		if kinds[k].name == name {
			return k
		}
	}
	return KindInvalid
}

// ColumnSpec is one column. Name is empty if the schema's columns are unnamed. Elem, Fields serve the nested kinds.
type ColumnSpec struct {
	Name     string
	Kind     Kind
	Required bool
	Elem     *ColumnSpec  // of Array (items) and Map (values)
	Fields   []ColumnSpec // of Object, sorted by name
}

// TensorSpec is one tensor input or output; Name is empty where the schema has one unnamed tensor. −1 in Shape is a wildcard.
type TensorSpec struct {
	Name  string
	Type  tensor.DType
	Shape []int64
}

// Param is one inference parameter. Shape nil: scalar; [-1]: list.
type Param struct {
	Name    string
	Kind    Kind
	Default any // bool, int64, float64, string, map[string]any, []any of these, or nil; a datetime is its ISO text
	Shape   []int64
	Fields  []ColumnSpec // of Object, sorted by name
}

// IsTensor reports whether the schema holds tensors, not columns.
func (s *Schema) IsTensor() bool { return s != nil && len(s.Tensors) > 0 }

// Named reports whether the schema's inputs have names; a schema names all of them or none.
func (s *Schema) Named() bool {
	switch {
	case s == nil:
		return false
	case len(s.Tensors) > 0:
		return s.Tensors[0].Name != ""
	}
	return len(s.Columns) > 0 && s.Columns[0].Name != ""
}

// Len is the number of columns or tensors.
func (s *Schema) Len() int {
	if s == nil {
		return 0
	}
	return len(s.Columns) + len(s.Tensors)
}

// Column finds a column by name, with its position; nil, -1 if there is none.
func (s *Schema) Column(name string) (*ColumnSpec, int) {
	if s != nil {
		for i := range s.Columns {
			if s.Columns[i].Name == name {
				return &s.Columns[i], i
			}
		}
	}
	return nil, -1
}

// Tensor finds a tensor by name, with its position; nil, -1 if there is none.
func (s *Schema) Tensor(name string) (*TensorSpec, int) {
	if s != nil {
		for i := range s.Tensors {
			if s.Tensors[i].Name == name {
				return &s.Tensors[i], i
			}
		}
	}
	return nil, -1
}
