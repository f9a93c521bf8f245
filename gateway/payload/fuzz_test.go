package payload

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/runtime/mlmodel"
	"sluice/runtime/tensor"
	"sluice/tracking/mlflow"
)

const maxFuzzBody = 1 << 14

// fuzzPlans are plans of every kind, the quick ones first.
func fuzzPlans() []*Plan {
	tensors := func(specs ...mlmodel.TensorSpec) *mlmodel.Signature {
		return &mlmodel.Signature{Inputs: &mlmodel.Schema{Tensors: specs}}
	}
	opts := &Options{MaxCells: 1 << 16}
	columns := func(specs ...mlmodel.ColumnSpec) *mlmodel.Signature {
		return &mlmodel.Signature{Inputs: &mlmodel.Schema{Columns: specs}}
	}
	return []*Plan{
		Compile(columns(mlmodel.ColumnSpec{Name: "a", Kind: mlmodel.Float, Required: true}, mlmodel.ColumnSpec{Name: "b", Kind: mlmodel.Long, Required: true}), opts),
		Compile(columns(mlmodel.ColumnSpec{Name: "a", Kind: mlmodel.Double}, mlmodel.ColumnSpec{Name: "b", Kind: mlmodel.Boolean}, mlmodel.ColumnSpec{Name: "c", Kind: mlmodel.Integer}), opts),
		Compile(columns(mlmodel.ColumnSpec{Name: "a", Kind: mlmodel.Double, Required: true}), opts),
		Compile(tensors(mlmodel.TensorSpec{Type: tensor.Float32, Shape: []int64{-1, 2}}), opts),
		Compile(tensors(mlmodel.TensorSpec{Type: tensor.Uint8, Shape: []int64{-1}}), opts),
		Compile(tensors(mlmodel.TensorSpec{Name: "a", Type: tensor.Float64, Shape: []int64{-1}}, mlmodel.TensorSpec{Name: "b", Type: tensor.Int64, Shape: []int64{-1, -1}}), opts),
		Compile(nil, opts),
		Compile(columns(everything...), opts),
		Compile(columns(mlmodel.ColumnSpec{Kind: mlmodel.Double, Required: true}, mlmodel.ColumnSpec{Kind: mlmodel.String, Required: true}), opts),
		Compile(columns(mlmodel.ColumnSpec{Name: "a", Kind: mlmodel.Any}, mlmodel.ColumnSpec{Name: "b", Kind: mlmodel.Array, Elem: &mlmodel.ColumnSpec{Kind: mlmodel.Long}}), opts),
	}
}

// check decodes and encodes; the error must be one for a client and the answer must be JSON.
func check(t *testing.T, p *Plan, media string, body []byte, in *Input) (string, error) {
	t.Helper()
	if err := p.Decode(media, body, in); err != nil {
		var e *mlflow.Error
		if !errors.As(err, &e) || e.HTTPStatus() < 400 || e.HTTPStatus() > 501 || len(e.Message) > 1<<13 {
			t.Fatalf("%q: %v", body, err)
		}
		return "", err
	}
	out, err := Encode(nil, &in.Batch)
	if err != nil || !json.Valid(out) {
		t.Fatalf("%q: the answer %q is not JSON (%v)", body, out, err)
	}
	return string(out), nil
}

// FuzzJSON: any body is an answer or an error of ours; both ways through JSON agree; what we accept is JSON, but for NaN and infinities.
func FuzzJSON(f *testing.F) {
	for _, bodies := range [][]string{frameBodies, tensorBodies} {
		for _, b := range bodies {
			f.Add([]byte(b))
		}
	}
	for _, cell := range cellTexts {
		f.Add([]byte(`{"dataframe_records":[{"a":` + cell + `,"b":1},{"a":2.5,"b":2}]}`))
		f.Add([]byte(`{"inputs":{"a":[` + cell + `,1],"b":[1,2]}}`))
	}
	plans := fuzzPlans()
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > maxFuzzBody {
			return
		}
		var in Input
		for i, p := range plans {
			got, err := check(t, p, typeJSON, body, &in)
			want, wantErr := check(t, p.thorough(), typeJSON, body, new(Input))
			if (err == nil) != (wantErr == nil) || got != want {
				t.Fatalf("plan %d, body %q:\n%s (%v) by the plan's way\n%s (%v) by the thorough way", i, body, got, err, want, wantErr)
			}
			plain := strings.TrimPrefix(string(body), "\xef\xbb\xbf")
			if err == nil && !strings.Contains(plain, "NaN") && !strings.Contains(plain, "Infinity") && !json.Valid([]byte(plain)) {
				t.Fatalf("plan %d accepted %q, which is no JSON", i, body)
			}
		}
	})
}

// FuzzScan holds the scanner to encoding/json on what is JSON.
func FuzzScan(f *testing.F) {
	for _, b := range frameBodies {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > maxFuzzBody {
			return
		}
		tape, err := scan(nil, body, defaultMaxDepth)
		valid := json.Valid(body)
		if err != nil && valid && !strings.ContainsAny(string(body), `\`) && !strings.Contains(err.Error(), "UTF-8") && !strings.Contains(err.Error(), "deeply") {
			t.Fatalf("%q is JSON: %v", body, err)
		}
		if err != nil {
			return
		}
		if len(tape) > len(body) {
			t.Fatalf("%d nodes for %d bytes", len(tape), len(body))
		}
		txt := &text{b: body, tape: tape}
		if out := txt.appendCanonical(nil, 0); !json.Valid(out) {
			t.Fatalf("%q is written as %q", body, out)
		}
	})
}

func FuzzCSV(f *testing.F) {
	for _, b := range csvBodies {
		f.Add([]byte(b))
	}
	plans := fuzzPlans()
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > maxFuzzBody {
			return
		}
		for _, p := range plans {
			_, _ = check(t, p, typeCSV, body, new(Input))
		}
	})
}

func FuzzParquet(f *testing.F) {
	fuzzFiles(f, typeParquet, "testdata/parquet/*.parquet")
}

func FuzzArrow(f *testing.F) { fuzzFiles(f, typeArrow, arrowFiles) }

// fuzzFiles fuzzes bodies of a type, beginning with files.
func fuzzFiles(f *testing.F, media, pattern string) {
	for _, body := range bodyFiles(f, pattern) {
		f.Add(body)
	}
	plans := fuzzPlans()
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > maxFuzzBody {
			return
		}
		for _, p := range plans {
			_, _ = check(t, p, media, body, new(Input))
		}
	})
}

// bodyFiles are the bodies in testdata that match the pattern, by file name without its ending.
func bodyFiles(t testing.TB, pattern string) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("no file matches %s: %v", pattern, err)
	}
	files := map[string][]byte{}
	for _, name := range names {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))] = body
	}
	return files
}

func FuzzContentType(f *testing.F) {
	for _, s := range []string{"application/json", "text/csv; charset=utf-8", ";", "application/json;charset=\"utf-8\"; x", "=;=", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := formatOf(s); err != nil {
			var e *mlflow.Error
			if !errors.As(err, &e) || e.HTTPStatus() != 415 {
				t.Fatalf("%q: %v", s, err)
			}
		}
	})
}
