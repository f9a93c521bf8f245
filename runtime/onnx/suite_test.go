package onnx_test

import (
	"testing"

	"sluice/runtime/backendtest"
	"sluice/runtime/servable"
	"sluice/runtime/tensor"
)

func TestSuite(t *testing.T) {
	wine, _, _ := wineRows(t)
	one := batchOf(tensor.Table, "only", []float64{1})
	for _, tc := range []struct {
		model string
		c     backendtest.Case
	}{
		{"wine", backendtest.Case{Good: wine, Bad: one}},
		{"zipmap", backendtest.Case{Good: wine, Bad: one}},
		{"zipmap_text", backendtest.Case{Good: wine, Bad: one}},
		{"regression", backendtest.Case{Good: wine, Bad: one}},
		{"text", backendtest.Case{Good: batchOf(tensor.Table, "colour", []string{"red", "green", "blue"}, "size", []string{"s", "m", "l"}), Bad: one}},
		{"lookup", backendtest.Case{Good: batchOf(tensor.Table, "i", []int64{0, 3, 1}), Bad: one, Failing: batchOf(tensor.Table, "i", []int64{77})}},
		{"multi", backendtest.Case{Good: batchOf(tensor.Table, "a", []float64{1, 2, 3}, "b", []float64{4, 5, 6}), Bad: one}},
	} {
		t.Run(tc.model, func(t *testing.T) {
			tc.c.Backend = func(t testing.TB) servable.Backend { return loadUnowned(t, tc.model) }
			backendtest.Run(t, tc.c)
		})
	}
}
