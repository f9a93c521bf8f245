package drift

import "math"

// Distance is the column of a comparison that is farthest from its baseline, or surest to be far from it.
type Distance struct {
	Column string `json:"column"`
	// Observed is the largest distance of the distribution functions (KS) of numbers, or difference of the shares of a text or of what is missing, 0–1.
	Observed float64 `json:"observed"`
	// AtLeast is what the distance of what the rows are drawn from is at least, with the probability 1 − alpha: see Distance.
	AtLeast float64 `json:"at_least"`
	PSI     float64 `json:"psi"` // of the column with the largest
}

// Distance says how far the columns moved, and how far at least, chance apart: the probability that AtLeast is ever more than the true distance of its
// column is at most alpha, over all columns, all lengths of all windows, however often it is asked. windows is which window of those that are looked at
// it is, from 1. Rows of one request count as one observation.
//
// With F the distribution, Fₙ that of n observations and Y = sup|Fₙ − F|: exp(λY) is a reverse submartingale in n, so that
// P(Y ≥ x for some n ≥ m) ≤ E[exp(λYₘ)]·exp(−λx), which the bound P(Yₘ > y) ≤ 2·exp(−2my²) (A. Dvoretzky, J. Kiefer, J. Wolfowitz 1956; P. Massart
// 1990) and λ = 4mx make at most (1 + 8x·√(πm/2))·exp(−2mx²). It is asked for m = 2ᵏ ≤ n < 2ᵏ⁺¹ with alpha/((k+1)(k+2)), of the window with
// alpha/(windows·(windows+1)), and of the baseline, whose n stays, by the bound itself. A share is a difference of two values of F, hence 2x; x does for
// those of the window that the baseline named, which are fixed before it begins.
// PSI is a sum of two relative entropies, at least 4 times the square of the distance (Pinsker).
func (r *Report) Distance(alpha float64, windows int) Distance {
	var out Distance
	alpha /= 2 * float64(max(len(r.Columns), 1)) // of each column: its values, and whether they are there
	later := alpha / 2 / (float64(windows) * float64(windows+1))
	for i := range r.Columns {
		c := &r.Columns[i]
		b, w := &c.Baseline, &c.Window
		observed, atLeast := c.KS, 0.0
		if len(b.Top)+len(w.Top) > 0 {
			observed = max(rarer(b, w), rarer(w, b))
			if b.Distinct < maxTexts/2 && w.Distinct < maxTexts/2 { // else the counts are not exact
				nb, nw := observations(b.Count, r.BaselineRecords), observations(w.Count, r.WindowRecords)
				band := 2 * fixed(nb, alpha/2)
				atLeast = max(rarer(b, w)-band-always(nw, later/2/topTexts), rarer(w, b)-band-2*always(nw, later/2))
			}
		} else {
			nb, nw := observations(b.Count-b.Missing, r.BaselineRecords), observations(w.Count-w.Missing, r.WindowRecords)
			atLeast = c.KS - fixed(nb, alpha/2) - always(nw, later)
		}
		missing := math.Abs(b.share(b.Missing) - w.share(w.Missing))
		missingAtLeast := missing - fixed(observations(b.Count, r.BaselineRecords), alpha/2) - always(observations(w.Count, r.WindowRecords), later)
		out.take(Distance{c.Name, max(observed, missing), max(atLeast, missingAtLeast, 0), c.PSI})
	}
	return out
}

// take keeps the surer of two columns, of two that say nothing sure the farther.
func (d *Distance) take(c Distance) {
	psi := max(d.PSI, c.PSI)
	if d.Column == "" || c.AtLeast > d.AtLeast || c.AtLeast == d.AtLeast && c.Observed > d.Observed {
		*d = c
	}
	d.PSI = psi
}

// observations are the independent ones among values of so many requests.
func observations(values, records uint64) float64 {
	if records > 0 {
		values = min(values, records)
	}
	return float64(values)
}

// fixed is what Y is below with the probability 1 − alpha, for one n.
func fixed(n, alpha float64) float64 {
	if n < 1 {
		return 1
	}
	return math.Sqrt(math.Log(2/alpha) / (2 * n))
}

// always is what Y is below with the probability 1 − alpha, for all n at once.
func always(n, alpha float64) float64 {
	if n < 1 {
		return 1
	}
	k := math.Floor(math.Log2(n))
	alpha /= (k + 1) * (k + 2)
	low, high := 0.5, 20.0 // of z = x·√m
	for range 60 {
		z := (low + high) / 2
		if math.Log1p(8*z*math.Sqrt(math.Pi/2))-2*z*z > math.Log(alpha) {
			low = z
		} else {
			high = z
		}
	}
	return high / math.Exp2(k/2)
}

// rarer is by how much a text that is frequent in s is rarer in o; of one that is not among the most frequent of o, the least that it can be.
func rarer(s, o *Summary) (most float64) {
	for _, f := range s.Top {
		most = max(most, s.share(f.Count)-o.share(o.atMost(f.Text)))
	}
	return most
}

func (s *Summary) share(n uint64) float64 { return float64(n) / float64(max(s.Count, 1)) }

// atMost is how often a text came at most.
func (s *Summary) atMost(text string) (n uint64) {
	for i, f := range s.Top {
		if f.Text == text {
			return f.Count
		}
		if i == topTexts-1 {
			n = f.Count // the last and least
		}
	}
	return n
}
