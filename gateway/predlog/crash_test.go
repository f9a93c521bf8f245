package predlog

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

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

// kills is how often TestKill9 kills; `make crash` sets it.
var kills = flag.Int("kills", 6, "how often TestKill9 kills its child")

// folderSink keeps segments and gaps in a folder, idempotently and atomically, so that it survives a crash of its process.
type folderSink string

func (dir folderSink) Deliver(_ context.Context, s Segment) error {
	data, err := os.ReadFile(s.Path)
	if err != nil {
		return err
	}
	return dir.keep(s.ID+segmentSuffix, data)
}

func (dir folderSink) DeliverGap(_ context.Context, g Gap) error {
	data, err := json.Marshal(g)
	if err != nil {
		return err
	}
	return dir.keep(g.ID+gapSuffix, data)
}

func (dir folderSink) keep(name string, data []byte) error {
	name = filepath.Join(string(dir), name)
	if err := os.WriteFile(name+tempSuffix, data, 0o600); err != nil {
		return err
	}
	return os.Rename(name+tempSuffix, name)
}

// gaps returns the gaps in the folder by the lives that they end, in order.
func (dir folderSink) gaps(t *testing.T) (out []Gap) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(string(dir), "*"+gapSuffix)) // sorted, and so are UUIDv7s
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		var g Gap
		data, err := os.ReadFile(f)
		if err == nil {
			err = json.Unmarshal(data, &g)
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, g)
	}
	return out
}

// The black box of a life, in memory that outlives its process: counts, and when each request had been offered (ns).
const (
	boxBegun   = iota // requests offered or about to be
	boxDone           // requests offered
	boxDropped        // drops, at least
	boxTimes
	boxRequests = 1 << 17
)

// blackBox maps a file of a life's numbers.
func blackBox(name string) ([]int64, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	const size = (boxTimes + boxRequests) * 8
	if err := f.Truncate(size); err != nil {
		return nil, err
	}
	b, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*int64)(unsafe.Pointer(&b[0])), size/8), nil
}

// lifeRequests is how many request numbers a life may use; number n is sampled out if sampledOut(n).
const lifeRequests = 1_000_000

func sampledOut(n uint64) bool { return n%5 == 0 }

// crash offers numbered requests until it is killed, and prints now and then how many.
func crash(dir, life string) {
	fail := func(err error) {
		fmt.Println(err)
		os.Exit(1)
	}
	first, _ := strconv.ParseUint(life, 10, 64)
	box, err := blackBox(filepath.Join(dir, life+".box"))
	if err != nil {
		fail(err)
	}
	l, err := Open(filepath.Join(dir, "log"), folderSink(filepath.Join(dir, "sink")),
		&Options{SyncInterval: 3 * time.Millisecond, WriteInterval: time.Millisecond, QueueBytes: 1 << 20, SpoolRows: 300, SpoolAge: 5 * time.Millisecond})
	if err != nil {
		fail(err)
	}
	for n := first; n < first+boxRequests; n++ {
		i := int64(n - first)
		atomic.StoreInt64(&box[boxBegun], i+1)
		if s := (Series{Endpoint: "wine", Model: "wine", Version: int(n % 3)}); sampledOut(n) {
			l.Skip(s)
		} else {
			r := Record{Endpoint: s.Endpoint, Model: s.Model, Version: s.Version, Status: 200, Request: fmt.Appendf(nil, `{"inputs":[%d]}`, n)}
			binary.BigEndian.PutUint64(r.PredictionID[8:], n)
			l.Record(&r)
		}
		atomic.StoreInt64(&box[boxTimes+i], time.Now().UnixNano())
		atomic.StoreInt64(&box[boxDone], i+1)
		if i%50 == 0 {
			atomic.StoreInt64(&box[boxDropped], l.Stats().Dropped.Total())
			fmt.Println(i + 1)
			time.Sleep(200 * time.Microsecond) // leave the writer and the sealer some of a single core
		}
	}
	select {} // until it is killed
}

