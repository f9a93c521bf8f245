package predictions

import (
	"context"
	"io"
	"iter"
	"time"

	"sluice/gateway/loop"
	"sluice/gateway/predlog"
)

// SegmentRows returns the records of one segment, in the order in which they were recorded; none if its file is gone, because a person
// deleted its run. The Row is the caller's. After an error the sequence ends.
func (r *Reader) SegmentRows(ctx context.Context, s Segment) iter.Seq2[predlog.Row, error] {
	return func(yield func(predlog.Row, error) bool) {
		err := r.segmentRows(ctx, s, &Query{}, -1, func(f Found, err error) bool { return yield(f.Row, err) })
		if err != nil {
			ended(err, func(_ Found, err error) bool { return yield(predlog.Row{}, err) })
		}
	}
}

// SegmentSample returns about most records of one segment, in blocks that lie evenly over it, or all of them if it has no more. It takes its
// time, to leave the processors to requests. Otherwise as SegmentRows.
func (r *Reader) SegmentSample(ctx context.Context, s Segment, most int64) iter.Seq2[predlog.Row, error] {
	return func(yield func(predlog.Row, error) bool) {
		err := r.Open(ctx, s, func(_ io.ReaderAt, f *predlog.SegmentFile) error {
			for row, err := range f.Sample(most, func(d time.Duration) { _ = loop.Pause(ctx, d) }) {
				if err == nil {
					err = ctx.Err()
				}
				if err != nil {
					return err
				}
				if !yield(row, nil) {
					return errStop
				}
			}
			return nil
		})
		if err != nil {
			ended(err, func(_ Found, err error) bool { return yield(predlog.Row{}, err) })
		}
	}
}
