package onnx

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// parseModel meets files that anybody may have made: it must refuse or accept them, and what it operates on must parse again.
func FuzzParseModel(f *testing.F) {
	files, err := filepath.Glob("testdata/*/model.onnx")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		m, err := parseModel(data)
		if err != nil {
			if !errors.Is(err, ErrNotONNX) {
				t.Errorf("got %v", err)
			}
			return
		}
		raw, outs := m.operate()
		if len(outs) != len(m.outputs) {
			t.Errorf("%d outputs became %d", len(m.outputs), len(outs))
		}
		again, err := parseModel(raw)
		if err != nil {
			t.Fatalf("the operated model does not parse: %v", err)
		}
		if len(again.inputs) != len(m.inputs) || len(again.outputs) != len(m.outputs) {
			t.Errorf("the operation changed the model's inputs or number of outputs")
		}
	})
}

func TestZipMapIsStripped(t *testing.T) {
	for name, keys := range map[string]int{"zipmap": 3, "zipmap_text": 3, "wine": 0} {
		data, err := os.ReadFile(filepath.Join("testdata", name, "model.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		m, err := parseModel(data)
		if err != nil {
			t.Fatal(err)
		}
		_, outs := m.operate()
		if len(outs[1].keys) != keys || outs[1].maps {
			t.Errorf("%s: %+v", name, outs[1])
		}
	}
}
