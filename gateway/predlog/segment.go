package predlog

import (
	"context"
	"time"
)

// Segment is a finished Parquet file of one Series.
type Segment struct {
	// ID is unique over all logs and machines, stable over restarts, and sorts by the time its spool was opened.
	ID string
	// Path is the file on local disk, readable until Deliver returned; the receiver does not change or remove it.
	Path string
	Series
	// Rows ≥ 1 records with times First ≤ Last.
	Rows        int64
	First, Last time.Time
	// Bytes is the file's size.
	Bytes int64
}

// Sink receives segments.
type Sink interface {
	// Deliver stores the segment durably before it returns nil. It is called at least once per segment, from one goroutine, oldest first within
	// a Series; a segment whose delivery failed or was interrupted by a crash comes again with the same ID and bytes, so Deliver is
	// idempotent by ID. An error keeps the segment for a later try. ctx ends after Options.DeliverTimeout or when the Log closes.
	Deliver(ctx context.Context, s Segment) error
}

// SinkFunc is a function as a Sink.
type SinkFunc func(ctx context.Context, s Segment) error

// Deliver calls f.
func (f SinkFunc) Deliver(ctx context.Context, s Segment) error { return f(ctx, s) }
