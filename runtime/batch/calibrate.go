package batch

import (
	"context"
	"fmt"
	"math"
	"time"

	"sluice/runtime/tensor"
)

// minGain is how much cheaper a row must be among thirty-two for joining to pay. A model whose run is short gains too: between the requests of
// many clients the processor forgets its code and its weights, and a run by itself then costs three times what it is measured to cost in a row of
// runs; joined rows find them there.
const minGain = 1.5

// Calibration is what Calibrate measured; durations are the fastest of some runs.
type Calibration struct {
	Join   bool          // joining pays
	Reason string        // why not, if not
	One    time.Duration // of a batch of 1 row
	Eight  time.Duration // of 8 rows
	Many   time.Duration // of 32 rows
}

// Calibrate measures p with the first row of sample, repeated, and params, and decides whether joining pays: a row of thirty-two
// must cost two thirds of one row or less, and the rows must be independent (joined rows answer what they answer alone). A row
// that costs over a tenth of budget is not measured further, and not joined: the measurement takes some budgets at most. Returns the
// Predictor's error if a single row fails; a joined batch that fails is an answer (no joining), not an error.
func Calibrate(ctx context.Context, p Predictor, sample *tensor.Batch, params map[string]any, budget time.Duration) (Calibration, error) {
	var c Calibration
	var one, out tensor.Batch
	p = &fixedParams{p, params}
	if err := one.CopyRows(sample, 0, min(1, max(sample.Rows, 0))); err != nil || one.Rows != 1 {
		c.Reason = "the sample has no row axis"
		return c, nil
	}
	took, err := briefest(ctx, p, &one, &out, budget/10)
	if err != nil {
		return c, err
	}
	if took > budget/10 {
		c.One, c.Reason = took, fmt.Sprintf("a row costs %v, too much to measure batches within %v", took, budget)
		return c, nil
	}
	if why := independent(ctx, p, sample); why != "" {
		c.Reason = why
		return c, nil
	}
	for _, m := range []struct {
		rows int
		dst  *time.Duration
	}{{1, &c.One}, {8, &c.Eight}, {32, &c.Many}} {
		in, err := repeated(&one, m.rows)
		if err != nil {
			return c, err
		}
		if *m.dst, err = fastest(ctx, p, in, &out, budget/3); err != nil {
			c.Reason = fmt.Sprintf("%d rows at once fail: %v", m.rows, err)
			return c, nil
		}
	}
	gain := float64(c.One) * 32 / float64(max(c.Many, 1))
	if c.Join = gain >= minGain; !c.Join {
		c.Reason = fmt.Sprintf("32 rows cost %v, one costs %v", c.Many, c.One)
	}
	return c, nil
}

// fixedParams is a Predictor that is always given the same parameters.
type fixedParams struct {
	Predictor
	params map[string]any
}

func (f *fixedParams) Predict(ctx context.Context, in *tensor.Batch, _ map[string]any, out *tensor.Batch) error {
	return f.Predictor.Predict(ctx, in, f.params, out)
}

func repeated(one *tensor.Batch, rows int) (*tensor.Batch, error) {
	in := new(tensor.Batch)
	in.CopyFrom(one)
	for range rows - 1 {
		if err := in.AppendRows(one); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// briefest is the time of the first run within limit, or the shortest of five: on a busy machine a run may stand still for long.
func briefest(ctx context.Context, p Predictor, in, out *tensor.Batch, limit time.Duration) (time.Duration, error) {
	best := time.Duration(math.MaxInt64)
	for range 5 {
		start := time.Now()
		if err := protect(p, ctx, in, nil, out); err != nil {
			return 0, err
		}
		if best = min(best, time.Since(start)); best <= limit || best > 20*limit {
			break
		}
	}
	return best, nil
}

// fastest is the shortest of up to 20 runs within budget, at least one.
func fastest(ctx context.Context, p Predictor, in, out *tensor.Batch, budget time.Duration) (time.Duration, error) {
	best := time.Duration(math.MaxInt64)
	start := time.Now()
	for range 20 {
		t := time.Now()
		if err := protect(p, ctx, in, nil, out); err != nil {
			return 0, err
		}
		best = min(best, time.Since(t))
		if time.Since(start) > budget {
			break
		}
	}
	return best, nil
}

// sampleRows is how many rows of a sample the independence of rows is tried with.
const sampleRows = 8

// independent checks that different rows answer together what they answer alone; the text says why not. The rows are the sample's, or its only one
// three times; floats are varied row by row, because equal rows would hide a model that mixes them.
func independent(ctx context.Context, p Predictor, sample *tensor.Batch) string {
	var one, together, alone, out tensor.Batch
	in, err := different(sample)
	if err != nil {
		return err.Error()
	}
	if err := protect(p, ctx, in, nil, &together); err != nil {
		return fmt.Sprintf("several rows at once fail: %v", err)
	}
	if together.Rows != in.Rows {
		return "the answer has not one row per row"
	}
	for i := range in.Rows {
		if err := one.CopyRows(in, i, i+1); err != nil {
			return err.Error()
		}
		if err := protect(p, ctx, &one, nil, &alone); err != nil {
			return fmt.Sprintf("a varied row fails: %v", err)
		}
		if err := out.CopyRows(&together, i, i+1); err != nil || !agree(&out, &alone) {
			return "rows are not independent of each other"
		}
	}
	return ""
}

// different is a batch of rows that differ as far as the sample allows.
func different(sample *tensor.Batch) (*tensor.Batch, error) {
	in := new(tensor.Batch)
	if err := in.CopyRows(sample, 0, min(sample.Rows, sampleRows)); err != nil {
		return nil, err
	}
	if in.Rows > 1 {
		vary(in)
		return in, nil
	}
	in, err := repeated(in, 3)
	if err == nil {
		vary(in)
	}
	return in, err
}

// vary makes the floats of row i a little different from those of the others; integers and text stay, they may be categories.
func vary(b *tensor.Batch) {
	for i := range b.Columns {
		t := &b.Columns[i].Tensor
		w := t.Width()
		if w == 0 {
			continue
		}
		for j, v := range tensor.Of[float32](t) {
			if t.Type == tensor.Float32 {
				tensor.Of[float32](t)[j] = v*(1+0.01*float32(j/w)) + 0.1*float32(j/w)
			}
		}
		for j, v := range tensor.Of[float64](t) {
			if t.Type == tensor.Float64 {
				tensor.Of[float64](t)[j] = v*(1+0.01*float64(j/w)) + 0.1*float64(j/w)
			}
		}
	}
}

// agree reports whether two batches hold the same values; floats may differ by what another order of additions makes.
func agree(a, b *tensor.Batch) bool {
	if a.Joinable(b) != nil || a.Rows != b.Rows {
		return false
	}
	for i := range a.Columns {
		x, y := &a.Columns[i].Tensor, &b.Columns[i].Tensor
		for j := range x.Len() {
			if x.Type.Text() {
				if x.Strings()[j] != y.Strings()[j] {
					return false
				}
				continue
			}
			u, v := x.At(j), y.At(j)
			if math.Abs(u-v) > 1e-3*max(1, math.Abs(u), math.Abs(v)) {
				return false
			}
		}
	}
	return true
}
