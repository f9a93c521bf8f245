package tensor_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"sluice/runtime/tensor"
)

// random makes a batch of up to 5 columns of any type and width with n rows.
func random(r *rand.Rand, n int) *tensor.Batch {
	b := new(tensor.Batch)
	b.Reset(tensor.Form(r.IntN(2)))
	for i := range 1 + r.IntN(5) {
		t := b.AddColumn(string(rune('a' + i)))
		shape := []int64{int64(n), int64(r.IntN(3)), 2}[:1+r.IntN(3)]
		t.Reset(tensor.DType(1+r.IntN(int(tensor.Binary))), shape...)
		for j := range t.Raw() {
			t.Raw()[j] = byte(r.IntN(2))
		}
		for j := range t.Strings() {
			t.Strings()[j] = string(rune('A' + r.IntN(20)))
		}
	}
	b.Rows = n
	return b
}

// clone makes another random content of the same columns with n rows.
func like(r *rand.Rand, src *tensor.Batch, n int) *tensor.Batch {
	b := new(tensor.Batch)
	b.Reset(src.Form)
	for i := range src.Columns {
		c := &src.Columns[i]
		shape := append([]int64{int64(n)}, c.Tensor.Shape[1:]...)
		t := b.AddColumn(c.Name)
		t.Reset(c.Tensor.Type, shape...)
		for j := range t.Raw() {
			t.Raw()[j] = byte(r.IntN(2))
		}
		for j := range t.Strings() {
			t.Strings()[j] = string(rune('A' + r.IntN(20)))
		}
	}
	b.Rows = n
	return b
}

func equal(a, b *tensor.Batch) bool {
	if a.Form != b.Form || a.Rows != b.Rows || len(a.Columns) != len(b.Columns) {
		return false
	}
	for i := range a.Columns {
		x, y := &a.Columns[i], &b.Columns[i]
		if x.Name != y.Name || x.Tensor.Type != y.Tensor.Type || !reflect.DeepEqual(x.Tensor.Shape, y.Tensor.Shape) ||
			string(x.Tensor.Raw()) != string(y.Tensor.Raw()) || len(x.Tensor.Strings()) != len(y.Tensor.Strings()) {
			return false
		}
		for j, s := range x.Tensor.Strings() {
			if y.Tensor.Strings()[j] != s {
				return false
			}
		}
	}
	return true
}

func joinThenCopy(t *testing.T, r *rand.Rand) {
	t.Helper()
	first := random(r, r.IntN(4))
	parts := []*tensor.Batch{first}
	counts := []int{first.Rows}
	for range r.IntN(5) {
		p := like(r, first, r.IntN(4))
		parts, counts = append(parts, p), append(counts, p.Rows)
	}
	var joined tensor.Batch
	joined.CopyFrom(first)
	for _, p := range parts[1:] {
		if err := joined.AppendRows(p); err != nil {
			t.Fatal(err)
		}
	}
	out := make([]*tensor.Batch, len(parts))
	for i := range out {
		out[i] = random(r, 2) // whatever it held before
	}
	from := 0
	for i := range parts {
		if err := out[i].CopyRows(&joined, from, from+counts[i]); err != nil {
			t.Fatal(err)
		}
		if !equal(parts[i], out[i]) {
			t.Fatalf("part %d is another after it was joined and copied out", i)
		}
		var view tensor.Batch
		if err := view.View(&joined, from, from+counts[i]); err != nil {
			t.Fatal(err)
		}
		if !equal(&view, parts[i]) {
			t.Fatalf("view %d differs", i)
		}
		from += counts[i]
	}
}

func TestJoinThenCopyIsIdentity(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		joinThenCopy(t, r)
	}
}

func FuzzJoinThenCopy(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) { joinThenCopy(t, rand.New(rand.NewPCG(a, b))) })
}

func TestViewsAreNeverWrittenThrough(t *testing.T) {
	var src, view tensor.Batch
	src.AddColumn("x").Reset(tensor.Int64, 3)
	copy(tensor.Of[int64](&src.Columns[0].Tensor), []int64{1, 2, 3})
	src.Rows = 3
	for name, write := range map[string]func(*tensor.Tensor){
		"reset":  func(t *tensor.Tensor) { t.Reset(tensor.Int64, 1) },
		"dirty":  func(t *tensor.Tensor) { t.ResetDirty(tensor.Int64, 1); tensor.Of[int64](t)[0] = 9 },
		"append": func(t *tensor.Tensor) { tensor.Append(t, int64(9)) },
	} {
		if err := view.View(&src, 0, 2); err != nil {
			t.Fatal(err)
		}
		write(&view.Columns[0].Tensor)
		if got := tensor.Of[int64](&src.Columns[0].Tensor); !reflect.DeepEqual(got, []int64{1, 2, 3}) {
			t.Errorf("%s: source is %v", name, got)
		}
	}
}

