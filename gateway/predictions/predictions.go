package predictions

import (
	"context"
	"errors"
	"time"

	"sluice/gateway/predlog"
)

// Place is where a segment lies.
type Place struct {
	// RunID is the serving run, ArtifactURI the place of its artifacts, and Path the file below it.
	RunID, ArtifactURI, Path string
}

// Segment is one row of the index: a segment without its local path, and where it lies.
type Segment struct {
	predlog.Segment
	Place
	// Seq rises in the order in which segments were entered. It is at least the ms since the epoch of the last record, so that it rises on where an
	// index was lost and made again, whatever was removed meanwhile, and who remembers one misses nothing.
	Seq int64
	// FirstID and LastID are the smallest and the largest prediction id.
	FirstID, LastID [16]byte
}

// Entry is what is entered into an index.
type Entry struct {
	predlog.Summary
	Place
}

// Query says which records are meant; the zero value means all. Every field that is set must match.
type Query struct {
	Endpoint, Model string
	Version         int // 0 means any
	// From and To bound the time of arrival, From ≤ t < To; the zero time does not.
	From, To time.Time
	Arm      string
	// MinStatus and MaxStatus bound the HTTP status; 0 does not.
	MinStatus, MaxStatus int
	// Shadow, if it is not nil, is what the record's must be.
	Shadow *bool
	// MinLatency and MaxLatency bound the time of the whole request, both included; 0 does not.
	MinLatency, MaxLatency time.Duration
	// ClientID is the client's id of the request.
	ClientID string
	// Key is what a row of the request has in KeyColumn (KeyText); an empty KeyColumn bounds nothing. Requests are decoded for it.
	KeyColumn, Key string
	// AnyClientID leaves segments out that hold none of these clients' ids; of records it says nothing.
	AnyClientID []string
	// Newest first instead of oldest first.
	Newest bool
}

// ErrNotFound: no record has the prediction id.
var ErrNotFound = errors.New("predictions: no such record")

// Index keeps where segments are. It is safe for concurrent use, by several processes too.
type Index interface {
	// Add enters a segment; one that is there already, by its ID, stays as it is. When Add returned, every later look sees it.
	Add(ctx context.Context, e Entry) error
	// Segments returns those that may hold records of the query (endpoint, model, version, time and client's id are looked at), by Seq, upwards or
	// with q.Newest downwards, beginning with the one after the Seq, or with the first if after is 0; limit at most.
	Segments(ctx context.Context, q Query, after int64, limit int) ([]Segment, error)
	// Holding returns the segments that may hold the prediction id.
	Holding(ctx context.Context, id [16]byte) ([]Segment, error)
	// Segment returns one by its Seq; ErrNotFound if there is none.
	Segment(ctx context.Context, seq int64) (Segment, error)
	// Known says which of the segments' ids are entered.
	Known(ctx context.Context, ids []string) (map[string]bool, error)
	// Remove takes segments out; unknown ids do not matter.
	Remove(ctx context.Context, ids []string) error
	Gaps
}

// Covers says that every record of the segment is meant, which only its own columns and its times decide.
func (q *Query) Covers(s Segment) bool {
	return q.Arm == "" && q.MinStatus == 0 && q.MaxStatus == 0 && q.Shadow == nil && q.ClientID == "" &&
		q.MinLatency == 0 && q.MaxLatency == 0 && q.KeyColumn == "" &&
		(q.Endpoint == "" || q.Endpoint == s.Endpoint) && (q.Model == "" || q.Model == s.Model) && (q.Version == 0 || q.Version == s.Version) &&
		(q.From.IsZero() || !s.First.Before(q.From)) && (q.To.IsZero() || s.Last.Before(q.To))
}

// Matches says whether a record is meant.
func (q *Query) Matches(r *predlog.Row) bool {
	switch {
	case q.Endpoint != "" && r.Endpoint != q.Endpoint,
		q.Model != "" && r.Model != q.Model,
		q.Version != 0 && r.Version != q.Version,
		q.Arm != "" && r.Arm != q.Arm,
		q.ClientID != "" && r.RequestID != q.ClientID,
		q.MinStatus != 0 && r.Status < q.MinStatus,
		q.MaxStatus != 0 && r.Status > q.MaxStatus,
		q.Shadow != nil && r.Shadow != *q.Shadow,
		r.LatencyNS < int64(q.MinLatency),
		q.MaxLatency != 0 && r.LatencyNS > int64(q.MaxLatency),
		!q.From.IsZero() && r.Time.Before(q.From),
		!q.To.IsZero() && !r.Time.Before(q.To),
		q.KeyColumn != "" && !hasKey(r, q.KeyColumn, q.Key):
		return false
	}
	return true
}
