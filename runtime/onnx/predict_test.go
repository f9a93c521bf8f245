package onnx_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/runtime/mlmodel"
	"sluice/runtime/onnx"
	"sluice/runtime/onnx/onnxtest"
	"sluice/runtime/servable"
	"sluice/runtime/tensor"
)

func TestAnswers(t *testing.T) {
	half := func(v ...float32) []uint16 {
		out := make([]uint16, len(v))
		for i, x := range v {
			out[i] = tensor.Float16Bits(x)
		}
		return out
	}
	for _, tc := range []struct {
		name, model string
		in          *tensor.Batch
		want        string
	}{
		{"columns by name, whatever their order", "multi", batchOf(tensor.Table, "b", []float64{1, 2}, "a", []float64{10, 20}, "c", []int64{7, 7}),
			"table rows=2; difference float32[2] [9 18]"},
		{"named tensors", "multi", batchOf(tensor.Named, "a", []float32{10}, "b", []float32{1}), "named rows=1; difference float32[1] [9]"},
		{"half precision", "half", batchOf(tensor.Named, "x", shaped(tensor.Float16, half(1, 2, 3, 4), 2, 2)),
			"named rows=2; y float16[2 3] [1 2 1.5 3 4 3.5]"},
		{"half precision of any width", "half_dynamic", batchOf(tensor.Named, "x", shaped(tensor.Float16, half(0.5, 2, 3), 1, 3)),
			"named rows=1; y float16[1 3] [0.5 2 3]"},
		{"int64 from a frame of one column", "int64", batchOf(tensor.Table, "x", []int64{1, 2, 3}), "table rows=3; y int64[3] [2 3 4]"},
		{"a lone tensor", "fixed", batchOf(tensor.Bare, "", shaped(tensor.Float32, []float32{1, 2}, 1, 2)), "named rows=1; y float32[1 2] [-1 -2]"},
		{"a wide output of a frame is a list per row", "fixed", batchOf(tensor.Table, "p", []float64{1}, "q", []float64{2}),
			"table rows=1; y float32[1 2] [-1 -2]"},
		{"free inner dimensions", "dynamic", batchOf(tensor.Bare, "", shaped(tensor.Float64, []float64{1, 2, 3, 4, 5, 6}, 2, 3)),
			"named rows=2; total float32[2] [6 15]; minus float32[2 3] [-1 -2 -3 -4 -5 -6]"},
		{"outputs that depend on the values", "nonzero", batchOf(tensor.Bare, "", []float32{1, 0, 2}), "named rows=1; at int64[1 2] [0 2]"},
		{"a sequence of tensors", "sequence", batchOf(tensor.Bare, "", shaped(tensor.Float32, []float32{1, 2, 3, 4}, 2, 2)),
			"named rows=2; rows float32[2 2] [1 2 3 4]"},
		{"fewer rows than a model takes", "batch4", batchOf(tensor.Table, "p", []float64{1, 2, 3}, "q", []float64{4, 5, 6}),
			"table rows=3; y float32[3 3] [1 4 14 2 5 19 3 6 24]"},
		{"as many rows as a model takes", "batch4", batchOf(tensor.Named, "x", shaped(tensor.Float32, []float32{1, 0, 0, 1, 1, 1, 2, 2}, 4, 2)),
			"named rows=4; y float32[4 3] [1 0 2 0 1 3 1 1 5 2 2 10]"},
		{"more rows than a model takes", "batch4", batchOf(tensor.Table, "p", []float64{1, 2, 3, 4, 5, 6}, "q", make([]float64, 6)),
			"table rows=6; y float32[6 3] [1 0 2 2 0 4 3 0 6 4 0 8 5 0 10 6 0 12]"},
		{"a model for one row takes several in turn", "fixed", batchOf(tensor.Table, "p", []float64{1, 3}, "q", []float64{2, 4}),
			"table rows=2; y float32[2 2] [-1 -2 -3 -4]"},
		{"all rows of a model whose rows depend on each other", "batch4_centred", batchOf(tensor.Table, "x", []float64{1, 2, 3, 6}),
			"table rows=4; y float32[4] [-2 -1 0 3]"},
		{"lookup", "lookup", batchOf(tensor.Table, "i", []int64{3, 0}), "table rows=2; y float32[2] [40 10]"},
		{"no rows", "lookup", batchOf(tensor.Table, "i", []int64{}), "table rows=0; y float32[0] []"},
		{"no rows, maps", "zipmap", batchOf(tensor.Table, "a", []float64{}),
			`table rows=0; output_label int64[0] []; output_probability float32[0 3] keys=["0" "1" "2"] []`},
		{"text", "text", batchOf(tensor.Table, "colour", []string{"red", "green"}, "size", []string{"s", "m"}),
			`table rows=2; label str[2] ["warm" "cold"]; probabilities float32[2 2] [0.3741 0.6259 0.6886 0.3114]`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := load(t, tc.model)
			var out tensor.Batch
			for range 3 { // the first run learns, the later ones are bound
				if err := b.Predict(t.Context(), tc.in, nil, &out); err != nil {
					t.Fatal(err)
				}
				if got := show(&out); got != tc.want {
					t.Fatalf("got  %s\nwant %s", got, tc.want)
				}
			}
		})
	}
}

