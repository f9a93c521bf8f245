package filter_test

import (
	"strings"
	"testing"

	"sluice/tracking/filter"
	"sluice/tracking/mlflow"
)

// The messages are those of MLflow 3.17.2's server.
func TestEqualities(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"trace.status = 'OK'":              "",
		"trace.tag.a.b = 'x'":              "",
		"trace.status like 'x'":            "Invalid comparator: 'like', only '=' operator is supported",
		"span.name NOT LIKE 'x'":           "Invalid comparator: 'NOT LIKE', only '=' operator is supported",
		"assessment.type RLIKE 'x'":        "Invalid comparator: 'RLIKE', only '=' operator is supported",
		"trace.status != 'x'":              "Invalid comparator: '!=', only '=' operator is supported",
		"trace.status IN ('x')":            "Expected one filter clause",
		"trace.status foo 'x'":             "Expected one filter clause",
		"trace.status NOT foo 'x'":         "Expected one filter clause",
		"trace.status IS NULL":             "Expected one filter clause",
		"trace.status = 'a' AND 'b' = 'c'": "Expected one filter clause",
	} {
		_, err := filter.ParseEquality(text)
		if want == "" && err != nil || want != "" && (mlflow.CodeOf(err) != mlflow.InvalidParameterValue || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
