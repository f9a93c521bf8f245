package pyworker

import (
	"bytes"
	"errors"
	"io"
	"math"
	"testing"

	"sluice/runtime/backendtest"
	"sluice/runtime/servable"
	"sluice/runtime/tensor"
)

// sampleBatch has a column of every kind that travels.
func sampleBatch() *tensor.Batch {
	b := new(tensor.Batch)
	b.AddColumn("flag").Reset(tensor.Bool, 2)
	tensor.Of[bool](&b.Columns[0].Tensor)[1] = true
	b.AddColumn("half").Reset(tensor.Float16, 2)
	b.AddColumn("x \"é\"").Reset(tensor.Float64, 2)
	copy(tensor.Of[float64](&b.Columns[2].Tensor), []float64{0.1, -2})
	b.AddColumn("text").Reset(tensor.String, 2)
	copy(b.Columns[3].Tensor.Strings(), []string{"", "a\x00ü"})
	b.AddColumn("matrix").Reset(tensor.Int32, 2, 3)
	copy(tensor.Of[int32](&b.Columns[4].Tensor), []int32{1, 2, 3, 4, 5, 6})
	b.AddColumn("nested").Reset(tensor.String, 2)
	copy(b.Columns[5].Tensor.Strings(), []string{`{"a": [1]}`, "null"})
	b.Columns[5].JSON = true
	b.AddColumn("when").Reset(tensor.Datetime, 2)
	b.Rows = 2
	return b
}

