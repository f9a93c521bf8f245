package payload

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"sluice/tracking/mlflow"
)

const typeArrow = "application/vnd.apache.arrow.stream"

type arrowBody struct {
	Name    string            `json:"name"`
	Parquet []byte            `json:"parquet"`
	Arrow   []byte            `json:"arrow"`
	Values  []json.RawMessage `json:"values"`
}

// arrowBodies are streams that pyarrow wrote, most of them with the Parquet file of the same table.
func arrowBodies(t testing.TB) map[string]arrowBody {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), findPython(t), "testdata/arrow.py").Output()
	if err != nil {
		t.Fatalf("arrow.py: %v", err)
	}
	bodies := map[string]arrowBody{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var one arrowBody
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			t.Fatal(err)
		}
		bodies[one.Name] = one
	}
	return bodies
}

const arrowFiles = "testdata/arrow/*.arrows" // a few of the above

func TestArrow(t *testing.T) {
	t.Parallel()
	bodies := arrowBodies(t)
	t.Run("is read as Parquet", func(t *testing.T) { arrowIsParquet(t, bodies) })
	t.Run("lists are tensors", func(t *testing.T) { arrowLists(t, bodies) })
	for name, want := range map[string]string{
		"lz4":              "only zstd is supported",
		"lists with nulls": "lists with missing values",
		"all null":         `[{"a": null}, {"a": null}, {"a": null}]`,
		"float16":          `[{"a": 0.0}, {"a": 1.5}, {"a": null}]`,
	} {
		got := askOurs(t, &question{Type: typeArrow, Body: bodies[name].Arrow})
		if text := fmt.Sprint(got.answer, got.err); !strings.Contains(text, want) {
			t.Errorf("%s: got %s, want %s", name, text, want)
		}
	}
}

// arrowIsParquet holds that a table means the same in both forms, for a model without signature and for every column type;
// TestParquetAgrees holds what it means against MLflow.
func arrowIsParquet(t *testing.T, bodies map[string]arrowBody) {
	twins := 0
	for _, b := range bodies {
		if b.Parquet == nil {
			continue
		}
		twins++
		for _, kind := range append([]string{""}, kindWords...) {
			q := question{Type: typeParquet, Body: b.Parquet}
			if kind != "" {
				q.Signature = schemaOf(columnJSON("a", kind))
			}
			want := askOurs(t, &q)
			q.Type, q.Body = typeArrow, b.Arrow
			got := askOurs(t, &q)
			if (got.err == nil) != (want.err == nil) || got.answer != want.answer {
				t.Errorf("%s as %q\n  Arrow:   %v %.200s\n  Parquet: %v %.200s", b.Name, kind, got.err, got.answer, want.err, want.answer)
			}
		}
	}
	if twins < 45 {
		t.Errorf("only %d tables", twins)
	}
}

func arrowLists(t *testing.T, bodies map[string]arrowBody) {
	for _, dtype := range []string{"float32", "float64", "int64", "uint8", "bool"} {
		b := bodies["lists of "+dtype]
		flat, _ := json.Marshal(b.Values)
		for name, c := range map[string]struct {
			signature *signature
			inputs    string
		}{
			"named":    {schemaOf(tensorJSON("a", dtype, "[-1,4]")), string(flat)},
			"bare":     {schemaOf(tensorJSON("", dtype, "[-1,4]")), string(flat)},
			"reshaped": {schemaOf(tensorJSON("a", dtype, "[-1,2,2]")), pairs(t, b.Values)},
		} {
			q := question{Signature: c.signature, Type: typeJSON, Body: []byte(`{"inputs":` + c.inputs + `}`)}
			want := askOurs(t, &q)
			q.Type, q.Body = typeArrow, b.Arrow
			got := askOurs(t, &q)
			if want.err != nil || got.err != nil || got.answer != want.answer {
				t.Errorf("%s, %s\n  Arrow: %v %.200s\n  JSON:  %v %.200s", dtype, name, got.err, got.answer, want.err, want.answer)
			}
		}
	}
}

// pairs writes rows of four as rows of two by two.
func pairs(t *testing.T, rows []json.RawMessage) string {
	t.Helper()
	var out [][2][2]json.RawMessage
	for _, row := range rows {
		var v [4]json.RawMessage
		if err := json.Unmarshal(row, &v); err != nil {
			t.Fatal(err)
		}
		out = append(out, [2][2]json.RawMessage{{v[0], v[1]}, {v[2], v[3]}})
	}
	text, _ := json.Marshal(out)
	return string(text)
}

// TestArrowBombs changes every byte of small streams, and cuts them everywhere: an error or an answer, but never a panic.
func TestArrowBombs(t *testing.T) {
	t.Parallel()
	plans := []*Plan{
		Compile(nil, &Options{MaxCells: 1000}),
		schemaOf(columnJSON("a", "double")).compile(t),
	}
	var in Input
	for _, body := range bodyFiles(t, arrowFiles) {
		for i := range body {
			for _, x := range []byte{0x01, 0x80, 0xff} {
				damaged := bytes.Clone(body)
				damaged[i] ^= x
				for _, p := range plans {
					_ = p.Decode(typeArrow, damaged, &in)
				}
			}
			_ = plans[0].Decode(typeArrow, body[:i], &in)
		}
	}
}

func TestArrowBounds(t *testing.T) {
	t.Parallel()
	numbers := bodyFiles(t, arrowFiles)["numbers"]
	var e *mlflow.Error
	err := Compile(nil, &Options{MaxCells: 599}).Decode(typeArrow, numbers, new(Input))
	if e, _ = asPayload(err).(*mlflow.Error); e == nil || e.HTTPStatus() != 413 {
		t.Errorf("600 values under a bound of 599: %v", err)
	}
	if err := Compile(nil, &Options{MaxCells: 600}).Decode(typeArrow, numbers, new(Input)); err != nil {
		t.Errorf("600 values under a bound of 600: %v", err)
	}
	huge := binary.LittleEndian.AppendUint32([]byte{0xff, 0xff, 0xff, 0xff}, 1<<30)
	for name, body := range map[string][]byte{
		"empty":                       {},
		"end at once":                 {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0},
		"a gigabyte of metadata":      huge,
		"another gigabyte, old frame": {0, 0, 0, 0x40},
		"metadata of zeros":           append([]byte{0xff, 0xff, 0xff, 0xff, 16, 0, 0, 0}, make([]byte, 16)...),
	} {
		err := Decode(typeArrow, body, nil, new(Input))
		if e, _ = asPayload(err).(*mlflow.Error); e == nil || e.Code != mlflow.BadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func BenchmarkArrow(b *testing.B) {
	body := bodyFiles(b, arrowFiles)["numbers"]
	for name, sig := range map[string]*signature{"untyped": nil, "typed": schemaOf(columnJSON("a", "double"), columnJSON("b", "long"))} {
		b.Run(name, func(b *testing.B) {
			plan := sig.compile(b)
			var in Input
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if err := plan.Decode(typeArrow, body, &in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
