package sqlstore_test

import (
	"fmt"
	"testing"

	"sluice/tracking"
	"sluice/tracking/sqldb"
	"sluice/tracking/sqldb/sqldbtest"
	"sluice/tracking/sqlstore"
)

// TestHistoriesOfFewAndOfMany: a run of a few points beside one of very many under the same key, which SQLite finds in different ways.
func TestHistoriesOfFewAndOfMany(t *testing.T) {
	t.Parallel()
	service, err := tracking.New(sqlstore.New(sqldbtest.Open(t, &sqldb.Options{RelaxedSync: true}), nil), nil)
	if err == nil {
		err = service.EnsureDefaultExperiment(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	const many, few = 50_500, 700
	runs := map[int]string{}
	for _, points := range []int{many, few} {
		run, err := service.CreateRun(t.Context(), tracking.RunSpec{ExperimentID: "0"})
		if err != nil {
			t.Fatal(err)
		}
		runs[points] = run.Info.ID
		for from := 0; from < points; from += 1000 {
			var batch tracking.Batch
			for i := from; i < min(from+1000, points); i++ { // the later, the smaller the step
				batch.Metrics = append(batch.Metrics, tracking.Metric{Key: "loss", Value: float64(i), TimestampMS: int64(i), Step: int64(-i)})
			}
			batch.Metrics[0].Key = "other"
			if err := service.LogBatch(t.Context(), run.Info.ID, batch); err != nil {
				t.Fatal(err)
			}
		}
	}
	for points, id := range runs {
		want := points - (points+999)/1000
		got, token := 0, ""
		for last := int64(-1); ; {
			page, err := service.MetricHistory(t.Context(), tracking.HistoryQuery{RunID: id, Key: "loss", MaxResults: 20_000, PageToken: token})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range page.Metrics {
				if m.TimestampMS <= last || m.Step != -m.TimestampMS || m.Value != float64(m.TimestampMS) {
					t.Fatalf("%d points: %+v behind %d", points, m, last)
				}
				last = m.TimestampMS
			}
			if got, token = got+len(page.Metrics), page.NextPageToken; token == "" {
				break
			}
		}
		if got != want {
			t.Errorf("history of %d points: got %d, want %d", points, got, want)
		}
		sample, err := service.MetricHistoryInterval(t.Context(), tracking.IntervalQuery{RunIDs: []string{id}, Key: "loss", MaxResults: 10})
		if err != nil || len(sample) != 10 || sample[0].Step != int64(1-points) {
			t.Errorf("sample of %d points: %s, %v", points, fmt.Sprint(sample), err)
		}
		bulk, err := service.MetricHistoryBulk(t.Context(), []string{id}, "loss", 25_000)
		if err != nil || len(bulk) != min(want, 25_000) || bulk[0].TimestampMS != 1 {
			t.Errorf("bulk of %d points: %d rows, %v", points, len(bulk), err)
		}
	}
}
