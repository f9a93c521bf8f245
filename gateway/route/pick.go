package route

import (
	"fmt"
	"sort"

	"github.com/cespare/xxhash/v2"
)

// Pick chooses the arm of one request. endpoint "" means the table's default. stickyKey "" means no key: rnd, a uniformly random
// number, chooses instead (it is not read otherwise). Pick keeps neither string.
//
// Errors: ErrUnknownEndpoint, ErrNoEndpointNamed, and ErrNoArms, with which the decision still names the endpoint.
func (t *Table) Pick(endpoint, stickyKey string, rnd uint64) (Decision, error) {
	e, err := t.find(endpoint)
	if err != nil {
		return Decision{}, err
	}
	return t.byWeight(e, stickyKey, rnd)
}

func (e *Endpoint) noArms() error {
	if e.Reason == "" {
		return fmt.Errorf("%w at endpoint %q", ErrNoArms, e.Name)
	}
	return fmt.Errorf("%w at endpoint %q: %s", ErrNoArms, e.Name, e.Reason)
}

// draw are the bits that decide for a request: those of its sticky key, else the random ones.
func (e *Endpoint) draw(key string, rnd uint64) uint64 {
	if key == "" {
		return rnd
	}
	return mix(e.seed ^ xxhash.Sum64String(key))
}

// arm returns the index of the arm that owns the bucket.
func (e *Endpoint) arm(bucket uint32) int {
	for _, s := range e.spans {
		if bucket < s.end {
			return s.arm
		}
	}
	return e.spans[len(e.spans)-1].arm // not reached: the last span ends at FullWeight
}

// seed hashes what is the same for every key of an endpoint. The separator keeps ("a", "bc") and ("ab", "c") apart.
func seed(salt, endpoint string) uint64 {
	return xxhash.Sum64String(salt + "\x00" + endpoint)
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood 2014): every input bit changes every output bit with probability one half.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// layout shares the buckets among the arms as the package comment draws it; nil when every weight is 0.
func layout(arms []Arm) []span {
	canaries := make([]int, 0, len(arms))
	total := 0
	for i := range arms {
		total += arms[i].Weight
		if i > 0 {
			canaries = append(canaries, i)
		}
	}
	if total == 0 {
		return nil
	}
	sort.Slice(canaries, func(i, j int) bool { return arms[canaries[i]].Name < arms[canaries[j]].Name })

	var left, right []int // from the two ends towards the middle
	for n, i := range canaries {
		if n%2 == 0 {
			right = append(right, i)
		} else {
			left = append(left, i)
		}
	}
	order := append(left, 0)
	for n := len(right) - 1; n >= 0; n-- {
		order = append(order, right[n])
	}
	var spans []span
	var end uint32
	for _, i := range order {
		if w := arms[i].Weight; w > 0 {
			end += uint32(w)
			spans = append(spans, span{end: end, arm: i})
		}
	}
	return spans
}
