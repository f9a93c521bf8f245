package predlog

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// crashChild, set in the environment to "dir|first", turns the test binary into the process that TestKill9 kills.
const crashChild = "PREDLOG_CRASH_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashChild); dir != "" {
		crash(dir, os.Getenv(crashChild+"_FIRST"))
		return
	}
	goleak.VerifyTestMain(m)
}

// folderSink keeps segments in a folder, idempotently and atomically, so that it survives a crash of its process.
func folderSink(dir string) SinkFunc {
	return func(_ context.Context, s Segment) error {
		data, err := os.ReadFile(s.Path)
		if err != nil {
			return err
		}
		name := filepath.Join(dir, s.ID+segmentSuffix)
		if err := os.WriteFile(name+tempSuffix, data, 0o600); err != nil {
			return err
		}
		return os.Rename(name+tempSuffix, name)
	}
}

// crash records numbered requests until it is killed, and prints how many are written to disk.
func crash(dir, first string) {
	l, err := Open(filepath.Join(dir, "log"), folderSink(filepath.Join(dir, "sink")),
		&Options{SyncInterval: time.Millisecond, SpoolRows: 300, SpoolAge: 5 * time.Millisecond})
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(1)
	}
	n, _ := strconv.ParseUint(first, 10, 64)
	for start := n; ; n++ {
		r := Record{Endpoint: "wine", Model: "wine", Version: int(n % 3), Status: 200, Request: fmt.Appendf(nil, `{"inputs":[%d]}`, n)}
		binary.BigEndian.PutUint64(r.PredictionID[8:], n)
		l.Record(&r)
		if n%50 == 0 {
			s := l.Stats()
			fmt.Println(n-start+1, s.Written, s.Dropped.Total())
			time.Sleep(200 * time.Microsecond) // leave the writer and the sealer some of a single core
		}
	}
}

// R41: killed at any moment, the log reopens with every row that was written, none twice.
func TestKill9(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, d := range []string{"log", "sink"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var first, certain uint64
	for range 6 {
		offered, written := killOnce(t, dir, first, 1+rand.IntN(60), time.Duration(rand.IntN(3000))*time.Microsecond)
		first += 1_000_000
		certain += written
		if written > offered {
			t.Fatalf("written %d of %d", written, offered)
		}
	}
	l := open(t, filepath.Join(dir, "log"), folderSink(filepath.Join(dir, "sink")), nil)
	if err := l.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(dir, "sink", "*"+segmentSuffix))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[[16]byte]bool{}
	for r, err := range Scan(segments...) {
		if err != nil {
			t.Fatal(err)
		}
		if seen[r.PredictionID] {
			t.Fatalf("prediction %x stands in two rows", r.PredictionID)
		}
		seen[r.PredictionID] = true
	}
	if uint64(len(seen)) < certain {
		t.Errorf("%d rows recovered, %d were written before the kills", len(seen), certain)
	}
}

// killOnce starts the child, kills it so long after its n-th line, and returns the last line's numbers of offered and written records.
func killOnce(t *testing.T, dir string, first uint64, lines int, delay time.Duration) (offered, written uint64) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), crashChild+"="+dir, fmt.Sprintf("%s_FIRST=%d", crashChild, first))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(out)
	for i := 0; sc.Scan(); i++ {
		var drops uint64
		if _, err := fmt.Sscan(sc.Text(), &offered, &written, &drops); err != nil {
			t.Errorf("child says %q", sc.Text())
		}
		if i == lines {
			time.AfterFunc(delay, func() { cmd.Process.Kill() })
		}
	}
	cmd.Wait() // killed: its error is expected
	return offered, written
}

// A crash between naming the segments and removing their spool: they are made again, under the same ids, and none is delivered twice.
func TestCrashInsideACommit(t *testing.T) {
	t.Parallel()
	dir, sink := t.TempDir(), newMemorySink(t)
	l := open(t, dir, SinkFunc(func(ctx context.Context, _ Segment) error { <-ctx.Done(); return ctx.Err() }), nil)
	for i := range 10 {
		l.Record(sample(t, i))
	}
	if err := l.flushWriter(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	eventually(t, "segments", func() bool { return l.Stats().SegmentsPending == 2 })
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	l.Close(ended)
	segments, _ := filepath.Glob(filepath.Join(dir, "segments", "*"+segmentSuffix))
	if len(segments) != 2 {
		t.Fatalf("segments: %v", segments)
	}
	// Put the spool of these segments back, take one segment's name away, and leave a temporary file.
	var frames []byte
	for r, err := range Scan(segments...) {
		if err != nil {
			t.Fatal(err)
		}
		at := len(frames)
		frames, _ = appendFrame(frames, &r.Record, r.Time.UnixNano(), 1<<20)
		sealFrames(frames[at:])
	}
	id := spoolOf(filepath.Base(segments[0]))
	torn := append([]byte(spoolMagic), frames...)
	torn = append(torn, frames[:frameHeader+10]...)
	for name, data := range map[string][]byte{
		filepath.Join(dir, "spool", id+spoolSuffix): torn,
		segments[1] + tempSuffix:                    []byte("half"),
	} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(segments[1]); err != nil {
		t.Fatal(err)
	}

	l = open(t, dir, sink, nil)
	if err := l.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	if got := len(sink.rows(t)); got != 10 || sink.repeats != 0 {
		t.Errorf("%d rows, %d repeats", got, sink.repeats)
	}
	if s := l.Stats(); s.Recovered != 10 || s.Delivered != 10 {
		t.Errorf("recovered %d, delivered %d; want 10 and 10", s.Recovered, s.Delivered)
	}
}

func TestUnreadableSegmentIsSetAside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "segments"), 0o700); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "segments", "0198c0de-0000-7000-8000-000000000000-000"+segmentSuffix)
	if err := os.WriteFile(name, []byte("PAR1 not really"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := open(t, dir, newMemorySink(t), nil)
	if s := l.Stats(); s.LastError == "" || s.SegmentsPending != 0 {
		t.Errorf("stats: %+v", s)
	}
	if _, err := os.Stat(name + badSuffix); err != nil {
		t.Error(err)
	}
}
