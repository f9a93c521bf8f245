package shadow

import (
	"math"
	"testing"
	"time"

	"sluice/runtime/servable"
	"sluice/runtime/tensor"
)

// column adds an output of the shape.
func column[T tensor.Element](b *tensor.Batch, name string, d tensor.DType, shape []int64, values ...T) {
	t := b.AddColumn(name)
	t.Reset(d, shape...)
	copy(tensor.Of[T](t), values)
}

func text(b *tensor.Batch, name string, values ...string) {
	t := b.AddColumn(name)
	t.Reset(tensor.String, int64(len(values)))
	copy(t.Strings(), values)
}

func TestCompare(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	type answer func(*tensor.Batch)
	floats := func(values ...float64) answer {
		return func(b *tensor.Batch) { column(b, "y", tensor.Float64, []int64{int64(len(values))}, values...) }
	}
	single := func(values ...float32) answer {
		return func(b *tensor.Batch) { column(b, "y", tensor.Float32, []int64{int64(len(values))}, values...) }
	}
	ints := func(values ...int64) answer {
		return func(b *tensor.Batch) { column(b, "y", tensor.Int64, []int64{int64(len(values))}, values...) }
	}
	texts := func(values ...string) answer { return func(b *tensor.Batch) { text(b, "y", values...) } }
	classes := func(label int64, p ...float64) answer {
		return func(b *tensor.Batch) {
			if label >= 0 {
				column(b, "label", tensor.Int64, []int64{1}, label)
			}
			column(b, "p", tensor.Float64, []int64{1, int64(len(p))}, p...)
			b.Columns[len(b.Columns)-1].Keys = []string{"a", "b", "c"}[:len(p)]
		}
	}
	for name, c := range map[string]struct {
		a, b answer
		want Difference
	}{
		"equal":                 {floats(1, -2, 0), floats(1, -2, 0), Difference{Comparable: true, HasDistance: true}},
		"half of one":           {floats(2, 1), floats(1, 1), Difference{Comparable: true, HasDistance: true, Distance: 0.25}},
		"opposite":              {floats(3), floats(-3), Difference{Comparable: true, HasDistance: true, Distance: 2}},
		"against zero":          {floats(0), floats(5), Difference{Comparable: true, HasDistance: true, Distance: 1}},
		"huge":                  {floats(math.MaxFloat64), floats(-math.MaxFloat64), Difference{Comparable: true, HasDistance: true, Distance: 2}},
		"not a number":          {floats(nan, nan, 1, inf), floats(nan, 1, inf, inf), Difference{Comparable: true, HasDistance: true, Distance: 0.5}},
		"other precision":       {floats(0.5), single(0.5), Difference{Comparable: true, HasDistance: true}},
		"labels":                {ints(1, 2, 3, 4), ints(1, 2, 3, 5), Difference{Comparable: true, HasLabels: true, Disagreement: 0.25}},
		"text":                  {texts("x", "y"), texts("x", "z"), Difference{Comparable: true, HasLabels: true, Disagreement: 0.5}},
		"numbers as float":      {ints(2), floats(1), Difference{Comparable: true, HasDistance: true, Distance: 0.5}},
		"more rows":             {floats(1), floats(1, 2), Difference{}},
		"text for numbers":      {ints(1), texts("1"), Difference{}},
		"no outputs":            {func(*tensor.Batch) {}, floats(1), Difference{}},
		"labels and likelihood": {classes(1, 0.5, 0.5), classes(1, 0.25, 0.5), Difference{Comparable: true, HasDistance: true, Distance: 0.25, HasLabels: true}},
		"likelihood alone":      {classes(-1, 0.5, 0.25), classes(-1, 0.5, 1), Difference{Comparable: true, HasDistance: true, Distance: 0.375, HasLabels: true, Disagreement: 1}},
		"other classes":         {classes(-1, 1, 0), classes(-1, 1, 0, 0), Difference{}},
	} {
		var a, b tensor.Batch
		c.a(&a)
		c.b(&b)
		var compare Comparer
		for range 2 { // memory is reused
			if got := compare.Compare(&a, &b); got != c.want {
				t.Errorf("%s: got %+v, want %+v", name, got, c.want)
			}
		}
	}
}

// Outputs are found by name, whatever their order.
func TestCompareByName(t *testing.T) {
	var a, b tensor.Batch
	column(&a, "x", tensor.Float64, []int64{1}, 1.0)
	column(&a, "y", tensor.Float64, []int64{1}, 2.0)
	column(&b, "y", tensor.Float64, []int64{1}, 2.0)
	column(&b, "x", tensor.Float64, []int64{1}, 1.0)
	var c Comparer
	if got := c.Compare(&a, &b); !got.Comparable || got.Distance != 0 {
		t.Errorf("got %+v", got)
	}
	b.Columns[0].Name = "z"
	if got := c.Compare(&a, &b); got.Comparable {
		t.Errorf("got %+v", got)
	}
}

func TestBook(t *testing.T) {
	b := NewBook(func() time.Time { return time.UnixMilli(7) })
	one := Key{Endpoint: "e", Arm: "a", Servable: servable.ID{Model: "m", Version: 2}}
	other := Key{Endpoint: "e", Arm: "b", Servable: servable.ID{Model: "m", Version: 3}}
	b.Record(one, Difference{Comparable: true, HasDistance: true, Distance: 0.3, HasLabels: true, Disagreement: 1}, -2*time.Millisecond)
	b.Record(one, Difference{Comparable: true, HasDistance: true}, time.Second*2)
	b.Record(one, Difference{}, 0)
	b.Fail(one)
	b.Drop(one, QueueFull)
	b.Drop(other, Expired)
	all := b.Snapshot()
	if len(all) != 2 || all[0].Key != one || all[1].Key != other {
		t.Fatalf("got %+v", all)
	}
	s := all[0]
	if s.Results != [results]uint64{2, 1, 1} || s.Drops[QueueFull] != 1 || s.Executed() != 4 || s.StartMS != 7 || s.Distance.Count != 2 || s.Distance.Mean() != 0.15 ||
		s.Disagreement.Count != 1 || s.Disagreement.Counts[len(disagreementBounds)] != 1 || s.Delay.Counts[len(delayBounds)] != 1 || s.Delay.Count != 2 {
		t.Errorf("got %+v", s)
	}
	b.Record(one, Difference{Comparable: true, HasDistance: true, Distance: 1}, 0)
	if s.Distance.Count != 2 || s.Distance.Counts[11] != 0 {
		t.Error("a snapshot changed")
	}
	b.Keep(func(k Key) bool { return k == other })
	if all := b.Snapshot(); len(all) != 1 || all[0].Key != other {
		t.Errorf("kept %+v", all)
	}
}
