// Package predictionstest makes archives of prediction records for tests.
//
// It owns Archive: a log that delivers into a folder and an index in SQLite. It is called by tests of the packages about predictions; it
// must not know what they test.
package predictionstest

import (
	"context"
	"fmt"
	"os"
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

// Archive is an artifact store with its index, and a log that delivers into it.
type Archive struct {
	Index     *sqlindex.Index
	Artifacts *artifact.Resolver
	Folder    string
	Log       *predlog.Log
	Reader    *predictions.Reader
	n         int // records so far
}

// Root is where segments are delivered.
const Root = "mlflow-artifacts:/1/run/artifacts"

// New returns an empty Archive, which ends with the test.
func New(t testing.TB) *Archive {
	t.Helper()
	a := &Archive{Folder: t.TempDir()}
	index, err := sqlindex.New(t.Context(), sqldbtest.Open(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	driver, err := fileartifact.New(a.Folder, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { driver.Close() })
	a.Index, a.Artifacts = index, artifact.NewResolver(artifact.NewRepo(driver), nil)
	a.Log, err = predlog.Open(t.TempDir(), predlog.SinkFunc(a.deliver), &predlog.Options{SyncInterval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if _, err := a.Log.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	a.Reader = predictions.New(index, a.Artifacts, a.Log, nil)
	return a
}

func (a *Archive) deliver(ctx context.Context, s predlog.Segment) error {
	repo, err := a.Artifacts.Resolve(Root)
	if err != nil {
		return err
	}
	f, err := os.Open(s.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	place := predictions.Place{RunID: "run", ArtifactURI: Root, Path: "predictions/" + s.ID + ".parquet"}
	if _, err := repo.Write(ctx, place.Path, f); err != nil {
		return err
	}
	sum, err := predlog.Summarize(s.Path)
	if err != nil {
		return err
	}
	return a.Index.Add(ctx, predictions.Entry{Summary: sum, Place: place})
}

// Start is when the first record arrives.
var Start = time.UnixMilli(1_790_000_000_000).UTC()

// Record offers so many records, a second apart, and returns their ids.
func (a *Archive) Record(t testing.TB, version, count int) [][16]byte {
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
		a.Log.Record(&predlog.Record{
			PredictionID: id, RequestID: fmt.Sprint("client ", a.n%10), Time: Start.Add(time.Duration(a.n) * time.Second), Endpoint: "wine", Model: "wine",
			Version: version, Arm: arm, Status: status, Shadow: a.n%4 == 3, LatencyNS: int64(a.n%10+1) * int64(time.Millisecond),
			Request: fmt.Appendf(nil, `{"dataframe_split": {"columns": ["order", "name"], "data": [[%d, "a %d"], [0, null]]}}`, a.n, a.n), Response: []byte(`{"predictions": [2]}`),
		})
		a.n++
	}
	return ids
}

// Flush delivers what was recorded.
func (a *Archive) Flush(t testing.TB) {
	t.Helper()
	if err := a.Log.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Deliver puts a segment file into the archive.
func (a *Archive) Deliver(t testing.TB, path string) {
	t.Helper()
	sum, err := predlog.Summarize(path)
	if err == nil {
		err = a.deliver(t.Context(), sum.Segment)
	}
	if err != nil {
		t.Fatal(err)
	}
}
