package payload

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"sluice/runtime/mlmodel"
	"sluice/runtime/tensor"
	"sluice/tracking/mlflow"
)

var (
	twoFloats  = []mlmodel.ColumnSpec{{Name: "alcohol", Kind: mlmodel.Float, Required: true}, {Name: "ash", Kind: mlmodel.Float, Required: true}}
	everything = []mlmodel.ColumnSpec{
		{Name: "b", Kind: mlmodel.Boolean, Required: true}, {Name: "i", Kind: mlmodel.Integer, Required: true}, {Name: "l", Kind: mlmodel.Long, Required: true},
		{Name: "f", Kind: mlmodel.Float, Required: true}, {Name: "d", Kind: mlmodel.Double}, {Name: "s", Kind: mlmodel.String, Required: true},
		{Name: "y", Kind: mlmodel.Binary, Required: true}, {Name: "t", Kind: mlmodel.Datetime, Required: true},
	}
)

func columnsPlan(specs []mlmodel.ColumnSpec) *Plan {
	return Compile(&mlmodel.Signature{Inputs: &mlmodel.Schema{Columns: specs}}, nil)
}

// thorough is the plan without its quick way.
func (p *Plan) thorough() *Plan {
	q := *p
	q.quick = false
	return &q
}

// TestRefusals: what a client gets for bodies that cannot be served, and that the message names what is wrong.
func TestRefusals(t *testing.T) {
	t.Parallel()
	floats, typed := columnsPlan(twoFloats), columnsPlan(everything)
	matrix := Compile(&mlmodel.Signature{Inputs: &mlmodel.Schema{Tensors: []mlmodel.TensorSpec{{Type: tensor.Float32, Shape: []int64{-1, 2}}}}}, nil)
	row := `{"dataframe_records":[{"b":%s,"i":%s,"l":%s,"f":1,"s":%s,"y":%s,"t":%s}]}`
	cells := func(b, i, l, s, y, at string) string { return fmt.Sprintf(row, b, i, l, s, y, at) }
	for _, c := range []struct {
		name   string
		plan   *Plan
		media  string
		body   string
		status int
		code   mlflow.Code
		says   []string
	}{
		{"empty body", floats, typeJSON, "", 400, mlflow.BadRequest, []string{"empty"}},
		{"malformed", floats, typeJSON, "{\"inputs\":\n [1,}", 400, mlflow.BadRequest, []string{"line 2 column 5", "byte 15"}},
		{"trailing", floats, typeJSON, `{"inputs":[]} x`, 400, mlflow.BadRequest, []string{"extra data", "column 15"}},
		{"two keys", floats, typeJSON, `{"inputs":[],"instances":[]}`, 400, mlflow.BadRequest, []string{`"inputs"`, `"instances"`, "exactly one"}},
		{"no key", floats, typeJSON, `{"data":[]}`, 400, mlflow.BadRequest, []string{`"data"`, "dataframe_split"}},
		{"a list", floats, typeJSON, `[1]`, 400, mlflow.BadRequest, []string{"a list"}},
		{"missing column", floats, typeJSON, `{"dataframe_split":{"columns":["ash","x"],"data":[[1,2]]}}`, 400, mlflow.InvalidParameterValue, []string{`missing inputs ["alcohol"]`, `extra inputs: ["x"]`}},
		{"wrong type", floats, typeJSON, `{"inputs":{"alcohol":[1,"much"],"ash":[2,3]}}`, 400, mlflow.BadRequest, []string{`"alcohol"`, "'float'", "row 1", "a string"}},
		{"ragged", floats, typeJSON, `{"dataframe_split":{"columns":["alcohol","ash"],"data":[[1,2],[3]]}}`, 400, mlflow.BadRequest, []string{"Row 1", "1 values", "2 columns"}},
		{"unequal", floats, typeJSON, `{"inputs":{"alcohol":[1],"ash":[2,3]}}`, 400, mlflow.InvalidParameterValue, []string{`"ash"`}},
		{"null boolean", typed, typeJSON, cells("null", "1", "1", `"s"`, `""`, `"2020-01-01"`), 400, mlflow.BadRequest, []string{`"b"`, "'boolean'", "null"}},
		{"null integer", typed, typeJSON, cells("true", "null", "1", `"s"`, `""`, `"2020-01-01"`), 400, mlflow.BadRequest, []string{`"i"`, "'integer'", "null"}},
		{"NaN long", typed, typeJSON, cells("true", "1", "NaN", `"s"`, `""`, `"2020-01-01"`), 400, mlflow.BadRequest, []string{`"l"`, "'long'", "NaN"}},
		{"integer range", typed, typeJSON, cells("true", "3000000000", "1", `"s"`, `""`, `"2020-01-01"`), 400, mlflow.BadRequest, []string{`"i"`, "range"}},
		{"long range", typed, typeJSON, cells("true", "1", "9223372036854775808", `"s"`, `""`, `"2020-01-01"`), 400, mlflow.BadRequest, []string{`"l"`, "range"}},
		{"base64", typed, typeJSON, cells("true", "1", "1", `"s"`, `"x"`, `"2020-01-01"`), 400, mlflow.BadRequest, []string{`"y"`, "Base64"}},
		{"datetime", typed, typeJSON, cells("true", "1", "1", `"s"`, `""`, `"soon"`), 400, mlflow.BadRequest, []string{`"t"`, "ISO 8601"}},
		{"deep", floats, typeJSON, strings.Repeat("[", 1000), 400, mlflow.BadRequest, []string{"nested too deeply"}},
		{"not UTF-8", floats, typeJSON, "{\"inputs\":\"\xff\"}", 400, mlflow.BadRequest, []string{"UTF-8"}},
		{"shape", matrix, typeJSON, `{"inputs":[[1,2,3]]}`, 400, mlflow.InvalidParameterValue, []string{"[1 3]", "[-1 2]"}},
		{"ragged tensor", matrix, typeJSON, `{"inputs":[[1,2],[3]]}`, 400, mlflow.BadRequest, []string{"'inputs'", "unequal"}},
		{"language model", floats, typeJSON, `{"messages":[]}`, 501, mlflow.NotImplemented, []string{`"messages"`}},
		{"null for a value", Compile(&mlmodel.Signature{Inputs: &mlmodel.Schema{Tensors: []mlmodel.TensorSpec{{Type: tensor.Float32}}}}, nil), typeJSON, `{"inputs":null}`, 400,
			mlflow.BadRequest, []string{"'inputs'", "null"}},
		{"form", floats, "application/x-www-form-urlencoded", "a=1", 415, mlflow.BadRequest, []string{"application/x-www-form-urlencoded", "text/csv"}},
		{"no type", floats, "", "{}", 415, mlflow.BadRequest, []string{"no content type"}},
		{"charset", floats, "application/json; charset=latin-1", "{}", 415, mlflow.BadRequest, []string{"UTF-8", "latin-1"}},
		{"parameter", floats, "text/csv; header=present", "", 415, mlflow.BadRequest, []string{`"header"`}},
		{"CSV quotes", floats, typeCSV, "alcohol,ash\n\"1,2\n", 400, mlflow.BadRequest, []string{"quoted"}},
		{"CSV column", floats, typeCSV, "alcohol\n1\n", 400, mlflow.InvalidParameterValue, []string{`"ash"`}},
		{"CSV value", floats, typeCSV, "alcohol,ash\n1,2\n1,x\n", 400, mlflow.BadRequest, []string{`"ash"`, "row 1"}},
		{"parquet", floats, typeParquet, "PAR1nothingPAR1", 400, mlflow.BadRequest, []string{"Parquet"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := c.plan.Decode(c.media, []byte(c.body), new(Input))
			var e *mlflow.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an *mlflow.Error", err)
			}
			if e.HTTPStatus() != c.status || e.Code != c.code {
				t.Errorf("got %d %s, want %d %s", e.HTTPStatus(), e.Code, c.status, c.code)
			}
			for _, s := range c.says {
				if !strings.Contains(e.Message, s) {
					t.Errorf("%q does not say %q", e.Message, s)
				}
			}
		})
	}
}

