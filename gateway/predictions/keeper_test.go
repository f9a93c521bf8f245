package predictions_test

import (
	"context"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"sluice/gateway/predictions"
	"sluice/gateway/predictions/predictionstest"
)

func keeper(a *predictionstest.Archive, opts predictions.Options) *predictions.Keeper {
	runs := func(context.Context) iter.Seq2[predictions.Place, error] {
		return func(yield func(predictions.Place, error) bool) {
			yield(predictions.Place{RunID: "run", ArtifactURI: predictionstest.Root}, nil)
		}
	}
	return predictions.NewKeeper(a.Index, a.Artifacts, runs, opts)
}

// ids returns the ids of the segments in the index, and those of the files.
func ids(t *testing.T, a *predictionstest.Archive) (indexed, files []string, bytes int64) {
	t.Helper()
	for s, err := range a.Reader.Segments(t.Context(), predictions.Query{}, 0) {
		if err != nil {
			t.Fatal(err)
		}
		indexed = append(indexed, s.ID)
		bytes += s.Bytes
	}
	files, err := filepath.Glob(filepath.Join(a.Folder, "1/run/artifacts/predictions/*.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	return indexed, files, bytes
}

func TestRetention(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		opts func(bytes int64) predictions.Options
		left int
	}{
		{"for ever", func(int64) predictions.Options { return predictions.Options{} }, 8},
		{"by age", func(int64) predictions.Options { // the 5th pair of records ends 9 s after the start
			return predictions.Options{MaxAge: time.Hour, Now: func() time.Time { return predictionstest.Start.Add(time.Hour + 8500*time.Millisecond) }}
		}, 4},
		{"by bytes", func(b int64) predictions.Options { return predictions.Options{MaxBytes: b*3/4 + 500} }, 6},
		{"the newest of each version stay", func(int64) predictions.Options {
			return predictions.Options{MaxAge: time.Second, MaxBytes: 1, Now: func() time.Time { return predictionstest.Start.Add(1000 * time.Hour) }}
		}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := predictionstest.New(t)
			for range 4 { // 8 segments of 2 records
				a.Record(t, 1, 2)
				a.Flush(t)
				a.Record(t, 2, 2)
				a.Flush(t)
			}
			before, _, bytes := ids(t, a)
			k := keeper(a, c.opts(bytes))
			removed, err := k.Sweep(t.Context())
			if err != nil || removed != 8-c.left {
				t.Errorf("removed %d, %v", removed, err)
			}
			left, files, _ := ids(t, a)
			if len(left) != c.left || len(files) != c.left || left[len(left)-1] != before[7] {
				t.Errorf("%d in the index, %d files", len(left), len(files))
			}
			if again, err := k.Sweep(t.Context()); err != nil || again != 0 {
				t.Errorf("again: %d, %v", again, err)
			}
		})
	}
}

// positions are the Seqs of the segments.
func positions(t *testing.T, a *predictionstest.Archive) (out []int64) {
	t.Helper()
	for s, err := range a.Reader.Segments(t.Context(), predictions.Query{}, 0) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s.Seq)
	}
	return out
}

// A segment that cannot be removed keeps no other.
func TestRetentionPassesBy(t *testing.T) {
	t.Parallel()
	a := predictionstest.New(t)
	for range 3 {
		a.Record(t, 1, 2)
		a.Flush(t)
	}
	var stuck predictions.Entry
	for s, err := range a.Reader.Segments(t.Context(), predictions.Query{}, 0) {
		if err != nil {
			t.Fatal(err)
		}
		stuck.Segment, stuck.Place = s.Segment, s.Place
		break
	}
	if err := a.Index.Remove(t.Context(), []string{stuck.ID}); err != nil {
		t.Fatal(err)
	}
	stuck.Version, stuck.ID, stuck.ArtifactURI = 2, "0", "nobody:/knows"
	for _, id := range []string{"0", "1"} { // the newer one of the version stays anyway
		stuck.ID = id
		if err := a.Index.Add(t.Context(), stuck); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		a.Record(t, 1, 2)
		a.Flush(t)
	}
	k := keeper(a, predictions.Options{MaxAge: time.Minute, Now: func() time.Time { return predictionstest.Start.Add(time.Hour) }})
	removed, err := k.Sweep(t.Context())
	if left, _, _ := ids(t, a); err == nil || removed != 3 || len(left) != 3 {
		t.Errorf("removed %d, %d left, %v", removed, len(left), err)
	}
}

func TestTheIndexIsMadeAgain(t *testing.T) {
	t.Parallel()
	a := predictionstest.New(t)
	prediction := a.Record(t, 1, 3)[1]
	a.Flush(t)
	a.Record(t, 1, 3)
	a.Flush(t)
	k := keeper(a, predictions.Options{})
	if n, err := k.Reindex(t.Context()); err != nil || n != 0 {
		t.Errorf("whole index: %d, %v", n, err)
	}
	was, files, _ := ids(t, a)
	before := positions(t, a)
	if err := a.Index.Remove(t.Context(), was); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(files[0]), "rubbish.parquet"), []byte("PAR1rubbishPAR1"), 0o600); err != nil {
		t.Fatal(err)
	}
	k.Start()
	for deadline := time.Now().Add(30 * time.Second); ; {
		if now, _, _ := ids(t, a); len(now) == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the index stays empty")
		}
	}
	if err := k.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := positions(t, a); !slices.Equal(after, before) { // who remembers one goes on
		t.Errorf("positions %v, they were %v", after, before)
	}
	if r, err := a.Reader.ByID(t.Context(), prediction); err != nil || r.PredictionID != prediction {
		t.Errorf("%v, %v", r.PredictionID, err)
	}
}
