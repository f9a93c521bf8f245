package sqldb

import (
	"context"
	"database/sql"
	"errors"

	"github.com/mattn/go-sqlite3"

	"sluice/tracking/mlflow"
)

// IsUniqueViolation says whether err is a statement refused because its key exists.
func IsUniqueViolation(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && (e.ExtendedCode == sqlite3.ErrConstraintUnique || e.ExtendedCode == sqlite3.ErrConstraintPrimaryKey)
}

// IsForeignKeyViolation says whether err is a statement refused because the row it refers to does not exist.
func IsForeignKeyViolation(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && e.ExtendedCode == sqlite3.ErrConstraintForeignKey
}

// IsCheckViolation says whether err is a statement refused by a CHECK or NOT NULL constraint.
func IsCheckViolation(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && (e.ExtendedCode == sqlite3.ErrConstraintCheck || e.ExtendedCode == sqlite3.ErrConstraintNotNull)
}

// IsUnavailable says whether err is a database that cannot answer now: locked, full, unreadable or closed.
func IsUnavailable(err error) bool {
	if errors.Is(err, sql.ErrConnDone) || errors.Is(err, errClosed) {
		return true
	}
	var e sqlite3.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case sqlite3.ErrBusy, sqlite3.ErrLocked, sqlite3.ErrIoErr, sqlite3.ErrFull, sqlite3.ErrCantOpen, sqlite3.ErrReadonly:
		return true
	}
	return false
}

// Classify gives a database error its MLflow code: TEMPORARILY_UNAVAILABLE for a database that cannot answer now,
// DEADLINE_EXCEEDED and CANCELLED for the context's, else INTERNAL_ERROR. The client sees a plain sentence, the log the cause.
// nil and errors that carry a code already are returned as they are; sql.ErrNoRows is the store's own business and is, too.
func Classify(err error) error {
	var coded *mlflow.Error
	switch {
	case err == nil, errors.Is(err, sql.ErrNoRows), errors.As(err, &coded):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return &mlflow.Error{Code: mlflow.DeadlineExceeded, Message: "the database did not answer in time", Cause: err}
	case errors.Is(err, context.Canceled):
		return &mlflow.Error{Code: mlflow.Cancelled, Message: "the request was cancelled", Cause: err}
	case IsUnavailable(err):
		return &mlflow.Error{Code: mlflow.TemporarilyUnavailable, Message: "the database cannot answer now", Cause: err}
	}
	return &mlflow.Error{Code: mlflow.InternalError, Message: "the database refused the statement", Cause: err}
}