// wineRows reads what scikit-learn itself answered when the model was made.
func wineRows(t testing.TB) (in *tensor.Batch, labels []int64, probabilities [][]float64) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(onnxtest.Model(t, "wine"), "..", "wine_expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Label         []int64
		Probabilities [][]float64
		Rows          [][]float64
		Columns       []string
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	in = new(tensor.Batch)
	in.Reset(tensor.Table)
	for j, name := range want.Columns {
		col := in.AddColumn(name)
		col.Reset(tensor.Float64, 0)
		for _, row := range want.Rows {
			tensor.Append(col, row[j])
		}
	}
	if err := in.CountRows(); err != nil {
		t.Fatal(err)
	}
	return in, want.Label, want.Probabilities
}

func TestAgreesWithScikitLearn(t *testing.T) {
	in, labels, probabilities := wineRows(t)
	for _, model := range []string{"wine", "zipmap", "zipmap_text"} {
		t.Run(model, func(t *testing.T) {
			b := load(t, model)
			var out tensor.Batch
			if err := b.Predict(t.Context(), in, nil, &out); err != nil {
				t.Fatal(err)
			}
			if out.Form != tensor.Table || out.Rows != in.Rows || len(out.Columns) != 2 {
				t.Fatalf("got %s", show(&out))
			}
			p := &out.Columns[1]
			if wantKeys := model != "wine"; (p.Keys != nil) != wantKeys {
				t.Errorf("keys %q", p.Keys)
			}
			for i := range labels {
				if model != "zipmap_text" && tensor.Of[int64](&out.Columns[0].Tensor)[i] != labels[i] {
					t.Errorf("row %d: label %v, want %d", i, out.Columns[0].Tensor.At(i), labels[i])
				}
				if model == "zipmap_text" { // another classifier: only the form is the same
					continue
				}
				for j, want := range probabilities[i] {
					if got := p.Tensor.At(i*3 + j); math.Abs(got-want) > 1e-4 {
						t.Errorf("row %d class %d: %v, want %v", i, j, got, want)
					}
				}
			}
		})
	}
}

