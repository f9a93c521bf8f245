package mlmodel

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"sluice/runtime/tensor"
)

// ErrExample: the input example cannot be made a batch; the wrapping text says why.
var ErrExample = errors.New("unusable input example")

// ReadExample reads the input example of the package in dir as a batch that fits the model's signature, with its params. It returns
// nil, nil, nil if the model has none. Examples of nested values, sparse matrices and binary columns are ErrExample: only a Python
// model knows what to do with them.
func (m *Model) ReadExample(dir string) (*tensor.Batch, map[string]any, error) {
	e := m.Example
	if e == nil || e.Path == "" {
		return nil, nil, nil
	}
	if !localPath(e.Path) {
		return nil, nil, fmt.Errorf("%w: path %q leaves the package", ErrExample, e.Path)
	}
	data, err := readInside(dir, e.Path, maxExampleBytes)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrExample, err)
	}
	var inputs *Schema
	if m.Signature != nil {
		inputs = m.Signature.Inputs
	}
	b, params, err := parseExample(data, e, inputs)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrExample, err)
	}
	return b, params, nil
}

func parseExample(data []byte, e *ExampleInfo, inputs *Schema) (*tensor.Batch, map[string]any, error) {
	// Python writes NaN as a bare word, which JSON does not have; it stands for a missing value in either spelling.
	doc, err := decodeValue(json.RawMessage(strings.ReplaceAll(string(data), "NaN", "null")))
	if err != nil {
		return nil, nil, err
	}
	var params map[string]any
	if top, ok := doc.(map[string]any); ok && e.HasParams {
		params, _ = top["params"].(map[string]any)
		doc = top["inputs"]
	}
	b := new(tensor.Batch)
	switch e.Kind {
	case "dataframe":
		err = exampleTable(doc, inputs, b)
	case "ndarray":
		err = exampleTensors(doc, inputs, b)
	default:
		return nil, nil, fmt.Errorf("an example of type %q", e.Kind)
	}
	if err != nil {
		return nil, nil, err
	}
	if b.Rows == 0 {
		return nil, nil, errors.New("no rows")
	}
	return b, params, inputs.Enforce(b)
}

// exampleTable reads {"columns": […], "data": [[…], …]}.
func exampleTable(doc any, inputs *Schema, b *tensor.Batch) error {
	top, _ := doc.(map[string]any)
	names, _ := top["columns"].([]any)
	rows, _ := top["data"].([]any)
	if len(names) == 0 && len(rows) > 0 { // a frame without column names
		first, _ := rows[0].([]any)
		for i := range first {
			names = append(names, int64(i))
		}
	}
	b.Reset(tensor.Table)
	column := make([]any, len(rows))
	for j, name := range names {
		for i, row := range rows {
			cells, _ := row.([]any)
			if len(cells) != len(names) {
				return fmt.Errorf("row %d has %d cells, not %d", i, len(cells), len(names))
			}
			column[i] = cells[j]
		}
		want := tensor.Invalid
		if spec, _ := inputs.Column(fmt.Sprint(name)); spec != nil {
			want = spec.Kind.DType()
		}
		if err := fillTensor(b.AddColumn(fmt.Sprint(name)), column, want); err != nil {
			return fmt.Errorf("column %v: %w", name, err)
		}
	}
	return b.CountRows()
}

// exampleTensors reads {"inputs": nested list} or {"inputs": {name: nested list}}; the wrapping may be missing.
func exampleTensors(doc any, inputs *Schema, b *tensor.Batch) error {
	if top, ok := doc.(map[string]any); ok && top["inputs"] != nil {
		doc = top["inputs"]
	}
	named, ok := doc.(map[string]any)
	if !ok {
		b.Reset(tensor.Bare)
		want := tensor.Invalid
		if inputs.IsTensor() {
			want = inputs.Tensors[0].Type
		}
		if err := fillTensor(b.AddColumn(""), doc, want); err != nil {
			return err
		}
		return b.CountRows()
	}
	b.Reset(tensor.Named)
	for name, list := range named {
		want := tensor.Invalid
		if spec, _ := inputs.Tensor(name); spec != nil {
			want = spec.Type
		}
		if err := fillTensor(b.AddColumn(name), list, want); err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
	}
	return b.CountRows()
}

// fillTensor makes t the nested list v, of type want if that is not Invalid, else of the type of its first value.
func fillTensor(t *tensor.Tensor, v any, want tensor.DType) error {
	var flat []any
	shape, err := flatten(v, nil, &flat, 0)
	if err != nil {
		return err
	}
	natural := naturalType(flat)
	if natural == tensor.Invalid {
		return errors.New("values of unknown or mixed types")
	}
	var raw tensor.Tensor
	raw.Reset(natural, shape...)
	for i, x := range flat {
		switch natural {
		case tensor.Bool:
			tensor.Of[bool](&raw)[i] = x.(bool)
		case tensor.Int64:
			tensor.Of[int64](&raw)[i] = x.(int64)
		case tensor.Float64:
			tensor.Of[float64](&raw)[i] = number(x)
		default:
			raw.Strings()[i], _ = x.(string)
		}
	}
	if want == tensor.Invalid || want == tensor.Datetime {
		want = natural
	}
	return tensor.Convert(t, want, &raw)
}

func number(x any) float64 {
	switch v := x.(type) {
	case int64:
		return float64(v)
	case float64:
		return v
	}
	return math.NaN()
}

// naturalType is the common type of JSON scalars, null counting as a missing float; Invalid if there is none.
func naturalType(flat []any) tensor.DType {
	d := tensor.Invalid
	for _, x := range flat {
		var t tensor.DType
		switch x.(type) {
		case bool:
			t = tensor.Bool
		case int64:
			t = tensor.Int64
		case float64, nil:
			t = tensor.Float64
		case string:
			t = tensor.String
		default:
			return tensor.Invalid
		}
		switch {
		case d == tensor.Invalid || d == t:
			d = t
		case d.Numeric() && t.Numeric():
			d = tensor.Float64
		default:
			return tensor.Invalid
		}
	}
	return d
}

// flatten appends the leaves of a nested list and returns its shape; ragged lists are an error.
func flatten(v any, shape []int64, flat *[]any, level int) ([]int64, error) {
	list, ok := v.([]any)
	if !ok {
		*flat = append(*flat, v)
		return shape, nil
	}
	if level >= maxDims {
		return nil, errors.New("nested too deep")
	}
	var inner []int64
	for i, x := range list {
		s, err := flatten(x, nil, flat, level+1)
		if err != nil {
			return nil, err
		}
		if i > 0 && !slices.Equal(s, inner) {
			return nil, errors.New("ragged list")
		}
		inner = s
	}
	return append(append(shape, int64(len(list))), inner...), nil
}
