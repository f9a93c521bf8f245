package gateway

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"sluice/tracking/mlflow"
)

// namePattern is what an endpoint or arm may be called: it must travel in a URL and in a header without quoting.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.\-]*$`)

// unsafeInName is every run of characters that a default arm name replaces by "-".
var unsafeInName = regexp.MustCompile(`[^A-Za-z0-9_.\-]+`)

// DefaultEntityName is the arm's name where the caller gives none: "{model}-{version, stage or alias}", with other characters than
// letters, digits, "_", "." and "-" replaced by "-".
func DefaultEntityName(model string, s Selector) string {
	tail := strings.Trim(unsafeInName.ReplaceAllString(strings.TrimPrefix(s.String(), "@"), "-"), "-")
	head := strings.TrimRight(strings.TrimLeft(unsafeInName.ReplaceAllString(model, "-"), "-."), "-")
	if head == "" {
		head = "model"
	}
	tail = tail[:min(len(tail), MaxNameLength/2)]
	head = head[:min(len(head), MaxNameLength-1-len(tail))]
	return head + "-" + tail
}

// CheckName returns INVALID_PARAMETER_VALUE unless name may be an endpoint's; what names the field in the message.
func CheckName(what, name string) error {
	switch {
	case name == "":
		return mlflow.Invalidf("%s is missing", what)
	case utf8.RuneCountInString(name) > MaxNameLength:
		return mlflow.Invalidf("%s %q is longer than %d characters", what, clip(name, 60), MaxNameLength)
	case !namePattern.MatchString(name):
		return mlflow.Invalidf("%s %q may hold only letters, digits, '_', '-' and '.', and not begin with '-' or '.'", what, clip(name, 60))
	}
	return nil
}

// check applies the rules that need no registry: count, names, weights.
func (c Config) check() error {
	if len(c.ServedEntities) == 0 {
		return mlflow.Invalidf("the configuration has nothing to serve: served_entities is empty")
	}
	if len(c.ServedEntities) > MaxServedEntities {
		return mlflow.Invalidf("%d served_entities are more than %d", len(c.ServedEntities), MaxServedEntities)
	}
	seen := make(map[string]bool, len(c.ServedEntities))
	var sum Weight
	for i, e := range c.ServedEntities {
		if err := CheckName(fmt.Sprintf("served_entities[%d].name", i), e.Name); err != nil {
			return err
		}
		if seen[e.Name] {
			return mlflow.Invalidf("served_entities[%d].name %q appears twice", i, e.Name)
		}
		seen[e.Name] = true
		if e.Weight < 0 || e.Weight > FullWeight {
			return mlflow.Invalidf("the traffic_percentage of %q is not between 0 and 100", e.Name)
		}
		sum += e.Weight
	}
	if sum != FullWeight {
		return mlflow.Invalidf("the traffic percentages of traffic_config.routes sum to %s, not to 100", sum)
	}
	return c.checkSettings()
}

// checkSettings applies the rules of the parts beside the entities.
func (c Config) checkSettings() error {
	return firstOf(
		c.Sticky.check(),
		c.checkRules(),
		c.checkFallbacks(),
		c.checkShadows(),
		c.checkRateLimits(),
		c.GroundTruth.check(),
		c.checkRedaction(),
		c.checkRedactedCache(),
		c.checkRedactedTruth(),
		c.checkSampling(),
		c.checkCache(),
		c.Drift.check(),
	)
}

// firstOf returns the first error.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// checkAgainst applies the rules that need the registry: every version exists, and something serves. records are the endpoint's.
func (c Config) checkAgainst(reg *Registered, records []ArmRecord) error {
	var served Weight
	for i, e := range c.ServedEntities {
		if err := e.checkTarget(fmt.Sprintf("served_entities[%d]", i), reg); err != nil {
			return err
		}
		if Resolve(e, reg, findRecord(records, e.Name)).Version > 0 {
			served += e.Weight
		}
	}
	for i, r := range c.Rules {
		if r.Version == 0 {
			continue
		}
		pinned := ServedEntity{Model: r.Model, Target: Selector{Version: r.Version}}
		if err := pinned.checkTarget(fmt.Sprintf("rules[%d]", i), reg); err != nil {
			return err
		}
	}
	if served == 0 {
		return mlflow.Invalidf("%s: with this the configuration has nothing to serve", c.empties(reg, records))
	}
	return nil
}

func (e ServedEntity) checkTarget(path string, reg *Registered) error {
	model, ok := reg.Models[e.Model]
	if !ok {
		return mlflow.Missingf("%s.entity_name: registered model %q does not exist", path, clip(e.Model, 100))
	}
	switch {
	case e.Target.Version > 0:
		if !model.Has(e.Target.Version) {
			return mlflow.Missingf("%s.entity_version: registered model %q has no version %d", path, e.Model, e.Target.Version)
		}
	case e.Target.Alias != "":
		if model.lookup(e.Target) == 0 {
			return mlflow.Missingf("%s.entity_version: registered model %q has no alias %q", path, e.Model, e.Target.Alias)
		}
	case !mlflowStage(e.Target.Stage) && model.InStage(e.Target.Stage) == 0:
		return mlflow.Invalidf("%s.entity_version %q is neither a version number, nor a stage of registered model %q, nor @alias",
			path, e.Target.Stage, e.Model)
	}
	return nil
}

func mlflowStage(s string) bool { return s == Production || s == "Staging" || s == "Archived" }

// empties says, by its field's path, why each entity with traffic has no version.
func (c Config) empties(reg *Registered, records []ArmRecord) string {
	var out []string
	for i, e := range c.ServedEntities {
		if r := Resolve(e, reg, findRecord(records, e.Name)); r.Version == 0 && e.Weight > 0 {
			out = append(out, fmt.Sprintf("served_entities[%d].entity_version: %s", i, r.Reason))
		}
	}
	return strings.Join(out, "; ")
}

func findRecord(records []ArmRecord, arm string) *ArmRecord {
	for i := range records {
		if records[i].Arm == arm {
			return &records[i]
		}
	}
	return nil
}

func checkTags(tags []Tag) error {
	if len(tags) > MaxTags {
		return mlflow.Invalidf("%d tags are more than %d", len(tags), MaxTags)
	}
	seen := make(map[string]bool, len(tags))
	for i, t := range tags {
		switch {
		case t.Key == "":
			return mlflow.Invalidf("tags[%d].key is missing", i)
		case utf8.RuneCountInString(t.Key) > MaxTagKeyLength:
			return mlflow.Invalidf("tags[%d].key is longer than %d characters", i, MaxTagKeyLength)
		case utf8.RuneCountInString(t.Value) > MaxTagValueLength:
			return mlflow.Invalidf("tags[%d].value is longer than %d characters", i, MaxTagValueLength)
		case seen[t.Key]:
			return mlflow.Invalidf("tags[%d].key %q appears twice", i, clip(t.Key, 60))
		}
		seen[t.Key] = true
	}
	return nil
}
