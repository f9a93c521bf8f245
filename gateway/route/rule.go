package route

import (
	"errors"
	"fmt"
	"slices"
)

// ErrForbidden: a rule matches the request, and its caller lacks the rule's permission.
var ErrForbidden = errors.New("permission denied")

// Rule sends the requests that it matches to one arm. The first of an endpoint's rules that matches decides.
type Rule struct {
	Name string
	When []Condition // all must hold
	// Arm is the name of the arm that answers; it may be missing among the endpoint's arms while its version is not ready.
	Arm string
	// Permission is what the caller must have besides; "" means nothing.
	Permission string

	arm int // index into Endpoint.Arms; −1 while it is missing
}

// Condition holds for requests that have one of the values in the place.
type Condition struct {
	Part   Part
	Values []string
}

// holds says whether the condition holds for the request.
func (c *Condition) holds(req Request) (bool, error) {
	v, err := req.Value(&c.Part)
	if v == "" || err != nil {
		return false, err
	}
	for i := range c.Values {
		if c.Values[i] == v {
			return true, nil
		}
	}
	return false, nil
}

// matches says whether every condition holds.
func (r *Rule) matches(req Request) (bool, error) {
	for i := range r.When {
		if ok, err := r.When[i].holds(req); !ok {
			return false, err
		}
	}
	return true, nil
}

// ruleFor returns the first rule that matches the request; nil if none does.
func (e *Endpoint) ruleFor(req Request) (*Rule, error) {
	for i := range e.Rules {
		ok, err := e.Rules[i].matches(req)
		if err != nil {
			return nil, err
		}
		if ok {
			return &e.Rules[i], nil
		}
	}
	return nil, nil
}

// byRule lets a rule that matches choose.
func (t *Table) byRule(e *Endpoint, r *Rule, req Request) (Decision, error) {
	d := Decision{Endpoint: e, Revision: t.revision, Bucket: -1, Rule: r.Name}
	if r.Permission != "" && !req.May(r.Permission) {
		return d, fmt.Errorf("%w: rule %q of endpoint %q needs the permission %q", ErrForbidden, r.Name, e.Name, r.Permission)
	}
	if r.arm < 0 {
		return d, fmt.Errorf("%w at endpoint %q: rule %q sends the request to %q, which is not ready", ErrNoArms, e.Name, r.Name, r.Arm)
	}
	d.Arm = &e.Arms[r.arm]
	return d, nil
}

// compileRules copies the rules and finds their arms.
func (e *Endpoint) compileRules() {
	e.Rules = slices.Clone(e.Rules)
	for i := range e.Rules {
		r := &e.Rules[i]
		r.When = slices.Clone(r.When)
		r.arm = slices.IndexFunc(e.Arms, func(a Arm) bool { return a.Name == r.Arm })
	}
}
