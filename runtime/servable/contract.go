// Package servable owns loaded model versions: their states, the Manager that makes what is loaded equal to what is aspired, the
// Handle that keeps a servable alive during a request, warm-up, the memory budget and eviction.
//
// It is called by the gateway's data plane (Acquire, Handle) and by plan (Aspire); it must not know routes, HTTP, the registry or which
// backend runs underneath. A Manager is safe for concurrent use; Acquire reads an immutable snapshot and takes no lock.
package servable

import (
	"context"
	"errors"

	"sluice/runtime/mlmodel"
	"sluice/runtime/tensor"
)

// ID names a servable: one version of a registered model.
type ID struct {
	Model   string
	Version int
}

// Backend executes one loaded version. Predict is called concurrently; Close is called once, after the last Predict returned.
type Backend interface {
	// Predict runs one batch: it reads in, and resets and fills out (both stay the caller's). params may be nil.
	// Errors: ErrBadInput (wrapped, the text names the input) for what the caller did wrong, context errors, anything else is the model's failure.
	Predict(ctx context.Context, in *tensor.Batch, params map[string]any, out *tensor.Batch) error
	// Bytes is the resident memory that the version costs, estimated.
	Bytes() int64
	Close() error
}

// Loaded is what a Loader returns: the parsed model package and the backend, warmed by nobody yet.
type Loaded struct {
	Model   *mlmodel.Model
	Backend Backend
}

// Loader fetches, opens and prepares one version. It may take long; ctx ends when the version is no longer aspired.
type Loader func(ctx context.Context, id ID) (*Loaded, error)

// State of a servable. Legal moves: Loading → Ready | Failed; Ready → Unloading → gone; Failed → Loading (retry with back-off).
type State uint8

const (
	Unknown State = iota // not aspired
	Loading
	Ready
	Failed
	Unloading
)

// Status is a servable's state with the reason of the last failure.
type Status struct {
	State  State
	Reason string // of Failed; empty otherwise
	// Since is when the state was entered, ms since the epoch.
	SinceMS int64
}

var (
	// ErrNotAvailable: the servable is not loaded (never aspired, still loading, failed).
	ErrNotAvailable = errors.New("servable not available")
	// ErrBadInput: the batch does not fit the model; the wrapping text says how.
	ErrBadInput = errors.New("bad input")
)
