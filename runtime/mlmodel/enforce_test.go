package mlmodel_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"sluice/runtime/mlmodel"
	"sluice/runtime/tensor"
)

// col is a column of the given type and shape, filled with value where that is a number.
func col(b *tensor.Batch, name string, d tensor.DType, value float64, shape ...int64) {
	var src tensor.Tensor
	src.Reset(tensor.Float64, shape...)
	for i := range tensor.Of[float64](&src) {
		tensor.Of[float64](&src)[i] = value
	}
	t := b.AddColumn(name)
	switch {
	case d.Text():
		t.Reset(d, shape...)
	case d == tensor.Datetime:
		t.Reset(d, shape...)
	default:
		if err := tensor.Convert(t, d, &src); err != nil {
			panic(err)
		}
	}
}

func batchOf(form tensor.Form, fill func(*tensor.Batch)) *tensor.Batch {
	b := new(tensor.Batch)
	b.Reset(form)
	fill(b)
	if err := b.CountRows(); err != nil {
		panic(err)
	}
	return b
}

func show(b *tensor.Batch) string {
	parts := []string{[]string{"table", "named", "bare"}[b.Form]}
	for i := range b.Columns {
		c := &b.Columns[i]
		parts = append(parts, fmt.Sprintf("%s:%s%v", c.Name, c.Tensor.Type, c.Tensor.Shape))
	}
	return strings.Join(parts, " ")
}

// Every pair of a column's dtype and a declared type is judged as MLflow's own function judged it (testdata/make_golden.py).
func TestCastsAsMLflow(t *testing.T) {
	var want map[string]map[string]string
	if err := json.Unmarshal(golden(t, "casts.json"), &want); err != nil {
		t.Fatal(err)
	}
	for dtype, kinds := range want {
		d, ok := tensor.ParseDType(dtype)
		if !ok {
			t.Fatal(dtype)
		}
		for kind, result := range kinds {
			k := mlmodel.ParseKind(kind)
			s := &mlmodel.Schema{Columns: []mlmodel.ColumnSpec{{Name: "c", Kind: k, Required: true}}}
			b := batchOf(tensor.Table, func(b *tensor.Batch) { col(b, "c", d, 2, 2) })
			if d == tensor.String {
				copy(b.Columns[0].Tensor.Strings(), []string{"x", "y"})
			}
			err := s.Enforce(b)
			allowed := !strings.HasPrefix(result, "error")
			if allowed != (err == nil) || (err != nil && !errors.Is(err, mlmodel.ErrSchema)) {
				t.Errorf("%s for %s: %v, MLflow says %s", dtype, kind, err, result)
			}
			if d != tensor.String && mlmodel.CanCast(d, k) != allowed {
				t.Errorf("CanCast(%s, %s) is not what Enforce does", dtype, kind)
			}
			if err == nil && !d.Text() && b.Columns[0].Tensor.Type != k.DType() {
				t.Errorf("%s for %s became %s", dtype, kind, b.Columns[0].Tensor.Type)
			}
			if text, ours := strings.CutPrefix(result, "error: "); ours && err != nil && d.Numeric() && k != mlmodel.Datetime && err.Error() != text {
				t.Errorf("%s for %s: %q, MLflow says %q", dtype, kind, err, text)
			}
		}
	}
}

