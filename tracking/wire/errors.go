package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"sluice/tracking/mlflow"
)

// class is the pair that MLflow adds to an error since 3.11.
type class struct{ sqlstate, name string }

// classByCode is MLflow's classification of its codes (source: mlflow/error_classification.py, client side, MLflow 3.17). Codes
// that are not here carry neither field.
var classByCode = map[mlflow.Code]class{
	mlflow.BadRequest:             {"KAM00", "INVALID_PARAMETER_VALUE"},
	mlflow.CustomerUnauthorized:   {"KAM00", "PERMISSION_DENIED"},
	mlflow.EndpointNotFound:       {"KAM00", "RESOURCE_NOT_FOUND"},
	mlflow.InternalError:          {"XXM00", "CLIENT_INTERNAL_ERROR"},
	mlflow.InvalidParameterValue:  {"KAM00", "INVALID_PARAMETER_VALUE"},
	mlflow.InvalidState:           {"XXM00", "CLIENT_INTERNAL_ERROR"},
	mlflow.NotFound:               {"KAM00", "RESOURCE_NOT_FOUND"},
	mlflow.PermissionDenied:       {"KAM00", "PERMISSION_DENIED"},
	mlflow.ResourceAlreadyExists:  {"KAM00", "RESOURCE_ALREADY_EXISTS"},
	mlflow.ResourceDoesNotExist:   {"KAM00", "RESOURCE_NOT_FOUND"},
	mlflow.TemporarilyUnavailable: {"XXM00", "CLIENT_INTERNAL_ERROR"},
}

// ErrorHandler returns the one door through which every error leaves as an HTTP answer in MLflow's shape,
// {"error_code", "message", "sqlstate", "error_class"} plus the error's Details.
//
// An *mlflow.Error keeps its code and message; Fiber's own errors (404, 405, 408, 413, 431 …) and context errors are translated;
// everything else is INTERNAL_ERROR, whose cause goes to log with the request id and never into the answer. Answers of 500 and
// above are logged as errors, those that overload causes by the thousand (503, 504) as warnings, a few a second with a count of those
// between, the others at debug level. Headers that the handler has set are kept.
func ErrorHandler(log *slog.Logger) fiber.ErrorHandler {
	l := &errorLog{log: log}
	return func(c *fiber.Ctx, err error) error {
		id := ensureRequestID(c)
		e := classify(c, err)
		status := e.HTTPStatus()
		l.write(c, id, status, err)
		c.Status(status)
		return Send(c, answerOf(e))
	}
}

// classify turns any error into the one that the client sees.
func classify(c *fiber.Ctx, err error) *mlflow.Error {
	var known *mlflow.Error
	var engine *fiber.Error
	switch {
	case errors.As(err, &known):
		return stateIsTheClients(known)
	case errors.As(err, &engine):
		return fromFiber(c, engine)
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		return fromFiber(c, fiber.ErrRequestEntityTooLarge)
	case errors.Is(err, context.DeadlineExceeded):
		return &mlflow.Error{Code: mlflow.DeadlineExceeded, Message: "The request did not finish before its deadline."}
	case errors.Is(err, context.Canceled):
		return &mlflow.Error{Code: mlflow.Cancelled, Message: "The request was cancelled."}
	}
	return &mlflow.Error{
		Code:    mlflow.InternalError,
		Message: "Internal error. The server's log says more under request id " + RequestIDOf(c) + ".",
	}
}

// stateIsTheClients answers INVALID_STATE with 400: what somebody asked of a thing in the wrong state will not succeed by being tried
// again, which clients do with MLflow's 500.
func stateIsTheClients(e *mlflow.Error) *mlflow.Error {
	if e.Code != mlflow.InvalidState || e.Status != 0 {
		return e
	}
	changed := *e
	changed.Status = fiber.StatusBadRequest
	return &changed
}

// fromFiber translates an error of the HTTP engine. Its own text is not passed on: it may quote the request.
func fromFiber(c *fiber.Ctx, e *fiber.Error) *mlflow.Error {
	known := func(code mlflow.Code, message string) *mlflow.Error {
		return &mlflow.Error{Code: code, Status: e.Code, Message: message}
	}
	switch e.Code {
	case fiber.StatusNotFound:
		return known(mlflow.EndpointNotFound, fmt.Sprintf("No route for %s %s.", c.Method(), shorten(c.Path(), maxEcho)))
	case fiber.StatusMethodNotAllowed:
		return known(mlflow.BadRequest, fmt.Sprintf("The method %s is not allowed for %s.", c.Method(), shorten(c.Path(), maxEcho)))
	case fiber.StatusRequestTimeout:
		return known(mlflow.DeadlineExceeded, "The request did not arrive in time.")
	case fiber.StatusRequestEntityTooLarge:
		return known(mlflow.InvalidParameterValue, "The request body is too large.")
	case fiber.StatusUnsupportedMediaType:
		return known(mlflow.InvalidParameterValue, "The content type is not supported.")
	case fiber.StatusRequestHeaderFieldsTooLarge:
		return known(mlflow.BadRequest, "The request's header fields are too large.")
	case fiber.StatusUnauthorized:
		return known(mlflow.Unauthenticated, "Credentials are missing or wrong.")
	case fiber.StatusForbidden:
		return known(mlflow.PermissionDenied, "Permission denied.")
	case fiber.StatusTooManyRequests:
		return known(mlflow.ResourceExhausted, "Too many requests.")
	case fiber.StatusServiceUnavailable:
		return known(mlflow.TemporarilyUnavailable, "The server is not available at the moment.")
	}
	if e.Code >= 400 && e.Code < 500 {
		return known(mlflow.BadRequest, "Bad request.")
	}
	return &mlflow.Error{
		Code:    mlflow.InternalError,
		Message: "Internal error. The server's log says more under request id " + RequestIDOf(c) + ".",
	}
}

func answerOf(e *mlflow.Error) map[string]any {
	answer := make(map[string]any, 4+len(e.Details))
	maps.Copy(answer, e.Details)
	answer["error_code"] = e.Code
	answer["message"] = e.Message
	if k, ok := classByCode[e.Code]; ok {
		answer["sqlstate"], answer["error_class"] = k.sqlstate, k.name
	}
	return answer
}

func panicked(c *fiber.Ctx, log *slog.Logger, reason any) error {
	log.LogAttrs(c.UserContext(), slog.LevelError, "handler panicked",
		slog.String("request_id", ensureRequestID(c)), slog.String("stack", string(debug.Stack())))
	return fmt.Errorf("panic: %v", reason)
}
