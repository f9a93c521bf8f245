package onnx_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"sluice/runtime/mlmodel"
	"sluice/runtime/onnx"
	"sluice/runtime/onnx/onnxtest"
	"sluice/runtime/tensor"
)

func load(t testing.TB, name string) *onnx.Backend {
	t.Helper()
	b := loadUnowned(t, name)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// loadUnowned loads a model that the caller closes.
func loadUnowned(t testing.TB, name string) *onnx.Backend {
	t.Helper()
	rt, dir := onnxtest.Open(t, os.Getenv("ORT_LIB")), onnxtest.Model(t, name)
	m, err := mlmodel.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := rt.Load(t.Context(), dir, m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// batchOf builds a batch; a column is a name followed by []float64, []float32, []int64, []string or a *tensor.Tensor.
func batchOf(form tensor.Form, columns ...any) *tensor.Batch {
	b := new(tensor.Batch)
	b.Reset(form)
	for i := 0; i < len(columns); i += 2 {
		t := b.AddColumn(columns[i].(string))
		switch v := columns[i+1].(type) {
		case []float64:
			fill(t, tensor.Float64, v)
		case []float32:
			fill(t, tensor.Float32, v)
		case []int64:
			fill(t, tensor.Int64, v)
		case []string:
			t.Reset(tensor.String, int64(len(v)))
			copy(t.Strings(), v)
		case *tensor.Tensor:
			t.CopyFrom(v)
		default:
			panic(fmt.Sprintf("column of %T", v))
		}
	}
	if err := b.CountRows(); err != nil {
		panic(err)
	}
	return b
}

func fill[T tensor.Element](t *tensor.Tensor, d tensor.DType, v []T) {
	t.Reset(d, int64(len(v)))
	copy(tensor.Of[T](t), v)
}

func shaped[T tensor.Element](d tensor.DType, v []T, shape ...int64) *tensor.Tensor {
	t := new(tensor.Tensor)
	t.Reset(d, shape...)
	copy(tensor.Of[T](t), v)
	return t
}

// show prints a batch: form, rows, and each column's type, shape, keys and values.
func show(b *tensor.Batch) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s rows=%d", []string{"table", "named", "bare"}[b.Form], b.Rows)
	for i := range b.Columns {
		c := &b.Columns[i]
		fmt.Fprintf(&s, "; %s %s%v", c.Name, c.Tensor.Type, c.Tensor.Shape)
		if c.Keys != nil {
			fmt.Fprintf(&s, " keys=%q", c.Keys)
		}
		if c.Tensor.Type.Text() {
			fmt.Fprintf(&s, " %q", c.Tensor.Strings())
			continue
		}
		s.WriteString(" [")
		for j := range c.Tensor.Len() {
			if j > 0 {
				s.WriteByte(' ')
			}
			fmt.Fprintf(&s, "%.4g", c.Tensor.At(j))
		}
		s.WriteByte(']')
	}
	return s.String()
}
