package mlmodel_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sluice/runtime/mlmodel"
	"sluice/runtime/tensor"
)

func golden(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func parse(t testing.TB, name string) *mlmodel.Model {
	t.Helper()
	m, err := mlmodel.Parse(golden(t, name+".MLmodel"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// outline prints a schema: name:kind, "?" if optional.
func outline(s *mlmodel.Schema) string {
	var parts []string
	for i := range s.Columns {
		parts = append(parts, outlineColumn(&s.Columns[i]))
	}
	for _, t := range s.Tensors {
		parts = append(parts, fmt.Sprintf("%s:%s%v", t.Name, t.Type, t.Shape))
	}
	return strings.Join(parts, " ")
}

func outlineColumn(c *mlmodel.ColumnSpec) string {
	s := c.Name + ":" + c.Kind.String()
	if c.Elem != nil {
		s += "<" + outlineColumn(c.Elem) + ">"
	}
	for i := range c.Fields {
		s += "{" + outlineColumn(&c.Fields[i]) + "}"
	}
	if !c.Required {
		s += "?"
	}
	return s
}

func TestSignaturesWrittenByMLflow(t *testing.T) {
	for name, want := range map[string]string{
		"columns":  "boolean:boolean integer:integer long:long float:float double:double string:string binary:binary datetime:datetime",
		"optional": "a:double b:string?",
		"unnamed":  ":double :long",
		"tensor":   ":float32[-1 28 28]",
		"tensors":  "x:float32[-1 3] s:str[-1]",
		"nested":   "list:array<:double> lists:array<:array<:string>> map:map<:long> object:object{k:string}{o:array<:long>?} any:any",
	} {
		s := parse(t, name).Signature
		if got := outline(s.Inputs); got != want {
			t.Errorf("%s: %s\nwant %s", name, got, want)
		}
		if wantNamed := name != "unnamed" && name != "tensor"; s.Inputs.Named() != wantNamed {
			t.Errorf("%s: named %v", name, s.Inputs.Named())
		}
	}
	if s := parse(t, "bare").Signature; s != nil {
		t.Errorf("no signature became %v", s)
	}
}

func TestFieldsOfTheFile(t *testing.T) {
	m := parse(t, "columns")
	if m.ArtifactPath != "model" || m.RunID != strings.Repeat("f", 32) || m.UUID != strings.Repeat("0", 32) || m.MLflowVersion == "" ||
		m.CreatedUTC != "2026-01-02 03:04:05.000006" || m.ModelID != "" {
		t.Errorf("got %+v", m)
	}
	m = parse(t, "metadata")
	want := map[string]any{"team": "wine", "deep": map[string]any{"list": []any{int64(1), 2.5, nil, true, "x"}}}
	if m.ModelID != "m-"+strings.Repeat("a", 32) || !reflect.DeepEqual(m.Metadata, want) {
		t.Errorf("got %v", m.Metadata)
	}
	p, err := m.PyFunc()
	if err != nil || p.LoaderModule != "mlflow.sklearn" || p.Data != "model.pkl" || p.PredictFn != "predict" || p.CondaEnv != "conda.yaml" || p.VirtualEnv != "python_env.yaml" {
		t.Errorf("got %+v, %v", p, err)
	}
	if _, err := m.ONNX(); !errors.Is(err, mlmodel.ErrModel) || m.Flavors.Has("onnx") || !slices.Equal(m.FlavorNames(), []string{"python_function"}) {
		t.Errorf("got %v", err)
	}
}

func TestONNXFlavor(t *testing.T) {
	for name, tc := range map[string]struct {
		fields string
		check  func(*mlmodel.ONNX) bool
		fails  bool
	}{
		"mlflow's own": {"data: model.onnx\n    providers: [CUDAExecutionProvider, CPUExecutionProvider]", func(o *mlmodel.ONNX) bool {
			return len(o.Providers) == 2 && o.Providers[0].Name == "CUDAExecutionProvider"
		}, false},
		"provider options": {"providers: [[CUDAExecutionProvider, {device_id: 1, on: true}]]", func(o *mlmodel.ONNX) bool {
			return o.Data == "model.onnx" && reflect.DeepEqual(o.Providers[0].Options, map[string]string{"device_id": "1", "on": "1"})
		}, false},
		"one name": {"providers: CPUExecutionProvider", func(o *mlmodel.ONNX) bool { return len(o.Providers) == 1 }, false},
		"options": {"onnx_session_options: {intra_op_num_threads: 3, execution_mode: parallel, graph_optimization_level: 99, extra_session_config: {a: 0}}", func(o *mlmodel.ONNX) bool {
			return o.Options.IntraOpThreads == 3 && o.Options.ExecutionMode == "PARALLEL" && *o.Options.OptimizationLevel == 99 && o.Options.ExtraConfig["a"] == "0"
		}, false},
		"leaves":       {"data: ../x.onnx", nil, true},
		"absolute":     {"data: /etc/passwd", nil, true},
		"backslash":    {`data: 'a\..\b'`, nil, true},
		"threads":      {"onnx_session_options: {intra_op_num_threads: 100000}", nil, true},
		"mode":         {"onnx_session_options: {execution_mode: fast}", nil, true},
		"level":        {"onnx_session_options: {graph_optimization_level: 7}", nil, true},
		"provider map": {"providers: {a: b}", nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := mlmodel.Parse([]byte("flavors:\n  onnx:\n    " + tc.fields + "\n"))
			if err != nil {
				t.Fatal(err)
			}
			o, err := m.ONNX()
			if tc.fails != (err != nil) || (err != nil && !errors.Is(err, mlmodel.ErrModel)) {
				t.Fatalf("got %+v, %v", o, err)
			}
			if err == nil && !tc.check(o) {
				t.Errorf("got %+v", o)
			}
		})
	}
}

func TestDamagedFilesAreRefused(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'j'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.Repeat(fmt.Sprintf("*%c,", c-1), 8)+fmt.Sprintf("*%c", c-1))
	}
	for name, doc := range map[string]string{
		"empty":               "",
		"a list":              "- a\n- b\n",
		"two documents":       "a: b\n---\nc: d\n",
		"alias bomb":          bomb,
		"alias of nothing":    "a: *b\n",
		"alias of itself":     "a: &a [*a]\n",
		"brackets":            "a: " + strings.Repeat("[", 100_000),
		"closed brackets":     "a: " + strings.Repeat("[", 900) + strings.Repeat("]", 900),
		"dashes":              strings.Repeat("- ", 100_000) + "x",
		"indentation":         strings.Repeat(" ", 5000) + "a: b",
		"binary":              "a: \x00",
		"flavors a list":      "flavors: [onnx]\n",
		"flavor a text":       "flavors: {onnx: x}\n",
		"signature a list":    "signature: [a]\n",
		"signature no JSON":   "signature: {inputs: '[{'}\n",
		"signature an object": "signature: {inputs: '{}'}\n",
		"unknown type":        `signature: {inputs: '[{"type": "complex", "name": "x"}]'}`,
		"unknown dtype":       `signature: {inputs: '[{"type": "tensor", "tensor-spec": {"dtype": "complex64", "shape": [-1]}}]'}`,
		"bad dimension":       `signature: {inputs: '[{"type": "tensor", "tensor-spec": {"dtype": "int8", "shape": [-2]}}]'}`,
		"mixed":               `signature: {inputs: '[{"type": "long"}, {"type": "tensor", "tensor-spec": {"dtype": "int8", "shape": [-1]}}]'}`,
		"partly named":        `signature: {inputs: '[{"type": "long", "name": "x"}, {"type": "long"}]'}`,
		"name twice":          `signature: {inputs: '[{"type": "long", "name": "x"}, {"type": "long", "name": "x"}]'}`,
		"array of nothing":    `signature: {inputs: '[{"type": "array", "name": "x"}]'}`,
		"deep types":          `signature: {inputs: '[` + strings.Repeat(`{"type": "array", "items": `, 60) + `{"type": "long"}` + strings.Repeat("}", 60) + `]'}`,
		"param default":       `signature: {params: '[{"name": "n", "type": "long", "default": "x", "shape": null}]'}`,
		"param shape":         `signature: {params: '[{"name": "n", "type": "long", "default": 1, "shape": [2]}]'}`,
		"param binary":        `signature: {params: '[{"name": "n", "type": "binary", "default": null, "shape": null}]'}`,
		"text after JSON":     `signature: {inputs: '[] []'}`,
	} {
		t.Run(name, func(t *testing.T) {
			m, err := mlmodel.Parse([]byte(doc))
			if err == nil || !(errors.Is(err, mlmodel.ErrModel) || errors.Is(err, mlmodel.ErrSignature)) {
				t.Errorf("got %+v, %v", m, err)
			}
			if err != nil && len(err.Error()) > 600 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

func TestAliasesAndMergesAreRead(t *testing.T) {
	m, err := mlmodel.Parse([]byte("metadata:\n  a: &x {k: 1}\n  b: *x\n  c:\n    <<: *x\n    l: 2\n"))
	if err != nil {
		t.Fatal(err)
	}
	one := map[string]any{"k": int64(1)}
	if want := map[string]any{"a": one, "b": one, "c": map[string]any{"k": int64(1), "l": int64(2)}}; !reflect.DeepEqual(m.Metadata, want) {
		t.Errorf("got %v", m.Metadata)
	}
}

func TestLoadStaysInsideTheFolder(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "MLmodel")
	if err := os.WriteFile(outside, golden(t, "bare.MLmodel"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := mlmodel.Load(dir); !errors.Is(err, mlmodel.ErrNoModel) {
		t.Errorf("got %v", err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "MLmodel")); err != nil {
		t.Fatal(err)
	}
	if _, err := mlmodel.Load(dir); !errors.Is(err, mlmodel.ErrModel) {
		t.Errorf("followed a link out of the folder: %v", err)
	}
	if _, err := mlmodel.Load(filepath.Dir(outside)); err != nil {
		t.Error(err)
	}
}

func TestInputExamples(t *testing.T) {
	columns := &mlmodel.Schema{Columns: []mlmodel.ColumnSpec{{Name: "a", Kind: mlmodel.Double, Required: true}, {Name: "s", Kind: mlmodel.String, Required: true}}}
	matrix := &mlmodel.Schema{Tensors: []mlmodel.TensorSpec{{Type: tensor.Float32, Shape: []int64{-1, 2}}}}
	for name, tc := range map[string]struct {
		kind, doc string
		inputs    *mlmodel.Schema
		params    bool
		want      string
	}{
		"frame":                 {"dataframe", `{"columns": ["s", "a"], "data": [["x", 1], ["y", NaN]]}`, columns, false, "a float64[2] s str[2]"},
		"frame, params":         {"dataframe", `{"inputs": {"columns": ["a", "s"], "data": [[1.5, "x"]]}, "params": {"k": 1}}`, columns, true, "a float64[1] s str[1]"},
		"array":                 {"ndarray", `{"inputs": [[1, 2], [3, 4]]}`, matrix, false, " float32[2 2]"},
		"no signature":          {"ndarray", `{"inputs": {"x": [1, 2]}}`, nil, false, "x int64[2]"},
		"ragged":                {"ndarray", `{"inputs": [[1, 2], [3]]}`, matrix, false, "error"},
		"short row":             {"dataframe", `{"columns": ["a", "s"], "data": [[1]]}`, columns, false, "error"},
		"mixed types":           {"dataframe", `{"columns": ["a", "s"], "data": [[1, "x"], ["y", "z"]]}`, columns, false, "error"},
		"sparse":                {"sparse_matrix_csr", `{}`, nil, false, "error"},
		"nothing":               {"dataframe", `{"columns": [], "data": []}`, columns, false, "error"},
		"against the signature": {"ndarray", `{"inputs": [[1, 2, 3]]}`, matrix, false, "error"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "e.json"), []byte(tc.doc), 0o600); err != nil {
				t.Fatal(err)
			}
			m := &mlmodel.Model{Example: &mlmodel.ExampleInfo{Path: "e.json", Kind: tc.kind, HasParams: tc.params}}
			if tc.inputs != nil {
				m.Signature = &mlmodel.Signature{Inputs: tc.inputs}
			}
			b, params, err := m.ReadExample(dir)
			got := "error"
			if err == nil {
				var parts []string
				for i := range b.Columns {
					parts = append(parts, fmt.Sprintf("%s %s%v", b.Columns[i].Name, b.Columns[i].Tensor.Type, b.Columns[i].Tensor.Shape))
				}
				got = strings.Join(parts, " ")
			} else if !errors.Is(err, mlmodel.ErrExample) && !errors.Is(err, mlmodel.ErrSchema) {
				t.Errorf("got %v", err)
			}
			if got != tc.want || (params != nil) != (tc.params && err == nil) {
				t.Errorf("got %s (%v), %v", got, err, params)
			}
		})
	}
	if b, _, err := (&mlmodel.Model{}).ReadExample(t.TempDir()); b != nil || err != nil {
		t.Errorf("got %v, %v", b, err)
	}
	m := &mlmodel.Model{Example: &mlmodel.ExampleInfo{Path: "../x.json", Kind: "dataframe"}}
	if _, _, err := m.ReadExample(t.TempDir()); !errors.Is(err, mlmodel.ErrExample) {
		t.Errorf("got %v", err)
	}
}

func TestParamsAsMLflow(t *testing.T) {
	s := parse(t, "params").Signature
	var cases []struct {
		Given  map[string]any
		Result map[string]any
		Error  string
	}
	if err := json.Unmarshal(golden(t, "params.json"), &cases); err != nil {
		t.Fatal(err)
	}
	for _, tc := range cases {
		got, unknown, err := s.EnforceParams(whole(tc.Given).(map[string]any))
		if (err != nil) != (tc.Error != "") || (err != nil && !errors.Is(err, mlmodel.ErrParams)) {
			t.Errorf("%v: %v, MLflow says %q", tc.Given, err, tc.Error)
			continue
		}
		if err != nil {
			for name := range tc.Given {
				if strings.Contains(tc.Error, "('"+name+"'") && !strings.Contains(err.Error(), "('"+name+"'") {
					t.Errorf("%v: %q does not name %s", tc.Given, err, name)
				}
			}
			continue
		}
		delete(got, "when")
		text, _ := json.Marshal(got)
		want, _ := json.Marshal(tc.Result)
		if string(text) != string(want) {
			t.Errorf("%v: got %s, MLflow has %s", tc.Given, text, want)
		}
		if _, given := tc.Given["other"]; given != (len(unknown) == 1) {
			t.Errorf("%v: unknown %v", tc.Given, unknown)
		}
	}
	if got, unknown, err := (*mlmodel.Signature)(nil).EnforceParams(map[string]any{"b": 1, "a": 2}); got != nil || err != nil || !slices.Equal(unknown, []string{"a", "b"}) {
		t.Errorf("got %v, %v, %v", got, unknown, err)
	}
}

// whole makes int64 of whole floats, as our JSON decoders do.
func whole(v any) any {
	switch x := v.(type) {
	case float64:
		if x == math.Trunc(x) {
			return int64(x)
		}
	case []any:
		for i := range x {
			x[i] = whole(x[i])
		}
	case map[string]any:
		for k := range x {
			x[k] = whole(x[k])
		}
	}
	return v
}

func TestParseDatetime(t *testing.T) {
	for text, want := range map[string]int64{"1970-01-01": 0, "1970-01-01T00:00:01": 1e9, "1970-01-01 00:00:00.5": 5e8, "1970-01-01T01:00:00+01:00": 0,
		"1970-01-02T00:00:00Z": 86400e9, "NaT": tensor.NaT, "": tensor.NaT, "1970": 0, "1970-01-01T00:00:00.000000001": 1} {
		if got, err := mlmodel.ParseDatetime(text); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"yesterday", "1970-13-01", "0001-01-01", "9999-01-01", "12:00"} {
		if got, err := mlmodel.ParseDatetime(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.MLmodel")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range files {
		f.Add(golden(f, filepath.Base(name)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		m, err := mlmodel.Parse(data)
		if err != nil {
			return
		}
		_, _ = m.ONNX()
		_, _ = m.PyFunc()
		if m.Signature == nil || m.Signature.Inputs.Len() == 0 {
			return
		}
		var b tensor.Batch
		if m.Signature.Inputs.Zeros(&b, 2) == nil && m.Signature.Inputs.Enforce(&b) != nil && b.Rows > 0 {
			t.Error("zeros by the signature do not fit the signature")
		}
	})
}

func FuzzParseSchema(f *testing.F) {
	f.Add(`[{"type": "array", "items": {"type": "double"}, "name": "list", "required": true}]`)
	f.Add(`[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 3]}}]`)
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := mlmodel.ParseSchema(text); err == nil && s == nil {
			t.Error("no schema and no error")
		}
		_, _ = mlmodel.ParseParams(text)
	})
}
