package servable

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"sluice/runtime/mlmodel"
	"sluice/runtime/tensor"
)

// ID names a servable: one version of a registered model, in the form that it is wanted in.
type ID struct {
	Model   string
	Version int
	// Backend is the form that the loader is asked for; empty leaves it to the loader. Two forms of a version are two servables.
	Backend string
	// Joining says when predictions are joined; JoinMeasured, the zero value, leaves it to the Manager. It is part of the form.
	Joining Joining
}

// String is "model/version", with the form in brackets if one is wanted.
func (id ID) String() string {
	var form []string
	if id.Backend != "" {
		form = append(form, id.Backend)
	}
	if id.Joining != JoinMeasured {
		form = append(form, "joins "+id.Joining.String())
	}
	if form != nil {
		return fmt.Sprintf("%s/%d (%s)", id.Model, id.Version, strings.Join(form, ", "))
	}
	return fmt.Sprintf("%s/%d", id.Model, id.Version)
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

// Sampler is an optional power of a Backend: it knows what it eats. It is asked when a model has neither input example nor signature.
type Sampler interface {
	// Sample fills b with a valid input of the given number of rows. guessed says that dimensions which the model leaves free
	// (other than rows) were made up, so that a failure on this input proves nothing.
	Sample(b *tensor.Batch, rows int) (guessed bool, err error)
}

// RowWise is an optional power of a Backend. One that lacks it, or answers false, is never joined into batches.
type RowWise interface {
	// RowWise reports whether inputs of several callers may be stacked on axis 0 at all; whether that pays, and keeps the answers, is
	// measured.
	RowWise() bool
}

// FixedRows is an optional power of a Backend whose model takes a fixed number of rows.
type FixedRows interface {
	// FixedRows is that number; 0 means any. Fewer rows cost as much as a full run, so joined batches are made up to it and not beyond.
	FixedRows() int
}

// Threaded is an optional power of a Backend that runs on this process's processors. Those of one Manager share them: see batch.Tokens.
type Threaded interface {
	// Threads is how many threads a run keeps busy, at least 1.
	Threads() int
}

// Slotted is an optional power of a Backend that does not run on this process's processors: it needs none of the shared tokens.
type Slotted interface {
	// Slots is how many predictions it runs at once, at least 1; further ones wait in front of it.
	Slots() int
}

// Vital is an optional power of a Backend whose model is executed by something that can be lost for a while.
type Vital interface {
	// Down says why no prediction can be executed at present; nil: one can. It answers at once, from memory.
	Down() error
}

// Describer is an optional power of a Backend: it knows the tensors of its model. A dimension of −1 is free.
type Describer interface {
	Describe() (inputs, outputs []mlmodel.TensorSpec)
}

// Loaded is what a Loader returns: the parsed model package and the backend, warmed by nobody yet.
type Loaded struct {
	Model   *mlmodel.Model
	Backend Backend
	// Sample is the model's input example as the backend takes it, for warm-up; nil: zeros by the signature, or by the Sampler.
	Sample *tensor.Batch
	Params map[string]any // of Sample
	// MadeUp says that zeros by the signature prove nothing about this model: one that fails on them is served all the same.
	MadeUp bool
	// By says for people what executes the version, Note what there is to know about that; either may be empty.
	By, Note string
	// Digest names the version's files and what executes them: equal for versions that answer alike, in any process. "" where that is not known.
	Digest string
	// Release gives back what the loader holds for the backend, as its files; it is called once, after Backend.Close. nil: nothing.
	Release func()
}

// close closes the backend and gives back what is held for it.
func (l *Loaded) close() error {
	err := safely(l.Backend.Close)
	if l.Release != nil {
		l.Release()
	}
	return err
}

// Loader fetches, opens and prepares one version. It may take long; ctx ends when the version is no longer aspired.
type Loader func(ctx context.Context, id ID) (*Loaded, error)

// Preparer gets ready what a version's load needs and what may take minutes, as an environment to run it in. It is called before every load,
// outside of the bounds on concurrent loads and on their time; ctx ends when the version is no longer aspired. progress takes a few words on how
// far it is, for Status; it may be called from any goroutine, also after the Preparer returned. Errors: as of Loader.
type Preparer func(ctx context.Context, id ID, progress func(string)) error

// State of a servable. Legal moves: Loading → Ready | Failed; Ready → Unloading → gone; Failed → Loading (retry with back-off);
// Ready → Evicted → Ready | Failed.
type State uint8

const (
	Unknown State = iota // not aspired
	Loading
	Ready
	Failed
	Unloading
	Evicted // was Ready, has given its memory back, and is loaded again by the first who awaits it
)

// String is the state in lower case.
func (s State) String() string {
	switch s {
	case Loading:
		return "loading"
	case Ready:
		return "ready"
	case Failed:
		return "failed"
	case Unloading:
		return "unloading"
	case Evicted:
		return "evicted"
	}
	return "unknown"
}

// Routable reports whether requests may be sent to a version in this state: it was loaded and warmed.
func (s State) Routable() bool { return s == Ready || s == Evicted }

// Status is a servable's state with the reason of the last failure.
type Status struct {
	State  State
	Reason string // of Failed, and of Loading when it is a retry; empty otherwise
	// Progress is how far the preparation of Loading is, in a few words; empty otherwise.
	Progress string
	// SinceMS is when the state was entered, ms since the epoch.
	SinceMS int64
	// By and Note are Loaded's, of Ready and Evicted.
	By, Note string
	// Down says why a Ready version can execute nothing at present (Vital); empty otherwise. No OnChange tells of it.
	Down string
}

var (
	// ErrNotAvailable: the servable is not loaded (never aspired, still loading, failed).
	ErrNotAvailable = errors.New("servable not available")
	// ErrPreparing goes with ErrNotAvailable while the preparation of a version tells its progress; the wrapping text repeats it.
	ErrPreparing = errors.New("being prepared")
	// ErrLost: what executes the model died over the prediction, and again when it was tried once more.
	ErrLost = errors.New("what executes the model was lost")
	// ErrBadInput: the batch does not fit the model; the wrapping text says how.
	ErrBadInput = errors.New("bad input")
)
