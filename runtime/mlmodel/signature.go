// Package mlmodel reads MLflow's model package: the MLmodel file, its signature, flavors and input example; and checks and coerces
// a batch as pyfunc does.
//
// It owns the parsing of files that anybody may have written: every size and depth is bounded and a damaged file is a clear error.
// It is called by the backends, servable, gateway/payload and the registry's readers; it must not know HTTP, stores or ONNX Runtime.
// A Model is immutable after Load and safe for concurrent use.
package mlmodel

import "sluice/runtime/tensor"

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
	Default any
	Shape   []int64
}
