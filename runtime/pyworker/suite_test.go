package pyworker_test

import (
	"testing"

	"sluice/runtime/backendtest"
	"sluice/runtime/pyworker"
	"sluice/runtime/servable"
)

func TestSuite(t *testing.T) {
	served := open(t, "sums", &pyworker.Options{Workers: 1})
	defer served.Close()
	backendtest.Run(t, backendtest.Case{
		Backend: func(testing.TB) servable.Backend { return shared{served} }, // a worker takes seconds to start
		Good:    table(t, column{"a", []float64{1, 2, 30}}, column{"b", []float64{4, 5.5, 6}}),
		Bad:     table(t, column{"only", []float64{1}}),
		Failing: table(t, column{"a", []float64{-1}}, column{"b", []float64{1}}),
	})
}

// shared is a backend that subtests use one after the other.
type shared struct{ *pyworker.Backend }

func (shared) Close() error { return nil }