func TestJoiningRefusesWhatDoesNotFit(t *testing.T) {
	base := func() *tensor.Batch {
		b := new(tensor.Batch)
		b.AddColumn("x").Reset(tensor.Float32, 2, 3)
		b.Rows = 2
		return b
	}
	for name, change := range map[string]func(*tensor.Batch){
		"form":    func(b *tensor.Batch) { b.Form = tensor.Named },
		"name":    func(b *tensor.Batch) { b.Columns[0].Name = "y" },
		"type":    func(b *tensor.Batch) { b.Columns[0].Tensor.Reset(tensor.Int32, 2, 3) },
		"width":   func(b *tensor.Batch) { b.Columns[0].Tensor.Reset(tensor.Float32, 2, 4) },
		"rank":    func(b *tensor.Batch) { b.Columns[0].Tensor.Reset(tensor.Float32, 2, 3, 1) },
		"scalar":  func(b *tensor.Batch) { b.Columns[0].Tensor.Reset(tensor.Float32) },
		"columns": func(b *tensor.Batch) { b.AddColumn("z").Reset(tensor.Float32, 2) },
		"no rows": func(b *tensor.Batch) { b.Rows = tensor.NoRows },
		"keys":    func(b *tensor.Batch) { b.Columns[0].Keys = []string{"a", "b", "c"} },
		"json":    func(b *tensor.Batch) { b.Columns[0].JSON = true },
	} {
		o := base()
		change(o)
		b := base()
		if err := b.AppendRows(o); !errors.Is(err, tensor.ErrShape) || b.Rows != 2 {
			t.Errorf("%s: %v, %d rows", name, err, b.Rows)
		}
	}
	var dst tensor.Batch
	b := base()
	if err := dst.View(b, 1, 3); !errors.Is(err, tensor.ErrShape) {
		t.Errorf("range: %v", err)
	}
	if err := dst.CopyRows(b, 2, 1); !errors.Is(err, tensor.ErrShape) {
		t.Errorf("backwards: %v", err)
	}
}

func TestCountRows(t *testing.T) {
	b := new(tensor.Batch)
	b.AddColumn("a").Reset(tensor.Float32, 2)
	b.AddColumn("b").Reset(tensor.Float32, 3)
	if err := b.CountRows(); !errors.Is(err, tensor.ErrShape) {
		t.Errorf("table: %v", err)
	}
	b.Form = tensor.Named
	if err := b.CountRows(); err != nil || b.Rows != tensor.NoRows {
		t.Errorf("named: %d, %v", b.Rows, err)
	}
	b.Columns[1].Tensor.Reset(tensor.Float32)
	if err := b.CountRows(); err != nil || b.Rows != tensor.NoRows {
		t.Errorf("scalar: %d, %v", b.Rows, err)
	}
}

func TestAppend(t *testing.T) {
	var c tensor.Tensor
	c.Reset(tensor.Float32, 0)
	for i := range 100 {
		tensor.Append(&c, float32(i))
	}
	if got := tensor.Of[float32](&c); c.Rows() != 100 || c.Len() != 100 || got[99] != 99 {
		t.Errorf("%v", got)
	}
	if err := c.Reshape(20, 5); err != nil || c.Width() != 5 {
		t.Errorf("%v, width %d", err, c.Width())
	}
	if err := c.Reshape(-1, -100); !errors.Is(err, err) || err == nil {
		t.Error("negative dimensions fit")
	}
	if err := c.Reshape(1<<62, 1<<62); err == nil {
		t.Error("overflowing dimensions fit")
	}
	if tensor.Of[int64](&c) != nil || c.Strings() != nil {
		t.Error("a view of another size")
	}
	var s tensor.Tensor
	s.Reset(tensor.String, 0)
	s.AppendString("a")
	s.AppendString("b")
	if s.Rows() != 2 || s.Strings()[1] != "b" {
		t.Errorf("%q", s.Strings())
	}
}

func TestResetForgetsWhatWasThere(t *testing.T) {
	var c tensor.Tensor
	c.Reset(tensor.String, 2)
	c.Strings()[0] = "secret"
	c.Reset(tensor.Int32, 3)
	tensor.Of[int32](&c)[1] = 7
	c.Reset(tensor.Int32, 4)
	if got := tensor.Of[int32](&c); !reflect.DeepEqual(got, make([]int32, 4)) {
		t.Errorf("%v", got)
	}
	c.Reset(tensor.Binary, 2)
	if !reflect.DeepEqual(c.Strings(), []string{"", ""}) {
		t.Errorf("%q", c.Strings())
	}
}

