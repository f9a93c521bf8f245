package truth

import (
	"context"

	"sluice/gateway/predlog"
)

// Label is ground truth that is joined with one row of a prediction.
type Label struct {
	predlog.Series
	PredictionID [16]byte
	Row          int
	Value        Value
	PredictedMS  int64 // when the prediction was made, ms since the epoch
	Judgement    Judgement
}

// Standing says what a store found in the place of a label or a waiting item.
type Standing uint8

// The standings.
const (
	Fresh Standing = iota // nothing: it stands there now
	Same                  // the same value
	Other                 // another value, which stays
)

// Waiting is an item whose prediction is not known yet.
type Waiting struct {
	Endpoint string
	Item
	ArrivedMS int64
	// SeenMS is until when predictions were looked through for it, ms since the epoch: of records delivered before, none is its.
	SeenMS int64
}

// SeriesTally is the Tally of a version.
type SeriesTally struct {
	predlog.Series
	Tally
}

// Store keeps labels, waiting items and tallies. Implementations pass storetest.RunTruth and are safe for concurrent use, also by several
// processes. A write that returned nil survives kill -9; one that failed left nothing.
type Store interface {
	// Settle stores each label unless its row has one, in the order given, and counts the new ones in the tally of the hour of nowMS, all in one
	// transaction.
	Settle(ctx context.Context, labels []Label, nowMS int64) ([]Standing, error)
	// Defer stores each item unless its key has one. Returns RESOURCE_EXHAUSTED, and stores nothing, if there would be more than max.
	Defer(ctx context.Context, items []Waiting, max int) ([]Standing, error)
	// Waiting returns up to limit items behind the cursor, oldest first, and the cursor behind them.
	Waiting(ctx context.Context, after WaitingCursor, limit int) ([]Waiting, WaitingCursor, error)
	// Seen writes the SeenMS of items that still wait.
	Seen(ctx context.Context, items []Waiting, seenMS int64) error
	// Forget removes items; absent ones are no error.
	Forget(ctx context.Context, items []Waiting) error
	// Tallies returns the sums since the hour that fromMS is in, sorted by series; 0 means all.
	Tallies(ctx context.Context, fromMS int64) ([]SeriesTally, error)
	// Expire removes labels and tallies that came before beforeMS, at most about batch labels; more says that some are left.
	Expire(ctx context.Context, beforeMS int64, batch int) (more bool, err error)
}

// WaitingCursor is a place in the order of waiting items; the zero value is before the first.
type WaitingCursor struct {
	ArrivedMS int64
	ID        string
}
