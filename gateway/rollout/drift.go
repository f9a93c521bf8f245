package rollout

import (
	"math"

	"sluice/gateway"
	"sluice/gateway/outcome"
)

// addOutputs takes the predictions of the samples into the test.
func (t *Test) addOutputs(m gateway.AnalysisMetric, e *Evidence, canary, stable *Sample) {
	if t.Parts == nil {
		known := e.Stable.outputs()
		if known.Count() < driftSample {
			return
		}
		t.Parts = cut(known)
		t.PartE = make([]float64, 2*len(t.Parts))
	}
	canaryPast, stablePast := parted(e.Canary.outputs(), t.Parts), parted(e.Stable.outputs(), t.Parts)
	canaryNow, stableNow := parted(&canary.Outputs, t.Parts), parted(&stable.Outputs, t.Parts)
	for i := range t.Parts {
		t.PartE[2*i] += bet(canaryPast[i], stablePast[i], canaryNow[i], stableNow[i], m.Tolerance)
		t.PartE[2*i+1] += bet(canaryPast[i].others(), stablePast[i].others(), canaryNow[i].others(), stableNow[i].others(), m.Tolerance)
	}
	t.LogE = logMean(t.PartE)
}

// cut returns the last buckets of parts that each hold a tenth of the predictions or more; the last part ends with the last bucket.
func cut(o *outcome.Outputs) []int {
	var parts []int
	var inPart uint64
	total := o.Count()
	for i, n := range o {
		if inPart += n; 10*inPart >= total {
			parts = append(parts, i)
			inPart = 0
		}
	}
	if len(parts) == 0 || parts[len(parts)-1] < outcome.OutputCount-1 {
		parts = append(parts, outcome.OutputCount-1)
	}
	return parts
}

// parted counts the predictions of each part.
func parted(o *outcome.Outputs, parts []int) []Count {
	out := make([]Count, len(parts))
	total := o.Count()
	next := 0
	for i, last := range parts {
		out[i].N = total
		for ; next <= last && next < len(o); next++ {
			out[i].K += o[next]
		}
	}
	return out
}

// logMean is the logarithm of the mean of what the values are logarithms of.
func logMean(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	most := values[0]
	for _, v := range values {
		most = max(most, v)
	}
	var sum float64
	for _, v := range values {
		sum += math.Exp(v - most)
	}
	return most + math.Log(sum/float64(len(values)))
}

// shift is the largest difference of the two distributions in any part; 0 before the parts are fixed.
func (t *Test) shift(e *Evidence) float64 {
	if t.Parts == nil {
		return 0
	}
	var most float64
	canary, stable := parted(e.Canary.outputs(), t.Parts), parted(e.Stable.outputs(), t.Parts)
	for i := range t.Parts {
		most = max(most, math.Abs(canary[i].Share()-stable[i].Share()))
	}
	return most
}
