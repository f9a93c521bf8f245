package predictions_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"sluice/gateway/predictions"
	"sluice/gateway/predictions/sqlindex"
	"sluice/gateway/predlog"
	"sluice/tracking/artifact"
	"sluice/tracking/artifact/fileartifact"
	"sluice/tracking/sqldb/sqldbtest"
)

// archive is an artifact store with its index, and a log that delivers into it.
type archive struct {
	index     *sqlindex.Index
	artifacts *artifact.Resolver
	folder    string
	log       *predlog.Log
	reader    *predictions.Reader
	n         int
}

const root = "mlflow-artifacts:/1/run/artifacts"

func newArchive(t *testing.T) *archive {
	t.Helper()
	a := &archive{folder: t.TempDir()}
	index, err := sqlindex.New(t.Context(), sqldbtest.Open(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	driver, err := fileartifact.New(a.folder, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { driver.Close() })
	a.index, a.artifacts = index, artifact.NewResolver(artifact.NewRepo(driver), nil)
	a.log, err = predlog.Open(t.TempDir(), predlog.SinkFunc(a.deliver), &predlog.Options{SyncInterval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if _, err := a.log.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	a.reader = predictions.New(index, a.artifacts, a.log, nil)
	return a
}

func (a *archive) deliver(ctx context.Context, s predlog.Segment) error {
	repo, err := a.artifacts.Resolve(root)
	if err != nil {
		return err
	}
	f, err := os.Open(s.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	place := predictions.Place{RunID: "run", ArtifactURI: root, Path: "predictions/" + s.ID + ".parquet"}
	if _, err := repo.Write(ctx, place.Path, f); err != nil {
		return err
	}
	sum, err := predlog.Summarize(s.Path)
	if err != nil {
		return err
	}
	return a.index.Add(ctx, predictions.Entry{Summary: sum, Place: place})
}

var start = time.UnixMilli(1_790_000_000_000).UTC()

// record offers so many records, a second apart, and returns their ids.
func (a *archive) record(t *testing.T, version, count int) [][16]byte {
	t.Helper()
	ids := make([][16]byte, count)
	for i := range ids {
		id, err := uuid.NewV7()
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = id
		arm, status := "stable", 200
		if a.n%3 == 2 {
			arm, status = "canary", 503
		}
		a.log.Record(&predlog.Record{
			PredictionID: id, RequestID: fmt.Sprint("client ", a.n%10), Time: start.Add(time.Duration(a.n) * time.Second), Endpoint: "wine", Model: "wine",
			Version: version, Arm: arm, Status: status, Shadow: a.n%4 == 3, Request: []byte(`{"inputs": [1]}`), Response: []byte(`{"predictions": [2]}`),
		})
		a.n++
	}
	return ids
}

func (a *archive) flush(t *testing.T) {
	t.Helper()
	if err := a.log.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// collect reads limit records at most and returns their numbers, which are the seconds since start.
func collect(t *testing.T, r *predictions.Reader, q predictions.Query, after predictions.Position, limit int) (numbers []int, last predictions.Position) {
	t.Helper()
	last = after
	for found, err := range r.Rows(t.Context(), q, after) {
		if err != nil {
			t.Fatal(err)
		}
		numbers, last = append(numbers, int(found.Time.Sub(start)/time.Second)), found.Position
		if len(numbers) == limit {
			break
		}
	}
	return numbers, last
}

func TestRecordsAreFoundWhereverTheyAre(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	ids := a.record(t, 1, 20)
	a.flush(t)
	ids = append(ids, a.record(t, 1, 5)...)
	for i, id := range ids {
		r, err := a.reader.ByID(t.Context(), id)
		if err != nil || r.PredictionID != id || string(r.Response) != `{"predictions": [2]}` || !r.Time.Equal(start.Add(time.Duration(i)*time.Second)) {
			t.Fatalf("record %d: %+v, %v", i, r, err)
		}
	}
	if _, err := a.reader.ByID(t.Context(), uuid.New()); !errors.Is(err, predictions.ErrNotFound) {
		t.Errorf("unknown id: %v", err)
	}
	rows, err := a.reader.ByClientID(t.Context(), "client 3", predictions.Query{Endpoint: "wine"}, 10)
	if err != nil || len(rows) != 3 || rows[0].PredictionID != ids[23] || rows[1].PredictionID != ids[3] {
		t.Errorf("by client id: %d, %v", len(rows), err)
	}
	if rows, err := a.reader.ByClientID(t.Context(), "client 3", predictions.Query{Endpoint: "other"}, 10); err != nil || len(rows) != 0 {
		t.Errorf("of another endpoint: %d, %v", len(rows), err)
	}
}

func TestRowsInPages(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	for range 4 { // 8 segments of 5 records each
		a.record(t, 1, 5)
		a.record(t, 2, 5)
		a.flush(t)
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
		{"time", predictions.Query{From: start.Add(7 * time.Second), To: start.Add(23 * time.Second)}, 16},
		{"arm", predictions.Query{Arm: "canary"}, 13},
		{"status", predictions.Query{MinStatus: 500, MaxStatus: 599}, 13},
		{"shadow", predictions.Query{Shadow: &shadow}, 10},
		{"not shadow", predictions.Query{Shadow: &answered, MaxStatus: 299}, 20},
		{"client", predictions.Query{ClientID: "client 4"}, 4},
	} {
		for _, newest := range []bool{false, true} {
			c.q.Newest = newest
			whole, _ := collect(t, a.reader, c.q, predictions.Position{}, -1)
			if len(whole) != c.count {
				t.Errorf("%s, newest %v: %v", c.name, newest, whole)
			}
			for size := 1; size < 8; size += 3 {
				var paged []int
				var at predictions.Position
				for {
					var page []int
					if page, at = collect(t, a.reader, c.q, at, size); len(page) == 0 {
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
	a := newArchive(t)
	var at predictions.Position
	seen := 0
	for range 5 {
		a.record(t, 1, 3)
		a.record(t, 2, 3)
		a.flush(t)
		var page []int
		page, at = collect(t, a.reader, predictions.Query{}, at, 4)
		seen += len(page)
	}
	rest, _ := collect(t, a.reader, predictions.Query{}, at, -1)
	if seen+len(rest) != 30 {
		t.Errorf("%d and %d records", seen, len(rest))
	}
}

func TestASegmentWhoseFileIsGoneIsLeftOut(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	lost := a.record(t, 1, 5)
	a.flush(t)
	a.record(t, 1, 5)
	files, err := filepath.Glob(filepath.Join(a.folder, "1/run/artifacts/predictions/*.parquet"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	a.flush(t)
	if got, _ := collect(t, a.reader, predictions.Query{}, predictions.Position{}, -1); fmt.Sprint(got) != "[5 6 7 8 9]" {
		t.Errorf("rows: %v", got)
	}
	if _, err := a.reader.ByID(t.Context(), lost[0]); !errors.Is(err, predictions.ErrNotFound) {
		t.Errorf("by id: %v", err)
	}
}
