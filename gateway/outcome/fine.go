package outcome

import (
	"math"
	"math/bits"
	"slices"
	"sync/atomic"
	"time"
)

// FineCount is the number of buckets of a Fine: eight for each doubling from 64 µs on, which tells latencies 12.5 % apart, and one below.
const FineCount = 1 + 8*21

// fineShift: 2^16 ns is 65.5 µs.
const fineShift = 16

// Fine counts latencies finely enough to compare quantiles of two arms. The zero value is empty; it is a plain value.
type Fine [FineCount]uint64

// fineOf returns the index of the bucket that d falls into; the last one takes everything from 137 s on.
func fineOf(d time.Duration) int {
	v := uint64(max(d, 0))
	octave := bits.Len64(v >> fineShift)
	if octave == 0 {
		return 0
	}
	sub := v >> (fineShift + octave - 4) & 7 // the three bits behind the leading one
	return min(1+8*(octave-1)+int(sub), FineCount-1)
}

// FineBound is the upper bound of the bucket: what it holds is below. The last bucket has none; its answer is where the next would begin.
func FineBound(i int) time.Duration {
	if i <= 0 {
		return 1 << fineShift
	}
	octave, sub := (i-1)/8, (i-1)%8
	return time.Duration(uint64(8+sub+1) << (fineShift + octave - 3))
}

// Count is the number of observations.
func (f *Fine) Count() (n uint64) {
	for _, v := range f {
		n += v
	}
	return n
}

// Add adds o to f.
func (f *Fine) Add(o *Fine) {
	for i, v := range o {
		f[i] += v
	}
}

// Quantile is the bound below which at least the share q of the observations lies; 0 when there is none.
func (f *Fine) Quantile(q float64) time.Duration {
	i := f.quantileBucket(q)
	if i < 0 {
		return 0
	}
	return FineBound(i)
}

func (f *Fine) quantileBucket(q float64) int {
	total := f.Count()
	if total == 0 {
		return -1
	}
	rank := q * float64(total)
	var below float64
	for i, v := range f {
		if below += float64(v); v > 0 && below >= rank {
			return i
		}
	}
	return FineCount - 1
}

// Above is the number of observations at or above the bound of the first bucket whose bound is not below d.
func (f *Fine) Above(d time.Duration) (n uint64) {
	for i, v := range f {
		if i > 0 && FineBound(i-1) >= d {
			n += v
		}
	}
	return n
}

// OutputCount is the number of buckets of Outputs: sixteen for each doubling of a number's size from 2^-24 to 2^24, for both signs, one for
// what is nearer to zero, one for NaN, and 64 that texts are hashed into.
const OutputCount = 2*outputSide + 1 + 1 + outputTexts

const (
	outputOctaves = 48
	outputSide    = 16 * outputOctaves
	outputTexts   = 64
	outputZero    = outputSide
	outputNaN     = 2*outputSide + 1
)

// Outputs counts predictions: the first value of the first row of each answer, so that what is counted is as independent as requests are.
// Buckets of numbers are in ascending order. The zero value is empty; it is a plain value.
type Outputs [OutputCount]uint64

// Count is the number of predictions.
func (o *Outputs) Count() (n uint64) {
	for _, v := range o {
		n += v
	}
	return n
}

// Add adds p to o.
func (o *Outputs) Add(p *Outputs) {
	for i, v := range p {
		o[i] += v
	}
}

func outputOf(x float64) int {
	if math.IsNaN(x) {
		return outputNaN
	}
	fraction, exponent := math.Frexp(math.Abs(x)) // 0.5 ≤ fraction < 1
	octave := exponent + outputOctaves/2 - 1
	if x == 0 || octave < 0 {
		return outputZero
	}
	step := outputSide - 1 // infinity too
	if octave < outputOctaves && !math.IsInf(x, 0) {
		step = 16*octave + int(fraction*32) - 16
	}
	if x < 0 {
		return outputZero - 1 - step
	}
	return outputZero + 1 + step
}

// fine is what a watched series counts besides.
type fine struct {
	latency [FineCount]atomic.Uint64
	outputs [OutputCount]atomic.Uint64
}

// Output counts a prediction, if the series is watched.
func (s *Series) Output(x float64) {
	if f := s.fine.Load(); f != nil {
		f.outputs[outputOf(x)].Add(1)
	}
}

// OutputText counts a prediction that is a text, if the series is watched.
func (s *Series) OutputText(text string) {
	f := s.fine.Load()
	if f == nil {
		return
	}
	hash := uint64(14695981039346656037) // FNV-1a
	for i := range len(text) {
		hash = (hash ^ uint64(text[i])) * 1099511628211
	}
	f.outputs[outputNaN+1+int(hash%outputTexts)].Add(1)
}

// Watched says whether the series counts finely: whether Output is worth calling.
func (s *Series) Watched() bool { return s.fine.Load() != nil }

// Watch makes the series of these endpoints count finely from now on, and those of all others no longer.
func (b *Book) Watch(endpoints []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watched = make(map[string]bool, len(endpoints))
	for _, e := range endpoints {
		b.watched[e] = true
	}
	for _, s := range *b.series.Load() {
		b.refine(s)
	}
}

// refine makes the series count finely, or not, as its endpoint is watched. The caller holds b.mu.
func (b *Book) refine(s *Series) {
	watched := b.watched[s.key.Endpoint]
	switch has := s.fine.Load() != nil; {
	case watched && !has:
		s.fine.Store(new(fine))
	case !watched && has:
		s.fine.Store(nil)
	}
}

// Observed is what a series of a watched endpoint held when it was read, of requests that were executed. Counts only rise while the endpoint
// is watched.
type Observed struct {
	Key
	Count   uint64
	Latency Fine
	Outputs Outputs
}

// Observe reads the series of an endpoint, sorted by key; those that are not watched (yet) have empty Latency and Outputs.
func (b *Book) Observe(endpoint string) []Observed {
	var out []Observed
	for k, s := range *b.series.Load() {
		if k.Endpoint != endpoint {
			continue
		}
		cached := s.cached() // first: what is counted as cached is in the snapshot then
		snapshot := s.Snapshot()
		o := Observed{Key: k, Count: snapshot.Count() - cached}
		if f := s.fine.Load(); f != nil {
			for i := range f.latency {
				o.Latency[i] = f.latency[i].Load()
			}
			for i := range f.outputs {
				o.Outputs[i] = f.outputs[i].Load()
			}
		}
		out = append(out, o)
	}
	slices.SortFunc(out, func(x, y Observed) int { return compareKeys(x.Key, y.Key) })
	return out
}