func TestEveryType(t *testing.T) {
	b := load(t, "types")
	in := new(tensor.Batch)
	in.Reset(tensor.Named)
	for name, d := range map[string]tensor.DType{"b": tensor.Bool, "i1": tensor.Int8, "i2": tensor.Int16, "i4": tensor.Int32, "i8": tensor.Int64,
		"u1": tensor.Uint8, "u2": tensor.Uint16, "u4": tensor.Uint32, "u8": tensor.Uint64, "f2": tensor.Float16, "bf2": tensor.BFloat16,
		"f4": tensor.Float32, "f8": tensor.Float64} {
		src := shaped(tensor.Float64, []float64{0, 1, 1, 0}, 2, 2)
		if err := tensor.Convert(in.AddColumn(name), d, src); err != nil {
			t.Fatal(err)
		}
	}
	s := in.AddColumn("s")
	s.Reset(tensor.String, 2, 2)
	copy(s.Strings(), []string{"", "ä", "x y", "日本"})
	if err := in.CountRows(); err != nil {
		t.Fatal(err)
	}
	var out tensor.Batch
	for range 2 {
		if err := b.Predict(t.Context(), in, nil, &out); err != nil {
			t.Fatal(err)
		}
		for i := range in.Columns {
			want := &in.Columns[i]
			got := out.Column(want.Name + "_out")
			if got == nil || got.Tensor.Type != want.Tensor.Type || string(got.Tensor.Raw()) != string(want.Tensor.Raw()) ||
				strings.Join(got.Tensor.Strings(), "|") != strings.Join(want.Tensor.Strings(), "|") {
				t.Errorf("%s: got %s", want.Name, show(&out))
			}
		}
	}
}

// Scalars of every type come back as they were given, again and again; one element of any shape is a scalar.
func TestScalars(t *testing.T) {
	b := load(t, "scalar_types")
	in := new(tensor.Batch)
	in.Reset(tensor.Named)
	for i, d := range []tensor.DType{tensor.Bool, tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64, tensor.Uint8, tensor.Uint16, tensor.Uint32,
		tensor.Uint64, tensor.Float32, tensor.Float64} {
		if err := tensor.Convert(in.AddColumn(b.Inputs()[i]), d, shaped(tensor.Float64, []float64{1}, [][]int64{{}, {1}, {1, 1}}[i%3]...)); err != nil {
			t.Fatal(err)
		}
	}
	var out tensor.Batch
	for range 3 {
		if err := b.Predict(t.Context(), in, nil, &out); err != nil {
			t.Fatal(err)
		}
		for i := range out.Columns {
			got, want := &out.Columns[i].Tensor, &in.Columns[i].Tensor
			if got.Type != want.Type || len(got.Shape) != 0 || got.Len() != 1 || got.At(0) != 1 {
				t.Errorf("%s: got %s", out.Columns[i].Name, show(&out))
			}
		}
	}
	sum := load(t, "scalar_sum")
	if err := sum.Predict(t.Context(), batchOf(tensor.Table, "a", []float64{1, 2}, "b", []float64{3, 4}), nil, &out); err != nil || out.Rows != 1 || out.Columns[0].Tensor.At(0) != 10 {
		t.Errorf("got %s, %v", show(&out), err)
	}
	if err := sum.Predict(t.Context(), batchOf(tensor.Table, "a", []float64{}, "b", []float64{}), nil, &out); err != nil || out.Rows != 0 {
		t.Errorf("no rows: got %s, %v", show(&out), err)
	}
	err := load(t, "scalars").Predict(t.Context(), batchOf(tensor.Named, "x", shaped(tensor.Float32, []float64{1, 2}, 1, 2), "gain", []float32{1, 2}, "rate", []int64{1}), nil, &out)
	if !errors.Is(err, servable.ErrBadInput) || !strings.Contains(err.Error(), `"gain" has shape [2], the model expects []`) {
		t.Errorf("got %v, want bad input", err)
	}
}

