package predictions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"time"

	"sluice/gateway/predlog"
	"sluice/tracking/artifact"
	"sluice/tracking/mlflow"
)

// Artifacts finds the place that an artifact URI names; *artifact.Resolver implements it.
type Artifacts interface {
	Resolve(uri string) (*artifact.Repo, error)
}

// Pending is what is on its way; *predlog.Log implements it.
type Pending interface {
	Pending(ctx context.Context, visit func(predlog.Row) bool) error
}

// Reader reads prediction records; make it with New.
type Reader struct {
	index     Index
	artifacts Artifacts
	pending   Pending
	log       *slog.Logger
}

// New returns a Reader over the index. A nil pending means that nothing is on its way on this machine; a nil log discards.
func New(index Index, artifacts Artifacts, pending Pending, log *slog.Logger) *Reader {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Reader{index: index, artifacts: artifacts, pending: pending, log: log}
}

// Gaps returns when records may be missing because a server was cut off: those that overlap from ≤ t < to, the newest first, limit at most.
func (r *Reader) Gaps(ctx context.Context, from, to time.Time, limit int) ([]predlog.Gap, error) {
	return r.index.Gaps(ctx, from, to, limit)
}

// Position is the place of a record in the order of Rows; the zero value stands before the first.
type Position struct {
	Seq int64 // of the segment
	Row int64 // in it, from 0 on
}

// Found is a record and its place.
type Found struct {
	predlog.Row
	Position Position
}

// segmentPage is how many segments are asked of the index at once.
const segmentPage = 64

// ByID returns the record with this prediction id, ErrNotFound if there is none.
func (r *Reader) ByID(ctx context.Context, id [16]byte) (predlog.Row, error) {
	row, ok, err := r.delivered(ctx, id)
	if ok || err != nil || r.pending == nil {
		return row, found(ok, err)
	}
	err = r.pending.Pending(ctx, func(p predlog.Row) bool {
		if ok = p.PredictionID == id; ok {
			row = kept(p)
		}
		return !ok
	})
	if ok || err != nil {
		return row, found(ok, err)
	}
	row, ok, err = r.delivered(ctx, id) // since the first look
	return row, found(ok, err)
}

func found(ok bool, err error) error {
	if err == nil && !ok {
		return ErrNotFound
	}
	return err
}

// delivered looks for the record in delivered segments.
func (r *Reader) delivered(ctx context.Context, id [16]byte) (row predlog.Row, ok bool, err error) {
	segments, err := r.index.Holding(ctx, id)
	if err != nil {
		return row, false, err
	}
	for _, s := range segments {
		err := r.Open(ctx, s, func(_ io.ReaderAt, f *predlog.SegmentFile) error {
			row, ok, err = f.ByID(id)
			return err
		})
		if ok || err != nil {
			return row, ok, err
		}
	}
	return row, false, nil
}

// ByClientID returns records of the query with this id of the client, limit at most; q.ClientID is not looked at. Those on their way come
// first, then by Position.
func (r *Reader) ByClientID(ctx context.Context, clientID string, q Query, limit int) ([]predlog.Row, error) {
	q.ClientID = clientID
	out, err := r.Undelivered(ctx, q, limit)
	if err != nil || len(out) >= limit {
		return out, err
	}
	seen := make(map[[16]byte]bool, len(out))
	for _, row := range out {
		seen[row.PredictionID] = true
	}
	for s, err := range r.Segments(ctx, q, 0) {
		if err != nil {
			return nil, err
		}
		err := r.Open(ctx, s, func(_ io.ReaderAt, f *predlog.SegmentFile) error {
			rows, err := f.ByClientID(clientID, int(s.Rows)) // not all of them may match
			for _, row := range rows {
				if q.Matches(&row) && !seen[row.PredictionID] && len(out) < limit {
					out = append(out, row)
				}
			}
			return err
		})
		if err != nil || len(out) >= limit {
			return out, err
		}
	}
	return out, nil
}

