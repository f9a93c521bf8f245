package payload

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"sluice/runtime/mlmodel"
	"sluice/runtime/tensor"
)

// wineColumns are the 13 features of scikit-learn's Wine data.
var wineColumns = []string{
	"alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids", "nonflavanoid_phenols",
	"proanthocyanins", "color_intensity", "hue", "od280/od315_of_diluted_wines", "proline",
}

func wineSignature(kind mlmodel.Kind) *mlmodel.Signature {
	s := &mlmodel.Schema{}
	for _, name := range wineColumns {
		s.Columns = append(s.Columns, mlmodel.ColumnSpec{Name: name, Kind: kind, Required: true})
	}
	return &mlmodel.Signature{Inputs: s}
}

var wineRow = []string{"14.23", "1.71", "2.43", "15.6", "127.0", "2.8", "3.06", "0.28", "2.29", "5.64", "1.04", "3.92", "1065.0"}

// wineBodies are bodies of the four JSON shapes for the Wine signature.
func wineBodies(rows int, cell func(row, column int) string) map[string][]byte {
	var names, split, records []string
	columns := make([][]string, len(wineColumns))
	for _, n := range wineColumns {
		names = append(names, fmt.Sprintf("%q", n))
	}
	for r := range rows {
		var values, members []string
		for c := range wineColumns {
			v := cell(r, c)
			values = append(values, v)
			members = append(members, names[c]+": "+v)
			columns[c] = append(columns[c], v)
		}
		split = append(split, "["+strings.Join(values, ", ")+"]")
		records = append(records, "{"+strings.Join(members, ", ")+"}")
	}
	var inputs []string
	for c, n := range names {
		inputs = append(inputs, n+": ["+strings.Join(columns[c], ", ")+"]")
	}
	return map[string][]byte{
		"split":   []byte(`{"dataframe_split": {"columns": [` + strings.Join(names, ", ") + `], "data": [` + strings.Join(split, ", ") + `]}}`),
		"records": []byte(`{"dataframe_records": [` + strings.Join(records, ", ") + `]}`),
		"inputs":  []byte(`{"inputs": {` + strings.Join(inputs, ", ") + `}}`),
		"tensor":  []byte(`{"inputs": [` + strings.Join(split, ", ") + `]}`),
	}
}

func plainCell(_, column int) string { return wineRow[column] }

func benchmarkDecode(b *testing.B, p *Plan, contentType string, body []byte) {
	b.Helper()
	var in Input
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Decode(contentType, body, &in); err != nil {
			b.Fatal(err)
		}
	}
}

func winePlans() map[string]*Plan {
	frame := Compile(wineSignature(mlmodel.Double), nil)
	matrix := Compile(&mlmodel.Signature{Inputs: &mlmodel.Schema{Tensors: []mlmodel.TensorSpec{{Type: tensor.Float32, Shape: []int64{-1, 13}}}}}, nil)
	return map[string]*Plan{"split": frame, "records": frame, "inputs": frame, "tensor": matrix}
}

func BenchmarkDecode(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	long := func(int, int) string { return fmt.Sprint(r.Float64()) }
	plans := winePlans()
	for _, size := range []struct {
		name string
		rows int
		cell func(int, int) string
	}{{"1row", 1, plainCell}, {"1row17digits", 1, long}, {"100rows", 100, plainCell}, {"100rows17digits", 100, long}} {
		bodies := wineBodies(size.rows, size.cell)
		for _, shape := range []string{"split", "records", "inputs", "tensor"} {
			b.Run(shape+"/"+size.name, func(b *testing.B) { benchmarkDecode(b, plans[shape], typeJSON, bodies[shape]) })
		}
	}
}

// BenchmarkDecodeThorough is the way of bodies that are not plain: here one whose first key hides an escape.
func BenchmarkDecodeThorough(b *testing.B) {
	body := strings.Replace(string(wineBodies(100, plainCell)["split"]), "alcohol", `\u0061lcohol`, 1)
	benchmarkDecode(b, Compile(wineSignature(mlmodel.Double), nil), typeJSON, []byte(body))
}

func BenchmarkDecodeCSV(b *testing.B) {
	body := strings.Join(wineColumns, ",") + "\n" + strings.Repeat(strings.Join(wineRow, ",")+"\n", 100)
	benchmarkDecode(b, Compile(wineSignature(mlmodel.Double), nil), typeCSV, []byte(body))
}

// classifierOutput is what a classifier answers: a label and three probabilities a row.
func classifierOutput(rows int) *tensor.Batch {
	var out tensor.Batch
	label := out.AddColumn("label")
	label.Reset(tensor.Int64, int64(rows))
	out.AddColumn("probabilities").Reset(tensor.Float32, int64(rows), 3)
	p := tensor.Of[float32](&out.Columns[1].Tensor)
	for i := range p {
		p[i] = []float32{0.93217, 0.0513, 0.01653}[i%3]
	}
	out.Rows = rows
	return &out
}

func BenchmarkEncode(b *testing.B) {
	for _, rows := range []int{1, 100} {
		b.Run(fmt.Sprintf("%drows", rows), func(b *testing.B) {
			out, dst := classifierOutput(rows), []byte(nil)
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if dst, err = Encode(dst[:0], out); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(dst)))
		})
	}
}
