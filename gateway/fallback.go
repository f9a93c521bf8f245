package gateway

import (
	"fmt"
	"slices"
	"time"

	"sluice/tracking/mlflow"
)

// Cause is why an arm does not answer itself.
type Cause string

// The causes of a fallback.
const (
	CauseBreaker  Cause = "breaker"  // the version failed too often and is left alone for a while
	CauseError    Cause = "error"    // the version failed, or is not loaded; bad input is the caller's and no cause
	CauseTimeout  Cause = "timeout"  // it did not answer in time
	CauseOverload Cause = "overload" // too many requests are waiting for it
)

// Causes are all of them.
var Causes = []Cause{CauseBreaker, CauseError, CauseTimeout, CauseOverload}

// Bounds on the fallbacks of an endpoint.
const (
	MaxFallbackAnswer  = 64 << 10 // bytes of a constant answer
	MaxFallbackTimeout = 24 * time.Hour
)

// Fallback says who answers in an arm's place: another arm, the version that it served before, or nobody, with a constant.
type Fallback struct {
	// From is the served entity; "" stands for every one that no other fallback names, the target itself aside.
	From string
	On   []Cause // at least one
	// Exactly one of these is set.
	Arm      string // a served entity
	Previous bool   // the version that From's stage or alias meant before the one of now, which is kept loaded for it
	Answer   string // the constant, a JSON object
	// InferAnswer is the constant of the Open Inference Protocol, {"outputs": […]}, beside Answer or alone: either protocol is answered by its own.
	InferAnswer string
	// Timeout is how long From gets before its time is up; 0 means the request's whole deadline, after which only a constant can answer.
	Timeout time.Duration
}

// Constant says whether nobody answers, but a constant.
func (f Fallback) Constant() bool { return f.Answer != "" || f.InferAnswer != "" }

// PreviousArm is the name of the arm that keeps the version which an arm served before.
func PreviousArm(arm string) string { return arm + "~previous" }

// KeepsPrevious says whether the version that the served entity served before is to be kept loaded.
func (c Config) KeepsPrevious(e ServedEntity) bool {
	f, ok := c.FallbackOf(e.Name)
	return ok && f.Previous && e.Target.Version == 0
}

// FallbackOf is the fallback of the served entity of the name.
func (c Config) FallbackOf(name string) (Fallback, bool) {
	for _, from := range []string{name, ""} {
		for _, f := range c.Fallbacks {
			if f.From == from && f.Arm != name {
				return f, true
			}
		}
	}
	return Fallback{}, false
}

func (c Config) checkFallbacks() error {
	if len(c.Fallbacks) > MaxServedEntities+1 {
		return mlflow.Invalidf("%d fallbacks are more than %d", len(c.Fallbacks), MaxServedEntities+1)
	}
	for i, f := range c.Fallbacks {
		path := fmt.Sprintf("fallback[%d]", i)
		if err := firstOf(f.check(path), c.checkFallbackArms(path, f)); err != nil {
			return err
		}
		if slices.ContainsFunc(c.Fallbacks[:i], func(o Fallback) bool { return o.From == f.From }) {
			return mlflow.Invalidf("%s.from %q has a fallback already", path, f.From)
		}
	}
	for i, f := range c.Fallbacks {
		if err := c.checkCycle(fmt.Sprintf("fallback[%d]", i), f); err != nil {
			return err
		}
	}
	return nil
}

func (f Fallback) check(path string) error {
	for i, cause := range f.On {
		if !slices.Contains(Causes, cause) {
			return mlflow.Invalidf("%s.on[%d] %q is not one of breaker, error, timeout, overload", path, i, clip(string(cause), 40))
		}
		if slices.Contains(f.On[:i], cause) {
			return mlflow.Invalidf("%s.on[%d] %q appears twice", path, i, cause)
		}
	}
	onTimeout := slices.Contains(f.On, CauseTimeout)
	switch {
	case len(f.On) == 0:
		return mlflow.Invalidf("%s.on is empty: it says when to fall back", path)
	case f.Timeout < 0 || f.Timeout > MaxFallbackTimeout:
		return mlflow.Invalidf("%s.timeout_ms is not between 1 and %d", path, MaxFallbackTimeout.Milliseconds())
	case f.Timeout > 0 && !onTimeout:
		return mlflow.Invalidf("%s.timeout_ms has no effect: on does not hold timeout", path)
	case onTimeout && f.Timeout == 0 && !f.Constant():
		return mlflow.Invalidf("%s.timeout_ms is missing: without it no time is left for another version when the time is up", path)
	case len(f.Answer) > MaxFallbackAnswer:
		return mlflow.Invalidf("%s.answer is longer than %d bytes", path, MaxFallbackAnswer)
	case len(f.InferAnswer) > MaxFallbackAnswer:
		return mlflow.Invalidf("%s.inference_answer is longer than %d bytes", path, MaxFallbackAnswer)
	}
	return nil
}

func (c Config) checkFallbackArms(path string, f Fallback) error {
	from, known := c.Entity(f.From)
	if f.From != "" && !known {
		return mlflow.Invalidf("%s.from %q is not among the served_entities", path, clip(f.From, 60))
	}
	if f.Arm != "" {
		if _, ok := c.Entity(f.Arm); !ok {
			return mlflow.Invalidf("%s.served_entity_name %q is not among the served_entities", path, clip(f.Arm, 60))
		}
	}
	if !f.Previous {
		return nil
	}
	moves := func(e ServedEntity) bool { return e.Target.Version == 0 }
	if known && !moves(from) || !known && !slices.ContainsFunc(c.ServedEntities, moves) {
		return mlflow.Invalidf("%s.previous_version has no meaning: the served entity names a version, which never changes", path)
	}
	return nil
}

// checkCycle follows the fallbacks from where f begins.
func (c Config) checkCycle(path string, f Fallback) error {
	name := f.Arm
	for range len(c.ServedEntities) {
		if name == "" {
			return nil
		}
		if name == f.From {
			return mlflow.Invalidf("%s.served_entity_name closes a circle: %q would fall back on itself", path, f.From)
		}
		next, _ := c.FallbackOf(name)
		name = next.Arm
	}
	if name != "" {
		return mlflow.Invalidf("%s.served_entity_name closes a circle: %q is reached again", path, name)
	}
	return nil
}
