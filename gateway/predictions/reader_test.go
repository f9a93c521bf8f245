package predictions_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"sluice/gateway/predictions"
	"sluice/gateway/predictions/predictionstest"
)

// collect reads limit records at most and returns their numbers, which are the seconds since predictionstest.Start.
func collect(t *testing.T, r *predictions.Reader, q predictions.Query, after predictions.Position, limit int) (numbers []int, last predictions.Position) {
	t.Helper()
	last = after
	for found, err := range r.Rows(t.Context(), q, after) {
		if err != nil {
			t.Fatal(err)
		}
		numbers, last = append(numbers, int(found.Time.Sub(predictionstest.Start)/time.Second)), found.Position
		if len(numbers) == limit {
			break
		}
	}
	return numbers, last
}

func TestRecordsAreFoundWhereverTheyAre(t *testing.T) {
	t.Parallel()
	a := predictionstest.New(t)
	ids := a.Record(t, 1, 20)
	a.Flush(t)
	ids = append(ids, a.Record(t, 1, 5)...)
	for i, id := range ids {
		r, err := a.Reader.ByID(t.Context(), id)
		if err != nil || r.PredictionID != id || string(r.Response) != `{"predictions": [2]}` || !r.Time.Equal(predictionstest.Start.Add(time.Duration(i)*time.Second)) {
			t.Fatalf("record %d: %+v, %v", i, r, err)
		}
	}
	if _, err := a.Reader.ByID(t.Context(), uuid.New()); !errors.Is(err, predictions.ErrNotFound) {
		t.Errorf("unknown id: %v", err)
	}
	rows, err := a.Reader.ByClientID(t.Context(), "client 3", predictions.Query{Endpoint: "wine"}, 10)
	if err != nil || len(rows) != 3 || rows[0].PredictionID != ids[23] || rows[1].PredictionID != ids[3] {
		t.Errorf("by client id: %d, %v", len(rows), err)
	}
	if rows, err := a.Reader.ByClientID(t.Context(), "client 3", predictions.Query{Endpoint: "other"}, 10); err != nil || len(rows) != 0 {
		t.Errorf("of another endpoint: %d, %v", len(rows), err)
	}
}

func TestRowsInPages(t *testing.T) {
	t.Parallel()
	a := predictionstest.New(t)
	for range 4 { // 8 segments of 5 records each
		a.Record(t, 1, 5)
		a.Record(t, 2, 5)
		a.Flush(t)
	}
	shadow, answered := true, false
	for _, c := range []struct {
		name  string
		q     predictions.Query
		count int
	}{
		{"all", predictions.Query{}, 40},
		{"version", predictions.Query{Endpoint: "wine", Model: "wine", Version: 2}, 20},
		{"another model", predictions.Query{Model: "other"}, 0},
		{"time", predictions.Query{From: predictionstest.Start.Add(7 * time.Second), To: predictionstest.Start.Add(23 * time.Second)}, 16},
		{"arm", predictions.Query{Arm: "canary"}, 13},
		{"status", predictions.Query{MinStatus: 500, MaxStatus: 599}, 13},
		{"shadow", predictions.Query{Shadow: &shadow}, 10},
		{"not shadow", predictions.Query{Shadow: &answered, MaxStatus: 299}, 20},
		{"client", predictions.Query{ClientID: "client 4"}, 4},
	} {
		for _, newest := range []bool{false, true} {
			c.q.Newest = newest
			whole, _ := collect(t, a.Reader, c.q, predictions.Position{}, -1)
			if len(whole) != c.count {
				t.Errorf("%s, newest %v: %v", c.name, newest, whole)
			}
			for size := 1; size < 8; size += 3 {
				var paged []int
				var at predictions.Position
				for {
					var page []int
					if page, at = collect(t, a.Reader, c.q, at, size); len(page) == 0 {
						break
					}
					paged = append(paged, page...)
				}
				if fmt.Sprint(paged) != fmt.Sprint(whole) {
					t.Errorf("%s, newest %v, pages of %d: %v, want %v", c.name, newest, size, paged, whole)
				}
			}
		}
	}
}

// What is delivered after a page was read comes in the pages that follow.
func TestNothingIsMissedByWhoGoesOn(t *testing.T) {
	t.Parallel()
	a := predictionstest.New(t)
	var at predictions.Position
	seen := 0
	for range 5 {
		a.Record(t, 1, 3)
		a.Record(t, 2, 3)
		a.Flush(t)
		var page []int
		page, at = collect(t, a.Reader, predictions.Query{}, at, 4)
		seen += len(page)
	}
	rest, _ := collect(t, a.Reader, predictions.Query{}, at, -1)
	if seen+len(rest) != 30 {
		t.Errorf("%d and %d records", seen, len(rest))
	}
}

func TestASegmentWhoseFileIsGoneIsLeftOut(t *testing.T) {
	t.Parallel()
	a := predictionstest.New(t)
	lost := a.Record(t, 1, 5)
	a.Flush(t)
	a.Record(t, 1, 5)
	files, err := filepath.Glob(filepath.Join(a.Folder, "1/run/artifacts/predictions/*.parquet"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	a.Flush(t)
	if got, _ := collect(t, a.Reader, predictions.Query{}, predictions.Position{}, -1); fmt.Sprint(got) != "[5 6 7 8 9]" {
		t.Errorf("rows: %v", got)
	}
	if _, err := a.Reader.ByID(t.Context(), lost[0]); !errors.Is(err, predictions.ErrNotFound) {
		t.Errorf("by id: %v", err)
	}
}
