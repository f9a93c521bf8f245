package registry

import (
	"strconv"
	"strings"

	"sluice/tracking/mlflow"
)

// UnknownModel is RESOURCE_DOES_NOT_EXIST for a registered model.
func UnknownModel(name string) error {
	return mlflow.Missingf("Registered Model with name=%s not found", name)
}

// ModelExists is RESOURCE_ALREADY_EXISTS for the name of a registered model or prompt; the sentence says which is in whose way.
func ModelExists(name string, existingIsPrompt, newIsPrompt bool) error {
	if existingIsPrompt != newIsPrompt {
		return mlflow.Errorf(mlflow.ResourceAlreadyExists,
			"Tried to create a %s with name %s, but the name is already taken by a %s. MLflow does not allow creating a model and a prompt with the same name.",
			strings.ToLower(entity(newIsPrompt)), mlflow.Repr(name), strings.ToLower(entity(existingIsPrompt)))
	}
	return mlflow.Errorf(mlflow.ResourceAlreadyExists, "%s (name=%s) already exists.", entity(newIsPrompt), name)
}

// NameTaken is RESOURCE_ALREADY_EXISTS for the new name of a rename.
func NameTaken(name string) error {
	return mlflow.Errorf(mlflow.ResourceAlreadyExists, "Registered Model (name=%s) already exists.", name)
}

// UnknownVersion is RESOURCE_DOES_NOT_EXIST for a model version.
func UnknownVersion(name string, version int) error {
	return mlflow.Missingf("Model Version (name=%s, version=%d) not found", name, version)
}

// UnknownAlias is INVALID_PARAMETER_VALUE for an alias, as in MLflow.
func UnknownAlias(alias string) error {
	return mlflow.Invalidf("Registered model alias %s not found.", alias)
}

// Moved is RESOURCE_CONFLICT for a stage or alias, in words, that means another version than who wants to move it believes; the detail
// current_version has it, 0 if none.
func Moved(what string, from, now int) error {
	text := func(version int) string {
		if version == 0 {
			return "no version"
		}
		return "version " + strconv.Itoa(version)
	}
	return &mlflow.Error{
		Code: mlflow.ResourceConflict, Message: what + " means " + text(now) + " now, not " + text(from),
		Details: map[string]any{"current_version": now},
	}
}

func entity(prompt bool) string {
	if prompt {
		return "Prompt"
	}
	return "Registered Model"
}
