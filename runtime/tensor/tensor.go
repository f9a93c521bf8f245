// Package tensor holds the values that flow through a prediction: dtype, shape, tensor, and the batch of named columns or tensors.
//
// It owns memory layout, pooling, Concat and Split. It is called by every room of runtime and by the gateway's data plane; it must
// not know JSON, HTTP, MLflow or ONNX Runtime. A Tensor or Batch is single-user: hand it over, do not share it while it is written.
package tensor

// DType is the element type of a tensor. The names are NumPy's.
type DType uint8

// The element types. Datetime is NumPy's datetime64[ns]: int64 nanoseconds since the Unix epoch, NaT as the smallest int64.
// Binary is a byte string; it is held like String.
const (
	Invalid DType = iota
	Bool
	Int8
	Int16
	Int32
	Int64
	Uint8
	Uint16
	Uint32
	Uint64
	Float16  // raw bits in 2 bytes
	BFloat16 // raw bits in 2 bytes
	Float32
	Float64
	Datetime
	String
	Binary
)

// Form says what a batch was, or is to be, in the client's terms; it decides how an answer is written.
type Form uint8

const (
	// Table is a data frame: every column has one value (or one slice) per row. Answered as one record per row.
	Table Form = iota
	// Named is a dict of tensors. Answered as one object of nested lists.
	Named
	// Bare is one unnamed tensor. Answered as a nested list.
	Bare
)

// Tensor is a dense, row-major, n-dimensional array. Elements of fixed size live in one byte buffer that typed views alias;
// String and Binary live in a slice of Go strings.
type Tensor struct {
	Type  DType
	Shape []int64 // row-major; Shape[0] is the number of rows where the tensor is a column of a Batch
	raw   []byte  // little endian (native on every supported platform), 8-byte aligned, len = elements × size
	strs  []string
}

// Column is a named tensor of a batch; the name is empty in a Bare batch or an unnamed schema.
type Column struct {
	Name   string
	Tensor Tensor
}

// Batch is a set of columns with equal row counts: rows stacked on axis 0.
type Batch struct {
	Form    Form
	Rows    int // for Named tensors without a common first axis: -1, and the batch must not be joined with another
	Columns []Column
}