func TestBadInput(t *testing.T) {
	for _, tc := range []struct {
		name, model string
		in          *tensor.Batch
		want        string
	}{
		{"missing tensor", "multi", batchOf(tensor.Named, "a", []float32{1}), `"b" is missing`},
		{"missing column", "multi", batchOf(tensor.Table, "a", []float32{1}), `"b" is missing`},
		{"unknown tensor", "fixed", batchOf(tensor.Named, "x", []float32{1}, "z", []float32{1}), `no input "z"`},
		{"lone tensor for two inputs", "multi", batchOf(tensor.Bare, "", []float32{1}), "2 inputs"},
		{"nothing", "multi", batchOf(tensor.Named), "no inputs"},
		{"integers for floats", "wine", batchOf(tensor.Bare, "", shaped(tensor.Int64, make([]int64, 13), 1, 13)), "int64, the model expects float32"},
		{"too few columns", "wine", batchOf(tensor.Table, "a", []float64{1}, "b", []float64{2}), "expects [any 13]"},
		{"other row count than rows that depend on each other need", "batch4_centred", batchOf(tensor.Table, "x", []float64{1, 2}), "expects [4 1]"},
		{"… or on those before them", "batch4_shifted", batchOf(tensor.Table, "x", []float64{1, 2}), "expects [4 1]"},
		{"wrong rank", "fixed", batchOf(tensor.Bare, "", []float32{1, 2}), "expects [1 2]"},
		{"text for numbers", "wine", batchOf(tensor.Table, "a", []string{"x"}), "data type is str"},
		{"text beside numbers", "wine", batchOf(tensor.Table, "a", []string{"x"}, "b", []float64{1}), "cannot stand beside"},
		{"NUL in text", "text", batchOf(tensor.Table, "colour", []string{"re\x00d"}, "size", []string{"s"}), "NUL"},
		{"different lengths", "multi", batchOf(tensor.Named, "a", []float32{1, 2, 3}, "b", []float32{1, 2}), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := load(t, tc.model)
			var out tensor.Batch
			for range 2 {
				err := b.Predict(t.Context(), tc.in, nil, &out)
				if tc.want == "" {
					if err == nil {
						t.Error("no error")
					}
					continue
				}
				if !errors.Is(err, servable.ErrBadInput) || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("got %v, want bad input with %q", err, tc.want)
				}
			}
		})
	}
}

func TestModelFailureIsNotBadInput(t *testing.T) {
	b := load(t, "lookup")
	var out tensor.Batch
	err := b.Predict(t.Context(), batchOf(tensor.Table, "i", []int64{99}), nil, &out)
	if err == nil || errors.Is(err, servable.ErrBadInput) {
		t.Fatalf("got %v", err)
	}
	if err := b.Predict(t.Context(), batchOf(tensor.Table, "i", []int64{1}), nil, &out); err != nil {
		t.Fatalf("after a failure: %v", err)
	}
}

