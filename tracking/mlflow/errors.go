// Package mlflow holds MLflow's vocabulary: error codes, the table from code to HTTP status, and the limits on names and values.
//
// It owns the words that every room shares with MLflow's clients. Everybody may call it; it must not know stores, HTTP engines
// or any other package of this repository: it stands on the standard library only. Everything here is immutable and safe for
// concurrent use.
package mlflow

import (
	"errors"
	"fmt"
	"strings"
)

// Code is an MLflow error code as it stands in the "error_code" field of an answer.
type Code string

// The codes that MLflow's clients know (source: mlflow/protos/databricks.proto, MLflow 3.17).
const (
	BadRequest             Code = "BAD_REQUEST"
	InvalidParameterValue  Code = "INVALID_PARAMETER_VALUE"
	ResourceAlreadyExists  Code = "RESOURCE_ALREADY_EXISTS"
	Unauthenticated        Code = "UNAUTHENTICATED"
	CustomerUnauthorized   Code = "CUSTOMER_UNAUTHORIZED"
	PermissionDenied       Code = "PERMISSION_DENIED"
	NotFound               Code = "NOT_FOUND"
	EndpointNotFound       Code = "ENDPOINT_NOT_FOUND"
	ResourceDoesNotExist   Code = "RESOURCE_DOES_NOT_EXIST"
	Aborted                Code = "ABORTED"
	ResourceConflict       Code = "RESOURCE_CONFLICT"
	AlreadyExists          Code = "ALREADY_EXISTS"
	ResourceExhausted      Code = "RESOURCE_EXHAUSTED"
	RequestLimitExceeded   Code = "REQUEST_LIMIT_EXCEEDED"
	Cancelled              Code = "CANCELLED"
	InternalError          Code = "INTERNAL_ERROR"
	InvalidState           Code = "INVALID_STATE"
	DataLoss               Code = "DATA_LOSS"
	NotImplemented         Code = "NOT_IMPLEMENTED"
	TemporarilyUnavailable Code = "TEMPORARILY_UNAVAILABLE"
	DeadlineExceeded       Code = "DEADLINE_EXCEEDED"
)

// statusByCode is the one table from code to HTTP status (source: mlflow/exceptions.py, ERROR_CODE_TO_HTTP_STATUS, MLflow 3.17).
var statusByCode = map[Code]int{
	BadRequest: 400, InvalidParameterValue: 400, ResourceAlreadyExists: 400,
	Unauthenticated: 401, CustomerUnauthorized: 401,
	PermissionDenied: 403,
	NotFound:         404, EndpointNotFound: 404, ResourceDoesNotExist: 404,
	Aborted: 409, ResourceConflict: 409, AlreadyExists: 409,
	ResourceExhausted: 429, RequestLimitExceeded: 429,
	Cancelled:     499,
	InternalError: 500, InvalidState: 500, DataLoss: 500,
	NotImplemented: 501, TemporarilyUnavailable: 503, DeadlineExceeded: 504,
}

// HTTPStatus returns the HTTP status of the code; a code without an entry is 500, as in MLflow.
func (c Code) HTTPStatus() int {
	if s, ok := statusByCode[c]; ok {
		return s
	}
	return 500
}

// Error is an error that a client may see: a code and a sentence. Cause is for the log only.
type Error struct {
	Code    Code
	Message string
	// Status overrides the code's HTTP status; 0 means the table's. Used for 413 and 415, which MLflow's table lacks.
	Status int
	// Details are further top-level fields of the JSON answer (for example the current config_version of a conflict); may be nil.
	Details map[string]any
	// Cause goes to the log, never to the client; may be nil.
	Cause error
}

func (e *Error) Error() string {
	if e.Cause != nil && !strings.Contains(e.Message, e.Cause.Error()) {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Cause)
	}
	return string(e.Code) + ": " + e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// HTTPStatus returns Status if it is set, else the code's status.
func (e *Error) HTTPStatus() int {
	if e.Status != 0 {
		return e.Status
	}
	return e.Code.HTTPStatus()
}

// Errorf makes an error that the client sees as code and formatted message. An argument for %w becomes the cause.
func Errorf(code Code, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Cause: errors.Unwrap(err)}
}

// Invalidf is Errorf(InvalidParameterValue, …).
func Invalidf(format string, args ...any) error {
	return &Error{Code: InvalidParameterValue, Message: fmt.Sprintf(format, args...)}
}

// Missingf is Errorf(ResourceDoesNotExist, …).
func Missingf(format string, args ...any) error {
	return &Error{Code: ResourceDoesNotExist, Message: fmt.Sprintf(format, args...)}
}

// CodeOf returns the code of the first *Error in err's chain; nil gives "", anything else InternalError.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return InternalError
}
