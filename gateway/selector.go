package gateway

import (
	"strconv"
	"strings"

	"sluice/tracking/mlflow"
)

// Production is the stage that makes a registered model an endpoint.
const Production = "Production"

// Selector says which version of a registered model an arm means. Exactly one field is set.
type Selector struct {
	Version int    // a version number, ≥ 1
	Stage   string // a stage: the highest version number in it
	Alias   string // an alias, without "@"
}

// ParseSelector reads what stands in entity_version: a version number, a stage name (MLflow's own in any letter case) or @alias.
// Returns INVALID_PARAMETER_VALUE for an empty text, for the stage None, and for a number that is not a version.
func ParseSelector(s string) (Selector, error) {
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		return Selector{}, mlflow.Invalidf("entity_version is empty: give a version number, a stage or @alias")
	case digits(s) || s[0] == '-' || s[0] == '+':
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || s[0] == '+' || n > 1<<31-1 {
			return Selector{}, mlflow.Invalidf("entity_version %q is not a version number: versions are whole numbers from 1", clip(s, 40))
		}
		return Selector{Version: n}, nil
	case s[0] == '@':
		return aliasSelector(s[1:])
	}
	return StageSelector(s)
}

func aliasSelector(alias string) (Selector, error) {
	if alias == "" || len(alias) > mlflow.MaxAliasLength {
		return Selector{}, mlflow.Invalidf("entity_version %q names no alias", clip("@"+alias, 40))
	}
	return Selector{Alias: alias}, nil
}

// StageSelector selects a stage; MLflow's own stages are accepted in any letter case.
// Returns INVALID_PARAMETER_VALUE for the stage None, in which every new version begins: serving it would promote by registering.
func StageSelector(stage string) (Selector, error) {
	for _, known := range []string{Production, "Staging", "Archived"} {
		if strings.EqualFold(stage, known) {
			return Selector{Stage: known}, nil
		}
	}
	if strings.EqualFold(stage, "none") {
		return Selector{}, mlflow.Invalidf("the stage None cannot be served: every new version begins there; name a version number or @alias")
	}
	if stage == "" || len(stage) > MaxNameLength {
		return Selector{}, mlflow.Invalidf("stage %q is not a stage name", clip(stage, 40))
	}
	return Selector{Stage: stage}, nil
}

// String is the text that ParseSelector reads.
func (s Selector) String() string {
	switch {
	case s.Alias != "":
		return "@" + s.Alias
	case s.Stage != "":
		return s.Stage
	}
	return strconv.Itoa(s.Version)
}

// Words names the selector in a sentence: `stage Production`, `alias "x"`, `version 3`.
func (s Selector) Words() string {
	switch {
	case s.Alias != "":
		return "alias " + strconv.Quote(s.Alias)
	case s.Stage != "":
		return "stage " + s.Stage
	}
	return "version " + strconv.Itoa(s.Version)
}