func TestConvert(t *testing.T) {
	src := new(tensor.Tensor)
	src.Reset(tensor.Float64, 4)
	copy(tensor.Of[float64](src), []float64{0, 1.5, -2, 100})
	for d := tensor.Bool; d <= tensor.Float64; d++ {
		var out tensor.Tensor
		if err := tensor.Convert(&out, d, src); err != nil {
			t.Fatal(err)
		}
		want := []float64{0, 1.5, -2, 100}
		switch {
		case d == tensor.Bool:
			want = []float64{0, 1, 1, 1}
		case d.Integer():
			want = []float64{0, 1, -2, 100}
		}
		for i := range want {
			if d.Integer() && d >= tensor.Uint8 && i == 2 {
				continue // wraps
			}
			if got := out.At(i); got != want[i] {
				t.Errorf("%s: element %d is %v, want %v", d, i, got, want[i])
			}
		}
	}
	var out tensor.Tensor
	for _, pair := range [][2]tensor.DType{{tensor.String, tensor.Float64}, {tensor.Float64, tensor.String}, {tensor.Datetime, tensor.Float64}} {
		src.Reset(pair[0], 1)
		if err := tensor.Convert(&out, pair[1], src); !errors.Is(err, tensor.ErrShape) {
			t.Errorf("%s to %s: %v", pair[0], pair[1], err)
		}
	}
}

// Half precision agrees with a slow, obviously right rounding for every bit pattern and the midpoints between neighbours.
func TestFloat16(t *testing.T) {
	value := func(bits uint16) float64 {
		exp, frac := int(bits>>10)&0x1f, float64(bits&0x3ff)
		v := math.Ldexp(1+frac/1024, exp-15)
		if exp == 0 {
			v = math.Ldexp(frac, -24)
		}
		if bits&0x8000 != 0 {
			v = -v
		}
		return v
	}
	for bits := range uint16(0x7c00) {
		for _, b := range []uint16{bits, bits | 0x8000} {
			if got := float64(tensor.Float16Value(b)); got != value(b) {
				t.Fatalf("%#x is %v, want %v", b, got, value(b))
			}
			if got := tensor.Float16Bits(float32(value(b))); got != b {
				t.Fatalf("%v becomes %#x, want %#x", value(b), got, b)
			}
		}
		if bits < 0x7bff { // ties to even
			mid := float32((value(bits) + value(bits+1)) / 2)
			if got := tensor.Float16Bits(mid); got != bits+bits&1 {
				t.Fatalf("midpoint %v becomes %#x, want %#x", mid, got, bits+bits&1)
			}
		}
	}
	if tensor.Float16Bits(1e6) != 0x7c00 || tensor.Float16Bits(float32(math.Inf(-1))) != 0xfc00 || tensor.Float16Bits(float32(math.NaN()))&0x3ff == 0 {
		t.Error("infinity or NaN")
	}
	if v := tensor.Float16Value(0x7c01); v == v {
		t.Error("NaN became a number")
	}
}

func TestPromote(t *testing.T) {
	for _, tc := range []struct {
		a, b, want tensor.DType
	}{
		{tensor.Int64, tensor.Float32, tensor.Float64}, {tensor.Int16, tensor.Float32, tensor.Float32}, {tensor.Int8, tensor.Float16, tensor.Float16},
		{tensor.Int16, tensor.Float16, tensor.Float32}, {tensor.Uint8, tensor.Int8, tensor.Int16}, {tensor.Uint32, tensor.Int32, tensor.Int64},
		{tensor.Uint64, tensor.Int64, tensor.Float64}, {tensor.Uint8, tensor.Int64, tensor.Int64}, {tensor.Float16, tensor.BFloat16, tensor.Float32},
		{tensor.Int32, tensor.Int64, tensor.Int64}, {tensor.Bool, tensor.Int8, tensor.Invalid}, {tensor.String, tensor.Int8, tensor.Invalid},
		{tensor.Datetime, tensor.Int64, tensor.Invalid}, {tensor.String, tensor.Binary, tensor.String},
	} {
		for _, p := range [][2]tensor.DType{{tc.a, tc.b}, {tc.b, tc.a}} {
			if got, ok := tensor.Promote(p[0], p[1]); got != tc.want || ok != (tc.want != tensor.Invalid) {
				t.Errorf("%s with %s: %s, want %s", p[0], p[1], got, tc.want)
			}
		}
	}
}

