package route

import (
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Shadow gives an arm a copy of a share of the requests that other arms of its endpoint answer.
type Shadow struct {
	Arm   string // the arm's name; it may be missing among the endpoint's arms while its version is not ready
	Share int    // basis points, 0–10000

	arm  int // index into Endpoint.Arms; −1 while it is missing
	seed uint64
}

// Shadow returns the arm that gets a copy of the request by shadow i of its endpoint; nil if none does. The sticky key decides where the
// request has one, else chance; which arm answers has no part in it. Requests that name their version themselves are not copied.
func (d *Decision) Shadow(i int) *Arm {
	s := &d.Endpoint.Shadows[i]
	if s.arm < 0 || d.Arm == nil || d.Bucket < 0 && d.Rule == "" || mix(d.Draw^s.seed)%FullWeight >= uint64(s.Share) {
		return nil
	}
	if a := &d.Endpoint.Arms[s.arm]; a.Name != d.Arm.Name {
		return a
	}
	return nil
}

// compileShadows copies the shadows and finds their arms.
func (e *Endpoint) compileShadows() error {
	e.Shadows = slices.Clone(e.Shadows)
	for i := range e.Shadows {
		s := &e.Shadows[i]
		if s.Share < 0 || s.Share > FullWeight {
			return fmt.Errorf("shadow %q: share %d is not between 0 and %d basis points", s.Arm, s.Share, FullWeight)
		}
		s.arm = slices.IndexFunc(e.Arms, func(a Arm) bool { return a.Name == s.Arm })
		s.seed = xxhash.Sum64String(s.Arm + "\x00shadow")
	}
	return nil
}
