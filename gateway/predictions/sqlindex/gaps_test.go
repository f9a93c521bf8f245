package sqlindex_test

import (
	"fmt"
	"testing"
	"time"

	"sluice/gateway/predictions"
	"sluice/gateway/predictions/sqlindex"
	"sluice/gateway/predlog"
	"sluice/tracking/sqldb/sqldbtest"
)

func TestGaps(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, open sqldbtest.Opener) {
		x, err := sqlindex.New(t.Context(), open(t, nil))
		if err != nil {
			t.Fatal(err)
		}
		at := func(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }
		gap := func(n int) predlog.Gap {
			return predlog.Gap{ID: fmt.Sprintf("0198c0de-0000-7000-8000-%012d", n), From: at(n), To: at(n + 1), AtMost: int64(100 + n)}
		}
		const more = 3
		for n := range predictions.MaxGaps + more {
			if err := x.AddGap(t.Context(), gap(n)); err != nil {
				t.Fatal(err)
			}
		}
		if err := x.AddGap(t.Context(), predlog.Gap{ID: gap(500).ID, From: at(0), To: at(5000), AtMost: 1}); err != nil { // known
			t.Fatal(err)
		}
		all, err := x.Gaps(t.Context(), time.Time{}, time.Time{}, 2*predictions.MaxGaps)
		if err != nil || len(all) != predictions.MaxGaps || all[0] != gap(predictions.MaxGaps+more-1) || all[len(all)-1] != gap(more) {
			t.Fatalf("%d gaps, %v", len(all), err)
		}
		some, err := x.Gaps(t.Context(), at(500), at(502), 10)
		if err != nil || len(some) != 3 || some[0] != gap(501) || some[1] != gap(500) || some[2] != gap(499) {
			t.Errorf("of two minutes: %v, %v", some, err)
		}
		if one, err := x.Gaps(t.Context(), time.Time{}, time.Time{}, 1); err != nil || len(one) != 1 {
			t.Errorf("one: %v, %v", one, err)
		}
	})
}