// R41: killed at random moments, the log reopens each time with no id twice, and with a gap that bounds what is missing in number and in time:
// requests = rows + drops + sampled out + tail, and the tail is the end of what was offered. `make crash KILLS=500` kills 500 times. It is not parallel: between fork and exec a
// child holds the locks of other tests' directories.
func TestKill9(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"log", "sink"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	sink := folderSink(filepath.Join(dir, "sink"))
	for life := range *kills {
		killOnce(t, dir, uint64(life)*lifeRequests, rand.IntN(60), time.Duration(rand.IntN(3000))*time.Microsecond)
	}
	l := open(t, filepath.Join(dir, "log"), sink, nil)
	if err := l.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	rows := make([]map[uint64]bool, *kills)
	segments, err := filepath.Glob(filepath.Join(dir, "sink", "*"+segmentSuffix))
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for r, err := range Scan(segments...) {
		if err != nil {
			t.Fatal(err)
		}
		n := binary.BigEndian.Uint64(r.PredictionID[8:])
		life := n / lifeRequests
		if rows[life] == nil {
			rows[life] = map[uint64]bool{}
		}
		if rows[life][n] {
			t.Fatalf("prediction %x stands in two rows", r.PredictionID)
		}
		rows[life][n] = true
		total++
	}
	gaps := sink.gaps(t)
	if len(gaps) != *kills {
		t.Fatalf("%d gaps after %d kills", len(gaps), *kills)
	}
	var worst, missing int64
	for life, gap := range gaps {
		tail := checkLife(t, dir, uint64(life)*lifeRequests, rows[life], gap)
		worst, missing = max(worst, tail), missing+tail
	}
	t.Logf("%d kills: %d rows, %d records missing, at most %d of one life; a gap allows %d", *kills, total, missing, worst, gaps[0].AtMost)
}

// checkLife compares what one life offered with its rows and its gap, and returns how many records are missing.
func checkLife(t *testing.T, dir string, first uint64, rows map[uint64]bool, gap Gap) (tail int64) {
	t.Helper()
	box, err := blackBox(filepath.Join(dir, fmt.Sprintf("%d.box", first)))
	if err != nil {
		t.Fatal(err)
	}
	begun, done, dropped := box[boxBegun], box[boxDone], box[boxDropped]
	lastRow := int64(-1)
	for n := range rows {
		i := int64(n - first)
		if sampledOut(n) || i >= begun {
			t.Errorf("life %d: row %d was never offered", first, i)
		}
		lastRow = max(lastRow, i)
	}
	for i := range done {
		n := first + uint64(i)
		if rows[n] || sampledOut(n) {
			continue
		}
		tail++
		if dropped > 0 {
			continue // which ones nobody knows
		}
		if i < lastRow {
			t.Errorf("life %d: request %d is missing, a later one is not", first, i)
		}
		if at := time.Unix(0, box[boxTimes+i]); at.Before(gap.From) || at.After(gap.To) {
			t.Errorf("life %d: request %d of %v is missing outside of the gap %v – %v", first, i, at, gap.From, gap.To)
		}
	}
	if tail -= dropped; tail > gap.AtMost {
		t.Errorf("life %d: %d of %d are missing, more than %d", first, tail, done, gap.AtMost)
	}
	return tail
}

// killOnce starts the child and kills it so long after its n-th line.
func killOnce(t *testing.T, dir string, first uint64, lines int, delay time.Duration) {
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
	killed := make(chan struct{})
	sc := bufio.NewScanner(out)
	for i := 0; sc.Scan(); i++ {
		if _, err := strconv.Atoi(sc.Text()); err != nil {
			t.Errorf("child says %q", sc.Text())
		}
		if i == lines {
			time.AfterFunc(delay, func() { cmd.Process.Kill(); close(killed) })
		}
	}
	<-killed
	cmd.Wait() // killed: its error is expected
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
