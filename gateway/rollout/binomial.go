package rollout

import "math"

// Count is n trials of which k were hits.
type Count struct {
	N uint64 `json:"n"`
	K uint64 `json:"k"`
}

// Share is k/n; 0 without trials.
func (c Count) Share() float64 {
	if c.N == 0 {
		return 0
	}
	return float64(c.K) / float64(c.N)
}

func (c Count) plus(o Count) Count { return Count{c.N + o.N, c.K + o.K} }

// others counts what did not hit.
func (c Count) others() Count { return Count{c.N, c.N - c.K} }

// prior is the weight of the estimate's prior, for hits and for the others (Turner, Ly, Grünwald, section 4).
const prior = 0.18

func (c Count) estimate() float64 { return (float64(c.K) + prior) / (float64(c.N) + 2*prior) }

// bet is the logarithm of what a block multiplies the evidence by that the canary's share exceeds stable's by more than tolerance (the
// package comment's S). The pasts decide what is bet; they must not hold the block.
func bet(canaryPast, stablePast, canary, stable Count, tolerance float64) float64 {
	p, s := canaryPast.estimate(), stablePast.estimate()
	if p <= s+tolerance || canary.N == 0 || stable.N == 0 {
		return 0
	}
	s0 := nearest(p, s, float64(canary.N), float64(stable.N), tolerance)
	return gain(canary, p, s0+tolerance) + gain(stable, s, s0)
}

// nearest returns the s° at which n·KL(p‖s°+t) + m·KL(s‖s°) is least; p > s + t, so it lies between s and p − t, where the derivative rises.
func nearest(p, s, n, m, t float64) float64 {
	low, high := s, p-t
	for range 60 {
		x := (low + high) / 2
		slope := n*(x+t-p)/((x+t)*(1-x-t)) + m*(x-s)/(x*(1-x))
		if slope < 0 {
			low = x
		} else {
			high = x
		}
	}
	return (low + high) / 2
}

// betAgainst is bet for a share that is compared with a fixed bound.
func betAgainst(past, block Count, bound float64) float64 {
	p := past.estimate()
	if p <= bound || bound <= 0 {
		return 0
	}
	return gain(block, p, bound)
}

// gain is the log-likelihood ratio of the block at p against q.
func gain(c Count, p, q float64) float64 {
	return float64(c.K)*math.Log(p/q) + float64(c.N-c.K)*math.Log((1-p)/(1-q))
}

// upperBound is above the share that made the count, with the probability 1 − alpha for all counts of one sequence at once.
func upperBound(c Count, alpha float64) float64 {
	if c.N == 0 {
		return 1
	}
	n, k := float64(c.N), float64(c.K)
	a, _ := math.Lgamma(k + 1)
	b, _ := math.Lgamma(n - k + 1)
	ab, _ := math.Lgamma(n + 2)
	limit := a + b - ab + math.Log(alpha) // the bound is where the likelihood falls to this
	low, high := c.Share(), 1.0
	for range 60 {
		x := (low + high) / 2
		if k*math.Log(max(x, 1e-300))+(n-k)*math.Log1p(-x) > limit {
			low = x
		} else {
			high = x
		}
	}
	return high
}
