package drift

import (
	"fmt"
	"iter"
	"testing"
	"time"

	"sluice/gateway"
	"sluice/gateway/predlog"
)

// The cost of a small segment, and of one from which as much is taken as from any.
func BenchmarkDigest(b *testing.B) {
	for _, records := range []int{1000, MaxRecords} {
		b.Run(fmt.Sprint(records, " records"), func(b *testing.B) {
			rows := func() iter.Seq2[predlog.Row, error] {
				return func(yield func(predlog.Row, error) bool) {
					r := predlog.Row{}
					r.Time, r.Status, r.ContentType, r.ResponseContentType = time.Unix(1_790_000_000, 0), 200, "application/json", "application/json"
					r.Request = []byte(`{"dataframe_split":{"columns":["a","b","c","d"],"data":[[5.1,3.5,1.4,0.2]]}}`)
					r.Response = []byte(`{"predictions": [{"label": 1, "probability": 0.75}]}`)
					for range records {
						if !yield(r, nil) {
							return
						}
					}
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := digest(int64(records), rows(), time.Hour, gateway.GroundTruth{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
