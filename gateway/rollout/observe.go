package rollout

import (
	"net/http"

	"sluice/gateway"
	"sluice/gateway/outcome"
)

// observer turns the counters of an endpoint into blocks.
type observer struct {
	last  map[outcome.Key]outcome.Observed // nil before the first look
	truth [2]Count                         // of canary and stable, at the last look

	shadowed     Count // copies executed, and failed, at the last look
	shadowedOnce bool
}

// look returns what the two arms answered since the look before; the first look returns nothing, because what was counted before may belong
// to anybody. A counter that fell was reset: what it shows now is new.
func (o *observer) look(r *gateway.Rollout, now []outcome.Observed, truth func(version int) Count) Block {
	b := Block{Baking: baking(r)}
	first := o.last == nil
	next := make(map[outcome.Key]outcome.Observed, len(now))
	for i := range now {
		k := now[i].Key
		next[k] = now[i]
		s := b.sample(r, k)
		if s == nil || first {
			continue
		}
		before := o.last[k]
		if now[i].Count < before.Count {
			before.Count = 0
		}
		if now[i].Latency.Count() < before.Latency.Count() || now[i].Outputs.Count() < before.Outputs.Count() {
			before.Latency, before.Outputs = outcome.Fine{}, outcome.Outputs{}
		}
		s.count(k.Code, &now[i], &before)
	}
	o.last = next
	if truth == nil {
		return b
	}
	for i, version := range []int{r.Canary, r.Stable} {
		c := truth(version)
		s := []*Sample{&b.Canary, &b.Stable}[i]
		if !first && c.N >= o.truth[i].N && c.K >= o.truth[i].K {
			s.Truth = Count{c.N - o.truth[i].N, c.K - o.truth[i].K}
		}
		o.truth[i] = c
	}
	return b
}

// copies adds what the canary executed as a shadow since the look before. A copy that failed is an error, like a request's.
func (o *observer) copies(b *Block, r *gateway.Rollout, read func(endpoint, arm, model string, version int) (uint64, uint64)) {
	executed, failed := read(r.Endpoint, r.CanaryArm, r.Model, r.Canary)
	if executed < o.shadowed.N || failed < o.shadowed.K { // it was not routed for a while, and counts anew
		o.shadowed = Count{}
	}
	if o.shadowedOnce {
		b.Canary.Requests += executed - o.shadowed.N
		b.Canary.Errors += failed - o.shadowed.K
	}
	o.shadowed, o.shadowedOnce = Count{executed, failed}, true
}

// sample is where the series' requests are counted; nil if they belong to neither arm.
func (b *Block) sample(r *gateway.Rollout, k outcome.Key) *Sample {
	switch {
	case k.Model != r.Model:
		return nil
	case k.Arm == r.CanaryArm && k.Version == r.Canary:
		return &b.Canary
	case k.Arm == r.Arm && k.Version == r.Stable:
		return &b.Stable
	}
	return nil
}

// count adds what a series of the code holds beyond before.
func (s *Sample) count(code int, now, before *outcome.Observed) {
	n := now.Count - before.Count
	if code == http.StatusTooManyRequests {
		s.Shed += n
		return
	}
	s.Requests += n
	switch {
	case code >= http.StatusInternalServerError && code != http.StatusNotImplemented: // that is what a caller asks for that no version has here
		s.Errors += n
	case code >= http.StatusBadRequest:
		s.ClientErrors += n
	default:
		for i := range now.Latency {
			s.Latency[i] += now.Latency[i] - before.Latency[i]
		}
		for i := range now.Outputs {
			s.Outputs[i] += now.Outputs[i] - before.Outputs[i]
		}
	}
}
