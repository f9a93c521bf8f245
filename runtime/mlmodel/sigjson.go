package mlmodel

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"sluice/runtime/tensor"
)

// Bounds of a signature: a wide real table has thousands of columns, nested types a handful of levels.
const (
	maxSpecDepth = 32
	maxSpecs     = 100_000
	maxDims      = 32
)

// ErrSignature: a signature's JSON cannot be read; the wrapping text says where.
var ErrSignature = errors.New("bad model signature")

// specJSON is one element of a schema or of the params list, in the union of all its forms.
type specJSON struct {
	Name       *string             `json:"name"`
	Type       string              `json:"type"`
	DType      string              `json:"dtype"` // old spelling of a param's type
	Required   *bool               `json:"required"`
	Optional   *bool               `json:"optional"` // MLflow before 2.10 wrote this instead of required
	TensorSpec *tensorJSON         `json:"tensor-spec"`
	Items      *specJSON           `json:"items"`
	Values     *specJSON           `json:"values"`
	Properties map[string]specJSON `json:"properties"`
	Default    json.RawMessage     `json:"default"`
	Shape      []int64             `json:"shape"`
}

type tensorJSON struct {
	DType string  `json:"dtype"`
	Shape []int64 `json:"shape"`
}

// ParseSchema reads the JSON text of inputs or outputs. Returns ErrSignature, wrapped, for text that is not a schema of MLflow's,
// that mixes columns and tensors or named and unnamed ones, or that passes the bounds on count and depth.
func ParseSchema(text string) (*Schema, error) {
	specs, err := decodeSpecs(text)
	if err != nil {
		return nil, err
	}
	s := new(Schema)
	budget := maxSpecs
	for i := range specs {
		if err := s.add(&specs[i], &budget); err != nil {
			return nil, fmt.Errorf("%w: element %d: %w", ErrSignature, i, err)
		}
	}
	return s, s.check()
}

func decodeSpecs(text string) ([]specJSON, error) {
	if depth(text) > 3*maxSpecDepth {
		return nil, fmt.Errorf("%w: nested too deep", ErrSignature)
	}
	dec := json.NewDecoder(strings.NewReader(text))
	var specs []specJSON
	if err := dec.Decode(&specs); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: text after the list", ErrSignature)
	}
	if len(specs) > maxSpecs {
		return nil, fmt.Errorf("%w: %d elements, at most %d", ErrSignature, len(specs), maxSpecs)
	}
	return specs, nil
}

// depth is the largest number of open brackets, counting those inside strings too: an upper bound.
func depth(text string) int {
	deepest, open := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '[', '{':
			open++
			deepest = max(deepest, open)
		case ']', '}':
			open--
		}
	}
	return deepest
}

func (s *Schema) add(j *specJSON, budget *int) error {
	if j.Type != "tensor" {
		c, err := j.column(0, budget)
		if err != nil {
			return err
		}
		s.Columns = append(s.Columns, c)
		return nil
	}
	if j.TensorSpec == nil {
		return errors.New("tensor without tensor-spec")
	}
	d, ok := tensor.ParseDType(j.TensorSpec.DType)
	if !ok {
		return fmt.Errorf("unknown dtype %q", j.TensorSpec.DType)
	}
	if err := checkShape(j.TensorSpec.Shape); err != nil {
		return err
	}
	s.Tensors = append(s.Tensors, TensorSpec{Name: j.name(), Type: d, Shape: j.TensorSpec.Shape})
	return nil
}

func checkShape(shape []int64) error {
	if len(shape) > maxDims {
		return fmt.Errorf("%d dimensions, at most %d", len(shape), maxDims)
	}
	for _, d := range shape {
		if d < -1 {
			return fmt.Errorf("dimension %d", d)
		}
	}
	return nil
}

func (j *specJSON) name() string {
	if j.Name == nil {
		return ""
	}
	return *j.Name
}

func (j *specJSON) column(level int, budget *int) (ColumnSpec, error) {
	*budget--
	if level > maxSpecDepth || *budget < 0 {
		return ColumnSpec{}, errors.New("too deep or too many types")
	}
	c := ColumnSpec{Name: j.name(), Kind: ParseKind(j.Type), Required: j.required()}
	var err error
	switch c.Kind {
	case KindInvalid:
		return c, fmt.Errorf("unknown type %q", j.Type)
	case Array:
		c.Elem, err = j.Items.inner("items", level, budget)
	case Map:
		c.Elem, err = j.Values.inner("values", level, budget)
	case Object:
		c.Fields, err = fieldsOf(j.Properties, level, budget)
	}
	return c, err
}

