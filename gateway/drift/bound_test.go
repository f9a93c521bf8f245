package drift

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"sluice/gateway"
)

// source draws rows: numbers with a mean, a class with a share, a column that is missing in a share of the rows.
type source struct{ mean, share, missing float64 }

// piece draws requests of so many equal rows: the worst that a caller can do.
func (s source) piece(rnd *rand.Rand, requests, rows int) Piece {
	var p Piece
	for range requests {
		p.Records++
		number, wide, class, there := rnd.NormFloat64()+s.mean, rnd.ExpFloat64(), rnd.Float64() < s.share, rnd.Float64() >= s.missing
		text := fmt.Sprint("town ", rnd.IntN(20))
		for range rows {
			p.Rows++
			p.Column("x").AddNumber(number)
			p.Column("y").AddNumber(wide)
			p.Column("town").AddText(text)
			if class {
				p.Column(Prediction).AddText("red")
			} else {
				p.Column(Prediction).AddText("white")
			}
			if there {
				p.Column("z").AddNumber(1)
			} else {
				p.Column("z").Missing++
			}
		}
	}
	return p
}

// follow compares two sources as a rollout does, after every piece of four windows, and calls look.
func follow(t *testing.T, rnd *rand.Rand, baseline, now source, rows int, look func(d Distance)) {
	t.Helper()
	settings := gateway.Drift{BaselineRows: int64(600 * rows), MinRows: int64(50 * rows), Window: 1000}
	var st State
	add := func(seq int64, startMS int64, p Piece) {
		p.StartMS = startMS
		if _, err := st.Add(seq, []Piece{p}, settings); err != nil {
			t.Fatal(err)
		}
	}
	add(1, 0, baseline.piece(rnd, 600, rows))
	for window := 1; window <= 4; window++ {
		for i := range 12 {
			add(int64(100*window+i), int64(window)*1000, now.piece(rnd, 50, rows))
			if st.Report.WindowRows > 0 {
				look(st.Report.Distance(gateway.DefaultFalseRollback, window))
			}
		}
	}
}

// TestAtLeastIsNeverTooMuch: where nothing moved, nothing is sure to have, whenever it is asked; also if callers send the same row many times.
func TestAtLeastIsNeverTooMuch(t *testing.T) {
	t.Parallel()
	runs := 300
	if testing.Short() {
		runs = 50
	}
	rnd := rand.New(rand.NewPCG(11, 13))
	wrong := 0
	for i := range runs {
		s := source{0, 0.3, 0.2}
		bad := false
		follow(t, rnd, s, s, 1+i%2, func(d Distance) { bad = bad || d.AtLeast > 0 })
		if bad {
			wrong++
		}
	}
	t.Logf("%d of %d", wrong, runs)
	if 100*wrong >= runs {
		t.Errorf("in %d of %d runs something is said to have moved that did not", wrong, runs)
	}
}

// TestAtLeastFindsShifts: what moved is found, in the column that did.
func TestAtLeastFindsShifts(t *testing.T) {
	t.Parallel()
	before := source{0, 0.2, 0.1}
	for name, c := range map[string]struct {
		now    source
		column string
	}{
		"a feature by 1.5 standard deviations": {source{1.5, 0.2, 0.1}, "x"},
		"a class from 20 % to 80 %":            {source{0, 0.8, 0.1}, Prediction},
		"a column that is not filled any more": {source{0, 0.2, 0.7}, "z"},
	} {
		t.Run(name, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(17, 19))
			found := 0
			const runs = 20
			for range runs {
				var last Distance
				follow(t, rnd, before, c.now, 1, func(d Distance) { last = d })
				if last.Column == c.column && last.AtLeast > gateway.DefaultMaxKS {
					found++
				}
			}
			if found*100 < 95*runs {
				t.Errorf("found in %d of %d runs", found, runs)
			}
		})
	}
}

// TestTextsBeyondTheMostFrequent: what a summary does not tell is no difference.
func TestTextsBeyondTheMostFrequent(t *testing.T) {
	t.Parallel()
	top := func(counts ...uint64) *Summary {
		s := &Summary{Count: 1000}
		for i, n := range counts {
			s.Top = append(s.Top, Frequency{fmt.Sprint("t", i), n})
		}
		return s
	}
	other := top(60, 50, 50, 50, 50)
	other.Top[0].Text = "t9" // t0 may have been 50 times there
	for i, c := range []struct {
		a, b *Summary
		want float64
	}{
		{top(60, 50, 50, 50, 50), other, 0.01}, {top(600, 400), top(400, 600), 0.2}, {top(1000), top(), 1}, {top(), top(), 0},
	} {
		moved := func(a, b *Summary) float64 { return max(rarer(a, b), rarer(b, a)) }
		if got := moved(c.a, c.b); got < c.want-1e-9 || got > c.want+1e-9 {
			t.Errorf("%d: got %v, want %v", i, got, c.want)
		}
		if moved(c.a, c.b) != moved(c.b, c.a) {
			t.Errorf("%d: it depends on the side", i)
		}
	}
}