func TestStack(t *testing.T) {
	b := new(tensor.Batch)
	b.AddColumn("i").Reset(tensor.Int64, 2)
	copy(tensor.Of[int64](&b.Columns[0].Tensor), []int64{1, 2})
	b.AddColumn("f").Reset(tensor.Float32, 2)
	copy(tensor.Of[float32](&b.Columns[1].Tensor), []float32{0.5, 1.5})
	b.AddColumn("wide").Reset(tensor.Float64, 2, 2)
	copy(tensor.Of[float64](&b.Columns[2].Tensor), []float64{7, 8, 9, 10})
	var m tensor.Tensor
	if err := tensor.Stack(&m, b.Columns); err != nil {
		t.Fatal(err)
	}
	if got := tensor.Of[float64](&m); !reflect.DeepEqual(got, []float64{1, 0.5, 7, 8, 2, 1.5, 9, 10}) || !reflect.DeepEqual(m.Shape, []int64{2, 4}) {
		t.Errorf("%v of shape %v", got, m.Shape)
	}
	b.AddColumn("text").Reset(tensor.String, 2)
	if err := tensor.Stack(&m, b.Columns); !errors.Is(err, tensor.ErrShape) {
		t.Errorf("text beside numbers: %v", err)
	}
	if err := tensor.Stack(&m, nil); !errors.Is(err, tensor.ErrShape) {
		t.Errorf("nothing: %v", err)
	}
}

func TestParseDType(t *testing.T) {
	for name, want := range map[string]tensor.DType{"float32": tensor.Float32, "<f4": tensor.Float32, "int64": tensor.Int64, "object": tensor.String,
		"str": tensor.String, "<U12": tensor.String, "bytes": tensor.Binary, "|S3": tensor.Binary, "datetime64[us]": tensor.Datetime,
		"<M8[ns]": tensor.Datetime, "bool": tensor.Bool, "uint16": tensor.Uint16, "float16": tensor.Float16} {
		if got, ok := tensor.ParseDType(name); !ok || got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	for _, name := range []string{"", "complex64", "float128", "Uxx", "int63"} {
		if got, ok := tensor.ParseDType(name); ok {
			t.Errorf("%q is %s", name, got)
		}
	}
}

// fillRows is what a decoder does with one body.
func fillRows(b *tensor.Batch, names []string, rows int) {
	b.Reset(tensor.Table)
	b.Grow(len(names))
	for _, n := range names {
		b.AddColumn(n).Reset(tensor.Float64, 0)
	}
	for r := range rows {
		for i := range b.Columns {
			tensor.Append(&b.Columns[i].Tensor, float64(r))
		}
	}
	_ = b.CountRows()
}

var names = []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"}

func TestWarmBatchAllocatesNothing(t *testing.T) {
	var b, out tensor.Batch
	fillRows(&b, names, 4)
	if n := testing.AllocsPerRun(100, func() { fillRows(&b, names, 4); _ = out.CopyRows(&b, 1, 3) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFillRow(b *testing.B) {
	var batch tensor.Batch
	b.ReportAllocs()
	for b.Loop() {
		fillRows(&batch, names, 1)
	}
}

func BenchmarkConcatSplit64(b *testing.B) {
	var one, joined, out tensor.Batch
	fillRows(&one, names, 1)
	b.ReportAllocs()
	for b.Loop() {
		joined.CopyFrom(&one)
		for range 63 {
			_ = joined.AppendRows(&one)
		}
		for i := range 64 {
			_ = out.CopyRows(&joined, i, i+1)
		}
	}
}

func TestFits(t *testing.T) {
	for _, c := range []struct {
		n     int
		shape []int64
		want  bool
	}{
		{1, nil, true},
		{0, nil, false},
		{6, []int64{2, 3}, true},
		{6, []int64{2, 4}, false},
		{0, []int64{0, 2}, true},
		{0, []int64{2, 0}, true},
		{0, []int64{1 << 62, 1 << 62, 0}, true},
		{0, []int64{2, 3}, false},
		{6, []int64{2, 3, 0}, false},
		{6, []int64{-2, -3}, false},
		{0, []int64{0, -1}, false},
		{4, []int64{1 << 62, 1 << 62, 4}, false},
	} {
		if got := tensor.Fits(c.n, c.shape); got != c.want {
			t.Errorf("Fits(%d, %v) = %v", c.n, c.shape, got)
		}
	}
}
