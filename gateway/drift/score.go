package drift

import "math"

// parts is how a baseline is divided for PSI.
const (
	numberParts = 10
	textParts   = 20 // and one for the other texts
)

// Score is how far a window's column is from the baseline's.
type Score struct {
	PSI float64
	KS  float64 // 0 for texts
}

// Compare scores a window against a baseline; both hold values.
func Compare(baseline, window *Sketch) Score {
	if baseline.Textual() {
		return Score{PSI: psi(textCounts(baseline, window))}
	}
	b, w := baseline.bins(), window.bins()
	return Score{PSI: psi(numberCounts(baseline, b, w, window)), KS: ks(b, w)}
}

// psi is the population stability index of two histograms over the same parts.
func psi(baseline, window []float64) float64 {
	var b, w, parts float64
	for i := range baseline {
		if baseline[i]+window[i] > 0 { // a part that is empty on both sides is none
			b, w, parts = b+baseline[i], w+window[i], parts+1
		}
	}
	const half = 0.5
	extra := half * parts
	var sum float64
	for i := range baseline {
		if baseline[i]+window[i] == 0 {
			continue
		}
		p, q := (baseline[i]+half)/(b+extra), (window[i]+half)/(w+extra)
		sum += (q - p) * math.Log(q/p)
	}
	return sum
}

// numberCounts counts both by the tenths of the baseline; the last part is what is no number.
func numberCounts(baseline *Sketch, b, w []bin, window *Sketch) (p, q []float64) {
	var edges []float64 // upper bounds of all parts but the last
	for i := 1; i < numberParts; i++ {
		edge := baseline.Quantile(float64(i) / numberParts)
		if n := len(edges); n == 0 || edge > edges[n-1] {
			edges = append(edges, edge)
		}
	}
	divided := func(bins []bin, s *Sketch) []float64 {
		out := make([]float64, len(edges)+2)
		part := 0
		for _, x := range bins {
			for part < len(edges) && x.value > edges[part] {
				part++
			}
			out[part] += x.count
		}
		out[len(out)-1] = float64(s.Missing + s.Texts())
		return out
	}
	return divided(b, baseline), divided(w, window)
}

// textCounts counts both by the baseline's most frequent texts; the last parts are the other texts, and what is no text.
func textCounts(baseline, window *Sketch) (p, q []float64) {
	top := baseline.texts.parts(textParts)
	counted := func(s *Sketch) []float64 {
		out := make([]float64, len(top)+2)
		others := float64(s.Texts())
		for i, text := range top {
			out[i] = s.texts[text].middle()
			others -= out[i]
		}
		out[len(top)], out[len(top)+1] = others, float64(s.Missing+s.Numbers())
		return out
	}
	return counted(baseline), counted(window)
}

// ks is the largest distance of the distribution functions of two samples, whose bins are ascending and of the same sketch.
func ks(b, w []bin) float64 {
	nb, nw := total(b), total(w)
	if nb == 0 || nw == 0 {
		return 0
	}
	var i, j int
	var fb, fw, most float64
	for i < len(b) && j < len(w) {
		x := math.Min(b[i].value, w[j].value)
		for ; i < len(b) && b[i].value <= x; i++ {
			fb += b[i].count
		}
		for ; j < len(w) && w[j].value <= x; j++ {
			fw += w[j].count
		}
		most = max(most, math.Abs(fb/nb-fw/nw))
	}
	return most
}

func total(bins []bin) (n float64) {
	for _, x := range bins {
		n += x.count
	}
	return n
}
