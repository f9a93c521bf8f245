package predictions

import (
	"context"
	"iter"

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
