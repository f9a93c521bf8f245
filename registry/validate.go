package registry

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"sluice/tracking/mlflow"
)

// checkModelName refuses names that MLflow refuses (source: _validate_model_name), and NUL, which no text of PostgreSQL holds.
func checkModelName(name string) error {
	if strings.TrimSpace(name) == "" {
		return mlflow.MissingValue("name")
	}
	if strings.ContainsRune(name, 0) {
		return checkText("name", name)
	}
	if strings.ContainsAny(name, "/:") {
		return mlflow.Invalidf("Invalid model name '%s'. Names cannot contain '/' or ':'.", name)
	}
	if !mlflow.IsPlainPath(name) {
		return mlflow.InvalidValue("name", name, fmt.Sprintf("Names may be treated as files in certain cases, and must not resolve to "+
			"other names when treated as such. This name would resolve to %s", mlflow.Repr(path.Clean(name))))
	}
	return nil
}

// checkFreshName is checkModelName for a name that nobody has yet: what a database has from MLflow may be used on, see checkText.
func checkFreshName(name string) error {
	if err := checkModelName(name); err != nil {
		return err
	}
	return checkText("name", name)
}

// checkNewName is checkFreshName for the new name of a rename.
func checkNewName(name string) error {
	if strings.TrimSpace(name) == "" {
		return mlflow.MissingValue("new_name")
	}
	return checkFreshName(name)
}

// checkText refuses control characters and backslashes, which MLflow lets through: a registered model's name stands in URIs,
// headers and folder names.
func checkText(param, s string) error {
	if strings.ContainsRune(s, '\\') || strings.ContainsFunc(s, unicode.IsControl) {
		return mlflow.InvalidValue(param, s, "Names must not contain backslashes or control characters")
	}
	return nil
}

// ParseVersion reads a version number as MLflow does: a decimal integer. Returns INVALID_PARAMETER_VALUE for anything else.
func ParseVersion(text string) (int, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
	if err != nil {
		return 0, mlflow.Invalidf("Parameter 'version' must be an integer, got '%s'.", text)
	}
	return int(n), nil
}

// Alias names (source: mlflow/utils/validation.py, MLflow 3.17; \w there is Unicode).
var (
	aliasPattern        = regexp.MustCompile(`^[\p{L}\p{N}_\-]*$`)
	versionAliasPattern = regexp.MustCompile(`^[vV]\p{Nd}+$`)
)

// LatestAlias is the alias that always names the highest version, in any letter case; it cannot be set.
const LatestAlias = "latest"

func checkAlias(alias string) error {
	if alias == "" {
		return mlflow.Invalidf("Registered model alias name cannot be empty.")
	}
	if !aliasPattern.MatchString(alias) {
		return mlflow.Invalidf("Invalid alias name: '%s'. Names may only contain alphanumerics, underscores (_), and dashes (-).", alias)
	}
	return mlflow.CheckLength("Registered model alias name", alias, mlflow.MaxAliasLength)
}

// checkFreeAlias is checkAlias for an alias to be set: not one that has a meaning of its own.
func checkFreeAlias(alias string) error {
	if err := checkAlias(alias); err != nil {
		return err
	}
	if strings.EqualFold(alias, LatestAlias) {
		return mlflow.Invalidf("'latest' alias name (case insensitive) is reserved.")
	}
	if versionAliasPattern.MatchString(alias) {
		return mlflow.Invalidf("Version alias name '%s' is reserved.", alias)
	}
	return nil
}

// promptTextTag carries the text of a prompt's version.
const promptTextTag = "mlflow.prompt.text"

func checkTag(t Tag) error {
	if err := mlflow.CheckName("key", t.Key); err != nil {
		return err
	}
	if err := mlflow.CheckLength("key", t.Key, mlflow.MaxKeyLength); err != nil {
		return err
	}
	return mlflow.CheckLength("value", t.Value, mlflow.MaxModelRegistryTagValue)
}

func checkVersionTag(t Tag) error {
	err := checkTag(t)
	if t.Key == promptTextTag && mlflow.CheckLength("value", t.Value, mlflow.MaxModelRegistryTagValue) != nil {
		return mlflow.Invalidf("Prompt text exceeds max length of %d characters.", mlflow.MaxModelRegistryTagValue)
	}
	return err
}

// checkTags checks every tag and returns them sorted by key, the later of two with one key.
func checkTags(tags []Tag, check func(Tag) error) ([]Tag, error) {
	byKey := map[string]string{}
	for _, t := range tags {
		if err := check(t); err != nil {
			return nil, err
		}
		byKey[t.Key] = t.Value
	}
	out := make([]Tag, 0, len(byKey))
	for k, v := range byKey {
		out = append(out, Tag{k, v})
	}
	slices.SortFunc(out, func(a, b Tag) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}