func TestDeadlineInterruptsALongRun(t *testing.T) {
	b := load(t, "slow")
	in := batchOf(tensor.Named, "times", []int64{1 << 40}, "x", []float32{1})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	var out tensor.Batch
	if err := b.Predict(ctx, in, nil, &out); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	in = batchOf(tensor.Named, "times", []int64{3}, "x", []float32{1})
	if err := b.Predict(t.Context(), in, nil, &out); err != nil {
		t.Fatalf("after an interruption: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Predict(ended, in, nil, &out); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

// Short runs before do not make a long one go on for ever, where the values decide how long it is.
func TestDeadlineInterruptsAnUnexpectedlyLongRun(t *testing.T) {
	b := load(t, "slow_rows")
	var out tensor.Batch
	for range 200 {
		if err := b.Predict(t.Context(), batchOf(tensor.Table, "rounds", []int64{1, 2}, "x", []float32{1, 2}), nil, &out); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	err := b.Predict(ctx, batchOf(tensor.Table, "rounds", []int64{1, 1 << 40}, "x", []float32{1, 2}), nil, &out)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
}

func TestLoadRefuses(t *testing.T) {
	rt := onnxtest.Open(t, os.Getenv("ORT_LIB"))
	for model, want := range map[string]string{"sequence_flat": "a sequence of scalars", "scalar_half": "a scalar of type float16",
		"not_onnx": "not an ONNX model", "truncated": "not an ONNX model", "external_escape": "outside"} {
		dir := onnxtest.Model(t, model)
		m, err := mlmodel.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rt.Load(t.Context(), dir, m); errors.Is(err, onnx.ErrNotONNX) == strings.Contains(want, "scalar") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", model, err)
		}
	}
	if _, err := onnx.Open("/no/such/library.so", nil); err == nil {
		t.Error("opened a second library")
	}
}

// What a model declares is not allocated on its word.
func TestDeclaredSizesAreBounded(t *testing.T) {
	for _, model := range []string{"huge_input", "huge_half"} {
		b := load(t, model)
		var in, out tensor.Batch
		if _, err := b.Sample(&in, 1); err == nil {
			t.Errorf("%s: made a sample", model)
		}
		d := map[string]tensor.DType{"huge_input": tensor.Float32, "huge_half": tensor.Float16}[model]
		in.Reset(tensor.Bare)
		in.AddColumn("").Reset(d, 1, 3)
		in.Rows = 1
		if err := b.Predict(t.Context(), &in, nil, &out); !errors.Is(err, servable.ErrBadInput) {
			t.Errorf("%s: got %v", model, err)
		}
	}
}

func TestExternalDataInsideTheFolder(t *testing.T) {
	b := load(t, "external")
	in := batchOf(tensor.Bare, "", shaped(tensor.Float32, make([]float32, 256), 1, 256))
	var out tensor.Batch
	if err := b.Predict(t.Context(), in, nil, &out); err != nil {
		t.Fatal(err)
	}
	if got := out.Columns[0].Tensor.At(255); got != 255 {
		t.Errorf("got %v", got)
	}
}

// A link that leads out of the package is not followed, be it to weights or to the model itself.
func TestLinksOutOfTheFolderAreRefused(t *testing.T) {
	rt, from := onnxtest.Open(t, os.Getenv("ORT_LIB")), onnxtest.Model(t, "external")
	for _, linked := range []string{"weights.bin", "model.onnx"} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, linked)); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(from, linked), filepath.Join(dir, linked)); err != nil {
			t.Fatal(err)
		}
		m, err := mlmodel.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rt.Load(t.Context(), dir, m); !errors.Is(err, onnx.ErrNotONNX) {
			t.Errorf("%s: got %v", linked, err)
		}
	}
}

// A list of providers is what the owner would put up with, in order: what is missing is passed over, but not all of it.
func TestProviders(t *testing.T) {
	rt, dir := onnxtest.Open(t, os.Getenv("ORT_LIB")), onnxtest.Model(t, "wine")
	cuda, rt32, cpu := any("CUDAExecutionProvider"), any("TensorrtExecutionProvider"), any("CPUExecutionProvider")
	for _, tc := range []struct {
		name    string
		list    any
		notes   []string
		refused bool
	}{
		{"not given", nil, nil, false},
		{"MLflow's default", []any{cuda, cpu}, []string{"CUDAExecutionProvider"}, false},
		{"with options", []any{[]any{cuda, map[string]any{"device_id": int64(1)}}, cpu}, []string{"CUDAExecutionProvider"}, false},
		{"the processor alone", []any{cpu}, nil, false},
		{"the processor first", []any{cpu, cuda}, nil, false},
		{"two that are missing, and the processor", []any{rt32, cuda, cpu}, []string{"TensorrtExecutionProvider", "CUDAExecutionProvider"}, false},
		{"an accelerator or nothing", []any{cuda}, nil, true},
		{"two accelerators or nothing", []any{rt32, cuda}, nil, true},
		{"one name", "CUDAExecutionProvider", nil, true},
		{"a name that nobody knows", []any{"AbacusExecutionProvider"}, nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, err := mlmodel.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			m.Flavors["onnx"]["providers"] = tc.list
			b, err := rt.Load(t.Context(), dir, m)
			if tc.refused {
				if !errors.Is(err, onnx.ErrProvider) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			notes := b.Notes()
			if len(notes) != len(tc.notes) {
				t.Fatalf("got %q", notes)
			}
			for i, want := range tc.notes {
				if !strings.Contains(notes[i], want) {
					t.Errorf("got %q", notes)
				}
			}
		})
	}
}

