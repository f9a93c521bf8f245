package invoke

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"sluice/gateway/admit"
	"sluice/gateway/breaker"
	"sluice/gateway/route"
	"sluice/runtime/batch"
	"sluice/runtime/servable"
	"sluice/tracking/mlflow"
)

// refusal is what the client is told: an error with a code, and when it is worth asking again (0: it is not).
type refusal struct {
	*mlflow.Error
	retryAfter time.Duration
}

// classify is the one door from an error of any room to MLflow's code and the HTTP status:
//
//	already an *mlflow.Error (payload, wire)                     as it is
//	unknown endpoint or model or version, or not routed         404 RESOURCE_DOES_NOT_EXIST; while the table is behind 503, as below
//	a rule's permission is lacking                              403 PERMISSION_DENIED
//	no endpoint named, and no default                           400 INVALID_PARAMETER_VALUE
//	input that the model refuses                                400 BAD_REQUEST
//	beyond a rate limit                                        429 REQUEST_LIMIT_EXCEEDED   Retry-After
//	turned away at the gate, queue full                         429 RESOURCE_EXHAUSTED       Retry-After
//	breaker open, nothing ready, version not loaded             503 TEMPORARILY_UNAVAILABLE  Retry-After
//	the processes that run it died over it, twice               503 TEMPORARILY_UNAVAILABLE  Retry-After
//	deadline passed                                             504 DEADLINE_EXCEEDED
//	cancelled                                                   499 CANCELLED
//	anything else is the model's failure                        500 INTERNAL_ERROR; the cause goes to the log alone
//
// MLflow's scoring server answers the last 400 BAD_REQUEST with a stack trace. Here a request that no caller could have put better is
// not the caller's error: retries, breakers and alerts depend on the difference.
func (h *Handler) classify(c *call, err error) refusal {
	var known *mlflow.Error
	var turned *turnedAway
	var often *tooOften
	say := func(code mlflow.Code, message string) refusal {
		return refusal{Error: &mlflow.Error{Code: code, Message: message, Cause: err}}
	}
	switch {
	case errors.As(err, &known):
		return refusal{Error: known}
	case errors.Is(err, route.ErrUnknownEndpoint), errors.Is(err, route.ErrUnknownModel), errors.Is(err, route.ErrNotRouted):
		if h.deps.Behind != nil && h.deps.Behind() {
			r := say(mlflow.TemporarilyUnavailable, err.Error()+"; a change of what is served is being applied")
			r.retryAfter = time.Second
			return r
		}
		return say(mlflow.ResourceDoesNotExist, err.Error())
	case errors.As(err, &often):
		r := say(mlflow.RequestLimitExceeded, often.Error())
		r.retryAfter = often.wait
		return r
	case errors.Is(err, route.ErrForbidden):
		return say(mlflow.PermissionDenied, err.Error())
	case errors.Is(err, route.ErrNoEndpointNamed):
		return say(mlflow.InvalidParameterValue, err.Error()+"; name one in the header "+HeaderEndpoint)
	case errors.Is(err, servable.ErrUnknown):
		return say(mlflow.ResourceDoesNotExist, c.target()+" does not exist")
	case errors.Is(err, servable.ErrBadInput):
		return say(mlflow.BadRequest, "Invalid input. "+strings.TrimPrefix(err.Error(), servable.ErrBadInput.Error()+": "))
	case errors.As(err, &turned):
		return turned.tell(c)
	case errors.Is(err, batch.ErrQueueFull):
		h.admission.Refuse(admit.Queue, c.class)
		return refusedFor(admit.Queue).tell(c)
	case errors.Is(err, breaker.ErrOpen):
		r := say(mlflow.TemporarilyUnavailable, c.target()+" failed too often and is left alone for a while")
		r.retryAfter = h.deps.Breakers.RetryAfter()
		return r
	case errors.Is(err, route.ErrNoArms), errors.Is(err, route.ErrComing), errors.Is(err, servable.ErrPreparing):
		r := say(mlflow.TemporarilyUnavailable, err.Error())
		r.retryAfter = time.Second
		return r
	case errors.Is(err, servable.ErrNotAvailable), errors.Is(err, batch.ErrClosed):
		r := say(mlflow.TemporarilyUnavailable, c.target()+" is not loaded")
		switch {
		case errors.Is(err, context.DeadlineExceeded) && c.demand != nil:
			r = say(mlflow.TemporarilyUnavailable, fmt.Sprintf("%s is being loaded, which takes longer than %v", c.target(), c.timeout))
		case errors.Is(err, context.DeadlineExceeded): // it had been evicted
			r = say(mlflow.TemporarilyUnavailable, fmt.Sprintf("%s is being loaded again, which takes longer than %v", c.target(), c.timeout))
		case c.demand != nil:
			r = say(mlflow.TemporarilyUnavailable, c.target()+" cannot be loaded on demand at present")
		}
		r.retryAfter = time.Second
		return r
	case errors.Is(err, servable.ErrLost):
		r := say(mlflow.TemporarilyUnavailable, "the processes that run "+c.target()+" died over this request")
		r.retryAfter = time.Second
		return r
	case errors.Is(err, context.DeadlineExceeded):
		return say(mlflow.DeadlineExceeded, fmt.Sprintf("%s did not answer within %v", c.target(), c.timeout))
	case errors.Is(err, context.Canceled):
		return say(mlflow.Cancelled, "the request was cancelled")
	}
	return say(mlflow.InternalError, c.target()+" failed; the server's log says more under request id "+string(c.requestID))
}

// target names, for a message, what the request was routed to.
func (c *call) target() string {
	id := c.demand
	if a := c.decision.Arm; a != nil {
		id = &a.Servable
	}
	if id == nil {
		return "the gateway"
	}
	return fmt.Sprintf("model %q version %d", id.Model, id.Version)
}
