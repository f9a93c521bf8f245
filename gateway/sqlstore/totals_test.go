package sqlstore_test

import (
	"sync"
	"testing"

	"sluice/gateway/monitor"
	"sluice/gateway/sqlstore"
	"sluice/tracking/sqldb/sqldbtest"
)

// Of many that add nothing is lost, and no two get one step.
func TestTotals(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, open sqldbtest.Opener) {
		db := open(t, nil)
		const processes, times = 4, 10
		var wg sync.WaitGroup
		var mu sync.Mutex
		steps, last := map[int64]bool{}, monitor.Sums{}
		for range processes {
			s, err := sqlstore.NewTotals(t.Context(), db)
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				for range times {
					sums, err := s.Add(t.Context(), "run", monitor.Sums{Requests: 1000, Step: 7}, monitor.Sums{Requests: 2, Errors: 1, Rows: 3, Dropped: 4, SampledOut: 5})
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if steps[sums.Step] = true; sums.Step > last.Step {
						last = sums
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		const n = processes * times
		if want := (monitor.Sums{Requests: 1000 + 2*n, Errors: n, Rows: 3 * n, Dropped: 4 * n, SampledOut: 5 * n, Step: 7 + n}); last != want || len(steps) != n {
			t.Errorf("%+v in %d steps, want %+v", last, len(steps), want)
		}
	})
}