func TestConcurrentPredictions(t *testing.T) {
	b := load(t, "lookup")
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			var out tensor.Batch
			for i := range 200 {
				in := batchOf(tensor.Table, "i", []int64{int64(g+i) % 4, int64(i) % 4}[:1+i%2])
				if err := b.Predict(t.Context(), in, nil, &out); err != nil {
					t.Error(err)
					return
				}
				if got, want := out.Columns[0].Tensor.At(0), float64(10*((g+i)%4+1)); got != want || out.Rows != 1+i%2 {
					t.Errorf("got %v of %d rows, want %v", got, out.Rows, want)
				}
			}
		})
	}
	wg.Wait()
}

func TestClosedBackendRefuses(t *testing.T) {
	b := load(t, "lookup")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	var out tensor.Batch
	if err := b.Predict(t.Context(), batchOf(tensor.Table, "i", []int64{1}), nil, &out); !errors.Is(err, onnx.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	b := load(t, "wine")
	all, _, _ := wineRows(t)
	var in, out tensor.Batch
	if err := in.CopyRows(all, 0, 1); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for range 100 {
		if err := b.Predict(ctx, &in, nil, &out); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(200, func() { _ = b.Predict(ctx, &in, nil, &out) }); n != 0 {
		t.Errorf("%v allocations a prediction", n)
	}
}

// doneless is a context with a deadline that fails the test when somebody asks for its channel.
type doneless struct {
	context.Context
	t *testing.T
}

func (d doneless) Done() <-chan struct{} {
	d.t.Error("Done was asked for by a run that is over before it could be interrupted")
	return d.Context.Done()
}

func TestCheapRunsDoNotAskForDone(t *testing.T) {
	b := load(t, "wine")
	all, _, _ := wineRows(t)
	var in, out tensor.Batch
	if err := in.CopyRows(all, 0, 1); err != nil {
		t.Fatal(err)
	}
	for range 200 { // until a slow first run is forgotten
		if err := b.Predict(t.Context(), &in, nil, &out); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Predict(doneless{t.Context(), t}, &in, nil, &out); err != nil {
		t.Error(err)
	}
}

func TestRawLoop(t *testing.T) {
	rt, dir := onnxtest.Open(t, os.Getenv("ORT_LIB")), onnxtest.Model(t, "wine")
	for name, values := range map[string][]float32{"zeros": nil, "rows in turn": make([]float32, 3*13)} {
		if d, err := rt.RawLoop(dir, 1, 2000, values); err != nil || d <= 0 {
			t.Errorf("%s: %v, %v", name, d, err)
		}
	}
	if _, err := rt.RawLoop(dir, 2, 10, make([]float32, 3*13)); err == nil {
		t.Error("values that are no whole number of runs were accepted")
	}
}

func BenchmarkRaw(b *testing.B) {
	run, err := load(b, "wine").Raw(1)
	if err != nil {
		b.Fatal(err)
	}
	defer run.Close()
	b.ReportAllocs()
	for b.Loop() {
		if err := run.Once(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPredict(b *testing.B) {
	all, _, _ := wineRows(b)
	for _, rows := range []int{1, 8} {
		b.Run(map[int]string{1: "1row", 8: "8rows"}[rows], func(b *testing.B) {
			backend := load(b, "wine")
			var in, out tensor.Batch
			if err := in.CopyRows(all, 0, rows); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := backend.Predict(context.Background(), &in, nil, &out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