func (j *specJSON) required() bool {
	switch {
	case j.Required != nil:
		return *j.Required
	case j.Optional != nil:
		return !*j.Optional
	}
	return true
}

func (j *specJSON) inner(what string, level int, budget *int) (*ColumnSpec, error) {
	if j == nil {
		return nil, fmt.Errorf("%s is missing", what)
	}
	c, err := j.column(level+1, budget)
	return &c, err
}

func fieldsOf(properties map[string]specJSON, level int, budget *int) ([]ColumnSpec, error) {
	if len(properties) == 0 {
		return nil, errors.New("object without properties")
	}
	fields := make([]ColumnSpec, 0, len(properties))
	for name, p := range properties {
		p.Name = &name
		c, err := p.column(level+1, budget)
		if err != nil {
			return nil, fmt.Errorf("property %q: %w", name, err)
		}
		fields = append(fields, c)
	}
	slices.SortFunc(fields, func(a, b ColumnSpec) int { return strings.Compare(a.Name, b.Name) })
	return fields, nil
}

// check refuses what mlflow/types/schema.py refuses: mixed schemas, partly named ones, names twice.
func (s *Schema) check() error {
	if len(s.Columns) > 0 && len(s.Tensors) > 0 {
		return fmt.Errorf("%w: columns and tensors in one schema", ErrSignature)
	}
	if len(s.Tensors) > 1 && !s.Named() {
		return fmt.Errorf("%w: several tensors need names", ErrSignature)
	}
	named := s.Named()
	seen := make(map[string]bool, s.Len())
	for i := range s.Len() {
		name := s.nameAt(i)
		if (name != "") != named {
			return fmt.Errorf("%w: some inputs have a name and some have none", ErrSignature)
		}
		if named && seen[name] {
			return fmt.Errorf("%w: name %q twice", ErrSignature, name)
		}
		seen[name] = true
	}
	return nil
}

func (s *Schema) nameAt(i int) string {
	if len(s.Tensors) > 0 {
		return s.Tensors[i].Name
	}
	return s.Columns[i].Name
}

// ParseParams reads the JSON text of params. Errors as ParseSchema.
func ParseParams(text string) ([]Param, error) {
	specs, err := decodeSpecs(text)
	if err != nil {
		return nil, err
	}
	params := make([]Param, 0, len(specs))
	budget := maxSpecs
	for i := range specs {
		p, err := specs[i].param(&budget)
		if err != nil {
			return nil, fmt.Errorf("%w: param %d: %w", ErrSignature, i, err)
		}
		params = append(params, p)
	}
	return params, nil
}

func (j *specJSON) param(budget *int) (Param, error) {
	if j.Type == "" {
		j.Type = j.DType
	}
	p := Param{Name: j.name(), Kind: ParseKind(j.Type), Shape: j.Shape}
	if p.Name == "" {
		return p, errors.New("no name")
	}
	if p.Kind == Binary || (!p.Kind.Scalar() && p.Kind != Object) {
		return p, fmt.Errorf("%q cannot have type %q", p.Name, j.Type)
	}
	if p.Shape != nil && !slices.Equal(p.Shape, []int64{-1}) {
		return p, fmt.Errorf("%q has shape %v, only null and [-1] are known", p.Name, p.Shape)
	}
	if p.Kind == Object {
		fields, err := fieldsOf(j.Properties, 0, budget)
		if err != nil {
			return p, fmt.Errorf("%q: %w", p.Name, err)
		}
		p.Fields = fields
	}
	def, err := decodeValue(j.Default)
	if err != nil {
		return p, fmt.Errorf("%q: default: %w", p.Name, err)
	}
	p.Default, err = p.enforce(def)
	return p, err
}

// decodeValue reads any JSON value; whole numbers come out as int64, others as float64.
func decodeValue(raw json.RawMessage) (any, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	return plain(v)
}

// plain replaces json.Number by int64 or float64, in place where v is a container.
func plain(v any) (any, error) {
	switch x := v.(type) {
	case json.Number:
		if n, err := x.Int64(); err == nil {
			return n, nil
		}
		return x.Float64()
	case []any:
		for i := range x {
			var err error
			if x[i], err = plain(x[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k := range x {
			var err error
			if x[k], err = plain(x[k]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}
