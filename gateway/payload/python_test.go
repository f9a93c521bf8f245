package payload

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"sluice/runtime/mlmodel"
	"sluice/runtime/tensor"
)

// pythonNumber is a line of numbers.txt: a JSON number, what Python reads, and what it writes.
type pythonNumber struct {
	text    string
	f64     uint64
	f32     uint32
	written [2]string // of the float64 and of the float32
}

func pythonNumbers(t testing.TB) (all []pythonNumber) {
	t.Helper()
	f, err := os.Open("testdata/numbers.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		w := strings.Fields(lines.Text())
		d, err := strconv.ParseUint(w[1], 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		s, err := strconv.ParseUint(w[2], 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, pythonNumber{w[0], d, uint32(s), [2]string{w[3], w[4]}})
	}
	return all
}

// Numbers in every shape of body become the bits that Python and NumPy make of them, and are written as Python writes them: many halfway
// cases of both types, subnormals, the ends of the range.
func TestNumbersAreThoseOfPython(t *testing.T) {
	t.Parallel()
	numbers := pythonNumbers(t)
	if len(numbers) < 1000 {
		t.Fatalf("%d numbers", len(numbers))
	}
	column := func(k mlmodel.Kind) *mlmodel.Schema {
		return &mlmodel.Schema{Columns: []mlmodel.ColumnSpec{{Name: "x", Kind: k, Required: true}}}
	}
	matrix := func(d tensor.DType) *mlmodel.Schema {
		return &mlmodel.Schema{Tensors: []mlmodel.TensorSpec{{Type: d, Shape: []int64{-1}}}}
	}
	for name, body := range map[string]func(texts []string) string{
		"split": func(s []string) string {
			return `{"dataframe_split": {"columns": ["x"], "data": [[` + strings.Join(s, "], [") + `]]}}`
		},
		"records": func(s []string) string { return `{"dataframe_records": [{"x": ` + strings.Join(s, `}, {"x": `) + `}]}` },
		"inputs":  func(s []string) string { return `{"inputs": [` + strings.Join(s, ", ") + `]}` },
		"csv":     func(s []string) string { return "x\n" + strings.Join(s, "\n") + "\n" },
		"escaped": func(s []string) string {
			return `{"dataframe_records": [{"\u0078": ` + strings.Join(s, `}, {"x": `) + `}]}`
		},
	} {
		for i, d := range []tensor.DType{tensor.Float64, tensor.Float32} {
			t.Run(name+" "+d.String(), func(t *testing.T) {
				schema := column([]mlmodel.Kind{mlmodel.Double, mlmodel.Float}[i])
				if name == "inputs" {
					schema = matrix(d)
				}
				kind := typeJSON
				if name == "csv" {
					kind = typeCSV
				}
				plan := Compile(&mlmodel.Signature{Inputs: schema}, nil)
				for from := 0; from < len(numbers); from += 100 {
					part := numbers[from:min(from+100, len(numbers))]
					comparePython(t, plan, kind, body, part, i)
				}
			})
		}
	}
}

func comparePython(t *testing.T, plan *Plan, kind string, body func([]string) string, part []pythonNumber, which int) {
	t.Helper()
	var texts, want []string
	for _, n := range part {
		texts, want = append(texts, n.text), append(want, n.written[which])
	}
	var in Input
	if err := plan.Decode(kind, []byte(body(texts)), &in); err != nil {
		t.Fatal(err)
	}
	got := &in.Batch.Columns[0].Tensor
	if got.Len() != len(part) {
		t.Fatalf("%d numbers of %d", got.Len(), len(part))
	}
	for i, n := range part {
		if which == 0 {
			if bits := math.Float64bits(tensor.Of[float64](got)[i]); bits != n.f64 {
				t.Errorf("%s is %016x, Python reads %016x", n.text, bits, n.f64)
			}
			continue
		}
		if bits := math.Float32bits(tensor.Of[float32](got)[i]); bits != n.f32 {
			t.Errorf("%s is %08x, NumPy reads %08x", n.text, bits, n.f32)
		}
	}
	in.Batch.Form, in.Batch.Columns[0].Name = tensor.Bare, ""
	answer, err := Encode(nil, &in.Batch)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf(`{"predictions": [%s]}`, strings.Join(want, ", ")); string(answer) != want {
		t.Errorf("written as %s\nPython writes %s", answer, want)
	}
}
