package payload

import (
	"sluice/runtime/mlmodel"
	"sluice/runtime/tensor"
)

// Options bound what a body may ask for. The zero value and nil mean the defaults.
type Options struct {
	// MaxCells is the largest number of values, rows × columns, that a body may unfold to; default 16,777,216.
	// A short CSV line or a Parquet dictionary can stand for many cells, so the body's size alone is no bound.
	MaxCells int
	// MaxDepth is the deepest nesting of arrays and objects; default 64 (NumPy's own limit on dimensions).
	MaxDepth int
}

const (
	defaultMaxCells = 1 << 24
	defaultMaxDepth = 64
)

// Plan is a signature compiled for decoding. It is immutable and safe for concurrent use; the zero value is not useful, see Compile.
type Plan struct {
	sig     *mlmodel.Signature // nil, or as it was given to Compile
	columns []column           // of a column schema
	tensors []tensorInput      // of a tensor schema
	byName  map[string]int     // index in columns or tensors; nil where the schema is unnamed
	// defaults is what Input.Params is for a body without params; shared by all, never written. nil where the model has no params.
	defaults map[string]any
	typed    bool // the model has an input schema
	quick    bool // every column (or tensor) is one that the quick way can read
	maxCells int
	maxDepth int
}

// column is one column of a column schema.
type column struct {
	name     string
	kind     mlmodel.Kind
	dtype    tensor.DType // Invalid for nested kinds, whose values travel as JSON text
	required bool
	spec     *mlmodel.ColumnSpec
}

// tensorInput is one tensor of a tensor schema.
type tensorInput struct {
	name  string
	dtype tensor.DType
	shape []int64
}

// Compile prepares a signature. nil, or a signature without inputs, gives a plan that infers types as pandas and NumPy do.
// The signature is kept and must not be changed afterwards.
func Compile(sig *mlmodel.Signature, opts *Options) *Plan {
	p := &Plan{maxCells: defaultMaxCells, maxDepth: defaultMaxDepth}
	if opts != nil && opts.MaxCells > 0 {
		p.maxCells = opts.MaxCells
	}
	if opts != nil && opts.MaxDepth > 0 {
		p.maxDepth = opts.MaxDepth
	}
	if sig == nil {
		return p
	}
	p.sig = sig
	p.defaults, _, _ = sig.EnforceParams(nil) // no value, so no wrong one
	if sig.Inputs == nil {
		return p
	}
	p.typed = true
	if len(sig.Inputs.Tensors) > 0 {
		p.compileTensors(sig.Inputs.Tensors)
	} else {
		p.compileColumns(sig.Inputs.Columns)
	}
	return p
}

func (p *Plan) compileColumns(specs []mlmodel.ColumnSpec) {
	p.quick = true
	p.columns = make([]column, len(specs))
	named := len(specs) > 0
	for i := range specs {
		s := &specs[i]
		p.columns[i] = column{name: s.Name, kind: s.Kind, dtype: s.Kind.DType(), required: s.Required, spec: s}
		named = named && s.Name != ""
		p.quick = p.quick && quickColumn(p.columns[i].dtype) && plainText(s.Name)
	}
	if !named {
		p.quick = false
		return
	}
	p.byName = make(map[string]int, len(specs))
	for i := range specs {
		p.byName[specs[i].Name] = i
	}
	p.quick = p.quick && len(p.byName) == len(specs)
}

func (p *Plan) compileTensors(specs []mlmodel.TensorSpec) {
	p.tensors = make([]tensorInput, len(specs))
	p.quick = true
	named := true
	for i := range specs {
		p.tensors[i] = tensorInput{name: specs[i].Name, dtype: specs[i].Type, shape: specs[i].Shape}
		named = named && specs[i].Name != ""
		p.quick = p.quick && quickTensor(specs[i].Type) && plainText(specs[i].Name)
	}
	if !named {
		return
	}
	p.byName = make(map[string]int, len(specs))
	for i := range specs {
		p.byName[specs[i].Name] = i
	}
}

// index finds a column or tensor by name; −1 if the schema has none of it, or is unnamed.
func (p *Plan) index(name string) int {
	if i, ok := p.byName[name]; ok {
		return i
	}
	return -1
}

// want is MLflow's word for the column's type.
func (c *column) want() string { return c.kind.String() }
