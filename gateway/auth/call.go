package auth

import (
	"fmt"
	"net"
	"time"

	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// Check is Require for calls that do not come by the HTTP engine: it says whether whoever sent the Authorization header may do what asks for the
// permission; audit names it in the refusal. It waits for nothing, so a key that another process made counts only after Options.Poll. wait is
// when it is worth trying again, with REQUEST_LIMIT_EXCEEDED.
//
// Errors: *mlflow.Error, as Require's.
func (a *Authority) Check(permission wire.Permission, audit string, authorization []byte, from net.Addr) (wait time.Duration, err error) {
	if permission == wire.Public {
		return 0, nil
	}
	set := a.keys.Load()
	if !a.counts(set) {
		return 0, nil
	}
	if len(authorization) == 0 {
		return 0, &mlflow.Error{Code: mlflow.Unauthenticated, Message: missing}
	}
	cred := set.find(authorization)
	if cred == nil {
		address := addressFrom(from)
		if wait, over := a.failures.over(address); over {
			return wait, mlflow.Errorf(mlflow.RequestLimitExceeded, "%s", tooMany)
		}
		a.failures.count(address)
		return 0, &mlflow.Error{Code: mlflow.Unauthenticated, Message: wrong}
	}
	cred.used(a.opts.Now().UnixMilli())
	if !cred.May(permission) {
		return 0, denied(permission, audit)
	}
	return 0, nil
}

// What those are told who do not get in.
const (
	missing = "You are not authenticated. Send a key as a Bearer token, or as the password of Basic authentication."
	wrong   = "The credentials are wrong: no valid key matches them."
	tooMany = "Too many wrong credentials from this address. Try again later."
)

func denied(permission wire.Permission, audit string) error {
	return &mlflow.Error{
		Code:    mlflow.PermissionDenied,
		Message: fmt.Sprintf("Permission denied: %s needs the permission %q.", audit, string(permission)),
	}
}