// Undelivered returns the records of the query that are on their way on this machine, limit at most.
func (r *Reader) Undelivered(ctx context.Context, q Query, limit int) ([]predlog.Row, error) {
	if r.pending == nil || limit <= 0 {
		return nil, nil
	}
	var out []predlog.Row
	seen := map[[16]byte]bool{}
	err := r.pending.Pending(ctx, func(p predlog.Row) bool {
		if q.Matches(&p) && !seen[p.PredictionID] {
			seen[p.PredictionID] = true
			out = append(out, kept(p))
		}
		return len(out) < limit
	})
	return out, err
}

// kept copies the bodies of a row that is valid during a visit only.
func kept(r predlog.Row) predlog.Row {
	r.Request, r.Response = append([]byte(nil), r.Request...), append([]byte(nil), r.Response...)
	return r
}

// Segments returns the segments that may hold records of the query, from the one after the Seq on.
func (r *Reader) Segments(ctx context.Context, q Query, after int64) iter.Seq2[Segment, error] {
	return func(yield func(Segment, error) bool) {
		for {
			page, err := r.index.Segments(ctx, q, after, segmentPage)
			if err != nil {
				yield(Segment{}, err)
				return
			}
			for _, s := range page {
				if !yield(s, nil) {
					return
				}
				after = s.Seq
			}
			if len(page) < segmentPage {
				return
			}
		}
	}
}

// Rows returns the records of the query in order, beginning with the one after the Position. One segment is read at a time, and of it a
// piece. A segment whose file is gone, because a person deleted its run, is left out. After an error the sequence ends.
func (r *Reader) Rows(ctx context.Context, q Query, after Position) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		if after.Seq > 0 {
			s, err := r.index.Segment(ctx, after.Seq)
			if err == nil {
				err = r.segmentRows(ctx, s, &q, after.Row, yield)
			}
			if err != nil && !errors.Is(err, ErrNotFound) {
				ended(err, yield)
				return
			}
		}
		for s, err := range r.Segments(ctx, q, after.Seq) {
			if err == nil {
				err = r.segmentRows(ctx, s, &q, -1, yield)
			}
			if err != nil {
				ended(err, yield)
				return
			}
		}
	}
}

// errStop: the reader of a sequence has enough.
var errStop = errors.New("stop")

func ended(err error, yield func(Found, error) bool) {
	if !errors.Is(err, errStop) {
		yield(Found{}, err)
	}
}

// segmentRows yields the rows of a segment after the given one, all of them if it is negative.
func (r *Reader) segmentRows(ctx context.Context, s Segment, q *Query, after int64, yield func(Found, error) bool) error {
	return r.Open(ctx, s, func(_ io.ReaderAt, f *predlog.SegmentFile) error {
		rows, n, step := f.Rows(after+1), after+1, int64(1)
		if q.Newest {
			if after < 0 {
				after = f.Segment.Rows
			}
			rows, n, step = f.RowsBackwards(after-1), after-1, -1
		}
		for row, err := range rows {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
			if q.Matches(&row) && !yield(Found{row, Position{s.Seq, n}}, nil) {
				return errStop
			}
			n += step
		}
		return nil
	})
}

// Open hands the segment's file to use, or leaves it out if it is gone.
func (r *Reader) Open(ctx context.Context, s Segment, use func(io.ReaderAt, *predlog.SegmentFile) error) error {
	file, err := r.file(ctx, s)
	if errors.Is(err, fs.ErrNotExist) || mlflow.CodeOf(err) == mlflow.ResourceDoesNotExist {
		r.log.Debug("prediction segment is gone", slog.String("segment", s.ID), slog.String("run", s.RunID))
		return nil
	}
	if err != nil {
		return fmt.Errorf("prediction segment %s: %w", s.ID, err)
	}
	defer file.close()
	f, err := predlog.OpenSegment(file, file.size)
	if err == nil {
		err = use(file, f)
	}
	if err != nil && !errors.Is(err, errStop) {
		return fmt.Errorf("prediction segment %s: %w", s.ID, err)
	}
	return err
}