// TestDecodesEveryType reads one body of every column type.
func TestDecodesEveryType(t *testing.T) {
	t.Parallel()
	body := `{"params":null,"dataframe_split":{"columns":["t","s","y","x","b","i","l","f","d"],"data":[["2020-01-01T00:00:01.5","é\n","aGk=",{},true,-5,9007199254740993,0.1,null],` +
		`[null,"","",0,false,2147483647,-1,NaN,1e308]]}}`
	var in Input
	if err := columnsPlan(everything).Decode(typeJSON, []byte(body), &in); err != nil {
		t.Fatal(err)
	}
	got, err := Encode(nil, &in.Batch)
	want := `{"predictions": [{"b": true, "i": -5, "l": 9007199254740993, "f": 0.10000000149011612, "d": null, "s": "\u00e9\n", "y": "aGk=\n", "t": "2020-01-01T00:00:01.500000"}, ` +
		`{"b": false, "i": 2147483647, "l": -1, "f": null, "d": 1e+308, "s": "", "y": "", "t": null}]}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s (%v)\nwant %s", got, err, want)
	}
}

// TestInputIsReusable decodes bodies of different plans and shapes into one Input, after failures too.
func TestInputIsReusable(t *testing.T) {
	t.Parallel()
	floats, typed := columnsPlan(twoFloats), columnsPlan(everything)
	var in Input
	for _, c := range []struct {
		plan *Plan
		body string
		want string
	}{
		{floats, `{"dataframe_split":{"columns":["alcohol","ash"],"data":[[1,2]]}}`, `[{"alcohol": 1.0, "ash": 2.0}]`},
		{floats, `{"dataframe_split":{"columns":["alcohol","ash"],"data":[[3,4],[5,null]]}}`, `[{"alcohol": 3.0, "ash": 4.0}, {"alcohol": 5.0, "ash": null}]`},
		{floats, `{"dataframe_split":{"columns":["alcohol"],"data":[[1]]}}`, ""},
		{floats, `{"dataframe_split":{"columns":["ash","alcohol"],"data":[[1,2]]}}`, `[{"alcohol": 2.0, "ash": 1.0}]`},
		{typed, `{"inputs":[{"b":1,"i":1,"l":1,"f":1,"s":"x","y":"y","t":0}]}`, `[{"b": true, "i": 1, "l": 1, "f": 1.0, "s": "x", "y": "eQ==\n", "t": "1970-01-01T00:00:00"}]`},
		{floats, `{"dataframe_split":{"columns":["ash","alcohol"],"data":[[1,2]]}}`, `[{"alcohol": 2.0, "ash": 1.0}]`},
		{floats, `{"dataframe_records":[{"ash":1,"alcohol":2}]}`, `[{"alcohol": 2.0, "ash": 1.0}]`},
		{floats, `{"dataframe_split":{"columns":["ash","alcohol"],"data":[[1,2]]}}`, `[{"alcohol": 2.0, "ash": 1.0}]`},
		{Compile(nil, nil), `{"inputs":[[1,2],[3,4]]}`, `[[1, 2], [3, 4]]`},
	} {
		err := c.plan.Decode(typeJSON, []byte(c.body), &in)
		if (err == nil) != (c.want != "") {
			t.Errorf("%s: %v", c.body, err)
			continue
		}
		if err != nil {
			continue
		}
		if got, err := Encode(nil, &in.Batch); err != nil || string(got) != `{"predictions": `+c.want+`}` {
			t.Errorf("%s: got %s (%v), want %s", c.body, got, err, c.want)
		}
		in.Reset()
	}
}

// TestBodyIsNotKept overwrites the body after decoding, as an HTTP engine does that reuses its buffers.
func TestBodyIsNotKept(t *testing.T) {
	t.Parallel()
	plan := Compile(nil, nil)
	for media, body := range map[string]string{
		typeJSON: `{"dataframe_records":[{"name":"value"}]}`, typeCSV: "name\nvalue\n",
	} {
		b := []byte(body)
		var in Input
		if err := plan.Decode(media, b, &in); err != nil {
			t.Fatal(err)
		}
		clear(b)
		if got, _ := Encode(nil, &in.Batch); string(got) != `{"predictions": [{"name": "value"}]}` {
			t.Errorf("%s: got %s", media, got)
		}
	}
}

func TestParams(t *testing.T) {
	t.Parallel()
	plan := Compile(&mlmodel.Signature{Params: []mlmodel.Param{{Name: "n", Kind: mlmodel.Long, Default: int64(3)}}}, nil)
	for body, want := range map[string]string{
		`{"inputs":[1]}`: `map[n:3]`, `{"inputs":[1],"params":{"n":5,"other":1}}`: `map[n:5]`, `{"params":{},"inputs":[1]}`: `map[n:3]`,
	} {
		var in Input
		if err := plan.Decode(typeJSON, []byte(body), &in); err != nil || fmt.Sprint(in.Params) != want {
			t.Errorf("%s: got %v (%v), want %s", body, in.Params, err, want)
		}
	}
	err := plan.Decode(typeJSON, []byte(`{"inputs":[1],"params":{"n":"x"}}`), new(Input))
	if mlflow.CodeOf(err) != mlflow.InvalidParameterValue || !strings.Contains(err.Error(), "'n'") {
		t.Errorf("got %v, want INVALID_PARAMETER_VALUE that names n", err)
	}
}

// TestNestedColumns: objects and lists travel as JSON text, checked against the signature.
func TestNestedColumns(t *testing.T) {
	t.Parallel()
	plan := columnsPlan([]mlmodel.ColumnSpec{
		{Name: "o", Kind: mlmodel.Object, Required: true, Fields: []mlmodel.ColumnSpec{{Name: "k", Kind: mlmodel.String, Required: true}}},
		{Name: "a", Kind: mlmodel.Array, Required: true, Elem: &mlmodel.ColumnSpec{Kind: mlmodel.Double, Required: true}},
	})
	var in Input
	if err := plan.Decode(typeJSON, []byte(`{"dataframe_records":[{"o":{"k":"é","k":"z"},"a":[1.5,2.25]}]}`), &in); err != nil {
		t.Fatal(err)
	}
	got, err := Encode(nil, &in.Batch)
	if want := `{"predictions": [{"o": {"k": "z"}, "a": [1.5, 2.25]}]}`; err != nil || string(got) != want {
		t.Errorf("got %s (%v), want %s", got, err, want)
	}
	err = plan.Decode(typeJSON, []byte(`{"dataframe_records":[{"o":{"q":1},"a":[1.5]}]}`), &in)
	if mlflow.CodeOf(err) != mlflow.BadRequest || !strings.Contains(err.Error(), `"o"`) {
		t.Errorf("got %v, want BAD_REQUEST that names o", err)
	}
	err = plan.Decode(typeJSON, []byte(`{"inputs":{"o":[{}],"a":[1]}}`), &in)
	if err == nil {
		t.Error("nested columns in an object of arrays were accepted")
	}
	err = plan.Decode(typeJSON, []byte(`{"dataframe_records":[{"o":{"k":"x"},"a":["s3cret"]}]}`), &in)
	if err == nil || strings.Contains(err.Error(), "s3cret") || strings.Count(err.Error(), "row 0") != 1 {
		t.Errorf("got %v, want one message that does not repeat the value", err)
	}
}

// TestCellLimit: a few bytes must not stand for many values.
func TestCellLimit(t *testing.T) {
	t.Parallel()
	wide := strings.Repeat("c,", 999) + "c"
	var records strings.Builder
	records.WriteString(`{"dataframe_records":[{`)
	for i := range 1000 {
		fmt.Fprintf(&records, `"c%d":1,`, i)
	}
	records.WriteString(`"x":1}` + strings.Repeat(`,{}`, 2000) + `]}`)
	plan := Compile(nil, &Options{MaxCells: 1_000_000})
	for media, body := range map[string]string{typeCSV: wide + strings.Repeat("\n1", 2000), typeJSON: records.String()} {
		err := plan.Decode(media, []byte(body), new(Input))
		var e *mlflow.Error
		if !errors.As(err, &e) || e.HTTPStatus() != 413 {
			t.Errorf("%s: got %v, want 413", media, err)
		}
	}
}

// TestMemoryIsBounded: decoding takes memory in proportion to the body.
func TestMemoryIsBounded(t *testing.T) {
	n := 200_000
	floats := columnsPlan(twoFloats)
	for name, body := range map[string]string{
		"digits":  `{"inputs":[` + strings.Repeat("1,", n) + `1]}`,
		"lists":   `{"inputs":[` + strings.Repeat("[],", n) + `[]]}`,
		"objects": `{"dataframe_records":[` + strings.Repeat("{},", n) + `{}]}`,
		"keys":    `{` + strings.Repeat(`"":1,`, n) + `"":1}`,
		"rows":    `{"dataframe_split":{"columns":["a"],"data":[` + strings.Repeat("[1],", n) + `[1]]}}`,
		"extra":   `{"foo":[` + strings.Repeat("1,", n) + `1]}`,
	} {
		for _, plan := range []*Plan{Compile(nil, nil), floats} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_ = plan.Decode(typeJSON, []byte(body), new(Input))
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > uint64(80*len(body)) {
				t.Errorf("%s: %d bytes allocated for a body of %d", name, got, len(body))
			}
		}
	}
}

// TestNoAllocations: the quick way and the answer of a classifier take no memory once warm.
func TestNoAllocations(t *testing.T) {
	plans := winePlans()
	for shape, body := range wineBodies(3, plainCell) {
		var in Input
		decode := func() {
			if err := plans[shape].Decode(typeJSON, body, &in); err != nil {
				t.Fatal(err)
			}
		}
		decode()
		if n := testing.AllocsPerRun(100, decode); n != 0 {
			t.Errorf("%s: %v allocations", shape, n)
		}
	}
	out, dst := classifierOutput(3), make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { dst, _ = Encode(dst[:0], out) }); n != 0 {
		t.Errorf("Encode: %v allocations", n)
	}
}

// TestQuickWayIsTaken guards the benchmarks: the plain bodies must not fall back.
func TestQuickWayIsTaken(t *testing.T) {
	t.Parallel()
	plans := winePlans()
	for shape, body := range wineBodies(2, plainCell) {
		if !plans[shape].decodeQuick(body, new(Input)) {
			t.Errorf("%s fell back to the thorough way", shape)
		}
	}
}

func jsonAnswer(texts []string, shape ...int64) *tensor.Batch {
	b := &tensor.Batch{Form: tensor.Bare}
	b.AddColumn("").Reset(tensor.String, shape...)
	copy(b.Columns[0].Tensor.Strings(), texts)
	b.Columns[0].JSON = true
	return b
}

func TestEncode(t *testing.T) {
	t.Parallel()
	table := func(rows int, fill func(b *tensor.Batch)) *tensor.Batch {
		b := &tensor.Batch{Rows: rows}
		fill(b)
		return b
	}
	floats := func(t *tensor.Tensor, values []float32, shape ...int64) {
		t.Reset(tensor.Float32, shape...)
		copy(tensor.Of[float32](t), values)
	}
	for _, c := range []struct {
		name string
		out  *tensor.Batch
		want string
	}{
		{"label and probabilities", classifierOutput(1), `[{"label": 0, "probabilities": [0.9321699738502502, 0.05130000039935112, 0.016529999673366547]}]`},
		{"one value a row", table(2, func(b *tensor.Batch) { floats(b.AddColumn("y"), []float32{1, 2.5}, 2, 1) }), `[{"y": 1.0}, {"y": 2.5}]`},
		{"matrices", table(1, func(b *tensor.Batch) { floats(b.AddColumn("y"), []float32{1, 2, 3, 4}, 1, 2, 2) }), `[{"y": [[1.0, 2.0], [3.0, 4.0]]}]`},
		{"not numbers", table(3, func(b *tensor.Batch) {
			floats(b.AddColumn("y"), []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}, 3)
		}), `[{"y": null}, {"y": null}, {"y": null}]`},
		{"maps", table(1, func(b *tensor.Batch) {
			floats(b.AddColumn("p"), []float32{0.5, 0.25}, 1, 2)
			b.Columns[0].Keys = []string{"no", "0"}
		}), `[{"p": {"no": 0.5, "0": 0.25}}]`},
		{"JSON texts in a list", jsonAnswer([]string{`{"a": 1}`, `null`}, 2), `[{"a": 1}, null]`},
		{"a JSON text as the whole answer", jsonAnswer([]string{`{"a": [1, "x"]}`}), `{"a": [1, "x"]}`},
		{"no rows", table(0, func(b *tensor.Batch) { floats(b.AddColumn("y"), nil, 0) }), `[]`},
		{"named", &tensor.Batch{Form: tensor.Named, Rows: 1, Columns: namedColumns(floats)}, `{"a": [[1.0, 2.0]], "b": []}`},
		{"text", table(1, func(b *tensor.Batch) {
			b.AddColumn("é\"\\").Reset(tensor.String, 1)
			b.Columns[0].Tensor.Strings()[0] = "\x00\x7f\u2028😀<&>\xff"
		}), `[{"\u00e9\"\\": "\u0000` + "\x7f" + `\u2028\ud83d\ude00<&>\ufffd"}]`},
	} {
		got, err := Encode([]byte("kept "), c.out)
		if want := `kept {"predictions": ` + c.want + `}`; err != nil || string(got) != want {
			t.Errorf("%s: got  %s (%v)\nwant %s", c.name, got, err, want)
		}
	}
	broken := classifierOutput(2)
	broken.Rows = 3
	if got, err := Encode([]byte("kept"), broken); err == nil || string(got) != "kept" {
		t.Errorf("a batch of wrong row count: got %q, %v", got, err)
	}
}

func namedColumns(floats func(*tensor.Tensor, []float32, ...int64)) []tensor.Column {
	columns := []tensor.Column{{Name: "a"}, {Name: "b"}}
	floats(&columns[0].Tensor, []float32{1, 2}, 1, 2)
	floats(&columns[1].Tensor, nil, 0)
	return columns
}

func TestHalfFloats(t *testing.T) {
	t.Parallel()
	for f, want := range map[float64]uint16{0: 0, 1: 0x3c00, -2: 0xc000, 65504: 0x7bff, 65519.99: 0x7bff, 65520: 0x7c00, 5.960464477539063e-08: 1, 2.9802322387695312e-08: 0,
		0.1: 0x2e66, 2049: 0x6800, 2051: 0x6802, 1.0009765625: 0x3c01, 6.1e-05: 0x3ff, math.Inf(-1): 0xfc00} {
		if got := float16Bits(f); got != want {
			t.Errorf("%v is %#x, want %#x", f, got, want)
		}
	}
	for h := range uint32(0x7c00) {
		if got := float16Bits(float64(tensor.Float16Value(uint16(h)))); got != uint16(h) {
			t.Fatalf("%#x comes back as %#x", h, got)
		}
	}
}

func TestQuoteNames(t *testing.T) {
	t.Parallel()
	got := quoteNames(slices.Repeat([]string{strings.Repeat("é", 200)}, 30))
	if len(got) > 5000 || !strings.Contains(got, "10 more") {
		t.Errorf("a list of %d bytes: %s", len(got), got)
	}
}

// A text that is missing makes its column one of JSON texts, in which null says so.
func TestMissingTexts(t *testing.T) {
	plan := columnsPlan([]mlmodel.ColumnSpec{{Name: "n", Kind: mlmodel.Double, Required: true}, {Name: "s", Kind: mlmodel.String, Required: true}, {Name: "o", Kind: mlmodel.String}})
	for name, c := range map[string]struct{ media, body string }{
		"split":   {typeJSON, `{"dataframe_split":{"columns":["n","s","o"],"data":[[1,"a\"","b"],[2,null,"c"]]}}`},
		"records": {typeJSON, `{"dataframe_records":[{"n":1,"s":"a\"","o":"b"},{"n":2,"s":null,"o":"c"}]}`},
		"CSV":     {typeCSV, "n,s,o\n1,\"a\"\"\",b\n2,,c\n"},
	} {
		in := new(Input)
		if err := plan.Decode(c.media, []byte(c.body), in); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s, o := in.Batch.Column("s"), in.Batch.Column("o")
		if !s.JSON || !slices.Equal(s.Tensor.Strings(), []string{`"a\""`, "null"}) || o.JSON || !slices.Equal(o.Tensor.Strings(), []string{"b", "c"}) {
			t.Errorf("%s: %v %q, %v %q", name, s.JSON, s.Tensor.Strings(), o.JSON, o.Tensor.Strings())
		}
	}
}
