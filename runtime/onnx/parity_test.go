package onnx_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"sluice/runtime/onnx/onnxtest"
	"sluice/runtime/servable"
	"sluice/runtime/tensor"
)

// answer is one line of answers.json: an input, and what MLflow's pyfunc made of it.
type answer struct {
	Model   string
	Columns map[string][]float64
	Values  []float64
	Shape   []int64
	DType   string
	Records []map[string]any
	Tensors map[string]any
	Error   string
}

// input is the batch that the data frame or array becomes in our decoder.
func (a *answer) input(t *testing.T, names []string) *tensor.Batch {
	t.Helper()
	b := new(tensor.Batch)
	if a.Columns == nil {
		b.Reset(tensor.Bare)
		d, ok := tensor.ParseDType(a.DType)
		if !ok {
			t.Fatal(a.DType)
		}
		if err := tensor.Convert(b.AddColumn(""), d, shaped(tensor.Float64, a.Values, a.Shape...)); err != nil {
			t.Fatal(err)
		}
		b.Rows = int(a.Shape[0])
		return b
	}
	b.Reset(tensor.Table)
	for _, name := range names {
		values, ok := a.Columns[name]
		if !ok {
			continue
		}
		d := tensor.Float64
		if name == "i" || name == "x" {
			d = tensor.Int64
		}
		src := shaped(tensor.Float64, values, int64(len(values)))
		if err := tensor.Convert(b.AddColumn(name), d, src); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.CountRows(); err != nil {
		t.Fatal(err)
	}
	return b
}

// Where MLflow answers, we answer the same; where it fails, we may do better only in the ways that the package comment lists.
func TestAnswersAsMLflow(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(onnxtest.Model(t, "wine"), "..", "answers.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []answer
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	wine, _, _ := wineRows(t)
	var order []string
	for i := range wine.Columns {
		order = append(order, wine.Columns[i].Name)
	}
	order = append(order, "a", "b", "x", "i")
	for i, tc := range cases {
		t.Run(fmt.Sprintf("%d %s", i, tc.Model), func(t *testing.T) {
			b := load(t, tc.Model)
			var out tensor.Batch
			err := b.Predict(t.Context(), tc.input(t, order), nil, &out)
			if tc.Error != "" {
				wider := (tc.Model == "wine" && len(tc.Columns) == 13) || (tc.Columns != nil && (tc.Model == "int64" || tc.Model == "lookup"))
				if err == nil && !wider {
					t.Errorf("MLflow fails with %s, we answer %s", tc.Error, show(&out))
				}
				if err != nil && !errors.Is(err, servable.ErrBadInput) && tc.Model != "lookup" {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if tc.Records != nil {
				compareRecords(t, tc.Records, &out)
				return
			}
			if out.Form != tensor.Named || len(out.Columns) != len(tc.Tensors) {
				t.Fatalf("got %s", show(&out))
			}
			for _, name := range slices.Sorted(maps.Keys(tc.Tensors)) {
				compareFlat(t, name, tc.Tensors[name], &out.Column(name).Tensor)
			}
		})
	}
}

func compareRecords(t *testing.T, want []map[string]any, out *tensor.Batch) {
	t.Helper()
	if out.Form != tensor.Table || out.Rows != len(want) {
		t.Fatalf("got %s", show(out))
	}
	for r, record := range want {
		if len(record) != len(out.Columns) {
			t.Errorf("row %d has %d fields, want %d", r, len(out.Columns), len(record))
		}
		for name, value := range record {
			c := out.Column(name)
			if c == nil {
				t.Fatalf("no output %q", name)
			}
			if m, ok := value.(map[string]any); ok {
				for k, key := range c.Keys {
					near(t, name+"."+key, m[key].(float64), c.Tensor.At(r*len(c.Keys)+k))
				}
				if len(m) != len(c.Keys) {
					t.Errorf("%s has keys %q, want %v", name, c.Keys, m)
				}
				continue
			}
			if text, ok := value.(string); ok {
				if got := c.Tensor.Strings()[r]; got != text {
					t.Errorf("%s: %q, want %q", name, got, text)
				}
				continue
			}
			near(t, name, value.(float64), c.Tensor.At(r))
		}
	}
}

func compareFlat(t *testing.T, name string, want any, got *tensor.Tensor) {
	t.Helper()
	var flat []float64
	var walk func(any)
	walk = func(v any) {
		if list, ok := v.([]any); ok {
			for _, x := range list {
				walk(x)
			}
			return
		}
		flat = append(flat, v.(float64))
	}
	walk(want)
	if got.Len() != len(flat) {
		t.Fatalf("%s has %d elements, want %d", name, got.Len(), len(flat))
	}
	for i, v := range flat {
		near(t, name, v, got.At(i))
	}
}

func near(t *testing.T, what string, want, got float64) {
	t.Helper()
	if math.Abs(want-got) > 1e-5 {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
