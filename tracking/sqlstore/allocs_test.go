package sqlstore_test

import (
	"fmt"
	"testing"

	"sluice/tracking"
	"sluice/tracking/sqldb"
	"sluice/tracking/sqldb/sqldbtest"
	"sluice/tracking/sqlstore"
)

// TestLogBatchAllocates: a batch of 1000 metrics allocates a bounded number of times, however much the database holds.
func TestLogBatchAllocates(t *testing.T) {
	const most = 4_000
	service, err := tracking.New(sqlstore.New(sqldbtest.Open(t, &sqldb.Options{RelaxedSync: true}), nil), nil)
	if err == nil {
		err = service.EnsureDefaultExperiment(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	run, err := service.CreateRun(t.Context(), tracking.RunSpec{ExperimentID: "0"})
	if err != nil {
		t.Fatal(err)
	}
	keys := make([]string, 20)
	for i := range keys {
		keys[i] = fmt.Sprint("m", i)
	}
	metrics, step := make([]tracking.Metric, 1000), int64(0)
	got := testing.AllocsPerRun(10, func() {
		for i := range metrics {
			step++
			metrics[i] = tracking.Metric{Key: keys[i%len(keys)], Value: float64(step), TimestampMS: step, Step: step}
		}
		if err := service.LogBatch(t.Context(), run.Info.ID, tracking.Batch{Metrics: metrics}); err != nil {
			t.Fatal(err)
		}
	})
	if got > most {
		t.Errorf("%.0f allocations, want at most %d", got, most)
	}
	t.Logf("%.0f allocations", got)
}
