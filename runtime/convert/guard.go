package convert

import (
	"fmt"
	"math"

	"sluice/runtime/servable"
	"sluice/runtime/tensor"
)

// guard says what a column, or a whole tensor, may hold.
type guard struct {
	NaN bool `json:"nan"`
	Inf bool `json:"inf"`
	// Unsigned says that the original refuses whole numbers below zero, which a graph may take for positions counted from the end.
	Unsigned bool `json:"unsigned,omitempty"`
}

type columnGuard struct {
	guard
	at   int
	name string
}

// firstBad looks at every step-th element from one on; false with the first that the column may not hold.
func (g *columnGuard) firstBad(t *tensor.Tensor, from, step int) (float64, bool) {
	switch t.Type {
	case tensor.Float64:
		return notFinite(g, tensor.Of[float64](t), from, step)
	case tensor.Float32:
		return notFinite(g, tensor.Of[float32](t), from, step)
	case tensor.Int64:
		return negative(g, tensor.Of[int64](t), from, step)
	case tensor.Int32:
		return negative(g, tensor.Of[int32](t), from, step)
	case tensor.Int16:
		return negative(g, tensor.Of[int16](t), from, step)
	case tensor.Int8:
		return negative(g, tensor.Of[int8](t), from, step)
	}
	return 0, true
}

func notFinite[F float32 | float64](g *columnGuard, values []F, from, step int) (float64, bool) {
	for i := from; i < len(values); i += step {
		if v := values[i]; v-v != 0 {
			if (v != v && !g.NaN) || (v == v && !g.Inf) {
				return float64(v), false
			}
		}
	}
	return 0, true
}

func negative[I int8 | int16 | int32 | int64](g *columnGuard, values []I, from, step int) (float64, bool) {
	if !g.Unsigned {
		return 0, true
	}
	for i := from; i < len(values); i += step {
		if values[i] < 0 {
			return float64(values[i]), false
		}
	}
	return 0, true
}

func (g *columnGuard) refuse(v float64) error {
	what := fmt.Sprint(v)
	switch {
	case math.IsNaN(v):
		what = "NaN"
	case math.IsInf(v, 0):
		what = "infinity"
	}
	where := fmt.Sprintf("column %d", g.at)
	if g.name != "" {
		where = fmt.Sprintf("column %q", g.name)
	}
	return fmt.Errorf("%w: %s contains %s, which the model does not take", servable.ErrBadInput, where, what)
}
