package gateway

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"sluice/tracking/mlflow"
)

// Bounds on the rules of an endpoint.
const (
	MaxRules           = 64
	MaxConditions      = 8    // of one rule
	MaxConditionValues = 64   // of one condition
	MaxConditionValue  = 1024 // bytes
)

// Rule sends the requests that it matches to one arm, or pins them to one version, before weights are looked at. The first rule that matches
// decides; a request that it matches and whose caller lacks its permission is refused.
type Rule struct {
	Name string      // unique in its endpoint
	When []Condition // all must hold; at least one
	// Arm is the served entity that answers; "" where a version is pinned.
	Arm string
	// Model and Version are the version that answers instead, which is kept loaded for it; "" and 0 where an arm is named.
	Model   string
	Version int
	// Permission is what the caller must have besides being let in: predict, read, write or manage; "" means nothing more. The default of a
	// pinned version is manage.
	Permission string
}

// Condition holds for requests that have one of the values in the place.
type Condition struct {
	Source Source // header, cookie or query
	Name   string
	Values []string // at least one
}

// Permissions are what a rule may ask for.
var Permissions = []string{"predict", "read", "write", "manage"}

// PinnedArm is the name of the arm that keeps a version which rules pin.
func PinnedArm(model string, version int) string {
	return DefaultEntityName(model, Selector{Version: version}) + "~pinned"
}

// RuleArm is the name of the arm that a rule of the configuration means: a served entity's, or that of a version kept for it.
func (c Config) RuleArm(r Rule) string {
	if r.Version == 0 {
		return r.Arm
	}
	for _, e := range c.ServedEntities {
		if e.Model == r.Model && e.Target.Version == r.Version {
			return e.Name
		}
	}
	return PinnedArm(r.Model, r.Version)
}

// pinned are the arms of versions that rules pin and that no served entity names, each once.
func (c Config) pinned() []ServedEntity {
	var out []ServedEntity
	for _, r := range c.Rules {
		name := c.RuleArm(r)
		if _, served := c.Entity(name); served || slices.ContainsFunc(out, func(e ServedEntity) bool { return e.Name == name }) {
			continue
		}
		out = append(out, ServedEntity{Name: name, Model: r.Model, Target: Selector{Version: r.Version}})
	}
	return out
}

func (c Config) checkRules() error {
	if len(c.Rules) > MaxRules {
		return mlflow.Invalidf("%d rules are more than %d", len(c.Rules), MaxRules)
	}
	for i, r := range c.Rules {
		path := fmt.Sprintf("rules[%d]", i)
		if err := firstOf(r.check(path), c.checkRuleArm(path, r)); err != nil {
			return err
		}
		for j, earlier := range c.Rules[:i] {
			if earlier.Name == r.Name {
				return mlflow.Invalidf("%s.name %q appears twice", path, r.Name)
			}
			if earlier.covers(r) {
				return mlflow.Invalidf("%s can never match: rules[%d] matches every request that it would", path, j)
			}
		}
	}
	return nil
}

func (r Rule) check(path string) error {
	if err := CheckName(path+".name", r.Name); err != nil {
		return err
	}
	switch {
	case len(r.When) == 0:
		return mlflow.Invalidf("%s.when is empty: a rule needs a condition", path)
	case len(r.When) > MaxConditions:
		return mlflow.Invalidf("%s.when has %d conditions, more than %d", path, len(r.When), MaxConditions)
	case r.Permission != "" && !slices.Contains(Permissions, r.Permission):
		return mlflow.Invalidf("%s.permission %q is not one of %s", path, clip(r.Permission, 40), strings.Join(Permissions, ", "))
	}
	for i, c := range r.When {
		at := fmt.Sprintf("%s.when[%d]", path, i)
		if err := c.check(at); err != nil {
			return err
		}
		for j, other := range r.When[:i] {
			if c.samePlace(other) && !slices.ContainsFunc(c.Values, func(v string) bool { return slices.Contains(other.Values, v) }) {
				return mlflow.Invalidf("%s can never match: %s.when[%d] asks for other values of the same %s", path, path, j, c.Source)
			}
		}
	}
	return nil
}

func (c Config) checkRuleArm(path string, r Rule) error {
	if r.Version > 0 && r.Model == "" {
		return mlflow.Invalidf("%s.entity_name is missing: the served entities are of several registered models", path)
	}
	if r.Version > 0 {
		return nil // whether it exists is the registry's to know
	}
	if _, ok := c.Entity(r.Arm); !ok {
		return mlflow.Invalidf("%s.served_entity_name %q is not among the served_entities", path, clip(r.Arm, 60))
	}
	return nil
}

func (c Condition) check(path string) error {
	if c.Source == "" {
		return mlflow.Invalidf("%s names neither a header, nor a cookie, nor a query parameter", path)
	}
	if err := checkSource(path, c.Source, c.Name); err != nil {
		return err
	}
	if len(c.Values) == 0 {
		return mlflow.Invalidf("%s can never match: it has neither equals nor a value in", path)
	}
	if len(c.Values) > MaxConditionValues {
		return mlflow.Invalidf("%s.in has %d values, more than %d", path, len(c.Values), MaxConditionValues)
	}
	for _, v := range c.Values {
		if v == "" {
			return mlflow.Invalidf("%s can never match an empty value: it counts as absent", path)
		}
		if len(v) > MaxConditionValue || !utf8.ValidString(v) {
			return mlflow.Invalidf("%s has a value of more than %d bytes, or one that is no text", path, MaxConditionValue)
		}
		if c.Source != FromQuery && (strings.ContainsAny(v, "\r\n\x00") || strings.TrimSpace(v) != v) {
			return mlflow.Invalidf("%s can never match: no %s holds line breaks, or begins or ends with a blank", path, c.Source)
		}
	}
	return nil
}

// samePlace says whether two conditions look at the same part of a request. Names of headers have no case.
func (c Condition) samePlace(o Condition) bool {
	return c.Source == o.Source && (c.Name == o.Name || c.Source == FromHeader && strings.EqualFold(c.Name, o.Name))
}

// covers says whether r matches every request that later does: each of its conditions is implied by one of later's.
func (r Rule) covers(later Rule) bool {
	for _, c := range r.When {
		implied := slices.ContainsFunc(later.When, func(l Condition) bool {
			return c.samePlace(l) && !slices.ContainsFunc(l.Values, func(v string) bool { return !slices.Contains(c.Values, v) })
		})
		if !implied {
			return false
		}
	}
	return true
}
