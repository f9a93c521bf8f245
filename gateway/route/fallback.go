package route

import (
	"slices"
	"time"

	"sluice/runtime/tensor"
)

// Causes are reasons why an arm does not answer itself, as a set of bits.
type Causes uint8

const (
	Breaker  Causes = 1 << iota // its breaker is open
	Failure                     // it failed, or is not loaded
	Timeout                     // it did not answer in time
	Overload                    // too many requests wait for it
)

// String names a single cause.
func (c Causes) String() string {
	switch c {
	case Breaker:
		return "breaker"
	case Failure:
		return "error"
	case Timeout:
		return "timeout"
	case Overload:
		return "overload"
	}
	return "several"
}

// Fallback says who answers in an arm's place.
type Fallback struct {
	// From is the arm's name; "" stands for requests that find no arm at all.
	From string
	// Instead names the arm that answers; "" where Answer or Infer do. It may be missing among the endpoint's arms: then its own fallback counts.
	Instead string
	Answer  string        // a JSON object; "" where requests of MLflow's protocol get none
	Infer   *tensor.Batch // the outputs for requests of the Open Inference Protocol; nil where those get none
	On      Causes
	// Timeout is how long the arm gets; 0 means the request's deadline.
	Timeout time.Duration
}

// Next is what follows when an arm does not answer.
type Next struct {
	On      Causes
	Timeout time.Duration
	Arm     *Arm          // nil: a constant
	Answer  []byte        // of the table: read only
	Infer   *tensor.Batch // of the table: read only
}

// Fallback is what follows when the arm does not answer for a cause in its On; nil if nothing does.
func (a *Arm) Fallback() *Next { return a.next }

// Fallback is what follows when no arm is there to answer; nil if nothing does.
func (e *Endpoint) Fallback() *Next { return e.next }

// compileFallbacks finds what follows each arm.
func (e *Endpoint) compileFallbacks() {
	e.Fallbacks = slices.Clone(e.Fallbacks)
	if len(e.Fallbacks) == 0 {
		return
	}
	for i := range e.Arms {
		e.Arms[i].next = e.follow(e.Arms[i].Name)
	}
	e.next = e.follow("")
}

// follow finds what follows the arm of the name. A target that is not ready is passed over for its own fallback; the number of steps is
// bounded, should there be a circle.
func (e *Endpoint) follow(name string) *Next {
	f := e.fallbackOf(name)
	if f == nil {
		return nil
	}
	next := &Next{On: f.On, Timeout: f.Timeout}
	for range len(e.Fallbacks) {
		if f == nil {
			return nil
		}
		if f.Instead == "" {
			next.Answer, next.Infer = []byte(f.Answer), f.Infer
			return next
		}
		if i := slices.IndexFunc(e.Arms, func(a Arm) bool { return a.Name == f.Instead }); i >= 0 {
			next.Arm = &e.Arms[i]
			return next
		}
		f = e.fallbackOf(f.Instead)
	}
	return nil
}

// fallbackOf returns the fallback of the arm of the name.
func (e *Endpoint) fallbackOf(name string) *Fallback {
	if i := slices.IndexFunc(e.Fallbacks, func(f Fallback) bool { return f.From == name }); i >= 0 {
		return &e.Fallbacks[i]
	}
	return nil
}
