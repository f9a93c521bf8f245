package outbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sluice/tracking/mlflow"
)

// verdict is what follows from an attempt.
type verdict int

const (
	arrived verdict = iota
	again
	hopeless
)

// judge decides by MLflow's list of statuses (source: _create_webhook_session in mlflow/webhooks/delivery.py). reason is "" if it arrived.
func judge(got answer, err error) (v verdict, reason string) {
	switch {
	case errors.Is(err, ErrRefused), errors.Is(err, ErrSecret):
		return hopeless, err.Error()
	case mlflow.CodeOf(err) == mlflow.InvalidParameterValue:
		if strings.Contains(err.Error(), "Cannot resolve") {
			return again, err.Error() // a resolver that is down comes back
		}
		return hopeless, err.Error()
	case err != nil:
		return again, err.Error()
	case got.status < 300:
		return arrived, ""
	case got.status < 400:
		return hopeless, fmt.Sprintf("the receiver answered %d: redirects are not followed", got.status)
	case retried(got.status):
		return again, fmt.Sprintf("the receiver answered %d", got.status)
	}
	return hopeless, fmt.Sprintf("the receiver answered %d", got.status)
}

func retried(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// maxPause bounds a pause, whatever was asked for.
const maxPause = time.Minute

// DefaultBackoff is the pause after an attempt that failed, 1 for the first: 1, 2, 4 … 60 s, and up to a second more.
func DefaultBackoff(attempt int) time.Duration {
	pause := maxPause
	if attempt < 7 {
		pause = time.Second << (attempt - 1)
	}
	return min(pause, maxPause) + rand.N(time.Second)
}

// maxRetryAfter bounds the pause that a receiver can ask for.
const maxRetryAfter = time.Hour

// retryAfter reads the header: seconds or a date; 0 if there is none, or none that can be read.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if seconds, err := strconv.Atoi(header); err == nil {
		if seconds < 0 {
			return 0
		}
		return time.Duration(min(seconds, int(maxRetryAfter/time.Second))) * time.Second
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}

// stopped says whether the attempt ended because the outbox is closing.
func stopped(ctx context.Context, err error) bool { return err != nil && ctx.Err() != nil }
