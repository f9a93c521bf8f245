package route

import (
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// sampleSeed keeps who is logged apart from who gets which arm and which shadow a copy.
var sampleSeed = xxhash.Sum64String("sample")

// Sampled says whether the request belongs to the share that its endpoint logs. The sticky key decides where it chose the arm, else id, which the
// request has in common with its copies for shadows; which arm answers has no part in it, and a share that grows keeps whom it has.
func (d *Decision) Sampled(id string) bool {
	e := d.Endpoint
	if e.sampleBelow == 0 {
		return true
	}
	bits := d.Draw
	if !d.Keyed {
		bits = e.draw(id, 0)
	}
	return mix(bits^sampleSeed) < e.sampleBelow
}

// compileSampling turns the share into the bound on uniformly distributed bits.
func (e *Endpoint) compileSampling() error {
	switch f := e.SamplingFraction; {
	case f == 0 || f == 1:
		e.sampleBelow = 0
	case f > 0 && f < 1:
		e.sampleBelow = max(uint64(f*(1<<63)*2), 1)
	default:
		return fmt.Errorf("sampling fraction %v is not between 0 and 1", f)
	}
	return nil
}
