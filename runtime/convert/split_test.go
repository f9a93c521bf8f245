package convert

import (
	"errors"
	"testing"

	"sluice/runtime/servable"
	"sluice/runtime/tensor"
)

func matrix(rows, width int) *tensor.Batch {
	b := new(tensor.Batch)
	b.Reset(tensor.Named)
	t := b.AddColumn("predictions")
	t.Reset(tensor.Float32, int64(rows), int64(width))
	for i := range tensor.Of[float32](t) {
		tensor.Of[float32](t)[i] = float32(i)
	}
	return b
}

// A frame's columns are the matrix's, whatever lay in the answer's memory before.
func TestSplit(t *testing.T) {
	s := newSplitter(3)
	var out tensor.Batch
	for _, rows := range []int{4, 1, 0, 7} {
		out.Columns = append(out.Columns[:0], matrix(rows, 3).Columns...)
		if err := s.split(&out); err != nil {
			t.Fatal(err)
		}
		if out.Form != tensor.Table || len(out.Columns) != 3 || out.Rows != rows {
			t.Fatalf("got %d columns, %d rows in form %v", len(out.Columns), out.Rows, out.Form)
		}
		for i, name := range []string{"0", "1", "2"} {
			c := &out.Columns[i]
			if c.Name != name || len(c.Tensor.Shape) != 1 {
				t.Errorf("got %q of shape %v", c.Name, c.Tensor.Shape)
			}
			for row, v := range tensor.Of[float32](&c.Tensor) {
				if v != float32(3*row+i) {
					t.Errorf("row %d of %s is %g", row, name, v)
				}
			}
		}
	}
	if err := s.split(matrix(2, 4)); !errors.Is(err, tensor.ErrShape) {
		t.Errorf("a wider matrix: %v", err)
	}
}

// Whole numbers below zero are refused where the original refuses them: ONNX would count positions from the end.
func TestUnsigned(t *testing.T) {
	guarded := Backend{width: 1, guards: []columnGuard{{guard: guard{NaN: true, Inf: true, Unsigned: true}}}}
	for _, c := range []struct {
		values []int64
		ok     bool
	}{{[]int64{0, 1, 2}, true}, {[]int64{5, 1, -1}, false}} {
		var in tensor.Batch
		in.Reset(tensor.Bare)
		column := in.AddColumn("")
		column.Reset(tensor.Int64, int64(len(c.values)))
		copy(tensor.Of[int64](column), c.values)
		if err := guarded.check(&in); (err == nil) != c.ok || (err != nil && !errors.Is(err, servable.ErrBadInput)) {
			t.Errorf("%v: %v", c.values, err)
		}
	}
}
