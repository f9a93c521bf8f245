package predlog

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

// cutOff opens a log in dir, offers some records, and leaves the directory as a kill would: the mark of that life is there.
func cutOff(t *testing.T, dir string) (left mark) {
	t.Helper()
	l, err := Open(dir, newMemorySink(t), &Options{SyncInterval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		l.Record(sample(t, i))
	}
	eventually(t, "rows", func() bool { return l.Stats().Written == 10 })
	data, err := os.ReadFile(l.markPath())
	if err != nil {
		t.Fatal(err)
	}
	if left, err = readMark(l.markPath()); err != nil {
		t.Fatal(err)
	}
	if lost, err := l.Close(soon(t)); lost != 0 || err != nil {
		t.Fatal(lost, err)
	}
	if _, err := os.Stat(l.markPath()); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a closed log is marked as open: %v", err)
	}
	if err := os.WriteFile(l.markPath(), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return left
}

// R41: a life that was cut off leaves a gap, which is delivered once, stands in the segments of the next life, and is counted; Close leaves none.
func TestGap(t *testing.T) {
	t.Parallel()
	dir, sink := t.TempDir(), folderSink(t.TempDir())
	left := cutOff(t, dir)
	before := time.Now()
	l := open(t, dir, sink, nil)
	g := l.Gap()
	if g == nil || g.ID != left.life.String() || !g.From.Equal(left.saved) || g.To.Before(before) || g.AtMost != left.atMost || g.AtMost <= 0 {
		t.Fatalf("gap %+v of %+v", g, left)
	}
	if s := l.Stats(); s.Gaps != 1 || s.GapRecords != g.AtMost {
		t.Errorf("stats %+v", s)
	}
	l.Record(sample(t, 1))
	if err := l.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	if got := sink.gaps(t); len(got) != 1 || got[0].ID != g.ID || !got[0].From.Equal(g.From) || !got[0].To.Equal(g.To) || got[0].AtMost != g.AtMost {
		t.Errorf("delivered %+v, want %+v", got, g)
	}
	segments, _ := filepath.Glob(filepath.Join(string(sink), "*"+segmentSuffix))
	if len(segments) != 1 {
		t.Fatalf("segments: %v", segments)
	}
	f, err := os.Open(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, _ := f.Stat()
	pf, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		metaGap + "id": g.ID, metaGap + "from": g.From.Format(time.RFC3339Nano), metaGap + "to": g.To.Format(time.RFC3339Nano),
		metaGap + "at_most": strconv.FormatInt(g.AtMost, 10), metaSampledOut: "0",
	} {
		if got, _ := pf.Lookup(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if _, err := l.Close(soon(t)); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, sink, nil)
	if l.Gap() != nil || l.Stats().Gaps != 0 || len(sink.gaps(t)) != 1 {
		t.Errorf("a gap after Close: %+v", l.Gap())
	}
}

// deafSink takes segments, and no gap.
type deafSink struct{ *memorySink }

func (deafSink) DeliverGap(context.Context, Gap) error { return errors.New("not now") }

// A gap that is not delivered is kept, over lives, and says so in Flush.
func TestGapIsKeptUntilDelivered(t *testing.T) {
	t.Parallel()
	dir, sink := t.TempDir(), folderSink(t.TempDir())
	cutOff(t, dir)
	l, err := Open(dir, deafSink{newMemorySink(t)}, &Options{RetryMin: time.Millisecond, RetryMax: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	first := *l.Gap()
	eventually(t, "a failure", func() bool { return l.Stats().LastError != "" })
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if lost, err := l.Close(ended); lost != 0 || err == nil {
		t.Errorf("close: %d, %v", lost, err)
	}
	cutOff(t, dir) // which finds, and delivers, the first one, to a sink that takes gaps without keeping them
	l = open(t, dir, sink, nil)
	if err := l.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	if got := sink.gaps(t); len(got) != 1 || got[0].ID == first.ID {
		t.Errorf("delivered %+v", got)
	}
	if files, _ := os.ReadDir(filepath.Join(dir, "gaps")); len(files) != 0 {
		t.Errorf("left: %v", files)
	}
}

// A mark that a power failure tore is a gap too, from when its file was written last.
func TestTornMark(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{"empty": "", "half": markMagic + "1234", "other": "something of exactly that many bytes, yes"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, markName), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		written := time.Now().Add(-time.Hour)
		if err := os.Chtimes(filepath.Join(dir, markName), written, written); err != nil {
			t.Fatal(err)
		}
		l := open(t, dir, newMemorySink(t), nil)
		if g := l.Gap(); g == nil || g.From.Sub(written).Abs() > time.Second || g.AtMost != l.opts.gapBound() {
			t.Errorf("%s: gap %+v", name, g)
		}
	}
}

// The mark follows what is saved, under each policy.
func TestMarkFollows(t *testing.T) {
	t.Parallel()
	for name, policy := range SyncPolicies() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := open(t, t.TempDir(), newMemorySink(t), &Options{Sync: policy, SyncInterval: 2 * time.Millisecond, SpoolAge: time.Hour})
			for i := range 3 {
				before := l.opts.Now()
				l.Record(sample(t, i))
				eventually(t, "a mark", func() bool {
					m, err := readMark(l.markPath())
					return err == nil && !m.saved.Before(before)
				})
				if s := l.Stats(); s.Written != int64(i+1) {
					t.Errorf("marked with %d of %d records written", s.Written, i+1)
				}
			}
		})
	}
}

// What is written and not synced is bounded, whatever the interval.
func TestUnsyncedIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk := &smallDisk{root: dir, capacity: 1 << 40}
	l := open(t, dir, newMemorySink(t), &Options{SyncInterval: time.Hour, WriteInterval: time.Hour, SpoolAge: time.Hour, SpoolRows: 1 << 30, SpoolBytes: 1 << 40, QueueBytes: 768 << 10, files: disk.files()})
	var synced int
	for i := 0; synced == 0; i++ {
		l.Record(sample(t, i))
		disk.set(func() { synced = disk.syncs })
		if i > 1_000_000 {
			t.Fatal("never synced")
		}
	}
}