// travel sends a batch through a frame and back.
func travel(t *testing.T, in *tensor.Batch) *tensor.Batch {
	t.Helper()
	head, err := appendLayout(nil, in)
	if err != nil {
		t.Fatal(err)
	}
	sent := frame{kind: kindPredict, number: 7, rows: int64(in.Rows), head: head, extra: []byte("{}"), body: appendBody(nil, in)}
	var got frame
	if err := got.read(bytes.NewReader(append(sent.appendStart(nil), sent.body...))); err != nil {
		t.Fatal(err)
	}
	if got.kind != kindPredict || got.number != 7 || string(got.extra) != "{}" {
		t.Errorf("got kind %d, number %d, extra %q", got.kind, got.number, got.extra)
	}
	l, err := parseLayout(got.head)
	if err != nil {
		t.Fatal(err)
	}
	out := new(tensor.Batch)
	if err := l.decode(got.rows, got.body, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestBatchesTravel(t *testing.T) {
	ragged := &tensor.Batch{Form: tensor.Named, Rows: tensor.NoRows}
	ragged.AddColumn("a").Reset(tensor.Uint8, 2)
	ragged.AddColumn("b").Reset(tensor.Int64, 3)
	whole := &tensor.Batch{Form: tensor.Bare, Rows: tensor.NoRows}
	whole.AddColumn("").Reset(tensor.String)
	whole.Columns[0].Tensor.Strings()[0], whole.Columns[0].JSON = "[]", true
	empty := new(tensor.Batch)
	empty.AddColumn("t").Reset(tensor.String, 0)
	empty.AddColumn("x").Reset(tensor.Float32, 0)
	for name, in := range map[string]*tensor.Batch{
		"every kind": sampleBatch(), "uneven": ragged, "a whole answer": whole, "no rows": empty, "no columns": {Rows: 3},
	} {
		t.Run(name, func(t *testing.T) {
			out := travel(t, in)
			if !backendtest.Same(in, out) {
				t.Errorf("got %+v, want %+v", out, in)
			}
			for i := range in.Columns {
				if out.Columns[i].JSON != in.Columns[i].JSON {
					t.Errorf("column %d: JSON %t", i, out.Columns[i].JSON)
				}
			}
		})
	}
}

func TestLayoutRefuses(t *testing.T) {
	b := new(tensor.Batch)
	b.AddColumn("x").Reset(tensor.BFloat16, 1)
	b.Rows = 1
	if _, err := appendLayout(nil, b); !errors.Is(err, servable.ErrBadInput) {
		t.Errorf("got %v", err)
	}
}

// TestGarbage holds what a worker may send against what it must not.
func TestGarbage(t *testing.T) {
	for name, f := range map[string]frame{
		"no JSON":              {head: []byte("x")},
		"unknown form":         {head: []byte(`{"form":"tree","columns":[]}`)},
		"two bare tensors":     {head: []byte(`{"form":"bare","columns":[["","int8",[],0],["","int8",[],0]]}`)},
		"unknown type":         {head: []byte(`{"form":"table","columns":[["a","complex128",[],0]]}`)},
		"negative dimension":   {head: []byte(`{"form":"table","columns":[["a","int8",[-1],0]]}`)},
		"values missing":       {head: []byte(`{"form":"table","columns":[["a","int64",[],0]]}`), rows: 2, body: make([]byte, 15)},
		"values left over":     {head: []byte(`{"form":"table","columns":[["a","int8",[],0]]}`), rows: 2, body: make([]byte, 3)},
		"overflowing shape":    {head: []byte(`{"form":"named","columns":[["a","int8",[4611686018427387904,4],2]]}`), rows: 1},
		"a boolean of 2":       {head: []byte(`{"form":"table","columns":[["a","bool",[],0]]}`), rows: 1, body: []byte{2}},
		"ends that go back":    {head: []byte(`{"form":"table","columns":[["a","str",[],0]]}`), rows: 2, body: []byte{1, 0, 0, 0, 0, 0, 0, 0, 'x'}},
		"ends beyond the body": {head: []byte(`{"form":"table","columns":[["a","str",[],0]]}`), rows: 1, body: []byte{9, 0, 0, 0, 'x'}},
		"broken JSON text":     {head: []byte(`{"form":"table","columns":[["a","str",[],1]]}`), rows: 1, body: []byte{1, 0, 0, 0, '{'}},
		"JSON of numbers":      {head: []byte(`{"form":"table","columns":[["a","int8",[],1]]}`), rows: 1, body: []byte{1}},
		"a table without rows": {head: []byte(`{"form":"table","columns":[]}`), rows: -1},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := parseLayout(f.head)
			if err == nil {
				err = l.decode(f.rows, f.body, new(tensor.Batch))
			}
			if !errors.Is(err, errGarbage) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func FuzzFrame(f *testing.F) {
	in := sampleBatch()
	head, err := appendLayout(nil, in)
	if err != nil {
		f.Fatal(err)
	}
	sent := frame{kind: kindAnswer, rows: int64(in.Rows), head: head, body: appendBody(nil, in)}
	f.Add(append(sent.appendStart(nil), sent.body...))
	f.Add([]byte("SLW1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		var got frame
		if err := got.read(bytes.NewReader(data)); err != nil {
			if !errors.Is(err, errGarbage) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatal(err)
			}
			return
		}
		l, err := parseLayout(got.head)
		if err == nil {
			var out tensor.Batch
			if err = l.decode(got.rows, got.body, &out); err == nil && out.Bytes() > 64*len(data)+1<<12 {
				t.Fatalf("%d bytes of memory for %d", out.Bytes(), len(data))
			}
		}
		if err != nil && !errors.Is(err, errGarbage) {
			t.Fatal(err)
		}
	})
}

func TestParamsKeepTheirTypes(t *testing.T) {
	got, err := appendParams(nil, map[string]any{"f": 2.0, "i": int64(2), "l": []any{1.0, 0.5}, "n": nil, "s": "é", "t": 1e21,
		"w": map[string]any{"z": math.Inf(-1), "a": []any{math.NaN(), math.Inf(1)}}})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"f":2.0,"i":2,"l":[1.0,0.5],"n":null,"s":"é","t":1e+21,"w":{"a":[NaN,Infinity],"z":-Infinity}}`; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if none, err := appendParams(nil, nil); err != nil || len(none) != 0 {
		t.Errorf("got %q, %v", none, err)
	}
}
