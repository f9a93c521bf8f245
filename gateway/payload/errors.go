package payload

import (
	"errors"
	"fmt"
	"strings"

	"sluice/tracking/mlflow"
)

// HTTP statuses that MLflow's table of codes lacks.
const (
	statusTooLarge    = 413
	statusUnsupported = 415
)

// badf is a body that cannot be read: BAD_REQUEST, as MLflow's scoring server answers.
func badf(format string, args ...any) error {
	return mlflow.Errorf(mlflow.BadRequest, "Invalid input. "+format, args...)
}

// schemaf is a body that can be read but does not fit the signature (source: mlflow/pyfunc/__init__.py, _validate_prediction_input).
func schemaf(format string, args ...any) error {
	return &mlflow.Error{
		Code:    mlflow.InvalidParameterValue,
		Message: "Failed to enforce the model's input schema: " + fmt.Sprintf(format, args...),
		Details: map[string]any{"error_class": "SCHEMA_ENFORCEMENT_FAILED"},
	}
}

func tooLargef(format string, args ...any) error {
	return &mlflow.Error{Code: mlflow.BadRequest, Status: statusTooLarge, Message: fmt.Sprintf(format, args...)}
}

func unsupportedf(format string, args ...any) error {
	return &mlflow.Error{Code: mlflow.BadRequest, Status: statusUnsupported, Message: fmt.Sprintf(format, args...)}
}

// convertError is a cell that cannot become its column's type. Row is 0-based. The value itself is not repeated: messages are logged.
func convertError(column string, row int, want, got string) error {
	return badf("Data is not compatible with model signature. Failed to convert column %s to type '%s': row %d holds %s.",
		quoteName(column), want, row, got)
}

// nestedError refuses a column of a nested type where a body of its form cannot hold it.
func nestedError(column, kind string) error {
	return mlflow.Errorf(mlflow.NotImplemented, "column %s has the nested type '%s', which this server takes in dataframe_split, dataframe_records and lists of objects only",
		quoteName(column), kind)
}

const maxNamesShown = 20

// quoteName shows a name that a client or a model chose, cut to a readable length.
func quoteName(s string) string {
	const limit = 120
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return fmt.Sprintf("%q", s)
}

// quoteNames shows a list of names, cut to the first few.
func quoteNames(names []string) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, n := range names {
		if i == maxNamesShown {
			fmt.Fprintf(&b, ", … %d more", len(names)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quoteName(n))
	}
	return b.String() + "]"
}

// asPayload returns err's *mlflow.Error as an error; nil if it has none.
func asPayload(err error) error {
	var e *mlflow.Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}