func TestEnforce(t *testing.T) {
	schema := func(text string) *mlmodel.Schema {
		s, err := mlmodel.ParseSchema(text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	ab := schema(`[{"type":"double","name":"a"},{"type":"string","name":"b","required":false}]`)
	unnamed := schema(`[{"type":"double"},{"type":"long"}]`)
	image := schema(`[{"type":"tensor","tensor-spec":{"dtype":"float32","shape":[-1,2,2]}}]`)
	matrix := schema(`[{"type":"tensor","tensor-spec":{"dtype":"float64","shape":[-1,3]}}]`)
	two := schema(`[{"type":"tensor","name":"x","tensor-spec":{"dtype":"float32","shape":[-1,2]}},{"type":"tensor","name":"s","tensor-spec":{"dtype":"str","shape":[-1]}}]`)
	one := schema(`[{"type":"tensor","name":"x","tensor-spec":{"dtype":"float32","shape":[-1,2]}}]`)
	f32, f64, i64, i32, str := tensor.Float32, tensor.Float64, tensor.Int64, tensor.Int32, tensor.String
	for _, tc := range []struct {
		name   string
		schema *mlmodel.Schema
		form   tensor.Form
		fill   func(*tensor.Batch)
		want   string
	}{
		{"as declared", ab, tensor.Table, func(b *tensor.Batch) { col(b, "a", f64, 1, 2); col(b, "b", str, 0, 2) }, "table a:float64[2] b:str[2]"},
		{"reordered, extra dropped", ab, tensor.Table, func(b *tensor.Batch) { col(b, "z", f64, 1, 2); col(b, "b", str, 0, 2); col(b, "a", i32, 5, 2) }, "table a:float64[2] b:str[2]"},
		{"optional missing", ab, tensor.Table, func(b *tensor.Batch) { col(b, "a", f32, 1, 2) }, "table a:float64[2]"},
		{"required missing", ab, tensor.Table, func(b *tensor.Batch) { col(b, "b", str, 0, 2); col(b, "A", f64, 0, 2) },
			"Model is missing inputs ['a']. Note that there were extra inputs: ['A']."},
		{"given twice", ab, tensor.Table, func(b *tensor.Batch) { col(b, "a", f64, 0, 2); col(b, "a", f64, 0, 2) }, "The input column 'a' is given twice."},
		{"zeros and ones", ab, tensor.Table, func(b *tensor.Batch) { col(b, "a", i64, 1, 2) }, "table a:float64[2]"},
		{"text for a number", ab, tensor.Table, func(b *tensor.Batch) { col(b, "a", str, 1, 2) },
			"Incompatible input types for column a. Can not safely convert object to float64."},
		{"dict of arrays for columns", ab, tensor.Named, func(b *tensor.Batch) { col(b, "a", f64, 1, 2) }, "table a:float64[2]"},
		{"unnamed by position", unnamed, tensor.Table, func(b *tensor.Batch) { col(b, "p", f64, 1, 2); col(b, "q", i64, 5, 2); col(b, "r", str, 5, 2) }, "table p:float64[2] q:int64[2]"},
		{"matrix for unnamed columns", schema(`[{"type":"double"},{"type":"double"}]`), tensor.Bare, func(b *tensor.Batch) { col(b, "", f64, 1, 3, 2) }, "table 0:float64[3] 1:float64[3]"},
		{"too few unnamed", unnamed, tensor.Table, func(b *tensor.Batch) { col(b, "p", f64, 1, 2) },
			"Model inference is missing inputs. The model signature declares 2 inputs  but the provided value only has 1 inputs. Note: the inputs were not named in the signature so we can only verify their count."},
		{"tensor", image, tensor.Bare, func(b *tensor.Batch) { col(b, "", f32, 1, 3, 2, 2) }, "bare :float32[3 2 2]"},
		{"tensor of another shape", image, tensor.Bare, func(b *tensor.Batch) { col(b, "", f32, 1, 3, 2, 3) }, "Shape of input (3, 2, 3) does not match expected shape (-1, 2, 2)."},
		{"tensor of another type", image, tensor.Bare, func(b *tensor.Batch) { col(b, "", f64, 1, 3, 2, 2) }, "dtype of input float64 does not match expected dtype float32"},
		{"list column for a tensor", image, tensor.Table, func(b *tensor.Batch) { col(b, "img", f64, 1, 3, 4) }, "bare :float32[3 2 2]"},
		{"frame for a matrix", matrix, tensor.Table, func(b *tensor.Batch) { col(b, "p", f64, 1, 2); col(b, "q", f64, 1, 2); col(b, "r", i64, 1, 2) }, "bare :float64[2 3]"},
		{"frame of another width", matrix, tensor.Table, func(b *tensor.Batch) { col(b, "p", f64, 1, 2); col(b, "q", f64, 1, 2) }, "the input DataFrame passed had 2 columns and an input shape of (-1, 3)"},
		{"empty frame for a tensor", matrix, tensor.Table, func(b *tensor.Batch) {}, "Input DataFrame is empty."},
		{"dict for an unnamed tensor", matrix, tensor.Named, func(b *tensor.Batch) { col(b, "x", f64, 1, 2, 3) }, "no input names"},
		{"dict", two, tensor.Named, func(b *tensor.Batch) { col(b, "s", str, 1, 2); col(b, "x", f32, 1, 2, 2) }, "named x:float32[2 2] s:str[2]"},
		{"frame for a dict", two, tensor.Table, func(b *tensor.Batch) { col(b, "s", str, 1, 2); col(b, "x", f64, 1, 2, 2) }, "named x:float32[2 2] s:str[2]"},
		{"lone array for a lone name", one, tensor.Bare, func(b *tensor.Batch) { col(b, "", f32, 1, 2, 2) }, "named x:float32[2 2]"},
		{"lone array for two names", two, tensor.Bare, func(b *tensor.Batch) { col(b, "", f32, 1, 2, 2) }, "numpy.ndarray"},
		{"scalar column for a wide tensor", one, tensor.Table, func(b *tensor.Batch) { col(b, "x", f64, 1, 3) }, "contains scalar values"},
		{"no schema", nil, tensor.Named, func(b *tensor.Batch) { col(b, "x", f64, 1, 3) }, "named x:float64[3]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := batchOf(tc.form, tc.fill)
			err := tc.schema.Enforce(b)
			if err != nil {
				if !errors.Is(err, mlmodel.ErrSchema) || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("got %v\nwant %s", err, tc.want)
				}
				return
			}
			if got := show(b); got != tc.want {
				t.Errorf("got %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestDatetimeFromText(t *testing.T) {
	s := &mlmodel.Schema{Columns: []mlmodel.ColumnSpec{{Name: "d", Kind: mlmodel.Datetime, Required: true}}}
	b := batchOf(tensor.Table, func(b *tensor.Batch) { col(b, "d", tensor.String, 0, 2) })
	copy(b.Columns[0].Tensor.Strings(), []string{"1970-01-01T00:00:01", "NaT"})
	if err := s.Enforce(b); err != nil {
		t.Fatal(err)
	}
	if got := tensor.Of[int64](&b.Columns[0].Tensor); got[0] != 1e9 || got[1] != tensor.NaT {
		t.Errorf("got %v", got)
	}
}

func TestEnforceAllocatesNothingOnAFit(t *testing.T) {
	s := &mlmodel.Schema{}
	b := new(tensor.Batch)
	for i := range 13 {
		name := string(rune('a' + i))
		s.Columns = append(s.Columns, mlmodel.ColumnSpec{Name: name, Kind: mlmodel.Double, Required: true})
		col(b, name, tensor.Float64, 1, 1)
	}
	b.Rows = 1
	if n := testing.AllocsPerRun(100, func() { _ = s.Enforce(b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Nested values as MLflow 3.17.2 takes them (pandas 3.1): among floats and nulls whole numbers are floats, alone they are integers, of which
// a double column takes 0 and 1 only; what an optional column may lack its lists and maps may lack, too. No message repeats a value.
func TestNestedValuesAsMLflow(t *testing.T) {
	t.Parallel()
	list := func(k mlmodel.Kind) *mlmodel.ColumnSpec {
		return &mlmodel.ColumnSpec{Kind: mlmodel.Array, Required: true, Elem: &mlmodel.ColumnSpec{Kind: k, Required: true}}
	}
	table := func(elem *mlmodel.ColumnSpec, required bool) *mlmodel.ColumnSpec {
		return &mlmodel.ColumnSpec{Kind: mlmodel.Map, Required: required, Elem: elem}
	}
	optional := &mlmodel.ColumnSpec{Kind: mlmodel.Array, Elem: list(mlmodel.Double)}
	for name, c := range map[string]struct {
		column *mlmodel.ColumnSpec
		value  any
		fails  bool
	}{
		"whole among floats":          {list(mlmodel.Double), []any{int64(2), 2.5}, false},
		"whole beside null":           {list(mlmodel.Double), []any{int64(3), nil}, false},
		"whole alone":                 {list(mlmodel.Double), []any{int64(3), int64(4)}, true},
		"zeros and ones":              {list(mlmodel.Double), []any{int64(0), int64(1)}, false},
		"text among floats":           {list(mlmodel.Double), []any{2.5, "s3cret"}, true},
		"float among whole":           {list(mlmodel.Long), []any{int64(1), 2.5}, true},
		"null among whole":            {list(mlmodel.Long), []any{int64(1), nil}, true},
		"null in an optional map":     {table(&mlmodel.ColumnSpec{Kind: mlmodel.Long, Required: true}, false), map[string]any{"k": nil}, false},
		"null in a map":               {table(&mlmodel.ColumnSpec{Kind: mlmodel.Long, Required: true}, true), map[string]any{"k": nil}, true},
		"text in an optional map":     {table(&mlmodel.ColumnSpec{Kind: mlmodel.Long, Required: true}, false), map[string]any{"k": "s3cret"}, true},
		"null list in an optional":    {optional, []any{nil, []any{1.5}}, false},
		"null list in a list of maps": {table(list(mlmodel.String), false), map[string]any{"k": nil}, false},
		"null list":                   {table(list(mlmodel.String), true), map[string]any{"k": nil}, true},
	} {
		err := c.column.CheckValue(c.value)
		if (err != nil) != c.fails {
			t.Errorf("%s: got %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %q repeats the value", name, err)
		}
	}
}
