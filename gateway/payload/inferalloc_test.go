package payload

import (
	"fmt"
	"strings"
	"testing"

	"sluice/runtime/mlmodel"
)

// inferBodies are 128 rows of wine, a tensor a column: as bytes behind the JSON, and in the JSON. head is the length of the JSON.
func inferBodies() (binary []byte, head int, text []byte) {
	const rows = 128
	var b, j []string
	for _, name := range wineColumns {
		b = append(b, fmt.Sprintf(`{"name":%q,"shape":[%d],"datatype":"FP64","parameters":{"binary_data_size":%d}}`, name, rows, 8*rows))
		j = append(j, fmt.Sprintf(`{"name":%q,"shape":[%d],"datatype":"FP64","data":[%s]}`, name, rows, strings.TrimSuffix(strings.Repeat("1.25,", rows), ",")))
	}
	binary = []byte(`{"inputs":[` + strings.Join(b, ",") + `],"parameters":{"binary_data_output":true}}`)
	head = len(binary)
	return append(binary, make([]byte, 8*rows*len(wineColumns))...), head, []byte(`{"inputs":[` + strings.Join(j, ",") + "]}")
}

// The way of the Open Inference Protocol takes one allocation once warm, whatever the rows: the list of outputs.
func TestInferAllocations(t *testing.T) {
	plan := Compile(wineSignature(mlmodel.Double), nil)
	binary, head, text := inferBodies()
	out := classifierOutput(128)
	for name, c := range map[string]struct {
		head int
		body []byte
	}{"bytes": {head, binary}, "JSON": {len(text), text}} {
		var in Input
		var req InferRequest
		var dst []byte
		once := func() {
			if err := plan.DecodeInfer(c.head, c.body, &in, &req); err != nil {
				t.Fatal(err)
			}
			var err error
			if dst, _, err = EncodeInfer(dst[:0], out, &req, "wine", "1"); err != nil {
				t.Fatal(err)
			}
		}
		once()
		if n := testing.AllocsPerRun(100, once); n > 1 {
			t.Errorf("%s: %v allocations", name, n)
		}
		clear(c.body)
		for i := range in.Batch.Columns {
			if got := in.Batch.Columns[i].Name; got != wineColumns[i] {
				t.Errorf("%s: a name changed with the body to %q", name, got)
			}
		}
	}
}

func BenchmarkInfer(b *testing.B) {
	plan := Compile(wineSignature(mlmodel.Double), nil)
	binary, head, text := inferBodies()
	for name, c := range map[string]struct {
		head int
		body []byte
	}{"bytes": {head, binary}, "JSON": {len(text), text}} {
		b.Run(name, func(b *testing.B) {
			var in Input
			var req InferRequest
			b.SetBytes(int64(len(c.body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := plan.DecodeInfer(c.head, c.body, &in, &req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
